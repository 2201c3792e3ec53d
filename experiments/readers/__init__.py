"""Formats of other people's logs, one a file: `mine.py` has a class with `name = "mine"`; chosen by `--format mine`.

    name, about          of its file; what it reads, in a few words
    sniff(head)          how much of the beginning of a log is of this format, from 0 to 1
    read(source)         the log as batches of requests, or as one curve of rates, with what is broken and left out

Further arguments of a class are options of the import: `zone`, of stamps that name none, `columns`, `service`. Whoever
takes none of a name has no use for it, and the option is refused.

    source, batch, curve, text, json_lines, spans, stamps    in `experiments/importing/`
"""

from collections.abc import Iterator
from typing import ClassVar, Protocol

from experiments.importing.batch import Batch
from experiments.importing.curve import Curve
from experiments.importing.source import Head, Source
from services.plugins import Point

READERS = Point(__name__, __path__, "readers", "format", ("sniff", "read"), ("about",))


class Reader(Protocol):
    """The shape of every format."""

    name: ClassVar[str]
    about: ClassVar[str]

    def sniff(self, head: Head) -> float:
        """The share of the beginning that is of this format."""

    def read(self, source: Source) -> Iterator[Batch | Curve]:
        """Everything in it.

        Raises:
            UnusableLog: what is in it is of no use, and what would be.
            WrongImport: an option does not fit the file.
        """
