"""nginx: `combined`, and behind it the times that it can write.

`log_format timed '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" '
'"$http_user_agent" $msec $request_time $upstream_response_time $upstream_addr';`

The times may also stand by name, in any order: `msec= rt= urt= ua=`. Meaning of the variables:
https://nginx.org/en/docs/http/ngx_http_log_module.html (`$msec` and `$time_local` are the moment of the writing),
.../ngx_http_upstream_module.html (values of several attempts are joined by commas, of several groups by colons).
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from experiments.importing import stamps
from experiments.importing.batch import MILLISECOND, SECOND, Batch, batch_of
from experiments.importing.source import Head, Source
from experiments.importing.text import REQUEST, Found, Pattern, number

ONE = r"(?:\d+\.\d+|-)"
MANY = rf"{ONE}(?:(?:, | : ){ONE})*"
HOSTS = r"[^\s,\"]+(?:(?:, | : )[^\s,\"]+)*"
COMBINED = Pattern(
    rf"^\S+ \S+ .*?\[(?P<stamp>\d\d/[A-Z][a-z]{{2}}/\d{{4}}:\d\d:\d\d:\d\d [+-]\d{{4}})\] {REQUEST} "
    r'(?P<status>\d{3}) (?P<size>\d+|-)(?: "[^"]*" "[^"]*")?(?P<rest> .*)?\s*$'
)
BEHIND = rf'(?: "?(?P<upstream_taken>{MANY})"?)?(?: "?(?P<upstream>{HOSTS})"?)?'
TAILS = (
    Pattern(rf'^ "?(?P<msec>\d{{9,11}}\.\d{{3}})"?(?: "?(?P<taken>{ONE})"?{BEHIND})?\s*$'),
    Pattern(rf'^ "?(?P<taken>\d{{1,7}}\.\d{{3}})"?{BEHIND}\s*$'),
)
"""With `$msec`, and without."""
NAMED = {
    "msec": Pattern(r'\bmsec="?(?P<value>\d{9,11}\.\d{3})'),
    "taken": Pattern(rf'\b(?:rt|request_time)="?(?P<value>{ONE})'),
    "upstream_taken": Pattern(rf'\b(?:urt|upstream_response_time)="?(?P<value>{MANY})'),
    "upstream": Pattern(rf'\b(?:ua|uaddr|upstream_addr)="?(?P<value>{HOSTS})'),
}
LAST = r"^.*?(?P<last>[^\s,]+)$"
PLAIN = 0.95
"""How surely `combined` alone is nginx': Apache's is the same."""


class Nginx:
    """One line a request, when it is over."""

    name: ClassVar[str] = "nginx"
    about: ClassVar[str] = "combined, and with $msec $request_time $upstream_response_time $upstream_addr"

    def sniff(self, head: Head) -> float:
        """Lines that end after the client's name are Apache's, too."""
        found = COMBINED.find(head.lines.text)
        if not len(found.index):
            return 0.0
        rests = found.fields["rest"]
        timed = max(len(pattern.find(rests).index) for pattern in (*TAILS, NAMED["taken"], NAMED["msec"]))
        plain = int(pc.sum(pc.match_substring_regex(rests, r"^\s*$")).as_py() or 0)
        return float((timed + PLAIN * plain) / len(head.lines))

    def read(self, source: Source) -> Iterator[Batch]:
        """A batch a block."""
        for lines in source.blocks():
            found = COMBINED.find(lines.text)
            moments, resolution_s, columns = timed(found)
            columns |= {
                "status": found.number("status"),
                "size": found.number("size"),
                "method": found.fields["method"],
                "path": found.fields["path"],
            }
            yield batch_of(lines, found.index, moments, columns, is_start=False, resolution_s=resolution_s)


def timed(found: Found) -> tuple[np.ndarray, float, dict[str, Any]]:
    """Stamps, what they are rounded down to, and the columns, by what stands behind `combined`."""
    rests = found.fields["rest"]
    tail = max((pattern.find(rests) for pattern in TAILS), key=lambda found: len(found.index))
    if len(tail.index):
        fields = {name: _spread(texts, tail.index, len(rests)) for name, texts in tail.fields.items()}
    else:
        fields = {}
        for name, pattern in NAMED.items():
            named = pattern.find(rests)
            if len(named.index):
                fields[name] = _spread(named.fields["value"], named.index, len(rests))
    columns: dict[str, Any] = {}
    if "taken" in fields:
        columns["taken_s"] = number(fields["taken"])
    if "upstream_taken" in fields:
        times = fields["upstream_taken"]
        joints = pc.add(pc.count_substring(times, ", "), pc.count_substring(times, " : "))
        counts = joints.to_numpy(zero_copy_only=False)
        is_none, is_unknown = (pc.equal(times, text).to_numpy(zero_copy_only=False) for text in (b"-", b""))
        columns["attempts"] = np.where(is_unknown, np.nan, np.where(is_none, 0.0, counts + 1.0))
        columns["upstream_s"] = number(_last(times))
    if "upstream" in fields:
        columns["upstream"] = _last(fields["upstream"])
    moments = number(fields["msec"]) if "msec" in fields else np.full(len(rests), np.nan)
    if np.isfinite(moments).any():
        # Of a line without it, as after a change of the format, the whole second.
        is_coarse = ~np.isfinite(moments)
        if is_coarse.any():
            moments[is_coarse] = stamps.clf(found.fields["stamp"].filter(is_coarse))
        return moments, MILLISECOND, columns
    return stamps.clf(found.fields["stamp"]), SECOND, columns


def _spread(texts: pa.Array, index: np.ndarray, count: int) -> pa.Array:
    """Texts of some lines among all; of the others empty."""
    places = np.full(count, len(texts))
    places[index] = np.arange(len(texts))
    return pa.concat_arrays([texts, pa.array([b""], texts.type)]).take(pa.array(places))


def _last(lists: pa.Array) -> pa.Array:
    """What stands last in each of the lists."""
    found = pc.struct_field(pc.extract_regex(lists, pattern=LAST), "last")
    return pc.fill_null(found, b"")
