"""What each replica could do at each moment of a run, as its configuration and its events tell. Pure."""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import pairwise

from record.landed import LandedFault
from record.reading import Run
from record.shapes import has_router

TURNS_AWAY = {
    **{"error": "rate", "lie": "rate", "hang": "share", "reset": "share", "refuse": None},
    **{"partition": None, "lost_requests": None, "lost_answers": None},
}
"""Faults under which a request that comes fails, and the parameter that says what share of them does (none: all)."""
HOLDS_ANSWERS = frozenset({"partition", "lost_answers"})
"""Those under which what has begun is answered, but at the end of the fault: TCP sends it again."""
HARMLESS = frozenset({"late_membership"})
"""Faults that take nothing from whoever knows of them: slots are where they are."""
LATE = {"latency": 1, "delay": 2}
"""Faults that make answers late, and how often `added_ms` falls on one: once, or on the way there and back."""
KNOWN = frozenset({*TURNS_AWAY, *HARMLESS, *LATE, "half_open", "flap", "slow", "kill", "pause", "resume", "restart"})
"""Faults whose effect on work is known here."""
CHECKED = frozenset({"first_check", "health_check"})
"""Why the router lets a replica in that has answered its check."""
Span = tuple[float, float]


@dataclass(frozen=True)
class Course:
    """One replica over the run; seconds from its start, and before and after."""

    speed: float
    closed: tuple[Span, ...] = ()
    """When no work may begin; what has begun goes on."""
    frozen: tuple[Span, ...] = ()
    """When no work goes on, either."""
    slowed: tuple[tuple[float, float, float], ...] = ()
    """When it goes so many times as slowly: from, to, factor."""
    delayed: tuple[tuple[float, float, float], ...] = ()
    """When an answer takes so many seconds longer to arrive: from, to, seconds."""
    deaths: tuple[float, ...] = ()
    """When work that has begun is lost."""
    held: tuple[Span, ...] = ()
    """When no answer arrives; at the end all do."""
    forgetful: tuple[tuple[float, float, float], ...] = ()
    """When an answer is lost that is longer in coming than so many seconds: from, to, seconds."""

    @cached_property
    def is_steady(self) -> bool:
        """Whether it is the same at all times."""
        return self == Course(self.speed)

    @cached_property
    def _steps(self) -> tuple[list[float], list[float], list[bool], list[float]]:
        """Where something changes, and from there on: speed, whether work may begin, how much later answers arrive."""
        measured = (*self.slowed, *self.delayed, *self.forgetful)
        spans = [*self.closed, *self.frozen, *(span[:2] for span in measured)]
        edges = sorted({-math.inf, *self.deaths, *(edge for span in spans for edge in span if edge < math.inf)})

        def of(edge: float, spans: Iterable[tuple[float, float, float]]) -> Iterator[float]:
            return (value for start, end, value in spans if start <= edge < end)

        speeds = [0.0 if _within(e, self.frozen) else self.speed / math.prod(of(e, self.slowed)) for e in edges]
        begins = [not _within(edge, self.closed) and speed > 0 for edge, speed in zip(edges, speeds, strict=True)]
        return [*edges, math.inf], speeds, begins, [sum(of(edge, self.delayed)) for edge in edges]

    def fits(self, from_s: float, demand_s: float) -> tuple[float, float]:
        """The first service from `from_s` on that does `demand_s` of work without a death.

        Returns:
            When the slot is free again, and when the answer is there; infinity = never.
        """
        edges, speeds, begins, delays = self._steps
        at = bisect_right(edges, from_s) - 1
        start = from_s
        while at < len(speeds):
            if begins[at]:
                end = start + demand_s / speeds[at]
                if end > edges[at + 1]:
                    end = self._end(start, demand_s, at)
                if end < math.inf and (answered := self._answered(start, end, end + delays[at])) < math.inf:
                    return end, answered
            at += 1
            start = edges[at]
        return math.inf, math.inf

    def _answered(self, start: float, end: float, arrives: float) -> float:
        """When the answer to work from `start` to `end` is there that would arrive at `arrives`; infinity = lost."""
        if not self.held and not self.forgetful:
            return arrives
        for since, until, most_s in self.forgetful:
            if since <= end < until and end - start > most_s:
                return math.inf
        return max((until for since, until in self.held if since <= arrives < until), default=arrives)

    def _end(self, start: float, demand_s: float, at: int) -> float:
        """When work that begins at `start`, within step `at`, is done; infinity where a death cuts it off."""
        edges, speeds, *_ = self._steps
        left = demand_s
        while at < len(speeds):
            until, speed = edges[at + 1], speeds[at]
            if speed > 0 and start + left / speed <= until:
                return start + left / speed
            if until in self.deaths:
                return math.inf
            left -= (until - start) * speed if speed > 0 else 0.0
            at, start = at + 1, until
        return math.inf


def _within(moment: float, spans: Iterable[Span]) -> bool:
    return any(start <= moment < end for start, end in spans)


@dataclass
class _Notes:
    """What is known of one replica while the events are read."""

    closed: list[Span] = field(default_factory=list)
    frozen: list[Span] = field(default_factory=list)
    slowed: list[tuple[float, float, float]] = field(default_factory=list)
    delayed: list[tuple[float, float, float]] = field(default_factory=list)
    deaths: list[float] = field(default_factory=list)
    held: list[Span] = field(default_factory=list)
    forgetful: list[tuple[float, float, float]] = field(default_factory=list)

    def course(self, speed: float) -> Course:
        """All of it."""
        return Course(speed, *(tuple(values) for values in vars(self).values()))


def courses(run: Run) -> list[Course] | None:
    """Each replica's, as `courses_by_name`."""
    found = courses_by_name(run)
    return None if found is None else list(found.values())


def courses_by_name(run: Run) -> dict[str, Course] | None:
    """Each replica's; None where a fault's effect is not known: a plugin's, or one of a run from before parameters
    stood in its events.

    A replica is there from its registration on and until it drains. Without a manager those of the start are there
    from the beginning, and what is killed is back when the router hears of it, without one of Aegis when it is started.
    """
    config = run.manifest["config"]
    routed, is_scaled = has_router(run.manifest), (config.get("scaler") or {}).get("name", "none") != "none"
    births: dict[str, list[float]] = {}
    farewells: dict[str, list[float]] = {}
    signs: dict[str, list[float]] = {}
    for event in run.events:
        if "replica" not in event:
            continue
        if event["event"] in ("registered", "draining"):
            book = births if event["event"] == "registered" else farewells
            book.setdefault(event["replica"], []).append(event["t_s"])
        if event["event"] == "registered" or event.get("cause") in CHECKED:
            signs.setdefault(event["replica"], []).append(event["t_s"])
    first = () if is_scaled and routed else tuple(f"r{n}" for n in range(1, int(config["replicas"]) + 1))
    notes = {name: _Notes() for name in (*first, *births)}
    for name in set(notes) - set(first):
        notes[name].closed.append((-math.inf, min(births[name])))
    for name, moments in farewells.items():
        if name in notes:
            notes[name].closed += [(moment, _next(births.get(name, []), moment)) for moment in moments]
    for fault in run.faults:
        if fault.action not in KNOWN:
            return None
        note, seen = notes.get(fault.target), signs.get(fault.target, [])
        if note is not None and not _note(
            fault, note, run.faults, run.end_s, partial(_back_s, fault, run, seen if routed else None)
        ):
            return None
    speeds = (config.get("replica") or {}).get("speeds") or []
    return {name: note.course(_speed(name, speeds)) for name, note in notes.items()}


def under(speed: float, faults: Sequence[LandedFault], end_s: float, back_s: float) -> Course:
    """What one replica can do in a run that is only planned.

    Args:
        speed: its own.
        faults: what is done to it; all are `KNOWN`, with their parameters.
        end_s: of the run, seconds from its start.
        back_s: when it serves again after a `kill` or `restart`.
    """
    notes = _Notes()
    for fault in faults:
        _note(fault, notes, faults, end_s, lambda: back_s)
    return notes.course(speed)


def _next(moments: list[float], after_s: float) -> float:
    return min((moment for moment in moments if moment >= after_s), default=math.inf)


def _speed(name: str, speeds: list[float]) -> float:
    number = name.removeprefix("r")
    return float(speeds[int(number) - 1]) if number.isdecimal() and 0 < int(number) <= len(speeds) else 1.0


def _back_s(fault: LandedFault, run: Run, signs: list[float] | None) -> float:
    """When a process that was ended is there again; `signs` are the router's words that it is, None without a router.

    One that is back before its lease has run out and before a check has missed it is not told of again: then by the
    first request that was sent after its start and that it answered.
    """
    restarts = (f.landed_s for f in run.faults if f.action == "restart" and f.target == fault.target)
    started = [moment for moment in restarts if moment > fault.landed_s]
    started += [fault.healed_s] if fault.healed_s is not None else []
    since = min(started, default=fault.landed_s)
    if signs is None:
        return since if started or fault.action == "restart" else math.inf
    answered = (run.requests["replica"] == fault.target) & (run.requests["sent_s"] > since)
    return min(_next(signs, since), float(run.requests["sent_s"][answered].min() if answered.any() else math.inf))


def _note(
    fault: LandedFault, notes: _Notes, all_faults: Sequence[LandedFault], end_s: float, back_s: Callable[[], float]
) -> bool:
    """Take a fault in; False where its parameters are not known."""
    start, end = fault.landed_s, math.inf if fault.healed_s is None else fault.healed_s
    given = fault.parameters
    if fault.action in ("kill", "restart"):
        if fault.action == "kill":
            notes.deaths.append(start)
        notes.closed.append((start, back_s()))
    elif fault.action == "pause":
        resumes = (f.landed_s for f in all_faults if f.action == "resume" and f.target == fault.target)
        until = min([end, *(moment for moment in resumes if moment > start)])
        period_s = (given or {}).get("period_s", 0.0)
        if given is None or period_s <= 0:
            notes.frozen.append((start, until))
        else:
            notes.frozen += _stops(start, min(until, end_s), period_s, given["pause_ms"] / 1e3)
    elif fault.action != "resume" and fault.action not in HARMLESS:
        if given is None:
            return False
        if fault.action in HOLDS_ANSWERS:
            notes.held.append((start, end))
        if fault.action == "half_open" and given["idle_s"] > 0:
            notes.forgetful.append((start, end, given["idle_s"]))
        elif fault.action == "half_open":  # of the connections that there are
            notes.deaths.append(start)
        elif fault.action == "slow":
            notes.slowed.append((start, end, given["factor"]))
        elif fault.action in LATE and (given.get("sigma") or given.get("tail_index")):
            return False
        elif fault.action in LATE and given.get("share", 1.0) >= 1:
            notes.delayed.append((start, end, LATE[fault.action] * given["added_ms"] / 1e3))
        elif fault.action == "flap":
            notes.closed += _second_halves(start, min(end, end_s), given["period_s"])
        elif fault.action in TURNS_AWAY:
            share = TURNS_AWAY[fault.action]
            if share is None or given[share] >= 1:
                notes.closed.append((start, end))
    return True


def _stops(start: float, end: float, period_s: float, stop_s: float) -> list[Span]:
    count = math.ceil((end - start) / period_s)
    begins = [start + number * period_s for number in range(count)]
    return [(begin, min(end, begin + stop_s)) for begin in begins]


def _second_halves(start: float, end: float, period_s: float) -> list[Span]:
    halves = math.ceil((end - start) / (period_s / 2))
    edges = [min(end, start + number * period_s / 2) for number in range(halves + 1)]
    return [span for number, span in enumerate(pairwise(edges)) if number % 2]
