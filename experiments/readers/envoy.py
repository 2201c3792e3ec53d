"""Envoy's default text, and Istio's, which has more fields in the same order.

`%START_TIME%` is the moment at which the request's first byte came, `%DURATION%` the milliseconds until the answer's
last one was sent, `x-envoy-upstream-service-time` those until the host's answer began, all attempts together:
https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage
"""

from collections.abc import Iterator
from typing import ClassVar

from experiments.importing import stamps
from experiments.importing.batch import MILLISECOND, Batch, batch_of
from experiments.importing.source import Head, Source
from experiments.importing.stamps import Zone
from experiments.importing.text import REQUEST, Pattern

LINE = Pattern(
    rf"^\[(?P<stamp>\d{{4}}-\d\d-\d\dT[^\]]+)\] {REQUEST} (?P<status>\d+) \S+ "
    r'(?:\S+ \S+ "[^"]*" )?'  # Istio: details of the answer, of the connection's end, of a failure below
    r"(?P<received>\d+) (?P<size>\d+) (?P<taken>\d+) (?P<service>\d+|-) "
    r'"[^"]*" "[^"]*" "[^"]*" "[^"]*" "(?P<upstream>[^"]*)"(?: .*)?\s*$'
)


class Envoy:
    """One line a request, when it is over, stamped with its arrival."""

    name: ClassVar[str] = "envoy"
    about: ClassVar[str] = "the default text, Istio's too"

    def sniff(self, head: Head) -> float:
        """The share of its lines."""
        return LINE.share(head.lines)

    def read(self, source: Source) -> Iterator[Batch]:
        """A batch a block."""
        zone = Zone("UTC")  # every stamp has its Z
        for lines in source.blocks():
            found = LINE.find(lines.text)
            columns = {
                "taken_s": found.number("taken", 1e-3),
                "upstream_s": found.number("service", 1e-3),
                "upstream": found.fields["upstream"],
                "status": found.number("status"),
                "size": found.number("size"),
                "received": found.number("received"),
                "method": found.fields["method"],
                "path": found.fields["path"],
            }
            moments = stamps.iso(found.fields["stamp"], zone)
            yield batch_of(lines, found.index, moments, columns, is_start=True, resolution_s=MILLISECOND)
