"""The statistics against known truths: tables, other libraries, and simulated experiments."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.comparison.statistics import (
    Interval,
    geometric_interval,
    holm_levels,
    judge,
    paired,
    share_interval,
)


def test_the_interval_and_p_are_those_of_students_test():
    values = [0.12, -0.03, 0.3, 0.08, 0.21]
    found = paired(values)
    reference = stats.ttest_1samp(values, 0.0)
    assert found.p == pytest.approx(reference.pvalue)
    for level in (0.95, 0.99):
        assert found.interval(1 - level) == pytest.approx(tuple(reference.confidence_interval(level)))


@pytest.mark.parametrize("n", [3, 5, 10, 20])
def test_intervals_of_normal_differences_cover_the_truth_as_often_as_they_say(n):
    rng = np.random.default_rng(n)
    truth, trials = 0.1, 3000
    covered = 0
    for _ in range(trials):
        low, high = paired(rng.normal(truth, 0.2, n)).interval()
        covered += low <= truth <= high
    assert covered / trials == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / trials))


@pytest.mark.parametrize("n", [5, 10, 20])
def test_the_smallest_detectable_effect_is_found_in_four_of_five_experiments(n):
    rng = np.random.default_rng(7 * n)
    effect = (stats.t.ppf(0.975, n - 1) + stats.t.ppf(0.8, n - 1)) / math.sqrt(n)
    assert paired(stats.norm.ppf((np.arange(n) + 0.5) / n)).smallest_detectable() > 0
    found = sum(paired(rng.normal(effect, 1.0, n)).p < 0.05 for _ in range(2000))
    assert found / 2000 == pytest.approx(0.8, abs=0.06)


def test_one_pair_has_no_interval_and_shows_no_effect():
    one = paired([0.4])
    assert one.interval() == (-math.inf, math.inf)
    assert one.smallest_detectable() == math.inf
    assert one.p == 1.0


def test_equal_differences_have_no_spread():
    assert paired([0.0] * 4).p == 1.0
    assert paired([0.1] * 4).p == 0.0
    assert paired([0.1 + 0.2, 0.3, 0.3]).interval() == pytest.approx((0.3, 0.3))


@pytest.mark.parametrize("differences", [[], [0.1, math.nan], [math.inf]])
def test_what_is_no_number_is_refused(differences):
    with pytest.raises(ValueError, match="finite"):
        paired(differences)


def test_holm_judges_each_at_its_step_and_all_from_the_first_failure_on_at_that_ones():
    # 0.01 <= 0.05 / 4 and 0.013 <= 0.05 / 3, but 0.03 > 0.05 / 2; 0.04 is then judged at that level, too.
    assert holm_levels([0.03, 0.01, 0.04, 0.013]) == pytest.approx([0.025, 0.0125, 0.025, 0.05 / 3])
    assert holm_levels([0.2]) == [0.05]
    assert holm_levels([]) == []


def test_a_comparison_that_cannot_find_anything_does_not_cost_the_others_their_level():
    # Two failures in all have a p of 0.5 at least: that test cannot err at 5 % (Tarone, 1990).
    assert holm_levels([0.03, 1.0], smallest=[0.0, 0.5]) == [0.05, 0.05]
    assert holm_levels([0.03, 0.5], smallest=[0.0, 0.0]) == [0.025, 0.025]
    assert holm_levels([0.9, 0.04], smallest=[0.0, 0.03]) == [0.05, 0.025]  # 0.03 cannot be reached at 0.025
    assert holm_levels([0.9, 1.0], smallest=[0.6, 1.0]) == [0.05, 0.05]
    # Six failures in one arm have a p of 0.031: below 0.05, so that such a test may not be judged at 5 % beside others.
    assert holm_levels([0.5] * 10 + [0.031] * 10, smallest=[0.0] * 10 + [0.031] * 10) == [0.005] * 20


def test_a_family_without_any_effect_rarely_gives_a_false_verdict():
    rng = np.random.default_rng(3)
    families, wrong = 1500, 0
    for _ in range(families):
        members = [paired(rng.normal(0, 1, 5).tolist()) for _ in range(6)]
        levels = holm_levels([m.p for m in members])
        wrong += any(m.p <= level for m, level in zip(members, levels, strict=True))
    assert wrong / families < 0.05 + 3 * math.sqrt(0.05 * 0.95 / families)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.3, -0.1, "better"),
        (0.1, 0.3, "worse"),
        (-0.04, 0.04, "equivalent"),
        (-0.04, -0.01, "equivalent"),
        (-0.1, 0.01, "inconclusive"),
        (-math.inf, math.inf, "inconclusive"),
        (-0.3, -0.01, "better"),
    ],
)
def test_a_verdict_follows_from_the_interval_and_the_smallest_effect(low, high, verdict):
    assert judge(low, high, least=-0.05, most=0.05, lower_is_better=True) == verdict
    turned = {"better": "worse", "worse": "better"}
    assert judge(low, high, least=-0.05, most=0.05, lower_is_better=False) == turned.get(verdict, verdict)


def test_the_mean_of_runs_is_geometric_with_students_interval_on_the_logarithm():
    values = [180.0, 240.0, 310.0]
    found = geometric_interval(values)
    low, high = stats.ttest_1samp(np.log(values), 0.0).confidence_interval(0.95)
    assert found.mean == pytest.approx(stats.gmean(values))
    assert (found.low, found.high) == (pytest.approx(math.exp(low)), pytest.approx(math.exp(high)))
    assert found.n == 3


def test_intervals_of_skewed_latencies_cover_the_typical_run_as_often_as_they_say():
    rng = np.random.default_rng(11)
    found = [geometric_interval(rng.lognormal(math.log(200), 0.4, 3).tolist()) for _ in range(2000)]
    covered = sum(interval.low <= 200 <= interval.high for interval in found)
    assert covered / len(found) == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / len(found)))


def test_fewer_than_two_runs_have_no_interval():
    assert geometric_interval([]) == share_interval([], 0) == Interval(None, None, None, 0)
    one = geometric_interval([5.0])
    assert (one.mean, one.low, one.high, one.n) == (pytest.approx(5.0), None, None, 1)
    assert share_interval([0.0], 1000) == Interval(0.0, None, None, 1)


def test_a_value_of_zero_has_no_logarithm_and_is_not_dropped():
    assert geometric_interval([0.0, 5.0, 6.0]) == Interval(None, None, None, 3)


def test_the_interval_of_a_share_is_students_within_0_and_1():
    values = [0.02, 0.05, 0.03]
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    found = share_interval(values, 3000)
    assert (found.mean, found.high) == (pytest.approx(np.mean(values)), pytest.approx(high))
    assert low < 0 == found.low
    assert share_interval([0.9, 1.0], 100).high == 1.0


def test_no_failure_in_any_run_leaves_four_in_all_requests_possible():
    """1 - 0.025^(1 / N): -ln(0.025) = 3.69 of many."""
    none = share_interval([0.0, 0.0, 0.0], 6000)
    assert (none.mean, none.low, none.high, none.n) == (0.0, 0.0, pytest.approx(3.689 / 6000, rel=1e-3), 3)
