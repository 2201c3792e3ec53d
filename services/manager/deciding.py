"""What the manager makes of the router's statistics, and whom it starts and drains. Pure: no I/O, no clock."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from services.manager.engines import Running
from services.manager.limits import Decision, Limits
from services.manager.scalers import Observation, ReplicaLoad, Scaler
from services.manager.settings import ScalingSettings

CAPACITY = 10_000


@dataclass
class Plan:
    """What makes it so."""

    start: list[str] = field(default_factory=list)
    drain: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the router's counters showed at a look."""

    now: float
    work_s: float
    in_flight_s: dict[str, float]
    foreign_s: dict[str, float]
    """Work of those that somebody else has started."""


class Deciding:
    """Holds the wanted number, and the decisions that led to it."""

    def __init__(self, scaler: Scaler, limits: Limits, replicas: int) -> None:
        """`replicas` is the number to begin with."""
        self.desired = replicas
        self.limits = limits
        self._scaler = scaler
        self._last: _Reading | None = None
        self._own: set[str] = set()
        """Those of the router's replicas that the engine runs, or ran."""
        self._decisions: deque[dict[str, Any]] = deque(maxlen=CAPACITY)
        self._seq = 0
        self.counts: Counter[str] = Counter()
        """Decisions by kind."""
        self.demanded: float | None = None
        """What the scaler asked for last, before any limit; None = it could not tell."""
        self.ready: int | None = None
        """Replicas in rotation at the last look; None = the router did not answer."""

    def observe(self, stats: dict[str, Any], running: Sequence[Running]) -> Observation:
        """What the scaler may look at.

        Args:
            stats: the router's `/stats`.
            running: the engine's replicas.

        Raises:
            KeyError, TypeError, ValueError: `stats` is none.
        """
        seen = {replica["id"]: replica for replica in stats["replicas"]}
        by_url = {replica["url"]: replica for replica in stats["replicas"]}  # Swarm's tasks register under other ids
        matched = [(replica, seen.get(replica.id) or by_url.get(replica.url)) for replica in running]
        self._own = (self._own & seen.keys()) | {known["id"] for _, known in matched if known is not None}
        means, work = self._means(stats, seen)
        loads = []
        for replica, known in matched:
            if replica.state == "draining":
                continue
            is_ready = known is not None and known["state"] == "ready"
            slots, mean = ((known["concurrency"] or 1), means.get(known["id"])) if known is not None else (1, None)
            loads.append(ReplicaLoad(replica.id, mean, slots, is_ready))
        observation = Observation(loads, self.desired, work)
        self.ready = observation.ready
        return observation

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

    def decide(self, observation: Observation | None, now: float, unix_s: float) -> None:
        """One decision, `now` on the caller's clock; None = the router did not answer."""
        wish = self._scaler.decide(observation, now) if observation is not None else None
        self.demanded = wish
        if observation is not None:
            there = {"ready": observation.ready, "present": len(observation.replicas)}
            decision = self.limits.decide(wish, self.desired, now, **there)
        else:
            decision = self.limits.decide(None, self.desired, now)
            decision = Decision(decision.desired, "no_router", "cannot tell: the router does not answer")
        self._note(decision, wish, observation, now, unix_s)

    def set_by_hand(self, replicas: int, now: float, unix_s: float) -> None:
        """Set the wanted number, as long as nobody has this decide again."""
        reason = "set by hand: it holds until the autoscaler is enabled again"
        self._note(Decision(replicas, "by_hand", reason), None, None, now, unix_s)

    def take_over(self, replicas: int, now: float, unix_s: float) -> None:
        """There are `replicas` of an earlier manager; their number is kept, within the bounds."""
        settings = self.limits.settings
        wanted = min(max(replicas, settings.min_replicas), settings.max_replicas)
        self._note(Decision(wanted, "taken_over", "found running"), None, None, now, unix_s)

    def set_bounds(self, settings: ScalingSettings, now: float, unix_s: float) -> bool:
        """Change what limits the scaler; returns whether the wanted number has changed with it."""
        self.limits.settings = settings
        within = min(max(self.desired, settings.min_replicas), settings.max_replicas)
        if within == self.desired:
            return False
        self._note(Decision(within, "new_bounds", "within the new bounds"), None, None, now, unix_s)
        return True

    def _note(
        self, decision: Decision, wish: float | None, observation: Observation | None, now: float, unix_s: float
    ) -> None:
        previous, self.desired = self.desired, decision.desired
        self._seq += 1
        self.counts[decision.kind] += 1
        seen, work = (observation.replicas, observation.in_flight) if observation is not None else ([], None)
        self._decisions.append(
            {
                "seq": self._seq,
                "monotonic_s": now,
                "unix_s": unix_s,
                "desired": decision.desired,
                "previous": previous,
                "reason": decision.reason,
                "raw_desired": wish,
                "changed": decision.desired != previous,
                "observation": {
                    "replicas": len(seen),
                    "ready": sum(r.ready for r in seen),
                    "slots": sum(r.slots for r in seen),
                    "in_flight": None if work is None else round(work, 3),
                },
            }
        )

    @property
    def last(self) -> dict[str, Any]:
        """The last decision; there must have been one."""
        return self._decisions[-1]

    def decisions(self, since: int) -> dict[str, Any]:
        """The decisions after number `since`, and the number to ask with next."""
        return {"decisions": [d for d in self._decisions if d["seq"] > since], "next": self._seq}

    def plan(self, running: Sequence[Running]) -> Plan:
        """Whom to start now, and whom to drain, so that there are as many as wanted, and not too many start at once."""
        states = {replica.id: replica.state for replica in running}
        living = {id_ for id_, state in states.items() if state in ("starting", "running")}
        dead = {id_ for id_, state in states.items() if state == "dead"}
        # A dead replica that nobody may start again still holds its place: who killed it will restart it.
        present = living if self.limits.settings.self_heal else living | dead
        plan = Plan()
        for id_ in sorted(dead - present, key=_number):
            if len(present) < self.desired:
                plan.start.append(id_)
                present.add(id_)
            else:
                plan.drain.append(id_)  # forgotten: it is not wanted any more
        number = due = 0
        while len(present) + due < self.desired:
            number += 1
            if states.get(f"r{number}") == "draining":
                due += 1  # it has this number; a later look finds it gone
            elif f"r{number}" not in present:
                plan.start.append(f"r{number}")
                present.add(f"r{number}")
        plan.drain += sorted(present, key=_number)[self.desired :]
        starting = sum(state == "starting" for state in states.values())
        del plan.start[max(0, self.limits.settings.max_starting - starting) :]
        return plan


def _number(id_: str) -> int:
    return int(id_[1:])
