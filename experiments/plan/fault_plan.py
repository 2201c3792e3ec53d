"""What is done to the system during a run, and when: planned faults, and random ones drawn from the seed."""

import dataclasses
import random
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from experiments.process_faults import PROCESS_FAULTS, ProcessFault
from services.backend.faults import BOUNDS, PARAMETERS, strength
from services.bounds import hold

T = TypeVar("T")


def parameters_of(action: str) -> list[str]:
    """The names of a process fault's parameters; a file that cannot be used has none."""
    kind = PROCESS_FAULTS.usable().get(action)
    return [each.name for each in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


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
    target: Any = None
    """A replica id, a list of them, `router` or `manager`."""
    for_s: float | None = None
    """Seconds until it is healed; unset = at the run's end (a killed process stays dead)."""
    rate: float | None = None
    factor: float | None = None
    added_ms: float | None = None
    share: float | None = None
    period_s: float | None = None

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters that were given, as `PUT /faults` takes them."""
        own = [each.name for each in dataclasses.fields(self) if each.name not in ("at_s", "action", "target", "for_s")]
        return {name: value for name in own if (value := getattr(self, name)) is not None}

    @property
    def process(self) -> ProcessFault | None:
        """What is done to the process; None = the replica plays it on itself.

        Raises:
            ValueError: there is no such fault, or a parameter is wrong.
        """
        if self.action in PARAMETERS:
            return None
        return cast(ProcessFault, PROCESS_FAULTS.find(self.action)(**self.parameters))

    @property
    def restarts(self) -> bool:
        """Whether it starts a process of its own accord, so that nobody else may."""
        if self.process is None:
            return False
        healed_by_start = self.process.heal() == "restart" and self.for_s is not None
        return healed_by_start or next(self.process.steps()).act == "restart"

    @property
    def end_s(self) -> float:
        """When it is healed, in seconds from the run's start; infinity where that is the run's end."""
        return float("inf") if self.for_s is None else self.at_s + self.for_s

    def as_dict(self) -> dict[str, Any]:
        """What stands in the manifest: unset parameters left out."""
        core = {"at_s": self.at_s, "action": self.action, "target": self.target, "for_s": self.for_s}
        return core | self.parameters


class ActiveFaults:
    """The set that each replica is to play, as faults come and go."""

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
    """No fault before this, seconds from the run's start."""
    duration_s: float = 4.0
    """How long each lasts, seconds."""
    gap_s: float = 1.0
    """Mean pause between two, seconds (exponential, at most three times as long)."""
    max_replicas: int = 2
    """How many of the replicas that the run begins with are hit, each as often as the others but for one."""


def plan_faults(
    faults: list[Fault],
    settings: FaultPlanSettings,
    *,
    replicas: list[str],
    initial: int,
    has_router: bool,
    has_manager: bool,
    duration_s: float,
    warmup_s: float,
    seed: int,
) -> list[Fault]:
    """The run's faults, one target each, in order of time; `restart` and `resume` folded into what they heal.

    Random ones hit only the first `initial` of `replicas`, those that the run begins with: with and without a scaler
    a seed draws the same. Targets are drawn apart, so that more replicas change neither the modes nor the moments.

    Raises:
        ValueError: with the key and the choices, where an entry cannot be carried out in this run.
    """
    services = [name for name, there in (("router", has_router), ("manager", has_manager)) if there]
    planned = []
    for index, fault in enumerate(faults):
        key = f"faults[{index}]"
        _check_fault(key, fault, replicas, services, duration_s)
        targets = fault.target if isinstance(fault.target, list) else [fault.target]
        planned += [replace(fault, target=target) for target in targets]
    planned += _draw(settings, replicas[:initial], duration_s, warmup_s, seed)
    planned.sort(key=lambda fault: fault.at_s)
    planned = _fold(planned)
    _check_overlaps(planned)
    return planned


def enders() -> dict[str, list[str]]:
    """The words that end a fault of a process, with those that each ends."""
    ended: dict[str, list[str]] = {}
    for name, kind in PROCESS_FAULTS.usable().items():
        if kind.ended_by is not None:
            ended.setdefault(kind.ended_by, []).append(name)
    return ended


def is_on_process(action: str) -> bool:
    """Whether it is done to a process from outside, a replica's or another's."""
    return action in PROCESS_FAULTS.files() or action in enders()


def _check_fault(key: str, fault: Fault, replicas: list[str], services: list[str], duration_s: float) -> None:
    known = sorted({*PROCESS_FAULTS.files(), *enders()})
    if fault.action not in (*known, *PARAMETERS):
        raise ValueError(f"{key}.action={fault.action or None}: must be one of {', '.join((*known, *PARAMETERS))}")
    kind = PROCESS_FAULTS.find(fault.action) if fault.action in PROCESS_FAULTS.files() else None
    choices = replicas + (services if is_on_process(fault.action) else [])
    targets = fault.target if isinstance(fault.target, list) else [fault.target]
    if not targets or any(target not in choices for target in targets):
        raise ValueError(f"{key}.target={fault.target}: {fault.action} takes one of {', '.join(choices)}")
    if len(set(targets)) != len(targets):
        raise ValueError(f"{key}.target={fault.target}: names a target twice")
    if not 0 <= fault.at_s < duration_s:
        raise ValueError(f"{key}.at_s={fault.at_s:g}: must be within the run, 0 to workload.duration_s={duration_s:g}")
    if fault.for_s is not None:
        if fault.action not in PARAMETERS and (kind is None or not kind.lasts):
            raise ValueError(f"{key}.for_s={fault.for_s:g}: {fault.action} is a moment, it takes no for_s")
        if fault.for_s <= 0 or fault.end_s > duration_s:
            raise ValueError(
                f"{key}.for_s={fault.for_s:g}: must be above 0 and end by workload.duration_s={duration_s:g}; "
                "leave it out to heal at the end"
            )
    allowed = list(PARAMETERS.get(fault.action, ())) or parameters_of(fault.action)
    for name in fault.parameters:
        if name not in allowed:
            raise ValueError(f"{key}.{name}: {fault.action} takes {', '.join(allowed) or 'no parameters'}")
    if kind is not None:
        hold(kind(**fault.parameters), key)
        return
    for name, value in fault.parameters.items():
        low, high = BOUNDS[name]
        if not low <= value <= high:
            raise ValueError(f"{key}.{name}={value:g}: must be between {low:g} and {high:g}")


def _draw(
    settings: FaultPlanSettings, replicas: list[str], duration_s: float, warmup_s: float, seed: int
) -> list[Fault]:
    if settings.count == 0:
        return []
    for name, least in (("count", 0), ("duration_s", 0.1), ("gap_s", 0), ("max_replicas", 1), ("start_s", warmup_s)):
        value = getattr(settings, name)
        if value < least:
            raise ValueError(f"random_faults.{name}={value:g}: must be at least {least:g}")
    known = [*PARAMETERS, *(name for name, kind in PROCESS_FAULTS.usable().items() if kind.lasts)]
    if not settings.modes or any(mode not in known for mode in settings.modes):
        raise ValueError(f"random_faults.modes={settings.modes}: must be some of {', '.join(known)}")
    rng = random.Random(f"aegis-faults-{seed}")
    target_rng = random.Random(f"aegis-fault-targets-{seed}")
    hit = target_rng.sample(replicas, min(settings.max_replicas, len(replicas)))
    drawn: list[Fault] = []
    deck: list[str] = []
    targets: list[str] = []
    at_s = settings.start_s
    for _ in range(settings.count):
        if not deck:
            deck = rng.sample(settings.modes, len(settings.modes))
        if not targets:
            targets = target_rng.sample(hit, len(hit))
        mode = deck.pop()
        drawn.append(
            Fault(
                at_s=round(at_s, 3),
                action=mode,
                target=targets.pop(),
                for_s=settings.duration_s,
                **_strength(mode, rng),
            )
        )
        pause = rng.expovariate(1 / settings.gap_s) if settings.gap_s else 0.0
        at_s += settings.duration_s + min(pause, 3 * settings.gap_s)
    if drawn[-1].end_s > duration_s:
        raise ValueError(
            f"random_faults.count={settings.count}: the last fault would end at {drawn[-1].end_s:.1f} s, after "
            f"workload.duration_s={duration_s:g}; take fewer, or shorter ones"
        )
    return drawn


def _strength(mode: str, rng: random.Random) -> dict[str, float]:
    if mode in PARAMETERS:
        return strength(mode, rng)
    return cast(ProcessFault, PROCESS_FAULTS.find(mode)()).strength(rng)


def _fold(planned: list[Fault]) -> list[Fault]:
    """`kill` then `restart` of one target is a kill that lasts until then; likewise `pause` and `resume`."""
    folded: list[Fault] = []
    ended = enders()
    for fault in planned:
        healed = ended.get(fault.action, [])
        open_fault = next(
            (f for f in reversed(folded) if f.target == fault.target and f.action in healed and f.for_s is None), None
        )
        if open_fault is not None:
            open_fault.for_s = fault.at_s - open_fault.at_s
        elif fault.action not in PARAMETERS and fault.action not in PROCESS_FAULTS.files():
            raise ValueError(
                f"faults: {fault.action} of {fault.target} at {fault.at_s:g} s, but no {' or '.join(healed)} lasts then"
            )
        else:
            folded.append(fault)
    return folded


def _check_overlaps(planned: list[Fault]) -> None:
    """A process can be hit by one process-level fault at a time, and by one fault of a kind at a time."""
    for index, fault in enumerate(planned):
        for other in planned[:index]:
            if other.target != fault.target or other.end_s <= fault.at_s:
                continue
            if other.action == fault.action or is_on_process(other.action) or is_on_process(fault.action):
                raise ValueError(
                    f"faults: {fault.action} of {fault.target} at {fault.at_s:g} s, while {other.action} from "
                    f"{other.at_s:g} s still lasts"
                )
