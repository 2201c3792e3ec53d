"""HAProxy's HTTP log (`option httplog`), with or without the head that syslog puts before it.

`[%tr]` is the moment at which the request's first byte came, by the machine's local time; `%TR/%Tw/%Tc/%Tr/%Ta` are
milliseconds for the request's head, the queue, the connection, the answer's head, and all of it; -1 = it did not come
to that: https://docs.haproxy.org/2.6/configuration.html#8.2.3
"""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import pyarrow.compute as pc

from experiments.importing import stamps
from experiments.importing.batch import MILLISECOND, NO_ANSWER, Batch, batch_of
from experiments.importing.source import Head, Source
from experiments.importing.stamps import Zone
from experiments.importing.text import REQUEST, Pattern, number

LINE = Pattern(
    r"^(?:.*?\s)?\S+:\d+ \[(?P<stamp>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d)\.(?P<fraction>\d{3})\] \S+ "
    r"(?P<upstream>[^\s/]*/\S+) (?P<head>-?\d+)/(?P<queue>-?\d+)/(?P<connect>-?\d+)/(?P<answer>-?\d+)/"
    r"\+?(?P<taken>-?\d+) (?P<status>-?\d+) \+?(?P<size>-?\d+) \S+ \S+ \S+ "
    rf"\d+/\d+/\d+/\d+/\+?(?P<retries>\d+) \d+/\d+(?: \{{[^}}]*\}})*(?: {REQUEST})?\s*$"
)
CONNECTION = Pattern(
    r"^(?:.*?\s)?\S+:\d+ \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d\.\d{3}\] \S+ \S+ -?\d+/-?\d+/\+?-?\d+ \+?\d+ \S+ "
)
"""Of a frontend with `mode tcp`."""
OTHER = r"(?:haproxy\[\d+\]: |^)(?:Server|Proxy|Health check|backend|Connect from|\[NOTICE\]|\[WARNING\]|\[ALERT\])"
"""What HAProxy writes into the same log beside requests."""
NOBODY = r"/<[A-Z]+>$"
"""`<NOSRV>`: no server was chosen; `<STATS>`, `<PROMEX>` and their like: HAProxy answered itself."""


class Haproxy:
    """One line a request, when it is over, stamped with its arrival."""

    name: ClassVar[str] = "haproxy"
    about: ClassVar[str] = "option httplog; stamps of local time (--time-zone)"

    def __init__(self, *, zone: Zone) -> None:
        """`zone` is that of the stamps."""
        self._zone = zone

    def sniff(self, head: Head) -> float:
        """Lines of requests alone count."""
        return LINE.share(head.lines)

    def read(self, source: Source) -> Iterator[Batch]:
        """A batch a block."""
        for lines in source.blocks():
            found = LINE.find(lines.text)
            moments = stamps.clf_local(found.fields["stamp"], self._zone) + 1e-3 * number(found.fields["fraction"])
            waited = [np.fmax(found.number(name, 1e-3), 0.0) for name in ("head", "queue")]
            taken = found.number("taken", 1e-3)
            taken[taken < 0] = np.nan
            served = found.fields["upstream"]
            is_served = pc.invert(pc.match_substring_regex(served, NOBODY))
            has_host = is_served.to_numpy(zero_copy_only=False)
            is_answered = has_host & (found.number("answer") >= 0)
            columns = {
                "taken_s": taken,
                "upstream_s": np.where(is_answered, np.maximum(taken - waited[0] - waited[1], 0.0), np.nan),
                "upstream": pc.if_else(is_served, served, b""),
                "attempts": np.where(has_host, found.number("retries") + 1.0, 0.0),
                "status": np.maximum(found.number("status"), NO_ANSWER),
                "size": found.number("size"),
                "method": found.fields["method"],
                "path": found.fields["path"],
            }
            rest = np.setdiff1d(np.arange(len(lines)), found.index)
            left_out = {}
            if len(rest):
                texts = lines.text.take(rest)
                is_tcp = pc.match_substring_regex(texts, CONNECTION.expression).to_numpy(zero_copy_only=False)
                is_other = pc.match_substring_regex(texts, OTHER).to_numpy(zero_copy_only=False) & ~is_tcp
                left_out = {"a TCP connection": rest[is_tcp], "no request, a word of HAProxy's own": rest[is_other]}
            yield batch_of(
                lines, found.index, moments, columns, is_start=True, resolution_s=MILLISECOND, left_out=left_out
            )
