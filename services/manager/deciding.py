"""What the manager decides, and who is there to make it so. Pure: no I/O, no clock."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.manager.engines import Running
from services.manager.limits import Decision, Limits
from services.manager.observing import Observing
from services.manager.pacing import Paced
from services.manager.pipeline import Pipeline
from services.manager.planning import CAPACITY, Plan, Planning, after
from services.manager.scalers import Observation, Scaler
from services.manager.settings import ScalingSettings
from services.manager.starts import Starts

ALWAYS_TOLD = ("in_flight", "rate_rps")
"""Signals that every decision has, whatever the scaler reads."""


class Deciding:
    """Holds the wanted number, and the decisions that led to it."""

    def __init__(self, scaler: Scaler, limits: Limits, replicas: int, seed: int = 0) -> None:
        """`replicas` is the number to begin with; `seed` draws which samples of the metrics never come, and how
        starts go."""
        self.desired = replicas
        self._scaler = scaler if isinstance(scaler, Paced) else Paced(scaler)
        self.limits = limits
        limits.time_factor = self._scaler.time_factor
        limits.settings = replace(limits.settings, interval_s=self._scaler.interval_s(limits.settings.interval_s))
        self.planning = Planning(Starts(limits.settings.starts, seed))
        self._observing = Observing(takes_latencies=self._scaler.takes_latencies)
        self._pipeline = Pipeline(limits.settings.signal, seed, self._scaler.time_factor)
        self._reads = sorted(self._scaler.reads - set(ALWAYS_TOLD))
        self._decisions: deque[dict[str, Any]] = deque(maxlen=CAPACITY)
        self._seq = 0
        self.counts: Counter[str] = Counter()
        """Decisions by kind."""
        self.demanded: float | None = None
        """What the scaler asked for last, before any limit but its own; None = it could not tell."""
        self.ready: int | None = None
        """Replicas in rotation at the last look; None = the router did not answer."""

    def observe(self, stats: dict[str, Any], running: Sequence[Running]) -> Observation:
        """What there is, as `Observing` makes it of the router's `/stats` and the engine's replicas.

        Raises:
            KeyError, TypeError, ValueError: `stats` is none.
        """
        members = [replica for replica in running if replica.id not in self.planning.standby]
        observation = self._observing.observe(stats, members, self.desired)
        self.ready = observation.ready
        return observation

    def decide(self, observation: Observation | None, now: float, unix_s: float) -> None:
        """One decision, `now` on the caller's clock; None = the router did not answer."""
        if observation is not None:
            observation = self._pipeline.see(observation, now)
        wish = self._scaler.decide(observation, now) if observation is not None else None
        self.demanded = wish
        if observation is not None and self._scaler.bounded_only:
            decision = self.limits.hold(wish, self.desired)
        elif observation is not None:
            there = {"ready": observation.ready, "present": len(observation.replicas)}
            decision = self.limits.decide(wish, self.desired, now, **there)
        else:
            decision = self.limits.decide(None, self.desired, now)
            decision = Decision(decision.desired, "no_router", "cannot tell: the router does not answer")
        if observation is not None and (why := self._scaler.why):
            decision = Decision(decision.desired, decision.kind, f"{decision.reason} ({why})")
        self._note(decision, wish, observation, now, unix_s)

    def watch(self, observation: Observation | None, now: float) -> None:
        """Let the scaler see what it does not decide on: its windows go on while the number is set by hand."""
        if observation is not None:
            self._scaler.decide(self._pipeline.see(observation, now), now)

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
        rate = observation.rate_rps if observation is not None else None
        values = {} if observation is None else {name: getattr(observation, name, None) for name in self._reads}
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
                    "slots": sum(r.slots for r in seen if r.slots is not None),
                    "in_flight": None if work is None else round(work, 3),
                    "rate_rps": None if rate is None else round(rate, 3),
                    "signals": {name: None if value is None else round(value, 3) for name, value in values.items()},
                    "age_s": None if observation is None else round(observation.age_s, 3),
                },
            }
        )

    @property
    def last(self) -> dict[str, Any]:
        """The last decision; there must have been one."""
        return self._decisions[-1]

    def decisions(self, since: int) -> dict[str, Any]:
        """The decisions after number `since`, and the number to ask with next."""
        return {"decisions": after(self._decisions, since), "next": self._seq}

    def plan(self, running: Sequence[Running], now: float) -> Plan:
        """Whom to start now, to let in and to drain, so that there are as many as wanted (`Planning`)."""
        return self.planning.plan(running, self.desired, self.limits.settings, now)
