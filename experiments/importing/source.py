"""The files of a log as blocks of whole lines: plain or gzip, bounded in memory, hashed while they are read."""

import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa

from experiments.importing.errors import UnusableLog, WrongImport

BLOCK_BYTES = 8 << 20
LONGEST_LINE_BYTES = 64 << 20
"""What has no end of line for so long is cut there, and is broken."""
LARGEST_DOCUMENT_BYTES = 256 << 20
"""Of a file that is one object of JSON: it is in memory as a whole, several times its size."""
HEAD_BYTES = 256 << 10
"""What a format is told by."""
HEAD_LINES = 200
STREAM = "-"
"""As other commands call their standard input."""
GZIP = b"\x1f\x8b"
PACKED = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip", b"PAR1": "Parquet"}
"""First bytes of what is not read here."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
BROKEN_GZIP = (EOFError, zlib.error, gzip.BadGzipFile)


@dataclass(frozen=True)
class Lines:
    """Whole lines that follow each other in one file."""

    text: pa.Array
    """Binary, shape (n,), each with its end of line."""
    first: int
    """Number of the first in all files together, from 0."""
    is_start: bool
    """Whether a file begins here."""

    def __len__(self) -> int:
        """How many there are."""
        return len(self.text)

    @cached_property
    def hashes(self) -> np.ndarray:
        """64 bits of each, shape (n,): equal for equal lines."""
        objects = self.text.to_numpy(zero_copy_only=False)
        hashed: np.ndarray = pd.util.hash_array(objects, categorize=False)
        return hashed


@dataclass(frozen=True)
class Head:
    """The beginning of a log, by which its format is told."""

    text: bytes
    lines: Lines
    """At most 200, the last of them whole; blank ones are left out."""


@dataclass(frozen=True)
class Opened:
    """A file that is being read."""

    below: "io.BufferedReader[Any]"
    """As it lies there."""
    content: "io.BufferedReader[Any] | gzip.GzipFile"
    """What is in it."""

    def __enter__(self) -> Self:
        """It is open already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it; whoever sees its bytes has seen all of them."""
        self.content.close()
        self.below.close()


@dataclass
class Source:
    """Files that are read one after another, once."""

    paths: list[Path]
    tell: Callable[[float, int], None] = lambda share, lines: None
    """Called with the share of the bytes that is read, and the lines so far."""
    hashes: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each file as it lies there, once it is read."""
    cut: list[str] = field(default_factory=list)
    """What could not be read to its end, and why."""
    lines: int = 0
    """Read so far."""
    _starts: list[tuple[int, Path]] = field(default_factory=list)
    _read_bytes: int = 0

    def head(self) -> Head:
        """The beginning of the first file that has one.

        Raises:
            UnusableLog: all files are empty.
            WrongImport: a file cannot be opened, or is packed in a way that is not read here.
        """
        for path in self.paths:
            with _opened(path) as file:
                text = _some(file, HEAD_BYTES)[0].removeprefix(BYTE_ORDER_MARK)
            if text.strip():
                whole = text if len(text) < HEAD_BYTES else text[: text.rfind(b"\n") + 1] or text
                kept = [line + b"\n" for line in whole.splitlines() if line.strip()][:HEAD_LINES]
                return Head(text, Lines(pa.array(kept, pa.binary()), 0, is_start=True))
        raise UnusableLog(f"{self.names}: empty, there is nothing to import")

    @property
    def names(self) -> str:
        """The files, to be shown."""
        return ", ".join(str(path) for path in self.paths[:3]) + (", ..." if len(self.paths) > 3 else "")

    def blocks(self) -> Iterator[Lines]:
        """All lines of all files.

        Raises:
            WrongImport: as `head`.
        """
        for path, file in self._files():
            self._starts.append((self.lines, path))
            is_start = True
            for data in self._whole_lines(path, file):
                text = _split(data.removeprefix(BYTE_ORDER_MARK) if is_start else data)
                yield Lines(text, self.lines, is_start)
                is_start = False
                self.lines += len(text)
                self.tell(self._share, self.lines)

    def documents(self) -> Iterator[tuple[Path, bytes]]:
        """Each file as a whole.

        Raises:
            UnusableLog: one is too large for that.
            WrongImport: as `head`.
        """
        for path, file in self._files():
            data, _ = _some(file, LARGEST_DOCUMENT_BYTES + 1)
            if len(data) > LARGEST_DOCUMENT_BYTES:
                most = f"{LARGEST_DOCUMENT_BYTES >> 20} MiB"
                raise UnusableLog(f"{path}: one JSON object of over {most}; export it in parts")
            self.tell(self._share, 0)
            yield path, data.removeprefix(BYTE_ORDER_MARK)

    def place(self, number: int) -> str:
        """Where a line stands: `access.log:17`; of one file alone `line 17`."""
        start, path = max((each for each in self._starts if each[0] <= number), key=lambda each: each[0])
        return f"line {number - start + 1}" if len(self.paths) == 1 else f"{path.name}:{number - start + 1}"

    @property
    def _share(self) -> float:
        return self._read_bytes / max(1, sum(path.stat().st_size for path in self.paths))

    def _files(self) -> Iterator[tuple[Path, Opened]]:
        for path in self.paths:
            digest = hashlib.sha256()

            def seen(data: bytes, digest: Any = digest) -> None:  # noqa: ANN401 - hashlib's type has no public name
                digest.update(data)
                self._read_bytes += len(data)

            with _opened(path, seen) as file:
                yield path, file
            self.hashes[str(path)] = digest.hexdigest()

    def _whole_lines(self, path: Path, file: Opened) -> Iterator[bytes]:
        rest = b""
        while True:
            chunk, error = _some(file, BLOCK_BYTES)
            if error is not None:
                self.cut.append(f"{path.name}: the gzip file breaks off ({error}); what came before was read")
            if not chunk:
                break
            data = rest + chunk
            end = data.rfind(b"\n") + 1
            if not end and len(data) > LONGEST_LINE_BYTES:
                end = len(data)
            if end:
                yield data[:end]
            rest = data[end:]
        if rest:
            yield rest


class _Seen(io.RawIOBase):
    """A file whose bytes somebody sees as they are read, and when it is closed those that were not."""

    def __init__(self, file: IO[bytes], seen: Callable[[bytes], None] | None) -> None:
        self._file, self._seen = file, seen

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - whatever can be written to
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        if self._seen is not None:
            self._seen(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            while self._seen is not None and (data := self._file.read(BLOCK_BYTES)):
                self._seen(data)
            self._file.close()
        super().close()


def _opened(path: Path, seen: Callable[[bytes], None] | None = None) -> Opened:
    if str(path) == STREAM or (path.exists() and not path.is_file() and not path.is_dir()):
        raise WrongImport(f"{path}: is no file but a stream, and is read twice; write it to a file first")
    try:
        raw = path.open("rb")
    except OSError as error:
        raise WrongImport(f"{path}: cannot be read ({error.strerror})") from error
    file: io.BufferedReader[Any] = io.BufferedReader(_Seen(raw, seen), 1 << 20)
    first = file.peek(8)[:8]
    for magic, name in PACKED.items():
        if first.startswith(magic):
            file.close()
            raise WrongImport(f"{path}: is packed as {name}; unpack it first (gzip is read as it is)")
    return Opened(file, gzip.GzipFile(fileobj=file) if first.startswith(GZIP) else file)


def _some(file: Opened, most: int) -> tuple[bytes, Exception | None]:
    """Up to `most` bytes; of a gzip file that breaks off, what comes before, and why it does."""
    parts: list[bytes] = []
    left = most
    try:
        while left > 0 and (data := file.content.read1(left)):
            parts.append(data)
            left -= len(data)
    except BROKEN_GZIP as error:
        return b"".join(parts), error
    return b"".join(parts), None


def _split(data: bytes) -> pa.Array:
    ends = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == 10) + 1
    if not len(ends) or ends[-1] != len(data):
        ends = np.append(ends, len(data))
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    return pa.Array.from_buffers(pa.binary(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(data)])
