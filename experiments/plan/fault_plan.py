"""What is done to the system during a run: a fault, as it is typed and as it is carried out, live and simulated."""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from experiments.plan.fault_command import COMMAND, LINES, PARAMETER, SYSTEM, WITHIN_S
from experiments.process_faults import PROCESS_FAULTS, ProcessFault
from experiments.relay import faults as path_faults
from services.backend.faults import PARAMETERS, parse

T = TypeVar("T")
ALL = "all"
"""The target that is every replica, also those that start later."""
SERVICES = ("router", "manager", "tier_router")
"""Targets that are no replicas."""


def parameters_of(action: str) -> list[str]:
    """The names of a process fault's parameters; a file that cannot be used has none."""
    kind = PROCESS_FAULTS.usable().get(action)
    return [each.name for each in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


def taker_of(parameter: str) -> str:
    """The first action that takes it, of those on replicas first; `slow` where none does."""
    taken: dict[str, Collection[str]] = {**PARAMETERS, **path_faults.PARAMETERS}
    taken |= {name: parameters_of(name) for name in PROCESS_FAULTS.usable()} | {COMMAND: [PARAMETER]}
    return next((action for action, names in taken.items() if parameter in names), "slow")


def with_parameters(settings: type[T]) -> type[T]:
    """The dataclass with a field for every parameter of a process fault that it does not have."""
    names = {name for action in PROCESS_FAULTS.files() for name in parameters_of(action)}
    names -= {each.name for each in dataclasses.fields(settings)}  # type: ignore[arg-type]
    added: list[tuple[str, Any, Any]] = [(name, float | None, None) for name in sorted(names)]
    made = dataclasses.make_dataclass(settings.__name__, added, bases=(settings,))
    made.__module__, made.__doc__ = settings.__module__, settings.__doc__
    return made


@with_parameters
@dataclass
class Fault:
    """One entry of the timeline."""

    at_s: float = 0.0
    """Seconds from the run's start."""
    action: str = ""
    """What is done, see the table of actions."""
    target: Any = None
    """A replica id, a list of them, `all`, `router`, `manager`, or of a second tier `b1`, ... or `tier_router` (`all`
    are those before it); of `command` none. One on a replica that does not run waits for it; one that the replicas play
    on themselves on `all` is taken over by those that start while it lasts."""
    for_s: float | None = None
    """Seconds until it is healed; unset = at the run's end (a killed process stays dead)."""
    rate: float | None = None
    """Of `error` and `lie`: the share of the requests that fail."""
    check_rate: float | None = None
    """Of `error` and `lie`: the share of the health checks that fail; 0 spares them."""
    factor: float | None = None
    """Of `slow`: how many times as long the work takes."""
    added_ms: float | None = None
    """Of `latency`: what is added to an answer, milliseconds; of `delay`: to each way."""
    sigma: float | None = None
    """Of `latency` and `delay`: the standard deviation of the logarithm of what is added, whose mean stays `added_ms`;
    0 = always the same."""
    tail_index: float | None = None
    """Of `latency`: what is added has a Pareto tail of this index, above 1, its mean `added_ms`; 0 = it has none."""
    share: float | None = None
    """Of `latency`, `hang` and `reset`: the share of the requests that are hit."""
    period_s: float | None = None
    """Of `flap`: seconds from one refusal to the next; it lasts half of them. Of `pause`: from one stop to the next;
    0 = one that lasts."""
    pause_ms: float | None = None
    """Of `pause` with a period: of each stop, milliseconds."""
    idle_s: float | None = None
    """Of `half_open`: while it lasts, connections on which nothing moves for so many seconds are forgotten; 0 = those
    that there are when it begins."""
    delay_s: float | None = None
    """Of `late_membership`: how much later the router hears of who comes, drains and leaves, seconds."""
    inject: str | None = None
    """Of `command`: a line for `/bin/sh` that hurts the system under test (docs/external.md)."""
    heal: str | None = None
    """Of `command`: the line that ends it, after `for_s` or at the run's end; unset = it is not ended."""
    within_s: float | None = None
    """Of `command`: seconds that each of the two lines may take; one that takes longer is killed, and has failed."""

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters that were given, as `PUT /faults` takes them."""
        core = ("at_s", "action", "target", "for_s", *LINES)
        own = [each.name for each in dataclasses.fields(self) if each.name not in core]
        return {name: value for name in own if (value := getattr(self, name)) is not None}

    @property
    def full_parameters(self) -> dict[str, float]:
        """All that it has, defaults included."""
        if self.action in PARAMETERS:
            return parse({self.action: self.parameters})[self.action]
        if is_on_path(self.action):
            return path_faults.parse({self.action: self.parameters})[self.action]
        if self.action == COMMAND:
            return {PARAMETER: WITHIN_S} | self.parameters
        return {name: float(getattr(self.process, name)) for name in parameters_of(self.action)}

    @property
    def process(self) -> ProcessFault | None:
        """What is done to the process; None = the replica plays it on itself, it is one of the path's, or a command.

        Raises:
            ValueError: there is no such fault, or a parameter is wrong.
        """
        if not is_on_process(self.action):
            return None
        return cast(ProcessFault, PROCESS_FAULTS.find(self.action)(**self.parameters))

    @property
    def restarts(self) -> bool:
        """Whether it starts a process of its own accord, so that nobody else may."""
        if self.process is None:
            return False
        return self.begins_anew or (self.process.heal() == "restart" and self.for_s is not None)

    @property
    def begins_anew(self) -> bool:
        """Whether to land it is to start its target again, which takes a while."""
        return self.process is not None and next(self.process.steps()).act == "restart"

    @property
    def end_s(self) -> float:
        """When it is over, in seconds from the run's start; infinity where that is the run's end."""
        if self.for_s is not None:
            return self.at_s + self.for_s
        return float("inf") if self.lasts else self.at_s

    @property
    def lasts(self) -> bool:
        """Whether it is a state of its target until it is healed, and no moment as `restart`."""
        return not is_on_process(self.action) or bool(PROCESS_FAULTS.find(self.action).lasts)

    @property
    def is_on_replica(self) -> bool:
        """Whether its target is a replica."""
        return self.target not in (*SERVICES, SYSTEM)

    @property
    def waits(self) -> bool:
        """Whether it waits for its replica to run: a path is there anyway."""
        return self.is_on_replica and not is_on_path(self.action)

    def ends_s(self, began_s: float) -> float:
        """When it is over, given when it began: it lasts as long as it was to, however long it waited."""
        return self.end_s if began_s <= self.at_s else began_s + (self.end_s - self.at_s)

    def as_dict(self) -> dict[str, Any]:
        """What stands in the manifest: unset parameters left out."""
        core = {"at_s": self.at_s, "action": self.action, "target": self.target, "for_s": self.for_s}
        lines = {name: line for name in LINES if (line := getattr(self, name)) is not None}
        return core | lines | self.parameters


class FaultOnAll(Fault):
    """One replica's part of a fault on `all`: it waits for its replica only while the others have it."""

    def ends_s(self, began_s: float) -> float:
        """When it is over: together with those of the others."""
        return self.end_s


def on_each(fault: Fault, targets: list[str]) -> list[Fault]:
    """The parts of a fault on `all`, one a replica."""
    values = {each.name: getattr(fault, each.name) for each in dataclasses.fields(fault)}
    return [FaultOnAll(**{**values, "target": target}) for target in targets]


def clash(one: Fault, other: Fault) -> bool:
    """Whether two faults cannot last at the same time: a process takes one from outside, and one of a kind.

    What happens on the path to a replica goes with anything that happens to the replica, and a command with all.
    """
    if COMMAND in (one.action, other.action):
        return False
    on_path = is_on_path(one.action) or is_on_path(other.action)
    on_process = is_on_process(one.action) or is_on_process(other.action)
    return one.target == other.target and (one.action == other.action or (on_process and not on_path))


def enders() -> dict[str, list[str]]:
    """The words that end a fault of a process, with those that each ends."""
    ended: dict[str, list[str]] = {}
    for name, kind in PROCESS_FAULTS.usable().items():
        if kind.ended_by is not None:
            ended.setdefault(kind.ended_by, []).append(name)
    return ended


def is_on_process(action: str) -> bool:
    """Whether it is done to a process from outside, a replica's or another's."""
    return action not in PARAMETERS and not is_on_path(action) and action != COMMAND


def is_on_path(action: str) -> bool:
    """Whether it is done to what goes between the router and a replica."""
    return action in path_faults.PARAMETERS


class ActiveFaults:
    """The set that each replica is to play, or the path to it, as faults come and go."""

    def __init__(self) -> None:
        self._sets: dict[str, dict[str, dict[str, float]]] = {}

    def change(self, fault: Fault, *, active: bool) -> dict[str, dict[str, float]]:
        """The target's whole set from now on, as `PUT /faults` takes it."""
        faults = self._sets.setdefault(fault.target, {})
        if active:
            faults[fault.action] = fault.parameters
        else:
            faults.pop(fault.action, None)
        return faults

    def targets(self) -> list[str]:
        """The replicas on which something is active."""
        return [target for target, faults in self._sets.items() if faults]

    def of(self, target: str) -> dict[str, dict[str, float]]:
        """A replica's whole set, which one that is started again takes over."""
        return self._sets.get(target, {})


@dataclass
class FaultPlanSettings:
    """Faults drawn from the seed: which mode, which replica, when."""

    count: int = 0
    """How many are drawn."""
    modes: list[str] = field(
        default_factory=lambda: ["error", "slow", "latency", "hang", "reset", "refuse", "flap", "lie"]
    )
    """Drawn without replacement until all were used, then anew."""
    start_s: float = 8.0
    """No fault before this, seconds from the run's start; `workload.warmup_s` or later."""
    duration_s: float = 4.0
    """How long each lasts, seconds."""
    gap_s: float = 1.0
    """Mean pause between two, seconds (exponential, at most three times as long)."""
    max_replicas: int = 2
    """How many of the replicas that the run begins with are hit, each as often as the others but for one."""
