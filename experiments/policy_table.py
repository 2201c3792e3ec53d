"""Every policy under every fault, simulated, beside the floor: `python -m experiments.policy_table` (a minute or two).

Four replicas of two slots, exponential demands of 50 ms, 90 requests a second for 23 s, one replica at fault from 8 to
18 s, or speeds that differ. Of the requests of the fault phase (without a fault: of all after 3 s) the p50 and p99 are
put beside the floor's (analysis/metrics/floor.py) on the same schedule. A request that was not served ranks last.
"""

import argparse
import math
import statistics
import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import yaml

from analysis.metrics.capacity import Course, under
from analysis.metrics.floor import ideal_s
from experiments.plan.config import Config, DelaysConfig, EngineConfig, LoadConfig, RouterConfig
from experiments.plan.delays import Delay, StartUp
from experiments.plan.fault_plan import Fault
from experiments.plan.installed import CONF
from experiments.plan.schedule import build_schedule
from experiments.plan.tiers import ReplicaConfig
from experiments.plan.workload import DemandSettings, WorkloadSettings
from experiments.simulator.request import OK
from experiments.simulator.stack import simulate
from record.landed import LandedFault
from services.router.policies import POLICIES

SLOTS, REPLICAS, RATE_RPS, MEAN_MS = 2, 4, 90.0, 50.0
DURATION_S, WARMUP_S, AT_S, FOR_S = 23.0, 3.0, 8.0, 10.0
TIMEOUT_S = LoadConfig().timeout_s


def _delays() -> DelaysConfig:
    """Those of `engine=sim`."""
    known = yaml.safe_load((CONF / "engine" / "sim.yaml").read_text(encoding="utf-8"))["delays"]
    ways = {name: Delay(**known[name]) for name in ("client", "router", "replica")}
    return DelaysConfig(**ways, startup=StartUp(**known["startup"]))


DELAYS = _delays()
WAY_S = DELAYS.client.median_s + DELAYS.router.median_s + DELAYS.replica.median_s
IDS = [f"r{number}" for number in range(1, REPLICAS + 1)]
FAULTY, FACTOR = "r2", 10.0


class Case(NamedTuple):
    """What happens."""

    action: str | None = None
    """The fault on one replica, of a factor of ten where it has one."""
    speeds: tuple[float, ...] = (1.0,) * REPLICAS
    rate_rps: float = RATE_RPS
    is_told: bool = False
    """Whether the replicas' weights say their speeds."""

    @property
    def fault(self) -> Fault | None:
        """What is done to `FAULTY`, None = nothing."""
        if self.action is None:
            return None
        factor = FACTOR if self.action == "slow" else None
        return Fault(at_s=AT_S, action=self.action, target=FAULTY, for_s=FOR_S, factor=factor)


CASES = {
    "steady": Case(),
    "gray failure": Case("slow"),
    "hang": Case("pause"),
    "blackhole": Case("hang"),
    "kill": Case("kill"),
    "failing fast": Case("error"),
    "speeds 1, 1, 0.5, 0.25": Case(speeds=(1.0, 1.0, 0.5, 0.25)),
}


class Found(NamedTuple):
    """Of one run; latencies in seconds, infinite where the quantile was not served."""

    p50_s: float
    p99_s: float
    floor_p99_s: float
    lost: int


def course(speed: float, fault: Fault | None) -> Course:
    """What a replica can do in the run, where a fault is done to it (None: none)."""
    end_s = AT_S + FOR_S
    done = [LandedFault(0, fault.action, FAULTY, AT_S, end_s, fault.full_parameters)] if fault is not None else []
    return under(speed, done, DURATION_S, end_s + DELAYS.startup.median_s)


def measured(policy: str, case: Case, seed: int) -> Found:
    """Simulate one run, and its floor."""
    fault = case.fault
    faults = [fault] if fault is not None else []
    config = Config(
        seed=seed,
        replicas=REPLICAS,
        replica=ReplicaConfig(SLOTS, speeds=list(case.speeds), weights=list(case.speeds) if case.is_told else []),
        workload=WorkloadSettings(
            rate_rps=case.rate_rps, duration_s=DURATION_S, warmup_s=WARMUP_S, demand=DemandSettings(mean_ms=MEAN_MS)
        ),
        router=RouterConfig(),
        policy={"name": policy},
        scaler={"name": "none"},
        engine=EngineConfig("sim", delays=DELAYS),
    )
    schedule = build_schedule(config.workload, seed)
    stack = simulate(config, schedule, faults)
    at_s = schedule["scheduled_s"].to_numpy()
    asked = (at_s >= AT_S) & (at_s < AT_S + FOR_S) if faults else at_s >= WARMUP_S
    served = np.frombuffer(stack.records.outcome, dtype=np.int8) == OK
    latency_s = np.where(served, stack.load.sojourn_s(), np.inf)
    courses = [course(speed, fault if id_ == FAULTY else None) for id_, speed in zip(IDS, case.speeds, strict=True)]
    least_s = WAY_S + ideal_s(at_s, schedule["demand_s"].to_numpy(), courses, SLOTS, TIMEOUT_S)
    quantiles = [float(np.quantile(latency_s[asked], q, method="inverted_cdf")) for q in (0.5, 0.99)]
    floor = float(np.quantile(least_s[asked], 0.99, method="inverted_cdf"))
    return Found(quantiles[0], quantiles[1], floor, int((~served).sum()))


def geometric_mean(values: Sequence[float]) -> float:
    """Of positive numbers; one that is infinite makes it so."""
    return math.exp(statistics.fmean(map(math.log, values)))


def cell(runs: Sequence[Found]) -> str:
    """The median p50, the geometric mean of p99 over the floor's, its largest, and what was lost."""
    ratios = [run.p99_s / run.floor_p99_s for run in runs]
    lost = sum(run.lost for run in runs)
    text = f"{statistics.median(run.p50_s for run in runs) * 1e3:.0f}; {geometric_mean(ratios):.2f} ({max(ratios):.2f})"
    return f"{text}; lost {lost}" if lost else text


def main(arguments: list[str] | None = None) -> int:
    """Print the table; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.policy_table", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--seeds", type=int, default=20, help="runs of each (default 20)")
    parser.add_argument("--first", type=int, default=1, help="the first seed (default 1)")
    parser.add_argument("--policy", nargs="+", default=list(POLICIES.usable()), metavar="NAME", help="default: all")
    parser.add_argument("--rate", type=float, default=RATE_RPS, help=f"requests a second (default {RATE_RPS:g})")
    parser.add_argument("--told", action="store_true", help="the replicas' weights say their speeds")
    chosen = parser.parse_args(arguments)
    if not 1 <= chosen.rate <= 1000:
        parser.error("--rate: between 1 and 1000")
    if chosen.seeds < 1 or chosen.first < 0:
        parser.error("--seeds: at least 1; --first: at least 0")
    for name in chosen.policy:
        try:
            POLICIES.find(name)
        except ValueError as error:
            parser.error(str(error))
    seeds = range(chosen.first, chosen.first + chosen.seeds)
    print(f"p50, ms; p99 as a multiple of the floor's, geometric mean of {len(seeds)} runs (largest)\n")
    cases = {name: case._replace(rate_rps=chosen.rate, is_told=chosen.told) for name, case in CASES.items()}
    print("| | " + " | ".join(cases) + " |\n|" + "---|" * (len(cases) + 1))
    for name in chosen.policy:
        cells = [cell([measured(name, case, seed) for seed in seeds]) for case in cases.values()]
        print(f"| `{name}` | " + " | ".join(cells) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
