"""Looks at a growing sweep: planned ahead, and all together no more often wrong than one."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.comparison.sequential import levels, look, planned_looks, spent
from analysis.comparison.statistics import paired


def chance_of_any(fractions, found):
    """That normal increments are beyond a level's bound at any look, by scipy's integral over all looks at once."""
    bounds = stats.norm.isf(np.array(found) / 2)
    t = np.array(fractions)
    correlation = np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t))
    within = stats.multivariate_normal(cov=correlation).cdf(bounds, lower_limit=-bounds, rng=np.random.default_rng(1))
    return 1 - float(within)


@pytest.mark.parametrize("fractions", [[0.3, 0.6, 1.0], [0.3, 0.35, 0.9], [0.75, 1.0], [0.05], [0.2, 0.4, 0.6, 0.8, 1]])
def test_all_looks_together_err_with_what_the_spending_function_allows(fractions):
    assert chance_of_any(fractions, levels(fractions)) == pytest.approx(spent(fractions[-1]), abs=2e-4)
    assert spent(1.0) == pytest.approx(0.05)


def test_a_single_look_at_the_budget_has_the_whole_level():
    assert levels([1.0]) == pytest.approx([0.05])


@pytest.mark.parametrize(("most", "looks"), [(20, (8, 20)), (10, (4, 10)), (4, (3, 4)), (3, (3,)), (11, (5, 11))])
def test_the_looks_follow_from_the_budget_alone_and_end_with_it(most, looks):
    assert planned_looks(most) == looks


@pytest.mark.parametrize("most", [10, 20, 50])
def test_no_interval_at_a_planned_look_is_of_98_percent_or_more(most):
    found = [look(pairs, most) for pairs in planned_looks(most)]
    assert [f.number for f in found] == [1, 2]
    assert all(0.02 < f.level < 0.05 for f in found)


def test_a_sweep_that_was_broken_off_is_judged_more_strictly_than_at_a_planned_look():
    broken = look(9, 20)
    assert broken.number is None
    assert broken.level < look(8, 20).level
    assert look(25, 20).level == look(20, 20).level


def test_students_intervals_of_all_looks_hold_together():
    # The levels are those of normal increments; here the spread is not known, but estimated from few pairs.
    rng = np.random.default_rng(5)
    trials, truth, plan = 2000, 0.1, [(n, look(n, 20).level) for n in planned_looks(20)]
    held = 0
    for _ in range(trials):
        differences = rng.normal(truth, 0.2, 20)
        intervals = [paired(differences[:n].tolist()).interval(level) for n, level in plan]
        held += all(low <= truth <= high for low, high in intervals)
    assert held / trials == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / trials))
