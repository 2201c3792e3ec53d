"""k6's points (`k6 run --out json=FILE`): one a request of the metric `http_req_duration`, as the client saw it.

`time` is the moment at which the answer was there, `value` the milliseconds from sending on, without the wait for a
connection: https://grafana.com/docs/k6/latest/results-output/real-time/json/
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

from experiments.importing import stamps
from experiments.importing.batch import Batch
from experiments.importing.json_lines import Row, number, objects, rows
from experiments.importing.source import Head, Source
from experiments.importing.stamps import Zone

MICROSECOND = 1e-6
METRIC = "http_req_duration"
NAMES = ("taken_s", "status", "method", "path")


class K6:
    """A line a sample; those of other metrics are left out."""

    name: ClassVar[str] = "k6"
    about: ClassVar[str] = "--out json"

    def sniff(self, head: Head) -> float:
        """Objects that are metrics or points."""
        found = [entry for _, entry in objects(head.lines)]
        return sum(entry.get("type") in ("Metric", "Point") and "metric" in entry for entry in found) / len(head.lines)

    def read(self, source: Source) -> Iterator[Batch]:
        """A batch a block."""
        moments = partial(stamps.iso, zone=Zone("UTC"))
        for lines in source.blocks():
            yield rows(lines, NAMES, _row, moments, is_start=False, resolution_s=MICROSECOND)


def _row(entry: dict[str, Any]) -> Row | str:
    if entry["type"] != "Point":
        return "no sample, what a metric is"
    if entry["metric"] != METRIC:
        return f"a sample of another metric than {METRIC}"
    data = entry["data"]
    tags = data.get("tags") or {}
    status = number(tags.get("status"))
    return (str(data["time"]), number(data["value"], 1e-3), status, tags.get("method"), tags.get("url"))
