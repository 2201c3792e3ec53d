"""Envoy's access log as JSON: its keys are chosen by whoever wrote the configuration, so the usual ones are looked for.

Those of Istio (https://istio.io/latest/docs/tasks/observability/logs/access-log/), those of Envoy Gateway, and the
operators' names in small letters; docs/import.md has a `json_format` that has them all.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

from experiments.importing import stamps
from experiments.importing.batch import MILLISECOND, Batch
from experiments.importing.json_lines import Row, first, number, rows, share
from experiments.importing.source import Head, Source
from experiments.importing.stamps import Zone

STARTED = ("start_time", "startTime", "START_TIME")
TAKEN = ("duration", "DURATION")
SERVICE = ("upstream_service_time", "x-envoy-upstream-service-time", "x_envoy_upstream_service_time")
HOST = ("upstream_host", "upstreamHost", "UPSTREAM_HOST")
STATUS = ("response_code", "responseCode", "RESPONSE_CODE", "status")
SENT = ("bytes_sent", "bytesSent", "BYTES_SENT")
RECEIVED = ("bytes_received", "bytesReceived", "BYTES_RECEIVED")
METHOD = ("method", ":method", "request_method")
PATH = ("path", "x-envoy-origin-path", "x-envoy-original-path", ":path")
ATTEMPTS = ("upstream_request_attempt_count", "attempts")
NAMES = ("taken_s", "upstream_s", "upstream", "attempts", "status", "size", "received", "method", "path")
TELLING = ("response_flags", "upstream_host", "upstream_cluster", "upstreamHost", "UPSTREAM_HOST")
"""Keys that others' logs have not."""


class EnvoyJson:
    """One object a request, when it is over, stamped with its arrival."""

    name: ClassVar[str] = "envoy_json"
    about: ClassVar[str] = "JSON with the keys of Istio, Envoy Gateway or the operators' names"

    def sniff(self, head: Head) -> float:
        """Objects with one of the keys that only Envoy has."""
        return share(head.lines, TELLING)

    def read(self, source: Source) -> Iterator[Batch]:
        """A batch a block."""
        moments = partial(stamps.any_kind, zone=Zone("UTC"))
        for lines in source.blocks():
            yield rows(lines, NAMES, _row, moments, is_start=True, resolution_s=MILLISECOND)


def _row(entry: dict[str, Any]) -> Row:
    started = first(entry, STARTED)
    if started is None:
        raise KeyError(STARTED[0])
    return (
        str(started),
        number(first(entry, TAKEN), 1e-3),
        number(first(entry, SERVICE), 1e-3),
        first(entry, HOST),
        number(first(entry, ATTEMPTS)),
        number(first(entry, STATUS)),
        number(first(entry, SENT)),
        number(first(entry, RECEIVED)),
        first(entry, METHOD),
        first(entry, PATH),
    )
