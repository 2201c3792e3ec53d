"""A replica's ledger: every attempt that came to it, and what it did about it.

A line when an attempt has come, one when service begins, if that is later, and one at the end; each takes the place of
those before. Each is given to the operating system at once (write(2) of less than a page), so that one who is killed
leaves what it had begun:

    NUMBER TAKEN BEGAN ENDED END REQUEST SEND ATTEMPT METHOD

Moments are seconds of the monotonic clock, `-` where it did not come to that. Who reads it: `record.work`.
"""

import os
import time
from pathlib import Path

MOST_LINES = 4_000_000
"""Of a process, about 300 MB; one line more says that there are others (`FULL`)."""
FULL = "full"
MOST_DIGITS = 18
"""A request's number has no more: they are counted from 0."""


class Entry:
    """One attempt in the ledger."""

    __slots__ = ("_about", "_ledger", "_number", "_taken_s", "is_unread")

    def __init__(self, ledger: "Ledger", number: int, about: str) -> None:
        """It has come now."""
        self._ledger = ledger
        self._number = number
        self._about = about
        self._taken_s = time.monotonic()
        self.is_unread = False
        """Whoever asked has gone, and the work goes on."""

    def taken(self, start: float) -> None:
        """It is here, and its service has begun at `start`; infinity = not yet."""
        self._write("-" if start == float("inf") else f"{start:.6f}", "-", "-")

    def ended(self, end: str, start: float = 0.0, at: float | None = None) -> None:
        """It is over.

        Args:
            end: of `record.schema.WORK_ENDS`, `answered` where the work was done.
            start: when service began; 0 or later than the end = it did not.
            at: when it was over; None = now.
        """
        at = time.monotonic() if at is None else at
        if end == "answered" and self.is_unread:
            end = "unread"
        self._write(f"{start:.6f}" if 0 < start < at else "-", f"{at:.6f}", end)

    def _write(self, began: str, ended: str, end: str) -> None:
        self._ledger.write(f"{self._number} {self._taken_s:.6f} {began} {ended} {end} {self._about}\n")


class Ledger:
    """The ledger of one process."""

    def __init__(self, folder: Path, id_: str) -> None:
        """A file of its own in `folder`.

        Raises:
            OSError: there can be none.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._file = os.open(folder / f"{id_}-{os.getpid()}.lines", flags, 0o644)
        self._lines = 0
        self._attempts = 0

    def entry(self, request_id: str, send: str, attempt: str, method: str) -> Entry | None:
        """One for an attempt; None where its request is none of a schedule's, which are numbered."""
        words = (request_id, send, attempt)
        if not all(word.isascii() and word.isdecimal() and len(word) <= MOST_DIGITS for word in words):
            return None
        self._attempts += 1
        return Entry(self, self._attempts, f"{request_id} {send} {attempt} {method}")

    def write(self, line: str) -> None:
        """Add a line; a disk that takes none ends the ledger, and not the work."""
        if self._lines > MOST_LINES:
            return
        self._lines += 1
        try:
            os.write(self._file, line.encode() if self._lines <= MOST_LINES else f"{FULL}\n".encode())
        except OSError:
            self._lines = MOST_LINES
