"""What would have been: arms over a fitted fleet, each played with the log's own requests, again and again.

The requests come when they came and ask for what they asked for. What the log leaves open, the fleet's speeds and
slots, is drawn anew for every play, as are the policies' own draws; all arms of one play have the same. An effect is
the ratio of an arm's metric to the reference's within a play, and its interval that of Student's t for one more play:
the fit's uncertainty stays in it, however many plays there are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.comparison.statistics import Verdict, judge
from analysis.distributions.student import student_quantile
from analysis.fitting.demand import SHARE
from analysis.fitting.inversion import Floats
from experiments.fitting.kept import Kept
from experiments.plan.config import Config
from experiments.plan.resolve import Plan
from experiments.simulator.request import OK
from experiments.simulator.stack import simulate
from record.latency import QUANTILES, quantiles

METRICS = {name: QUANTILES[name] for name in ("p50", "p90", "p99")}
PLAYS, SEED = 20, 17
MOST = 20_000
"""Requests of the log that are played: its busiest stretch of so many."""


@dataclass(frozen=True)
class Arm:
    """One of the alternatives."""

    label: str
    plan: Plan
    has_own_slots: bool
    """Whether `replica.concurrency` was typed; else it is what the log leaves open."""
    has_own_speeds: bool


@dataclass(frozen=True)
class Span:
    """A value with its interval; infinite where it lies among requests that failed."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Supposed:
    """What an arm came to."""

    label: str
    latency_ms: dict[str, Span]
    failed_share: Span
    p99_ratio: Span | None
    """To the reference; None for the reference itself, and where it is not identified."""
    failed_more: Span | None
    verdict: Verdict | None
    utilisation: float
    """Work that was asked for over what all slots can do."""
    objective_ms: float

    @property
    def holds(self) -> str:
        """Whether p99 stays below the objective: `yes`, `no`, or `open`."""
        p99 = self.latency_ms["p99"]
        return "yes" if p99.high <= self.objective_ms else "no" if p99.low > self.objective_ms else "open"


def busiest(trace: pd.DataFrame) -> pd.DataFrame:
    """The stretch of `MOST` requests that asks for most work a second."""
    if len(trace) <= MOST:
        return trace
    at_s = trace["scheduled_s"].to_numpy()
    work = np.concatenate([[0.0], np.cumsum(trace["demand_s"].to_numpy())])
    lasted_s = np.maximum(at_s[MOST - 1 :] - at_s[: len(at_s) - MOST + 1], 1e-9)
    begin = int(((work[MOST:] - work[:-MOST]) / lasted_s).argmax())
    return trace.iloc[begin : begin + MOST]


def schedule_of(trace: pd.DataFrame) -> pd.DataFrame:
    """A trace as the simulator takes it."""
    at_s = trace["scheduled_s"].to_numpy()
    schedule = pd.DataFrame(
        {
            "request_id": np.arange(len(trace), dtype=np.int64),
            "scheduled_s": at_s - at_s[0],
            "demand_s": trace["demand_s"].to_numpy(),
            "key": trace["key"].astype(str).to_numpy(dtype=object) if "key" in trace else "k",
        }
    )
    if "method" in trace:
        schedule["method"] = trace["method"].astype(str).to_numpy(dtype=object)
    return schedule


def played(arms: Sequence[Arm], kept: Kept, trace: pd.DataFrame, plays: int, seed: int) -> list[Floats]:
    """Play all arms; of each the `METRICS`, ms, and the share that failed, play by play.

    Shape (plays, len(METRICS) + 1) each; infinite where a quantile lies among the failed.

    Args:
        arms: the reference first.
        kept: what the fit left.
        trace: what was asked: `scheduled_s`, `demand_s`, and where known `key` and `method`.
        plays: of every arm, at least two.
        seed: of every draw.
    """
    schedule = schedule_of(trace)
    found: list[list[list[float]]] = [[] for _ in arms]
    for number in range(plays):
        rng = np.random.default_rng([seed, number])
        speeds = kept.drawn[int(rng.integers(len(kept.drawn)))]
        slots = kept.slots[number % len(kept.slots)]
        for arm, values in zip(arms, found, strict=True):
            config = _drawn(arm, kept, slots, speeds, seed + number)
            stack = simulate(config, schedule, arm.plan.faults)
            served = np.frombuffer(stack.records.outcome, dtype=np.int8) == OK
            lasted_ms = np.where(served, stack.load.sojourn_s() * 1e3, np.inf)
            values.append([*quantiles(lasted_ms, METRICS.values()), float((~served).mean())])
    return [np.array(values) for values in found]


def suppose(arms: Sequence[Arm], kept: Kept, trace: pd.DataFrame, plays: int, seed: int) -> list[Supposed]:
    """What each arm comes to, beside the first one; arguments as for `played`."""
    columns = played(arms, kept, trace, plays, seed)
    schedule = schedule_of(trace)
    work = float(schedule["demand_s"].sum()) / max(1e-9, float(schedule["scheduled_s"].iloc[-1]))
    return [
        _supposed(arm, values, None if arm is arms[0] else columns[0], work)
        for arm, values in zip(arms, columns, strict=True)
    ]


def _drawn(arm: Arm, kept: Kept, slots: int, speeds: Floats, seed: int) -> Config:
    config = arm.plan.config
    replica = config.replica
    if not arm.has_own_slots:
        replica = replace(replica, concurrency=slots)
    if not arm.has_own_speeds:
        replica = replace(replica, speeds=kept.speeds_for(config.replicas, speeds))
    return replace(config, seed=seed, replica=replica)


def _supposed(arm: Arm, values: Floats, reference: Floats | None, work: float) -> Supposed:
    config = arm.plan.config
    latency = {name: ratio_span(values[:, place]) for place, name in enumerate(METRICS)}
    p99, failed = list(METRICS).index("p99"), len(METRICS)
    speeds = config.replica.speeds or [1.0] * config.replicas
    ratio: Span | None = None
    more: Span | None = None
    verdict: Verdict | None = None
    if reference is not None:
        more = _span(values[:, failed] - reference[:, failed])
        if np.isfinite(values[:, p99]).all() and np.isfinite(reference[:, p99]).all():
            ratio = ratio_span(values[:, p99] / reference[:, p99])
        verdict = _verdict(config, ratio, more)
    return Supposed(
        arm.label,
        latency,
        _span(values[:, failed]),
        ratio,
        more,
        verdict,
        work / (config.replica.concurrency * sum(speeds)),
        config.slo.p99_ms,
    )


def _verdict(config: Config, ratio: Span | None, more: Span) -> Verdict:
    """Lost requests first, as everywhere."""
    share = config.comparison.smallest_share
    losses = judge(more.low, more.high, least=-share, most=share, lower_is_better=True)
    if losses in ("better", "worse"):
        return losses
    if ratio is None:
        return "not identified"
    margin = math.log1p(config.comparison.smallest_effect)
    verdict = judge(math.log(ratio.low), math.log(ratio.high), least=-margin, most=margin, lower_is_better=True)
    may_lose = losses == "inconclusive"
    return "inconclusive" if may_lose and verdict in ("better", "equivalent") else verdict


def _span(values: Floats) -> Span:
    """The mean, and where one more value would lie."""
    count = len(values)
    half = student_quantile((1 + SHARE) / 2, count - 1) * float(values.std(ddof=1)) * math.sqrt(1 + 1 / count)
    return Span(float(values.mean()), float(values.mean()) - half, float(values.mean()) + half)


def ratio_span(values: Floats) -> Span:
    """The same of positive numbers, on logarithms; infinite where one is."""
    if not np.isfinite(values).all():
        return Span(math.inf, float(values.min()), math.inf)
    span = _span(np.log(np.maximum(values, 1e-12)))
    return Span(*(math.exp(each) for each in (span.value, span.low, span.high)))
