"""Output whose reader may leave before the end, as `| head` does, or whose disk may be full: whoever writes goes on."""

import os
import sys
from typing import Any, TextIO


class _Outliving:
    """A stream that throws away what nobody takes any more; for the rest it is the one that it stands for."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self._go_on()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._go_on()

    def _go_on(self) -> None:
        """What the stream still holds goes nowhere, too."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a stream has
        return getattr(self._stream, name)


def outlive_the_reader() -> None:
    """From now on standard output and error are such streams, where there are any."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, _Outliving):
            setattr(sys, name, _Outliving(stream))
