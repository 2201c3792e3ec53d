"""Traefik's access log by default (`accessLog.format: common`): `combined`, then count, router, server, `12ms`.

The stamp is that of the arrival: https://doc.traefik.io/traefik/observability/access-logs/#format
"""

from collections.abc import Iterator
from typing import ClassVar

from experiments.importing import stamps
from experiments.importing.batch import SECOND, Batch, batch_of
from experiments.importing.source import Head, Source
from experiments.importing.text import REQUEST, Pattern

LINE = Pattern(
    rf"^\S+ \S+ .*?\[(?P<stamp>\d\d/[A-Z][a-z]{{2}}/\d{{4}}:\d\d:\d\d:\d\d [+-]\d{{4}})\] {REQUEST} "
    r'(?P<status>\d+|-) (?P<size>\d+|-) "[^"]*" "[^"]*" (?:\d+|-) "[^"]*" "(?P<upstream>[^"]*)" (?P<taken>\d+)ms\s*$'
)


class TraefikText:
    """One line a request, when it is over, stamped with its arrival."""

    name: ClassVar[str] = "traefik_text"
    about: ClassVar[str] = "accessLog.format: common"

    def sniff(self, head: Head) -> float:
        """The share of its lines."""
        return LINE.share(head.lines)

    def read(self, source: Source) -> Iterator[Batch]:
        """A batch a block."""
        for lines in source.blocks():
            found = LINE.find(lines.text)
            columns = {
                "taken_s": found.number("taken", 1e-3),
                "upstream": found.fields["upstream"],
                "status": found.number("status"),
                "size": found.number("size"),
                "method": found.fields["method"],
                "path": found.fields["path"],
            }
            moments = stamps.clf(found.fields["stamp"])
            yield batch_of(lines, found.index, moments, columns, is_start=True, resolution_s=SECOND)
