"""From what a configuration asks for to the run's faults: planned ones, and random ones drawn from the seed."""

import random
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, cast

from experiments.plan.fault_command import COMMAND, LINES, PARAMETER, SYSTEM, WITHIN
from experiments.plan.fault_plan import (
    ALL,
    SERVICES,
    Fault,
    FaultPlanSettings,
    clash,
    enders,
    is_on_path,
    is_on_process,
    on_each,
    parameters_of,
)  # fmt: skip
from experiments.process_faults import PROCESS_FAULTS, ProcessFault
from experiments.relay import faults as path_faults
from services.backend.faults import BOUNDS, PARAMETERS, parse, strength
from services.bounds import Bounds, hold

ON_REPLICA: dict[str, Collection[str]] = {**PARAMETERS, **path_faults.PARAMETERS}
"""What a replica does to its requests, or the path to it, with the parameters; the rest is done to processes."""
CACHE_LOSS = "cache_loss"
"""The fault of replicas that have a cache."""


def plan_faults(
    faults: list[Fault],
    settings: FaultPlanSettings,
    *,
    replicas: list[str],
    initial: int,
    has_router: bool,
    has_manager: bool,
    tier: Sequence[str] = (),
    has_cache: bool = False,
    duration_s: float,
    warmup_s: float,
    seed: int,
) -> list[Fault]:
    """The run's faults, one target each, in order of time; `restart` and `resume` folded into what they heal.

    `tier` are the replicas of a second one, which `all` does not mean; `has_cache`: `replicas` have one to lose.
    Random ones hit only the first `initial` of `replicas`, those that the run begins with: with and without a scaler
    a seed draws the same. Targets are drawn apart, so that more replicas change neither the modes nor the moments.

    Raises:
        ValueError: with the key and the choices, where an entry cannot be carried out in this run.
    """
    services = [name for name, there in zip(SERVICES, (has_router, has_manager, bool(tier)), strict=True) if there]
    planned, commands = list[Fault](), list[Fault]()
    for index, fault in enumerate(faults):
        key = f"faults[{index}]"
        if fault.action == COMMAND:
            _check_command(key, fault)
            _check_span(key, fault, duration_s)
            commands.append(replace(fault, target=SYSTEM))
            continue
        if fault.action == CACHE_LOSS and not has_cache:
            raise ValueError(f"{key}.action={CACHE_LOSS}: there is no cache; add tier.replicas=4 tier.hit_rate=0.8")
        callees = [] if fault.action == CACHE_LOSS else [*tier]
        _check_fault(key, fault, [*replicas, *callees], services, duration_s)
        targets = fault.target if isinstance(fault.target, list) else [fault.target]
        if fault.target == ALL:
            planned += on_each(fault, replicas)
        else:
            planned += [replace(fault, target=target) for target in targets]
    planned += _draw(settings, replicas[:initial], duration_s, warmup_s, seed)
    planned.sort(key=lambda fault: fault.at_s)
    planned = _fold(planned)
    _check_overlaps(planned)
    return sorted([*planned, *commands], key=lambda fault: fault.at_s)


def _check_fault(key: str, fault: Fault, replicas: list[str], services: list[str], duration_s: float) -> None:
    known = sorted({*PROCESS_FAULTS.files(), *enders()})
    if fault.action not in (*known, *ON_REPLICA):
        words = ", ".join((*known, *ON_REPLICA, COMMAND))
        raise ValueError(f"{key}.action={fault.action or None}: must be one of {words}")
    kind = PROCESS_FAULTS.find(fault.action) if fault.action in PROCESS_FAULTS.files() else None
    choices = replicas + (services if is_on_process(fault.action) else [])
    targets = fault.target if isinstance(fault.target, list) else [fault.target]
    if not choices:
        raise ValueError(f"{key}.action={fault.action}: with replicas=0 there is nobody to hit; take {COMMAND}")
    if fault.target != ALL and (not targets or any(target not in choices for target in targets)):
        raise ValueError(f"{key}.target={fault.target}: {fault.action} takes one of {', '.join([ALL, *choices])}")
    if len(set(targets)) != len(targets):
        raise ValueError(f"{key}.target={fault.target}: names a target twice")
    if fault.for_s is not None and fault.action not in ON_REPLICA and (kind is None or not kind.lasts):
        raise ValueError(f"{key}.for_s={fault.for_s:g}: {fault.action} is a moment, it takes no for_s")
    _check_span(key, fault, duration_s)
    for line in LINES:
        if getattr(fault, line) is not None:
            raise ValueError(f"{key}.{line}: goes with action: {COMMAND}")
    allowed = list(ON_REPLICA.get(fault.action, ())) or parameters_of(fault.action)
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
        low, high = (path_faults.BOUNDS if is_on_path(fault.action) else BOUNDS)[name]
        if not low <= value <= high:
            raise ValueError(f"{key}.{name}={value:g}: must be between {low:g} and {high:g}")
    try:
        parse({fault.action: fault.parameters} if fault.action in PARAMETERS else {})
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error


def _check_command(key: str, fault: Fault) -> None:
    """Whether an entry of `faults` with this action is complete, and takes no more than it can.

    Raises:
        ValueError: with the key and what it must be.
    """
    for name in fault.parameters:
        if name != PARAMETER:
            raise ValueError(f"{key}.{name}: {COMMAND} takes {', '.join((*LINES, PARAMETER))}")
    if fault.within_s is not None:
        WITHIN.check(f"{key}.{PARAMETER}", fault.within_s)
    if fault.target not in (None, SYSTEM):
        raise ValueError(f"{key}.target={fault.target}: {COMMAND} takes {SYSTEM}, or none")
    if not (fault.inject or "").strip():
        raise ValueError(f"{key}.inject: must be a line for the shell, as inject: 'systemctl stop payments'")
    if fault.heal is not None and not fault.heal.strip():
        raise ValueError(f"{key}.heal: must be a line for the shell, or left out")
    if fault.for_s is not None and fault.heal is None:
        raise ValueError(f"{key}.for_s={fault.for_s:g}: needs heal, the line that ends it then")


def _check_span(key: str, fault: Fault, duration_s: float) -> None:
    if not 0 <= fault.at_s < duration_s:
        raise ValueError(f"{key}.at_s={fault.at_s:g}: must be within the run, 0 to workload.duration_s={duration_s:g}")
    if fault.for_s is not None and not (fault.for_s > 0 and fault.end_s <= duration_s):
        raise ValueError(
            f"{key}.for_s={fault.for_s:g}: must be above 0 and end by workload.duration_s={duration_s:g}; "
            "leave it out to heal at the end"
        )


def _draw(
    settings: FaultPlanSettings, replicas: list[str], duration_s: float, warmup_s: float, seed: int
) -> list[Fault]:
    if settings.count == 0:
        return []
    if not replicas:
        raise ValueError(f"random_faults.count={settings.count}: with replicas=0 there is nobody to hit")
    for name, least in (("count", 0), ("duration_s", 0.1), ("gap_s", 0), ("max_replicas", 1), ("start_s", warmup_s)):
        Bounds(least).check(f"random_faults.{name}", getattr(settings, name))
    known = [*ON_REPLICA, *(name for name, kind in PROCESS_FAULTS.usable().items() if kind.lasts)]
    known.remove(CACHE_LOSS)
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


def _strength(mode: str, rng: random.Random) -> dict[str, Any]:
    if mode in PARAMETERS:
        return strength(mode, rng)
    if is_on_path(mode):
        return {}
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
        elif fault.action not in ON_REPLICA and fault.action not in PROCESS_FAULTS.files():
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
