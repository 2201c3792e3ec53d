"""What the manager makes of the router's statistics: what was done between two looks. Pure: no I/O, no clock."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.manager.engines import Running
from services.manager.observation import Observation, ReplicaLoad

STARTS = 16
"""So many of the last starts are averaged."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the router's counters showed at a look."""

    now: float
    work_s: float
    in_flight_s: dict[str, float]
    foreign_s: dict[str, float]
    """Work of those that somebody else has started."""
    requests: dict[str, int]
    """That were sent to each."""
    busy_s: dict[str, float]
    cpu_s: dict[str, tuple[float, float]]
    """CPU seconds of each that says so, and when it said it."""
    offered: int
    latencies: dict[str, int]
    """Answers, by the upper edge of their bin as the router writes it."""


class Observing:
    """Remembers the last look."""

    def __init__(self, *, takes_latencies: bool = True) -> None:
        """There was none; without `takes_latencies` nobody wants those, which take longer than all the rest."""
        self._takes_latencies = takes_latencies
        self._last: _Reading | None = None
        self._cpu: dict[str, float] = {}
        """Cores that each used between its last two words."""
        self._own: set[str] = set()
        """Those of the router's replicas that the engine runs, or ran."""
        self._present: set[str] | None = None
        """The engine's at the last look; None = there was none."""
        self._asked_at: dict[str, float] = {}
        """Since when those are awaited that are not in rotation yet, on the router's clock."""
        self._startups: deque[float] = deque(maxlen=STARTS)

    def observe(self, stats: dict[str, Any], running: Sequence[Running], desired: int) -> Observation:
        """What there is, and what was done since the last look.

        Args:
            stats: the router's `/stats`.
            running: the engine's replicas.
            desired: how many are wanted now.

        Raises:
            KeyError, TypeError, ValueError: `stats` is none.
        """
        seen = {replica["id"]: replica for replica in stats["replicas"]}
        by_url = {replica["url"]: replica for replica in stats["replicas"]}  # Swarm's tasks register under other ids
        matched = [(replica, seen.get(replica.id) or by_url.get(replica.url)) for replica in running]
        self._own = (self._own & seen.keys()) | {known["id"] for _, known in matched if known is not None}
        before = self._last
        means, work = self._means(stats, seen)
        rates = self._rates(before) if means else {}
        busy = self._busy(before) if means else {}
        self._cores(before)
        loads = []
        for replica, known in matched:
            if replica.state == "draining":
                continue
            is_ready = known is not None and known["state"] == "ready"
            name = known["id"] if known is not None else ""
            slots = None if known is None else known["concurrency"] or 1
            cpu = self._cpu.get(name) if means else None
            numbers = (rates.get(name), busy.get(name), cpu)
            loads.append(ReplicaLoad(replica.id, means.get(name), slots, is_ready, *numbers))
        rate = sum(rates[id_] for id_ in self._own if id_ in rates) if means else None
        working = {id_ for id_ in self._own if id_ in seen and seen[id_]["state"] in ("ready", "draining")}
        cores = [load.cpu for load in loads if load.ready]
        return Observation(
            loads,
            desired,
            work,
            rate,
            self._startup(loads, before),
            self._offered(before) if means else None,
            sum(busy[id_] for id_ in working if id_ in busy) if means else None,
            sum(each for each in cores if each is not None) if cores and None not in cores else None,
            self._latencies(before) if means else None,
        )

    def _rates(self, last: _Reading | None) -> dict[str, float]:
        """Requests a second that were sent to each since `last`."""
        new = self._last
        if last is None or new is None:
            return {}
        rates = {}
        for id_, total in new.requests.items():
            sent = total - last.requests.get(id_, 0)
            rates[id_] = (total if sent < 0 else sent) / (new.now - last.now)  # below 0: it has registered again
        return rates

    def _busy(self, last: _Reading | None) -> dict[str, float]:
        """Slots in use by replica, averaged since `last`."""
        new = self._last
        if last is None or new is None:
            return {}
        before = {id_: s if s <= new.busy_s.get(id_, 0.0) else 0.0 for id_, s in last.busy_s.items()}
        return {id_: (s - before.get(id_, 0.0)) / (new.now - last.now) for id_, s in new.busy_s.items()}

    def _cores(self, last: _Reading | None) -> None:
        """CPU cores by replica between its last two words; one that has not spoken since `last` keeps its own."""
        new = self._last
        if last is None or new is None:
            self._cpu.clear()
            return
        known = {id_: cores for id_, cores in self._cpu.items() if id_ in new.cpu_s}
        for id_, (spent_s, at) in new.cpu_s.items():
            before_s, before_at = last.cpu_s.get(id_, (spent_s, at))
            if before_s > spent_s:  # another process
                known.pop(id_, None)
            elif at > before_at:
                known[id_] = (spent_s - before_s) / (at - before_at)
        self._cpu = known

    def _offered(self, last: _Reading | None) -> float | None:
        """Requests a second that came to the router since `last`."""
        new = self._last
        return None if last is None or new is None else (new.offered - last.offered) / (new.now - last.now)

    def _latencies(self, last: _Reading | None) -> dict[float, int] | None:
        """Answers by the upper edge of their bin since `last`."""
        new = self._last
        if last is None or new is None:
            return None
        before = last.latencies
        return {float(edge): n for edge, all_ in new.latencies.items() if (n := all_ - before.get(edge, 0))}

    def _startup(self, loads: Sequence[ReplicaLoad], last: _Reading | None) -> float | None:
        """How long a start takes: it is begun after a look's decision, so it counts from the look before it is seen."""
        now = self._last.now if self._last is not None else 0.0
        present = {load.id for load in loads}
        if last is None or last.now >= now:  # another router's clock
            self._asked_at.clear()
        elif self._present is not None:
            self._asked_at |= dict.fromkeys(present - self._present, last.now)
        self._present = present
        for load in loads:
            if load.ready and load.id in self._asked_at:
                self._startups.append(now - self._asked_at.pop(load.id))
        self._asked_at = {id_: at for id_, at in self._asked_at.items() if id_ in present}
        return sum(self._startups) / len(self._startups) if self._startups else None

    def _means(self, stats: dict[str, Any], seen: dict[str, dict[str, Any]]) -> tuple[dict[str, float], float | None]:
        """Requests in flight by replica, and of all of the manager's, averaged since the last look.

        One moment's number scatters so much that a scaler would follow its noise: at a first look, also after the
        router began anew, there is none. Whoever is new since the last look was idle before. The sum is the router's,
        which knows what those did who have gone meanwhile; replicas that somebody else has started are taken off it,
        as long as they can be: what one that has gone did since the last look, nobody knows.
        """
        last, self._last = (
            self._last,
            _Reading(
                float(stats["monotonic_s"]),
                float(stats["work_seconds_total"]),
                {id_: float(replica["in_flight_seconds_total"]) for id_, replica in seen.items()},
                {id_: float(r["work_seconds_total"]) for id_, r in seen.items() if id_ not in self._own},
                {id_: int(r["requests_total"]) for id_, r in seen.items()},
                {id_: float(r["busy_seconds_total"]) for id_, r in seen.items()},
                {
                    id_: (float(r["cpu_seconds_total"]), float(r["cpu_at_s"]))
                    for id_, r in seen.items()
                    if r["cpu_seconds_total"] is not None
                },
                int(stats["requests_total"]),
                dict(stats["latencies_ms"]) if self._takes_latencies else {},
            ),
        )
        new = self._last
        if last is None or not last.now < new.now or last.now < stats["began_s"]:
            return {}, None
        means = {}
        for id_, total in new.in_flight_s.items():
            before = last.in_flight_s.get(id_, 0.0)
            is_new = total < before  # the same id has registered again
            means[id_] = (total if is_new else total - before) / (new.now - last.now)
        if any(id_ not in seen or new.foreign_s.get(id_, before) < before for id_, before in last.foreign_s.items()):
            return means, None
        foreign_s = sum(total - last.foreign_s.get(id_, 0.0) for id_, total in new.foreign_s.items())
        return means, max(0.0, (new.work_s - last.work_s - foreign_s) / (new.now - last.now))
