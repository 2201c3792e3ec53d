"""What a proxy's own access log tells of its decisions, by the readers of imports (docs/import.md): no run is needed.

A line has the arrival or the end by the millisecond, all of the time at the proxy, and that at the host. The host was
picked after the request's first byte had come, and not later than what is left of the whole time without the host's
part; it was over before the line was written. Every bound is wider by what stamps and durations are rounded to.

A log has edges. Who was in flight before the first line's end may have ended before it, so that there is no line of it;
who was in flight when the log was copied has none yet, and may have come up to the longest duration before. Nothing is
judged there. And it does not say whom the proxy takes out.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.conforming.run import UnjudgedError
from experiments.conforming.seen import Attempt, Seen, Span, doubts
from experiments.importing.batch import MILLISECOND, Batch
from experiments.importing.source import Source
from experiments.importing.stamps import Zone
from experiments.readers import READERS

NOBODY = ("", "-")
TOLD = {"taken_s", "status"}
"""Columns that a format has to have."""
GOOD_FROM, GOOD_BELOW = 100, 499
"""Statuses of attempts that no proxy here takes for failed. nginx has 499 where the client gave up; whether a 5xx is a
failure its configuration says."""


def seen_in(
    path: Path, format_: str, servers: Sequence[str], weights: Sequence[float], *, from_start: bool = False
) -> Seen:
    """What is known of every request in the log.

    Args:
        path: the log, of one proxy with one worker.
        format_: the name of its reader.
        servers: what the log calls each of them, in the order of the configuration; of `pool/name` the name is enough.
        weights: of each.
        from_start: nothing was in flight before its first request, and nothing had failed.

    Raises:
        UnjudgedError: a line names another server, there are none, or stamps or durations are not told closely enough.
        ValueError: there is no such format; names those that there are.
        OSError: it cannot be read.
    """
    reader = READERS.create(format_, {}, zone=Zone("UTC"), columns=None, service=None)
    places = {name: place for place, name in enumerate(servers)}
    attempts: list[Attempt] = []
    blind: list[Span] = []
    for batch in reader.read(Source([path])):
        if not isinstance(batch, Batch) or batch.resolution_s > MILLISECOND or not batch.columns.keys() >= TOLD:
            raise UnjudgedError(f"{path}: {format_} is to tell milliseconds, durations and statuses (docs/import.md)")
        for each in _rows(batch, len(attempts) + len(blind), places, path):
            (attempts if isinstance(each, Attempt) else blind).append(each)  # type: ignore[arg-type]
    if not attempts:
        raise UnjudgedError(f"{path}: holds no request that went to one of {', '.join(servers)}")
    whole = [*(Span(each.picked.low, each.ended.high) for each in attempts), *blind]
    longest_s = max(high - low for low, high in whole)
    gaps = [Span(max(span.high for span in whole) - longest_s, math.inf)]
    if not from_start:
        gaps.append(Span(-math.inf, min(span.high for span in whole)))
    turns = doubts(attempts, blind, {}, len(servers))
    return Seen(tuple(servers), tuple(weights), attempts, turns, blind=blind, gaps=gaps)


def _rows(batch: Batch, first: int, places: dict[str, int], path: Path) -> list[Attempt | Span]:
    count = len(batch.stamp_s)
    columns = {name: batch.columns.get(name, np.full(count, math.nan)) for name in
               ("taken_s", "upstream_s", "attempts", "status")}  # fmt: skip
    hosts = batch.columns.get("upstream", [""] * count)
    names = [_text(host) for host in (hosts.to_pylist() if hasattr(hosts, "to_pylist") else hosts)]
    rounded = 2 * batch.resolution_s
    found: list[Attempt | Span] = []
    told = zip(batch.stamp_s.tolist(), *(column.tolist() for column in columns.values()), names, strict=True)
    for number, (stamp, taken, upstream, attempts, status, name) in enumerate(told, first):
        if name in NOBODY or not math.isfinite(taken):
            continue  # nobody was asked
        low = stamp - rounded if batch.is_start else stamp - taken - rounded
        end = low + taken + 2 * rounded
        place = places.get(name, places.get(name.rpartition("/")[2]))
        if place is None:
            raise UnjudgedError(f"{path}: names {name}, which is none of {', '.join(places)} (--servers)")
        if attempts > 1:
            found.append(Span(low, end))
            continue
        waited = taken - upstream if math.isfinite(upstream) else taken
        picked = Span(low, min(end, low + max(0.0, waited) + 2 * rounded))
        over = end if not math.isfinite(upstream) else max(low, low + upstream - rounded)
        is_ok = True if GOOD_FROM <= status < GOOD_BELOW else None
        found.append(Attempt(number, 1, place, picked, Span(min(over, end), end), is_ok))
    return found


def _text(value: Any) -> str:  # noqa: ANN401 - bytes or text
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
