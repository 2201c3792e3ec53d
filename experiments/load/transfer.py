"""Files over Locust's message channel: fetched piece by piece, as the receiver asks, so that nothing piles up in a
queue between the machines (ZeroMQ drops the message, or blocks, beyond 1,000 of them)."""

import hashlib
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import AsyncResult

PIECE_BYTES = 1 << 20
PIECE_TIMEOUT_S = 15.0
PULL, PIECE = "aegis_pull", "aegis_piece"
"""The two messages: `name, offset` asks for a piece, `name, offset, content` answers."""

Send = Callable[[str, dict[str, Any]], None]


class TransferError(RuntimeError):
    """A file did not come across; the text says which."""


class Transfer:
    """One end of a channel: gives away what it holds, and fetches what the other end holds."""

    def __init__(self, send: Send) -> None:
        """`send` sends a message of a type, with its data, to the other end."""
        self._send = send
        self._held: dict[str, bytes] = {}
        self._awaited: AsyncResult | None = None

    def hold(self, name: str, content: bytes) -> dict[str, Any]:
        """Keep `content` for the other end; returns the label that `fetch` needs there: name, bytes, SHA-256."""
        self._held[name] = content
        return {"name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    def on_pull(self, data: dict[str, Any]) -> None:
        """The other end asks for a piece."""
        name, offset = data["name"], data["offset"]
        piece = self._held.get(name, b"")[offset : offset + PIECE_BYTES]
        self._send(PIECE, {"name": name, "offset": offset, "content": piece})

    def on_piece(self, data: dict[str, Any]) -> None:
        """A piece has come."""
        if self._awaited is not None:
            self._awaited.set((data["name"], data["offset"], data["content"]))

    def fetch(self, label: dict[str, Any]) -> bytes:
        """What the other end holds under `label`.

        Raises:
            TransferError: a piece did not come within 15 s, or the whole is not what was promised.
        """
        name, size = label["name"], label["size"]
        pieces = []
        for offset in range(0, size, PIECE_BYTES):
            self._awaited = AsyncResult()
            self._send(PULL, {"name": name, "offset": offset})
            try:
                told, at, content = self._awaited.get(timeout=PIECE_TIMEOUT_S)
            except gevent.Timeout:
                raise TransferError(f"{name}: {offset:,} of {size:,} bytes came, then nothing") from None
            if (told, at) != (name, offset):
                raise TransferError(f"{name}: the piece at {at} of {told} came instead of that at {offset}")
            pieces.append(content)
        whole = b"".join(pieces)
        if hashlib.sha256(whole).hexdigest() != label["sha256"]:
            raise TransferError(f"{name}: {len(whole):,} bytes came that are not the {size:,} promised")
        return whole
