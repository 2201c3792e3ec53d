"""SPEC's elasticity metrics: how supply followed demand, each both ways. Pure.

Herbst et al., Ready for Rain? A View from SPEC Research on the Future of Cloud Metrics, SPEC-RG-2016-01, section 3,
after Herbst, Kounev and Reussner, Elasticity in Cloud Computing: What It Is, and What It Is Not, ICAC 2013. The second
normalisation of accuracy and the two instabilities are those of Ilyushkin et al., An Experimental Performance
Evaluation of Autoscalers for Complex Workflows, ACM ToMPECS 3(2), 2018. Where the texts leave something open, it is as
their authors computed it (the tools BUNGEE and JoyGraph).

Demand d and supply s are the replicas that are needed and that there are, one pair a row; w is a row's length, T the
sum of all. Shares are of 1, where the papers have percent.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Seconds = NDArray[np.float64]
MINUTE_S = 60.0


@dataclass(frozen=True)
class Elasticity:
    """How a supply followed a demand; 0 is best in all, of the jitter it is as many changes as the demand's."""

    under_accuracy: float
    """theta_U by demand: sum w max(d - s, 0) / d over T. What is missing, in parts of what is needed."""
    over_accuracy: float
    """theta_O by demand: sum w max(s - d, 0) / d over T. A row that needs nothing counts as one that needs 1."""
    under_resource_share: float
    """a_U, by time and resources: sum w max(d - s, 0) over T R, where R is the most replicas that there may be."""
    over_resource_share: float
    """a_O, likewise."""
    under_share: float
    """tau_U: the share of the time with less than is needed."""
    over_share: float
    """tau_O: with more."""
    jitter_per_min: float
    """Replicas that the supply changed by, less those that the demand did, a minute: above 0 it swings, below it is
    sluggish. A change by two counts two, as in BUNGEE."""
    instability_up_share: float
    """k: the share of the time in which the supply rises more than the demand, or falls less, by the signs of both
    changes: from the second row on, of each row against the one before."""
    instability_down_share: float
    """k': in which it rises less, or falls more."""


def elasticity(demanded: Counts, ready: Counts, width_s: Seconds, most: int) -> Elasticity:
    """All of it.

    Args:
        demanded: replicas that are needed, shape (n,), n > 0.
        ready: replicas that there are, shape (n,).
        width_s: seconds that each row lasts, above 0, shape (n,).
        most: the most replicas that there may be, R.
    """
    missing, spare = np.maximum(demanded - ready, 0), np.maximum(ready - demanded, 0)
    needed = np.maximum(demanded, 1)
    total_s = float(width_s.sum())

    def share(values: NDArray[np.number]) -> float:
        return float((values * width_s).sum() / total_s)

    moved = np.abs(np.diff(ready)).sum() - np.abs(np.diff(demanded)).sum()
    apart = np.sign(np.diff(ready)) - np.sign(np.diff(demanded))
    later_s = width_s[1:]
    changing_s = float(later_s.sum())
    return Elasticity(
        under_accuracy=share(missing / needed),
        over_accuracy=share(spare / needed),
        under_resource_share=share(missing) / most,
        over_resource_share=share(spare) / most,
        under_share=share(missing > 0),
        over_share=share(spare > 0),
        jitter_per_min=float(moved) / total_s * MINUTE_S,
        instability_up_share=float(later_s[apart > 0].sum()) / changing_s if changing_s else 0.0,
        instability_down_share=float(later_s[apart < 0].sum()) / changing_s if changing_s else 0.0,
    )


def elastic_speed_up(baseline: Sequence[float], scaler: Sequence[float]) -> float | None:
    """How many times better a scaler is than a baseline: the geometric mean of baseline / scaler.

    SPEC's elastic speed-up, with equal weights, of theta_U, theta_O, tau_U and tau_O (both normalised alike).

    Args:
        baseline: the metrics of the baseline.
        scaler: the same of the scaler.

    Returns:
        Above 1 = better; None where one of the numbers is 0, which has no ratio, or missing.
    """
    if not baseline or len(baseline) != len(scaler) or min(*baseline, *scaler) <= 0:
        return None
    logs = [math.log(base / own) for base, own in zip(baseline, scaler, strict=True)]
    return math.exp(sum(logs) / len(logs))
