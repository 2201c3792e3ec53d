"""Traefik's access log as JSON (`accessLog.format: json`).

`StartUTC` is the moment of the arrival, `Duration` all of it and `OriginDuration` that at the server, in nanoseconds;
`RetryAttempts` counts the attempts after the first: https://doc.traefik.io/traefik/observability/access-logs/
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

from experiments.importing import stamps
from experiments.importing.batch import Batch
from experiments.importing.json_lines import Row, first, number, rows, share
from experiments.importing.source import Head, Source
from experiments.importing.stamps import Zone

NANOSECOND = 1e-9
NAMES = ("taken_s", "upstream_s", "upstream", "attempts", "status", "size", "received", "method", "path")


class Traefik:
    """One object a request, when it is over, stamped with its arrival."""

    name: ClassVar[str] = "traefik"
    about: ClassVar[str] = "accessLog.format: json"

    def sniff(self, head: Head) -> float:
        """Objects with a key that only Traefik has."""
        return share(head.lines, ("DownstreamStatus", "OriginDuration", "StartUTC"))

    def read(self, source: Source) -> Iterator[Batch]:
        """A batch a block."""
        moments = partial(stamps.iso, zone=Zone("UTC"))
        for lines in source.blocks():
            yield rows(lines, NAMES, _row, moments, is_start=True, resolution_s=NANOSECOND)


def _row(entry: dict[str, Any]) -> Row | str:
    if "StartUTC" not in entry and "StartLocal" not in entry and "msg" in entry and "DownstreamStatus" not in entry:
        return "no request, a word of Traefik's own"
    retries = number(entry.get("RetryAttempts"))
    return (
        str(entry["StartUTC"] if "StartUTC" in entry else entry["StartLocal"]),
        number(entry.get("Duration"), NANOSECOND),
        number(entry.get("OriginDuration"), NANOSECOND),
        first(entry, ("ServiceURL", "ServiceAddr")),
        None if retries is None else retries + 1,
        number(entry.get("DownstreamStatus")),
        number(entry.get("DownstreamContentSize")),
        number(entry.get("RequestContentSize")),
        entry.get("RequestMethod"),
        entry.get("RequestPath"),
    )
