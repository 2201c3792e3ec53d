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
    """What makes it so, in this order."""

    start: list[str] = field(default_factory=list)
    drain: list[str] = field(default_factory=list)


class Deciding:
    """Holds the wanted number, and the decisions that led to it."""

    def __init__(self, scaler: Scaler, limits: Limits, replicas: int) -> None:
        """`replicas` is the number to begin with."""
        self.desired = replicas
        self.limits = limits
        self._scaler = scaler
        self._readings: dict[str, tuple[float, float]] = {}
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
        means = self._mean_in_flight(stats["monotonic_s"], seen)
        loads = []
        for replica in running:
            if replica.state == "draining":
                continue
            known = seen.get(replica.id)
            is_ready = known is not None and known["state"] == "ready"
            slots = (known or {}).get("concurrency") or 1
            loads.append(ReplicaLoad(replica.id, means.get(replica.id), slots, is_ready))
        self.ready = sum(load.ready for load in loads)
        return Observation(loads, self.desired)

    def _mean_in_flight(self, now: float, seen: dict[str, dict[str, Any]]) -> dict[str, float]:
        """Requests in flight by replica, averaged since the last look; at a first one, those of the moment.

        One moment's number scatters so much that a scaler would follow its noise.
        """
        readings = {id_: (now, float(replica["in_flight_seconds_total"])) for id_, replica in seen.items()}
        means = {}
        for id_, (_, total) in readings.items():
            then, before = self._readings.get(id_, (now, total))
            is_new = then >= now or total < before  # also after the router, or the replica's entry, began anew
            means[id_] = float(seen[id_]["in_flight"]) if is_new else (total - before) / (now - then)
        self._readings = readings
        return means

    def decide(self, observation: Observation | None, now: float, unix_s: float) -> None:
        """One decision, `now` on the caller's clock; None = the router did not answer."""
        wish = self._scaler.decide(observation, now) if observation is not None else None
        self.demanded = wish
        decision = self.limits.decide(wish, self.desired, now)
        if observation is None:
            decision = Decision(decision.desired, "no_router", "cannot tell: the router does not answer")
        self._note(decision, wish, observation, now, unix_s)

    def set_by_hand(self, replicas: int, now: float, unix_s: float) -> None:
        """Set the wanted number; an enabled autoscaler goes on from there."""
        self._note(Decision(replicas, "by_hand", "set by hand"), None, None, now, unix_s)

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
        seen = observation.replicas if observation is not None else []
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
                    "in_flight": round(sum(r.in_flight or 0 for r in seen), 3),
                },
            }
        )

    def decisions(self, since: int) -> dict[str, Any]:
        """The decisions after number `since`, and the number to ask with next."""
        return {"decisions": [d for d in self._decisions if d["seq"] > since], "next": self._seq}

    def plan(self, running: Sequence[Running]) -> Plan:
        """Whom to start, one after another, and whom to drain, so that there are as many as wanted."""
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
        number = 0
        while len(present) < self.desired:
            number += 1
            if states.get(f"r{number}") == "draining":
                return plan  # it has the number that is due; the next look finds it gone
            if f"r{number}" not in present:
                plan.start.append(f"r{number}")
                present.add(f"r{number}")
        plan.drain += sorted(present, key=_number)[self.desired :]
        return plan


def _number(id_: str) -> int:
    return int(id_[1:])
