"""`--dry-run`: what a command line would measure, how loaded it would be and how long it would take; starts nothing."""

import math
import os
from dataclasses import dataclass

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from rich.console import Console
from rich.table import Table

from analysis.comparison.run_time import LIVE_OVERHEAD_S, SIMULATED_OVERHEAD_S, SWEEP_OVERHEAD_S, SWEPT_OVERHEAD_S
from experiments.plan.config import Config, ConfigError
from experiments.plan.engines import engine_of
from experiments.plan.installed import CONF
from experiments.sweep.job import Job, key_of
from experiments.sweep.jobs import check_launcher, single
from experiments.sweep.sweep import NAME, Sweep
from experiments.sweep.sweeper import sweep_asked_for

SIMULATED_RPS = 10_000
"""Requests that are played and analysed in a second of wall time: 216,000 took 14 CPU-seconds, and 26 s of wall time
on cores that others used as well (`routed`)."""
MOST_ARMS = 20
"""Lines of the table."""


@dataclass(frozen=True)
class Load:
    """What a run asks of its fleet."""

    requests: float
    """Expected, warm-up included."""
    utilisation: float | None
    """Offered work over what the slots can do, mean over the run; None where the fleet scales, or is not Aegis'."""
    peak: float | None
    """Likewise at the highest rate of the profile."""


def expected_load(config: Config) -> Load:
    """The load of a run, from its configuration alone."""
    workload, replica = config.workload, config.replica
    requests = workload.expected_requests()
    if config.has_manager or not config.replicas:
        return Load(requests, None, None)
    slots = sum(replica.speeds or [1.0] * config.replicas) * replica.concurrency
    work_s = workload.mean_demand_s()
    return Load(requests, requests / workload.duration_s * work_s / slots, workload.peak_rps() * work_s / slots)


def show(arguments: list[str]) -> None:
    """Print it.

    Args:
        arguments: for Hydra, without `--dry-run`.

    Raises:
        ConfigError, HydraException, OmegaConfBaseException: the configuration is wrong.
    """
    _print(sweep_of(arguments))


def sweep_of(arguments: list[str]) -> Sweep:
    """The jobs of a command line; a single run is a sweep of one.

    Raises:
        ConfigError, HydraException, OmegaConfBaseException: the configuration is wrong.
    """
    overrides = [argument for argument in arguments if argument not in ("-m", "--multirun")]
    if unknown := [text for text in overrides if text.startswith("-")]:
        raise ConfigError(f"--dry-run: does not go with {unknown[0]}")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        hydra = loader.load_configuration(
            "config", overrides=overrides, run_mode=RunMode.MULTIRUN, validate_sweep_overrides=False
        ).hydra
        is_sweep = len(overrides) < len(arguments) or hydra.mode == RunMode.MULTIRUN
        task = [text for text in overrides if not key_of(text).startswith("hydra")]
        if not is_sweep:
            job = single(loader, task)
            check_launcher(job.config, hydra.launcher._target_, is_swept=False)
            return Sweep([job])
        if hydra.sweeper._target_ != NAME:
            raise ConfigError("--dry-run: knows the jobs of hydra/sweeper=seed_by_seed only")
        return sweep_asked_for(loader, hydra, task)


def _print(sweep: Sweep) -> None:
    console = Console(width=max(Console().width, 120))
    arms: dict[tuple[str, ...], list[Job]] = {}
    for job in sweep.jobs:
        arms.setdefault(job.arm, []).append(job)
    shared = set.intersection(*map(set, arms))
    table = Table(box=None, pad_edge=False)
    for name in ("arm", "runs", "seeds", "utilisation", "requests a run"):
        table.add_column(name, justify="left" if name in ("arm", "seeds") else "right")
    for arm, jobs in list(arms.items())[:MOST_ARMS]:
        load = expected_load(jobs[0].config)
        name = " ".join(text for text in arm if text not in shared) or " ".join(arm)
        seeds = [job.config.seed for job in jobs]
        table.add_row(name, str(len(jobs)), _seeds(seeds), _utilisation(load), f"{load.requests:,.0f}")
    console.print(table)
    if len(arms) > MOST_ARMS:
        console.print(f"... and {len(arms) - MOST_ARMS} more", highlight=False)
    for text in [*sweep.notes, *_totals(sweep, len(arms))]:
        console.print(text, highlight=False, markup=False, soft_wrap=True)


def _totals(sweep: Sweep, arms: int) -> list[str]:
    jobs = sweep.jobs
    load_s = sum(job.config.workload.duration_s for job in jobs)
    requests = sum(expected_load(job.config).requests for job in jobs)
    is_simulated = engine_of(jobs[0].config).is_virtual
    at_once = min(os.cpu_count() or 1, len(jobs)) if sweep.is_parallel else 1
    if is_simulated:
        once_s, a_job_s = (SWEEP_OVERHEAD_S, SWEPT_OVERHEAD_S) if len(jobs) > 1 else (0.0, SIMULATED_OVERHEAD_S)
        wall_s = once_s + (len(jobs) * a_job_s + requests / SIMULATED_RPS) / at_once
        how = f"{a_job_s:g} s a job and {SIMULATED_RPS:,} requests a second assumed"
        if at_once > 1:
            how += f", {at_once} jobs at a time"
    else:
        wall_s = load_s + len(jobs) * LIVE_OVERHEAD_S
        how = f"{LIVE_OVERHEAD_S:g} s a job besides its load assumed"
    virtual = " (virtual)" if is_simulated else ""
    lines = [
        f"{len(jobs):,} {'run' if len(jobs) == 1 else 'runs'}, about {requests:,.0f} requests, "
        f"{_minutes(load_s)} of load{virtual}; about {_minutes(wall_s)} in all ({how})"
    ]
    if sweep.repetition is not None:
        from analysis.comparison.sequential import planned_looks

        looks = " and ".join(str(look) for look in planned_looks(sweep.repetition.most))
        lines.append(
            f"at most: it ends after {looks} pairs, at the first of them where every interval lies within a factor "
            f"{1 + sweep.repetition.until:g}"
        )
    if sweep.earlier:
        lines.append(f"measured before: {len(sweep.earlier)} runs, {len(sweep.earlier) // arms} pairs an arm")
    return [*lines, "nothing was started (--dry-run)"]


def _utilisation(load: Load) -> str:
    if load.utilisation is None or load.peak is None:
        return "-"
    varies = not math.isclose(load.peak, load.utilisation, rel_tol=0.02)
    return f"{load.utilisation:.2f}" + (f" (peak {load.peak:.2f})" if varies else "")


def _seeds(seeds: list[int]) -> str:
    """`1-5` where they count on, else the first few."""
    if len(seeds) > 2 and seeds == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]}-{seeds[-1]}"
    return ", ".join(map(str, seeds[:5])) + (", ..." if len(seeds) > 5 else "")


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds < 600 else f"{seconds / 60:.0f} min"
