"""From what a configuration asks for to the run's faults: planned ones, and random ones drawn from the seed."""

import random
from dataclasses import replace
from typing import cast

from experiments.plan.fault_plan import (
    ALL,
    SERVICES,
    Fault,
    FaultPlanSettings,
    clash,
    enders,
    is_on_process,
    on_each,
    parameters_of,
)  # fmt: skip
from experiments.process_faults import PROCESS_FAULTS, ProcessFault
from services.backend.faults import BOUNDS, PARAMETERS, parse, strength
from services.bounds import Bounds, hold


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
    services = [name for name, there in zip(SERVICES, (has_router, has_manager), strict=True) if there]
    planned = []
    for index, fault in enumerate(faults):
        key = f"faults[{index}]"
        _check_fault(key, fault, replicas, services, duration_s)
        targets = fault.target if isinstance(fault.target, list) else [fault.target]
        if fault.target == ALL:
            planned += on_each(fault, replicas)
        else:
            planned += [replace(fault, target=target) for target in targets]
    planned += _draw(settings, replicas[:initial], duration_s, warmup_s, seed)
    planned.sort(key=lambda fault: fault.at_s)
    planned = _fold(planned)
    _check_overlaps(planned)
    return planned


def _check_fault(key: str, fault: Fault, replicas: list[str], services: list[str], duration_s: float) -> None:
    known = sorted({*PROCESS_FAULTS.files(), *enders()})
    if fault.action not in (*known, *PARAMETERS):
        raise ValueError(f"{key}.action={fault.action or None}: must be one of {', '.join((*known, *PARAMETERS))}")
    kind = PROCESS_FAULTS.find(fault.action) if fault.action in PROCESS_FAULTS.files() else None
    choices = replicas + (services if is_on_process(fault.action) else [])
    targets = fault.target if isinstance(fault.target, list) else [fault.target]
    if fault.target != ALL and (not targets or any(target not in choices for target in targets)):
        raise ValueError(f"{key}.target={fault.target}: {fault.action} takes one of {', '.join([ALL, *choices])}")
    if len(set(targets)) != len(targets):
        raise ValueError(f"{key}.target={fault.target}: names a target twice")
    if not 0 <= fault.at_s < duration_s:
        raise ValueError(f"{key}.at_s={fault.at_s:g}: must be within the run, 0 to workload.duration_s={duration_s:g}")
    if fault.for_s is not None:
        if fault.action not in PARAMETERS and (kind is None or not kind.lasts):
            raise ValueError(f"{key}.for_s={fault.for_s:g}: {fault.action} is a moment, it takes no for_s")
        if not (fault.for_s > 0 and fault.end_s <= duration_s):
            raise ValueError(
                f"{key}.for_s={fault.for_s:g}: must be above 0 and end by workload.duration_s={duration_s:g}; "
                "leave it out to heal at the end"
            )
    allowed = list(PARAMETERS.get(fault.action, ())) or parameters_of(fault.action)
    for name in fault.parameters:
        if name not in allowed:
            raise ValueError(f"{key}.{name}: {fault.action} takes {', '.join(allowed) or 'no parameters'}")
    if kind is not None:
        try:
            made = kind(**fault.parameters)
        except ValueError as error:
            raise ValueError(f"{key}.{error}") from error
        hold(made, key)
        return
    for name, value in fault.parameters.items():
        low, high = BOUNDS[name]
        if not low <= value <= high:
            raise ValueError(f"{key}.{name}={value:g}: must be between {low:g} and {high:g}")
    try:
        parse({fault.action: fault.parameters} if fault.action in PARAMETERS else {})
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error


def _draw(
    settings: FaultPlanSettings, replicas: list[str], duration_s: float, warmup_s: float, seed: int
) -> list[Fault]:
    if settings.count == 0:
        return []
    for name, least in (("count", 0), ("duration_s", 0.1), ("gap_s", 0), ("max_replicas", 1), ("start_s", warmup_s)):
        Bounds(least).check(f"random_faults.{name}", getattr(settings, name))
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
    if not drawn[-1].end_s <= duration_s:
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
    """Of those that cannot last at the same time, one ends before the next begins."""
    for index, fault in enumerate(planned):
        for other in planned[:index]:
            if clash(other, fault) and other.end_s > fault.at_s:
                raise ValueError(
                    f"faults: {fault.action} of {fault.target} at {fault.at_s:g} s, while {other.action} from "
                    f"{other.at_s:g} s still lasts"
                )
