"""AWS' Application Load Balancer.

`time` is the moment at which the answer was made, `request_creation_time` that at which the request came; the three
times are seconds, -1 where it did not come to that:
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html
"""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from experiments.importing import stamps
from experiments.importing.batch import MILLISECOND, NO_ANSWER, Batch, batch_of
from experiments.importing.source import Head, Source
from experiments.importing.stamps import Zone
from experiments.importing.text import REQUEST, Pattern

SECONDS = r"-?\d+(?:\.\d+)?"
LINE = Pattern(
    r"^(?:https?|h2|grpcs|wss?) (?P<ended>\d{4}-\d\d-\d\dT\S+) \S+ \S+ (?P<upstream>\S+) "
    rf"(?P<request>{SECONDS}) (?P<target>{SECONDS}) (?P<response>{SECONDS}) (?P<status>\d+|-) \S+ "
    rf'(?P<received>\d+) (?P<size>\d+) {REQUEST} "[^"]*"(?: \S+ \S+ \S+ "[^"]*" "[^"]*" "[^"]*" \S+ '
    r"(?P<created>\d{4}-\d\d-\d\dT\S+))?(?: .*)?\s*$"
)


class Alb:
    """One line a request, when it is over."""

    name: ClassVar[str] = "alb"
    about: ClassVar[str] = "AWS Application Load Balancer"

    def sniff(self, head: Head) -> float:
        """The share of its lines."""
        return LINE.share(head.lines)

    def read(self, source: Source) -> Iterator[Batch]:
        """A batch a block."""
        zone = Zone("UTC")  # every stamp has its Z
        for lines in source.blocks():
            found = LINE.find(lines.text)
            ended = stamps.iso(found.fields["ended"], zone)
            created = stamps.iso(found.fields["created"], zone)
            parts = [found.number(name) for name in ("request", "target", "response")]
            is_whole = np.all([part >= 0 for part in parts], axis=0)
            taken = np.where(is_whole, np.sum(parts, axis=0), ended - created)
            columns = {
                "taken_s": taken,
                "upstream_s": np.where(parts[1] >= 0, parts[1], np.nan),
                "upstream": found.fields["upstream"],
                "status": np.nan_to_num(found.number("status"), nan=NO_ANSWER),
                "size": found.number("size"),
                "received": found.number("received"),
                "method": found.fields["method"],
                "path": found.fields["path"],
            }
            arrived = np.where(np.isfinite(created), created, ended - np.nan_to_num(taken))
            yield batch_of(lines, found.index, arrived, columns, is_start=True, resolution_s=MILLISECOND)
