"""The search for the highest rate: what a rate's verdict needs, where the search ends, and how often it is right."""

import math
import random
from dataclasses import astuple

import numpy as np
import pytest

from analysis.metrics.queueing import sojourn_s
from analysis.scaling.demand import Objective, analytic
from analysis.scaling.searching import MOST_RATES, Rule, Search, Spread, Try

OBJECTIVE = Objective(1000, 0.01)


def rule(seeds=5, precision=0.05, objective=OBJECTIVE):
    return Rule(objective, seeds, precision)


def tries(*late, requests=10_000, failed=0.0):
    return [Try(10.0, requests, share, failed) for share in late]


def verdict(late, requests=10_000, failed=0.0, objective=OBJECTIVE):
    """Of a rate alone."""
    search = Search(rule(objective=objective), 10.0, 1.0, {10.0: tries(*late, requests=requests, failed=failed)})
    return search.verdicts()[10.0]


def sought(of, start_rps=30.0, least_rps=0.1, **settings):
    """The search when it has ended, of what `of(rate, number)` says is late."""
    search = Search(rule(**settings), start_rps, least_rps)
    while (wanted := search.next()) is not None:
        search.add(Try(wanted[0], 10_000, of(*wanted), 0.0))
        assert len(search.tries) <= MOST_RATES
    return search


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        ([0.001, 0.002, 0.001, 0.0, 0.003], "meets"),
        ([0.1, 0.2, 0.15, 0.12, 0.18], "fails"),
        ([0.001, 0.03, 0.001, 0.0, 0.003], None),  # one bad run of five says nothing
        ([0.001, 0.002, 0.001, 0.0], None),  # not looked at
    ],
)
def test_a_rate_is_looked_at_when_its_seeds_are_there(late, expected):
    assert verdict(late) == expected


def test_a_rate_whose_runs_differ_too_much_is_undecided_at_last():
    shares = [0.0, 0.02] * 10
    assert [verdict(shares[:count]) for count in (5, 10, 20)] == [None, None, "undecided"]


def test_runs_that_show_nothing_are_no_proof_where_they_are_too_short():
    # Five runs of 20 requests: a share of 1 % shows nothing in a third of them.
    assert verdict([0.0] * 5, requests=20) is None
    assert verdict([0.0] * 5, requests=20_000) == "meets"


def test_requests_below_which_nothing_is_met_are_those_that_the_last_look_needs():
    for objective in (OBJECTIVE, Objective(1000, 0.001)):
        least = rule(objective=objective).least_requests
        enough, short = math.ceil(least / 20), math.floor(least / 20) - 1
        assert verdict([0.0] * 20, requests=enough, objective=objective) == "meets"
        assert verdict([0.0] * 20, requests=short, objective=objective) == "undecided"


def test_who_fails_too_often_fails_though_all_others_are_in_time():
    strict, none = Objective(1000, 0.001), Objective(1000, 0.0)
    assert verdict([0.005] * 5, requests=100_000, failed=0.005, objective=strict) == "fails"
    assert verdict([0.0] * 5, requests=100_000, objective=strict) == "meets"
    assert verdict([0.0001] * 5, requests=100_000, failed=0.0001, objective=none) == "fails"
    assert verdict([0.0001] * 5, requests=100_000, objective=none) == "meets"


def test_how_much_runs_vary_is_known_from_other_rates_than_the_one_that_saw_nothing():
    # Late requests come in clusters of a tenth of a run: of five runs none sees one in half of all cases.
    near = tries(*[0.1, 0.0, 0.0, 0.0, 0.0] * 4)
    search = Search(rule(), 10.0, 1.0, {10.0: tries(*[0.0] * 5), 11.0: near})
    assert search.verdicts()[10.0] is None
    alone = Search(rule(), 10.0, 1.0, {10.0: tries(*[0.0] * 5)})
    assert alone.verdicts()[10.0] == "meets"


def test_a_spread_is_variance_over_mean_of_the_rates_near_what_is_allowed():
    near, above, far = [0.0, 0.02, 0.01, 0.01], [0.05, 0.15], [0.5, 0.9]
    assert astuple(Spread.of([near, above, far], 0.01)) == pytest.approx((2e-4 / 3 / 0.01, 3))
    assert astuple(Spread.of([far, above, [0.0, 0.0]], 0.01)) == (0.0, 0)
    assert Spread.of([[0.0, 0.0]], 0.01) == Spread(0.0, 0)


def test_a_rate_at_which_lines_only_grow_says_nothing_of_one_at_which_they_do_not():
    grown = [Try(30.0, 10_000, late, failed) for late, failed in ((0.9, 0.02), (0.4, 0.0), (0.7, 0.01))]
    search = Search(rule(), 10.0, 1.0, {10.0: tries(*[0.0] * 5), 30.0: grown})
    assert search.verdicts()[10.0] == "meets"


def test_runs_too_short_for_any_rate_to_meet_it_end_the_search():
    rng = random.Random(1)
    search = sought(lambda rate, _: 0.2 if rng.random() < rate / 600 else 0.0)
    assert search.found().rate_rps == 0.0 and search.lacking() > 1
    assert sought(lambda rate, _: 0.0 if rate <= 30.0 else 0.5).lacking() < 1


@pytest.mark.parametrize("start_rps", [0.5, 20.0, 29.9, 31.0, 400.0])
@pytest.mark.parametrize("precision", [0.01, 0.05, 0.3])
def test_a_sharp_limit_is_found_from_wherever_it_is_sought(start_rps, precision):
    found = sought(lambda rate, _: 0.0 if rate <= 30.0 else 0.5, start_rps, precision=precision).found()
    assert found.low_rps <= 30.0 < found.high_rps <= found.low_rps * (1 + precision) * 1.001
    assert found.is_precise and found.low_rps <= found.rate_rps <= found.high_rps


def test_the_rate_between_two_is_where_the_share_crosses_what_is_allowed():
    # Of M/M/1 the share is exp(-(mu - lambda) T), whose logarithm is straight.
    found = sought(lambda rate, _: min(1.0, math.exp(-(40.0 - rate))), precision=0.1).found()
    assert found.rate_rps == pytest.approx(40.0 - math.log(100), rel=1e-6)
    assert found.high_rps > 1.01 * found.low_rps


@pytest.mark.parametrize("least_rps", [5.6919, 5.692, 5.6921, 29.9])
def test_where_no_rate_will_do_none_is_found_and_each_is_tried_once(least_rps):
    search = sought(lambda *_: 0.3, least_rps=least_rps)
    found = search.found()
    assert (found.rate_rps, found.low_rps, found.is_precise) == (0.0, 0.0, False)
    assert {len(tries) for tries in search.tries.values()} == {5}
    assert min(search.tries) == pytest.approx(least_rps, rel=1e-3)


def test_seeds_are_counted_up_rate_by_rate():
    search = Search(rule(), 30.0, 1.0)
    asked = []
    for _ in range(7):
        asked.append(search.next())
        search.add(Try(asked[-1][0], 10_000, 0.0, 0.0))
    assert [number for _, number in asked] == [0, 1, 2, 3, 4, 0, 1]
    assert asked[5][0] == pytest.approx(33.0)


def test_noise_around_the_limit_widens_what_is_known_in_place_of_hiding_it():
    wide = 0
    for seed in range(20):
        rng = random.Random(seed)

        def late(rate, _, rng=rng):
            return min(1.0, min(0.9, 0.01 * math.exp((rate - 30.0) / 3)) * rng.expovariate(1.0) ** 2 / 2)

        found = sought(late).found()
        assert found.low_rps < 30.0 < found.high_rps
        wide += not found.is_precise
    assert wide >= 18


@pytest.mark.slow
def test_the_rates_between_which_it_lies_hold_the_closed_form_of_a_queue():
    """M/M/1, mu = 20, T = 1 s: 15.39. Runs of 400 s after 60 s, each of ten searches with seeds of its own."""
    (exact,) = analytic(OBJECTIVE, [0.05], 1).rates
    held, rates = 0, []
    for sweep in range(10):
        def late(rate, number, first=1000 * sweep):
            rng = np.random.default_rng([first + number, round(1000 * rate)])
            at = np.cumsum(rng.exponential(1 / rate, int(1.2 * 460 * rate)))
            taken = sojourn_s(at, rng.exponential(0.05, len(at)), 1)
            return float((taken[(at >= 60) & (at < 460)] > 1.0).mean())

        found = sought(late, start_rps=exact).found()
        held += found.low_rps <= exact <= found.high_rps
        rates.append(found.rate_rps)
    assert held >= 9
    assert np.mean(rates) == pytest.approx(exact, rel=0.02)
