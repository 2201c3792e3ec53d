"""Whom to start, to let in and to drain, so that there are as many as wanted. Pure: no I/O, no clock."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from services.manager.engines import Running
from services.manager.settings import ScalingSettings
from services.manager.starts import Starts

CAPACITY = 10_000
NO_CAPACITY = "no capacity: autoscaling.starts.supply={} replicas are there"
"""Why the start of one more is refused."""
ENDED = "its process ended by itself"


@dataclass
class Plan:
    """What makes it so."""

    start: list[str] = field(default_factory=list)
    drain: list[str] = field(default_factory=list)
    join: list[str] = field(default_factory=list)
    """Of those that stand by."""
    refused: list[str] = field(default_factory=list)
    """There is no more to be had."""


class Planning:
    """Knows who stands by, who has failed and when that is tried again, and what has happened."""

    def __init__(self, starts: Starts) -> None:
        """Nobody is there."""
        self.starts = starts
        self.standby: set[str] = set()
        """Those that are started to stand by, or do so."""
        self._down: set[str] = set()
        """Those whose end is no news, told as a failure or wanted, as long as nobody has started them since."""
        self._events: deque[dict[str, Any]] = deque(maxlen=CAPACITY)
        self._seq = 0
        self.counts: Counter[str] = Counter()
        """`start_failed` and `replica_ended`."""

    def plan(self, running: Sequence[Running], desired: int, settings: ScalingSettings, now: float) -> Plan:
        """What to do now: one that failed keeps its place until its pause is over, and not too many start at once."""
        states = {replica.id: replica.state for replica in running}
        self._notice(states, now)
        living = {id_ for id_, state in states.items() if state in ("starting", "running", "warm")}
        dead = {id_ for id_, state in states.items() if state == "dead"}
        # A dead replica that nobody may start again still holds its place: who killed it will restart it.
        holding = living if settings.self_heal else living | dead
        self.standby &= holding
        present = holding - self.standby
        plan = Plan()
        warm = sorted((id_ for id_ in self.standby if states[id_] == "warm"), key=_number)
        plan.join = warm[: max(0, desired - len(present))]
        self.standby.difference_update(plan.join)
        present.update(plan.join)
        for id_ in sorted(dead - holding, key=_number):
            if len(present) < desired:
                self._start(plan, id_, now)
                present.add(id_)
            else:
                plan.drain.append(id_)  # forgotten: it is not wanted any more
        number = due = 0
        while len(present) + due < desired:
            number += 1
            id_ = f"r{number}"
            if states.get(id_) == "draining":
                due += 1  # it has this number; a later look finds it gone
            elif id_ not in present and id_ not in self.standby:
                self._start(plan, id_, now)
                present.add(id_)
        plan.drain += sorted(present, key=_number)[desired:]
        self._fill(plan, states, present, settings, now)
        starting = sum(state == "starting" for state in states.values())
        del plan.start[max(0, settings.max_starting - starting) :]
        self._ration(plan, states, settings.starts.supply, now)
        self.standby &= holding | set(plan.start)
        self._down.update(plan.drain)
        self._down.difference_update(plan.start)
        return plan

    def _start(self, plan: Plan, id_: str, now: float) -> None:
        if self.starts.may_start(id_, now):
            plan.start.append(id_)

    def _fill(
        self, plan: Plan, states: dict[str, str], present: set[str], settings: ScalingSettings, now: float
    ) -> None:
        """Start those that are to stand by; numbers are short while others drain."""
        warm = settings.starts.warm
        number = held = 0
        while len(self.standby) + held < warm and number < settings.max_replicas + warm:
            number += 1
            id_ = f"r{number}"
            if id_ in present or id_ in self.standby or states.get(id_) == "draining":
                continue
            if states.get(id_) != "dead" and self.starts.may_start(id_, now):
                plan.start.append(id_)
                self.standby.add(id_)
            else:  # it keeps its place until its pause is over
                held += 1

    def _ration(self, plan: Plan, states: dict[str, str], supply: int, now: float) -> None:
        """Refuse what there is no more of, as a cloud without capacity does."""
        if not supply:
            return
        taken = sum(state != "dead" for state in states.values())
        room = max(0, supply - taken)
        plan.start, plan.refused = plan.start[:room], plan.start[room:]
        for id_ in plan.refused:
            self.failed(id_, NO_CAPACITY.format(supply), now)

    def _notice(self, states: dict[str, str], now: float) -> None:
        """Those that were started and are dead have ended by themselves, each once."""
        up = [id_ for id_, state in states.items() if state in ("running", "warm")]
        self._down.difference_update(up)
        for id_ in up:
            self.starts.up(id_, now)
        for id_ in sorted(id_ for id_, state in states.items() if state == "dead" and id_ not in self._down):
            self._fails("replica_ended", id_, ENDED, now)

    def failed(self, id_: str, reason: str, now: float) -> None:
        """A start has failed, for that reason."""
        self._fails("start_failed", id_, reason, now)

    def _fails(self, event: str, id_: str, reason: str, now: float) -> None:
        count, again_s = self.starts.failed(id_, now)
        self._down.add(id_)
        self.counts[event] += 1
        self._seq += 1
        about = {"replica": id_, "reason": reason, "in_a_row": count, "again_in_s": round(again_s, 3)}
        self._events.append({"seq": self._seq, "monotonic_s": now, "event": event, **about})

    def events(self, since: int) -> dict[str, Any]:
        """What has happened after number `since`, and the number to ask with next."""
        return {"events": after(self._events, since), "next": self._seq}


def after(kept: deque[dict[str, Any]], since: int) -> list[dict[str, Any]]:
    """Those of `kept`, numbered `seq` in rising order, that have come after number `since`: without a look at the
    others, of which there are as many as are kept."""
    found = list(takewhile(lambda each: each["seq"] > since, reversed(kept)))
    found.reverse()
    return found


def _number(id_: str) -> int:
    return int(id_[1:])
