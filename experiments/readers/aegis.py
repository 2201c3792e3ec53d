"""The access log of Aegis' own router (`--access-log --log-format json`, docs/monitoring.md).

`ts` is the moment of the end, `ms` all of it; `status` is `cancelled` where nobody got the whole answer.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

from experiments.importing import stamps
from experiments.importing.batch import MILLISECOND, NO_ANSWER, Batch
from experiments.importing.json_lines import Row, number, objects, rows
from experiments.importing.source import Head, Source
from experiments.importing.stamps import Zone

NAMES = ("taken_s", "upstream", "attempts", "status", "method", "path")
CANCELLED = "cancelled"


class Aegis:
    """One object a request, when it is over; what else the router says stands between them."""

    name: ClassVar[str] = "aegis"
    about: ClassVar[str] = "the router's --access-log --log-format json"

    def sniff(self, head: Head) -> float:
        """Objects with the four words that begin each line."""
        found = [entry for _, entry in objects(head.lines)]
        return sum({"ts", "level", "service", "event"} <= entry.keys() for entry in found) / len(head.lines)

    def read(self, source: Source) -> Iterator[Batch]:
        """A batch a block."""
        moments = partial(stamps.iso, zone=Zone("UTC"))
        for lines in source.blocks():
            yield rows(lines, NAMES, _row, moments, is_start=False, resolution_s=MILLISECOND)


def _row(entry: dict[str, Any]) -> Row | str:
    if entry["event"] != "request":
        return "no request, another event"
    if entry["service"] != "router":
        return "a request at another service than the router"
    if "method" not in entry:
        return "no request, what the router refused to read"
    status = entry["status"]
    return (
        str(entry["ts"]),
        number(entry["ms"], 1e-3),
        entry.get("replica"),
        number(entry.get("attempts")),
        NO_ANSWER if status == CANCELLED else number(status),
        entry["method"],
        entry["path"],
    )
