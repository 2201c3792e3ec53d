"""Shares and their differences: intervals that neither equal runs nor few events make too narrow, against known figures."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.comparison.counts import exact_p, share_difference, smallest_p
from analysis.comparison.statistics import paired, share_interval
from analysis.distributions.shares import clopper_pearson, most_of


def test_the_exact_interval_is_that_of_other_programs():
    assert clopper_pearson(10, 20) == pytest.approx((0.2719578, 0.7280422), abs=1e-7)  # R's binom.test
    for events, trials, alpha in ((3, 6000, 0.05), (1, 40, 0.01), (39, 40, 0.1), (0, 10, 0.05), (0, 6000, 0.01), (7, 7, 0.1)):
        reference = stats.binomtest(events, trials).proportion_ci(1 - alpha, method="exact")
        assert clopper_pearson(events, trials, alpha) == pytest.approx((reference.low, reference.high))


@pytest.mark.parametrize("trials", [10, 60])
def test_no_share_is_missed_more_often_than_alpha(trials):
    """Exact coverage, summed over all outcomes. With all of alpha at one end where nothing happened it was 94.4 of 60."""
    intervals = [clopper_pearson(events, trials) for events in range(trials + 1)]
    for share in np.linspace(0.001, 0.999, 999):
        covering = [low <= share <= high for low, high in intervals]
        assert stats.binom.pmf(np.arange(trials + 1), trials, share)[covering].sum() >= 0.95


def test_of_none_the_bound_is_the_rule_of_three():
    """Hanley and Lippman-Hand's own table: none of 10, 30 and 100 leaves up to 26, 10 and 3 % possible."""
    assert [round(100 * most_of(0, trials)) for trials in (10, 30, 100)] == [26, 10, 3]
    assert most_of(0, 3000) == pytest.approx(0.001, rel=0.002) and most_of(2, 2) == most_of(0, 0) == 1.0
    for events, trials in ((1, 60), (2, 40), (5, 6000)):
        reference = stats.binomtest(events, trials, alternative="less").proportion_ci(0.95, method="exact")
        assert most_of(events, trials) == pytest.approx(reference.high)


def test_equal_runs_do_not_make_a_share_certain():
    found = share_interval([0.0005] * 3, 6000)
    assert (found.low, found.high) == (pytest.approx(0.000103, abs=1e-6), pytest.approx(0.00146, abs=1e-5))


def test_runs_that_differ_by_more_than_chance_widen_the_interval():
    even, bursts = share_interval([0.02, 0.02, 0.02], 9000), share_interval([0.0, 0.0, 0.06], 9000)
    assert even.mean == pytest.approx(bursts.mean)
    assert bursts.high - bursts.low > 3 * (even.high - even.low)
    assert bursts.high == pytest.approx(paired([0.0, 0.0, 0.06]).interval()[1])


def test_the_exact_test_is_fishers():
    assert exact_p((1, 3), (4, 4)) == pytest.approx(0.4857, abs=1e-4)  # the lady tasting tea, both sides
    assert exact_p((2, 4), (4000, 4000)) == pytest.approx(0.69, abs=0.005)
    for events, trials in (((3, 12), (500, 700)), ((0, 6), (4000, 4000)), ((90, 60), (3000, 3000))):
        table = [[e, t - e] for e, t in zip(events, trials, strict=True)]
        # Where the two tails are not alike, twice the smaller one is the larger p.
        assert exact_p(events, trials) >= stats.fisher_exact(table).pvalue - 1e-12
    assert exact_p((0, 0), (100, 100)) == 1.0


def test_one_failure_against_two_is_no_difference():
    found = share_difference([(1, 2), (1, 2)], [(2000, 2000)] * 2)
    assert found.p == pytest.approx(0.69, abs=0.005)
    low, high = found.interval()
    assert low < -0.0005 and high > 0.0015
    assert found.mean == pytest.approx(0.0005)


def test_an_interval_excludes_no_difference_only_where_the_exact_test_does():
    for first in range(0, 30, 3):
        for second in range(first, 70, 3):
            found = share_difference([(first, second)], [(4000, 4000)])
            for alpha in (0.05, 0.005):
                low, high = found.interval(alpha)
                if low > 0 or high < 0:
                    assert exact_p((first, second), (4000, 4000)) <= alpha, (first, second, alpha)


@pytest.mark.parametrize(("share", "spread"), [(0.0005, 0.0), (0.005, 0.0), (0.05, 0.0), (0.005, 1.0), (0.05, 1.0)])
@pytest.mark.parametrize("n", [3, 10])
def test_differences_of_equal_shares_are_covered_whether_failures_come_alone_or_in_bursts(share, spread, n):
    rng = np.random.default_rng([n, int(1e5 * share), int(spread)])
    trials, requests, covered = 400, 3000, 0
    for _ in range(trials):
        total = (1 - share) / (share * spread) - 1 if spread else math.inf
        shares = np.full((n, 2), share) if not spread else rng.beta(share * total, (1 - share) * total, (n, 2))
        counts = rng.binomial(requests, shares)
        low, high = share_difference([tuple(row) for row in counts.tolist()], [(requests, requests)] * n).interval()
        covered += low <= 0 <= high
    assert covered / trials >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / trials)


def test_the_smallest_p_is_what_the_most_uneven_split_has():
    assert smallest_p(5, (4000, 4000)) == pytest.approx(exact_p((0, 5), (4000, 4000)))
    assert smallest_p(5, (4000, 4000)) > 0.05 > smallest_p(6, (4000, 4000))
    assert smallest_p(0, (10, 10)) == 1.0
    assert smallest_p(15, (10, 10)) == pytest.approx(exact_p((5, 10), (10, 10)))


def test_no_pair_and_no_trials_are_refused():
    for events, trials in (([], []), ([(0, 0)], [(0, 5)])):
        with pytest.raises(ValueError, match="at least one pair"):
            share_difference(events, trials)
