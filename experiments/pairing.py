"""What common random numbers are worth, contrast by contrast: `python -m experiments.pairing [--output FILE.md]`.

Every run is simulated (`engine=sim`, no delays): schedule, policies and queue are those of the live system. An arm is
measured on its own, with the same arrivals and demands as its partner, and with the same arrivals but demands drawn
anew.
"""

import argparse
import functools
import math
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from analysis.comparison.pairing import Spread, spread
from experiments.plan.config import Config, EngineConfig, LoadConfig, RouterConfig
from experiments.plan.schedule import build_schedule
from experiments.plan.tiers import ReplicaConfig
from experiments.plan.workload import WorkloadSettings
from experiments.simulator.stack import simulate
from services.router.settings import TimeoutSettings

LOADS = (0.8, 0.9)
"""Offered work over what the fleet can do at speed 1."""
WARMUP = 0.1
"""Share of a run that is left out: it begins with an empty system."""
NO_TIMEOUT_S = 600.0
QUEUE_LIMIT = 100_000
"""Nobody is turned away: the 99th percentile is that of the waiting."""
ANEW = 1_000_000_007
"""Added to the seed for demands that are not the partner's."""


@dataclass(frozen=True)
class Arm:
    """A fleet behind a policy."""

    policy: str
    choices: int | None = None
    replicas: int = 4
    slots: int = 2
    speed: float = 1.0


ONE = Arm("round_robin", replicas=1, slots=1)
P2C = Arm("least_request", choices=2)
FULL_SCAN = Arm("least_request", choices=0)
ROUND_ROBIN = Arm("round_robin")

CONTRASTS: dict[str, tuple[Arm, Arm]] = {
    "one replica 5 % faster, as it is (1 slot)": (replace(ONE, speed=1.05), ONE),
    "fleet 5 % faster, as it is (4 x 2 slots, P2C)": (replace(P2C, speed=1.05), P2C),
    "P2C, full least-request (4 x 2 slots)": (P2C, FULL_SCAN),
    "round robin, P2C (4 x 2 slots)": (ROUND_ROBIN, P2C),
}
"""By name: the arms A and B of log(p99 A / p99 B)."""


@dataclass(frozen=True)
class Measured:
    """A contrast at a load: log(p99 A / p99 B) over seeds, by what A and B had in common."""

    contrast: str
    load: float
    arrivals: Spread
    both: Spread


def log_p99(arm: Arm, load: float, requests: int, seed: int, *, anew: bool) -> float:
    """The logarithm of the 99th percentile of the latency, in seconds, of one run.

    Args:
        arm: what is measured.
        load: offered work over the capacity of the same fleet at speed 1, below 1.
        requests: expected number of requests, warm-up included.
        seed: of the schedule and of the policy's draws, as in a live run.
        anew: the demands are not those of the seed.
    """
    workload = WorkloadSettings()
    workload.rate_rps = load * arm.replicas * arm.slots / (workload.demand.mean_ms / 1e3)
    workload.duration_s = requests / workload.rate_rps
    schedule = build_schedule(workload, seed)
    if anew:
        # Twice as long, so that it has demands enough.
        other = build_schedule(replace(workload, duration_s=2 * workload.duration_s), seed + ANEW)
        schedule["demand_s"] = other["demand_s"].head(len(schedule))
    options = {} if arm.choices is None else {"choices": arm.choices}
    config = Config(
        seed=seed,
        replicas=arm.replicas,
        replica=ReplicaConfig(arm.slots, QUEUE_LIMIT, [arm.speed] * arm.replicas),
        workload=workload,
        load=LoadConfig(timeout_s=NO_TIMEOUT_S),
        router=RouterConfig(timeouts=TimeoutSettings(attempt_s=NO_TIMEOUT_S, overall_s=NO_TIMEOUT_S)),
        policy={"name": arm.policy, **options},
        scaler={"name": "none"},
        engine=EngineConfig("sim"),
    )
    steady = simulate(config, schedule).load.sojourn_s()[
        schedule["scheduled_s"].to_numpy() >= WARMUP * workload.duration_s
    ]
    return math.log(float(np.quantile(steady, 0.99)))


def _runs_of(seed: int, load: float, requests: int) -> dict[tuple[Arm, bool], float]:
    """Every run that the contrasts need of one seed: arm, and whether its demands are drawn anew."""
    needed = [(a, False) for a, _ in CONTRASTS.values()]
    needed += [(b, anew) for _, b in CONTRASTS.values() for anew in (False, True)]
    return {(arm, anew): log_p99(arm, load, requests, seed, anew=anew) for arm, anew in dict.fromkeys(needed)}


def measure(seeds: int, requests: int) -> list[Measured]:
    """Every contrast at every load, on the seeds 0 to `seeds` - 1; uses every core.

    Raises:
        ValueError: fewer than three seeds.
    """
    rows = []
    with ProcessPoolExecutor() as pool:
        for load in LOADS:
            one = functools.partial(_runs_of, load=load, requests=requests)
            runs = list(_counted(pool.map(one, range(seeds)), f"load {load:g}", seeds))
            for name, (a, b) in CONTRASTS.items():
                first = [run[a, False] for run in runs]
                by_anew = {anew: spread(first, [run[b, anew] for run in runs]) for anew in (True, False)}
                rows.append(Measured(name, load, arrivals=by_anew[True], both=by_anew[False]))
    return rows


def _counted(
    runs: Iterable[dict[tuple[Arm, bool], float]], what: str, seeds: int
) -> Iterable[dict[tuple[Arm, bool], float]]:
    for done, run in enumerate(runs, 1):
        yield run
        sys.stderr.write(f"{what}: {done} of {seeds} seeds{chr(10) if done == seeds else chr(13)}")


def table(measured: list[Measured]) -> str:
    """A Markdown table, a row a contrast and load."""
    lines = [
        "| A, B | load | spread unpaired | same arrivals | same arrivals and demands | ratio, same arrivals "
        "| ratio, same arrivals and demands | runs needed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {m.contrast} | {m.load:g} | {m.both.unpaired:.3f} | {m.arrivals.paired:.3f} | {m.both.paired:.3f} "
        f"| {_interval(m.arrivals)} | {_interval(m.both)} | {_share(m.both)} |"
        for m in measured
    ]
    return "\n".join(lines) + "\n"


def _interval(narrowing: Spread) -> str:
    return f"{narrowing.ratio:.2f} ({narrowing.low:.2f} to {narrowing.high:.2f})"


def _share(narrowing: Spread) -> str:
    """Runs for an interval as narrow, in percent of those that are needed unpaired."""
    low, middle, high = (f"{100 * ratio**2:.0f}" for ratio in (narrowing.low, narrowing.ratio, narrowing.high))
    return f"{middle} % ({low} to {high} %)"


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.pairing", description=(__doc__ or "").split(":")[0])
    parser.add_argument("--seeds", type=int, default=100, help="runs an arm, at least 3 (default 100: a few minutes)")
    parser.add_argument("--requests", type=int, default=20_000, help="requests a run, at least 100 (default 20000)")
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="write the table there, too")
    asked = parser.parse_args(arguments)
    for name, least in (("seeds", 3), ("requests", 100)):
        if getattr(asked, name) < least:
            parser.error(f"--{name}={getattr(asked, name)}: must be at least {least}")
    text = table(measure(asked.seeds, asked.requests))
    sys.stdout.write(text)
    if asked.output is not None:
        asked.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
