"""Scalers on two axes, what they cost and what they break, and those that none is better than in both.

Cost is the replica-seconds that an arm paid, over those of the best schedule that hindsight allows, of the same seed.
Broken promises are the share of the window's seconds outside the service level objective. On the front (Pareto's) is an
arm where no other one has less of one and no more of the other, by the means that were seen: where intervals overlap it
may be another one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.comparison.arms import Measured, by_values
from analysis.comparison.statistics import Interval, geometric_interval, mean_interval, paired
from analysis.scaling.elasticity import elastic_speed_up
from record.metrics import Metrics, value_of

OF_SPEED_UP = (
    "under_provisioning_accuracy", "over_provisioning_accuracy", "under_provisioned_share", "over_provisioned_share",
)  # fmt: skip


@dataclass(frozen=True)
class Point:
    """An arm."""

    arm: str
    cost: Interval
    """Times hindsight's replica-seconds."""
    broken: Interval
    """Share of the seconds outside the objective."""
    is_on_front: bool
    speed_up: float | None
    """Elastic, over the first arm; None = not identified: one of the numbers that it is made of is 0 or unknown."""
    has_own_hindsight: bool
    """Whether its runs know one: a demand, and how long a start takes; else it is held against the other arms'."""


@dataclass(frozen=True)
class Front:
    """All of them."""

    points: Sequence[Point]
    """In the order of the arms."""
    hindsight_broken: float
    """The share of the seconds that hindsight leaves with less than is needed, as it is cheaper so; mean over seeds."""


def names_of(front: Front) -> dict[str, str]:
    """What each arm is called in a picture: where all differ in one key, by its value alone."""
    return by_values(point.arm for point in front.points) or {point.arm: point.arm for point in front.points}


def front_of(arms: Mapping[str, Sequence[Measured]]) -> Front | None:
    """The arms that can be placed; None where there are not two of them.

    Args:
        arms: their runs, in the order of the arms.
    """
    of_seed: dict[object, tuple[float, float]] = {}
    for runs in arms.values():
        for one in runs:
            paid, short = (
                one.metrics.get("hindsight_replica_seconds"), one.metrics.get("hindsight_under_provisioned_share")
            )  # fmt: skip
            if paid and short is not None:
                of_seed.setdefault(one.run.manifest.get("seed"), (paid, short))
    placed = {arm: both for arm, runs in arms.items() if (both := _place(runs, of_seed)) is not None}
    if len(placed) < 2:
        return None
    means = {arm: (cost.mean or 0.0, broken.mean or 0.0) for arm, (cost, broken) in placed.items()}
    reference = _of_speed_up([one.metrics for one in next(iter(arms.values()))])
    points = [
        Point(
            arm,
            cost,
            broken,
            not any(_beats(other, means[arm]) for other in means.values()),
            elastic_speed_up(reference, _of_speed_up([one.metrics for one in arms[arm]])),
            all(one.metrics.get("hindsight_replica_seconds") is not None for one in arms[arm]),
        )
        for arm, (cost, broken) in placed.items()
    ]
    return Front(points, sum(short for _, short in of_seed.values()) / len(of_seed))


def _place(runs: Sequence[Measured], of_seed: Mapping[object, tuple[float, float]]) -> tuple[Interval, Interval] | None:
    """Where an arm is; None where one of its runs lacks a number."""
    costs, broken = [], []
    for one in runs:
        best = one.metrics.get("hindsight_replica_seconds")
        best = best or of_seed.get(one.run.manifest.get("seed"), (None,))[0]
        paid, share = one.metrics.get("paid_replica_seconds"), one.metrics.get("slo_violation_share")
        if not best or not paid or share is None:
            return None
        costs.append(paid / best)
        broken.append(share)
    return (geometric_interval(costs), mean_interval(paired(broken), most=1.0)) if costs else None


def _beats(first: tuple[float, float], second: tuple[float, float]) -> bool:
    """Whether it has less of one and no more of the other."""
    return first != second and first[0] <= second[0] and first[1] <= second[1]


def _of_speed_up(runs: Sequence[Metrics]) -> tuple[float, ...]:
    """Means over the runs of what the speed-up is made of; empty where one lacks a number."""
    means = []
    for key in OF_SPEED_UP:
        values = [value_of(metrics, key) if key in metrics else None for metrics in runs]
        known = [value for value in values if value is not None]
        if not known or len(known) < len(values):
            return ()
        means.append(sum(known) / len(known))
    return tuple(means)
