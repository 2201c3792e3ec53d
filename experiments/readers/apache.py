"""Apache: `common` and `combined`, and behind either `%D`, the microseconds that the request took.

`%t` is the moment at which the request was received:
https://httpd.apache.org/docs/current/mod/mod_log_config.html#formats
"""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from experiments.importing import stamps
from experiments.importing.batch import NO_ANSWER, SECOND, Batch, batch_of
from experiments.importing.source import Head, Source
from experiments.importing.text import QUOTED, REQUEST, Pattern

LINE = Pattern(
    rf"^\S+ \S+ .*?\[(?P<stamp>\d\d/[A-Z][a-z]{{2}}/\d{{4}}:\d\d:\d\d:\d\d [+-]\d{{4}})\] {REQUEST} "
    rf'(?P<status>\d{{3}}|-) (?P<size>\d+|-)(?: "{QUOTED}" "{QUOTED}")?(?: (?P<taken>-?\d+))?\s*$'
)
PLAIN = 0.9
"""How surely a line without `%D` is Apache's: nginx' is the same."""


class Apache:
    """One line a request, when it is over, stamped with its arrival."""

    name: ClassVar[str] = "apache"
    about: ClassVar[str] = "common and combined, and with %D behind"

    def sniff(self, head: Head) -> float:
        """Lines with `%D` are surely Apache's."""
        found = LINE.find(head.lines.text)
        timed = sum(bool(text) for text in found.fields["taken"].to_pylist())
        return (timed + PLAIN * (len(found.index) - timed)) / len(head.lines)

    def read(self, source: Source) -> Iterator[Batch]:
        """A batch a block."""
        for lines in source.blocks():
            found = LINE.find(lines.text)
            columns = {
                "taken_s": found.number("taken", 1e-6),
                "status": np.nan_to_num(found.number("status"), nan=NO_ANSWER),
                "size": found.number("size"),
                "method": found.fields["method"],
                "path": found.fields["path"],
            }
            moments = stamps.clf(found.fields["stamp"])
            yield batch_of(lines, found.index, moments, columns, is_start=True, resolution_s=SECOND)
