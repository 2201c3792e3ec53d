"""Looking at a sweep while it grows: when, and at which level, so that all looks together err no more than one. Pure.

A level is a two-sided p below which a difference counts as real; intervals are of 1 - level. Every further look at
growing data is a further chance to err, so the looks are planned and share the error rate between them. The intervals
of all looks then hold together, by whatever rule the sweep ends (Jennison and Turnbull, Interim analyses: the repeated
confidence interval approach, J. Royal Statistical Society B 51, 1989).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from analysis.comparison.statistics import ALPHA
from analysis.distributions.normal import normal_tail, normal_tails
from analysis.distributions.roots import root

LOOKS = (4, 10)
"""Planned looks in tenths of the budget. An interval at a look covers with 1 - level, and the more looks there are, the
lower are their levels: with three about 2 %, with six 1 to 1.8 %, so that what calls itself a 95 % interval covers in
98 to 98.6 % of the sweeps. On the simulated queues of `analysis.calibration`, over wanted widths of 3 to 60 %, two
looks use 15.2 of 20 pairs, three (6, 12, 20) 14.3 and six (4, 6, 8, 11, 15, 20) 13.7: further looks save little."""
LEAST_PAIRS = 3
"""No look comes before so many pairs, which show hardly any spread."""
EXTRA = 0.01
"""Error that all extensions of a sweep that had ended may add to the one that its end had spent whole: the first half
of it, the second a quarter, and so on. An extension judged at 5 % again would add 3.3 %, five of them 11 %."""
NODES = 64
"""Of the Gauss-Legendre quadrature; 128 change no level by more than 1e-9."""


@dataclass(frozen=True, slots=True)
class Look:
    """Where a sweep stands between its first pair and its budget."""

    pairs: int
    """Measured so far, those with an invalid run included."""
    number: int | None
    """Which planned look it is, from 1; None = none of them, as the sweep was broken off."""
    planned: int
    """How many there are."""
    level: float
    """The level of its verdict; its interval is of 1 - level."""
    ended_at: tuple[int, ...] = ()
    """Pairs at which the sweep had ended before it was extended to what there is now."""


def planned_looks(most: int) -> tuple[int, ...]:
    """The numbers of pairs at which a sweep of at most `most` pairs is looked at, ascending; the last is `most`."""
    return tuple(sorted({max(LEAST_PAIRS, -(-most * tenths // 10)) for tenths in LOOKS}))


@cache
def look(pairs: int, most: int) -> Look:
    """The look at `pairs` measured pairs (1 or more) of a sweep that was planned for `most`.

    At another number than a planned one, where a sweep was broken off, it counts as one more look after the planned
    ones before it: the spending function allows for looks at any time that the results did not choose.
    """
    planned = planned_looks(most)
    pairs_then = min(pairs, most)
    past = [number for number in planned if number < pairs_then]
    level = levels([number / most for number in (*past, pairs_then)])[-1]
    return Look(pairs, len(past) + 1 if pairs_then in planned else None, len(planned), level)


@cache
def extended(pairs: int, ended_at: tuple[int, ...]) -> Look:
    """The look at a sweep that had ended, with all of its error spent, and then was extended to `pairs` pairs.

    Whoever goes on because the result did not decide has had a chance to err already. What is found now errs with
    at most a further `EXTRA` in all, given that every end before was judged likewise.

    Args:
        pairs: measured by now.
        ended_at: pairs at which it had ended, ascending, each below `pairs`.
    """
    ends = (*ended_at, pairs)
    dues = [ALPHA, *(EXTRA / 2**number for number in range(1, len(ends)))]
    return Look(pairs, None, 0, levels_spending([end / pairs for end in ends], dues)[-1], tuple(ended_at))


def spent(fraction: float, alpha: float = ALPHA) -> float:
    """Error spent at a `fraction` of the budget: alpha log(1 + (e - 1) fraction), the Pocock-type function.

    Lan and DeMets, Discrete sequential boundaries for clinical trials, Biometrika 70 (1983). The O'Brien-Fleming type
    spends next to nothing early: an interval at 8 of 20 pairs would be of 99.8 %, too wide to end a sweep.
    """
    return alpha * math.log1p((math.e - 1) * fraction)


def levels(fractions: Sequence[float], alpha: float = ALPHA) -> list[float]:
    """The level of each planned look, so that the chance of erring at any of them is `alpha`.

    Args:
        fractions: shares of the budget at the looks, ascending, above 0 and at most 1.
        alpha: what is spent at 1.
    """
    so_far = [0.0, *(spent(fraction, alpha) for fraction in fractions)]
    return levels_spending(fractions, np.diff(so_far).tolist())


def levels_spending(fractions: Sequence[float], dues: Sequence[float]) -> list[float]:
    """The level of each look, so that the chance of erring there and at none before is its due.

    The recursion of Armitage, McPherson and Rowe (Repeated significance tests on accumulating data, J. Royal
    Statistical Society A 132, 1969) over the density of a sum of normal increments that no look has stopped. The
    levels go to Student's t with the pairs that there are: the significance level approach (Pocock, Group sequential
    methods, Biometrika 64, 1977; Jennison and Turnbull, Group Sequential Methods, 2000).

    Args:
        fractions: pairs at the looks in any unit, ascending, above 0.
        dues: of each look; their sum is the error of all together.
    """
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    at, mass = np.zeros(1), np.ones(1)  # the sum so far, as points with probabilities
    before, levels = 0.0, []
    for fraction, due in zip(fractions, dues, strict=True):
        sd = math.sqrt(fraction - before)
        bound = root(partial(_excess, at=at, mass=mass, sd=sd, due=due), 0.0, 10.0 * math.sqrt(fraction), within=1e-12)
        levels.append(2 * normal_tail(bound / math.sqrt(fraction)))
        points = bound * nodes
        steps = np.exp(-(((points[:, None] - at) / sd) ** 2) / 2) / (sd * math.sqrt(2 * math.pi))
        at, mass, before = points, bound * weights * (steps @ mass), fraction
    return levels


def _excess(bound: float, at: NDArray[np.float64], mass: NDArray[np.float64], sd: float, due: float) -> float:
    """The chance that a step of `sd` from the points `at` leads beyond +-bound, minus what is `due`."""
    return float(mass @ (normal_tails((bound + at) / sd) + normal_tails((bound - at) / sd))) - due
