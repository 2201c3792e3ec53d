"""How many replicas a rate needs: closed forms of M/M/c, and curves by hand."""

import math

import numpy as np
import pytest

from analysis.distributions.queues import mmc_sojourn_quantile_s
from analysis.scaling.demand import Curve, Objective, UnattainableError, analytic, beyond, replicas_needed

OBJECTIVE = Objective(p99_ms=1000, error_rate=0.01)


def curve(*rates):
    return Curve(rates, "measured", OBJECTIVE)


def test_one_slot_stands_the_rate_of_the_closed_form():
    # M/M/1: P(sojourn > t) = exp(-(mu - lambda) t), so that p99 = ln(100) / (mu - lambda).
    for service_s, limit_ms in ((0.05, 1000), (0.05, 300), (0.001, 50)):
        (rate,) = analytic(Objective(limit_ms, 0.01), [service_s], 1).rates
        assert rate == pytest.approx(1 / service_s - math.log(100) / (limit_ms / 1e3), rel=1e-9)


@pytest.mark.parametrize("slots", [1, 2, 4, 16])
def test_at_the_highest_rate_the_quantile_is_the_objective(slots):
    for count, rate in enumerate(analytic(OBJECTIVE, [0.05] * 12, slots).rates, 1):
        assert mmc_sojourn_quantile_s(0.99, rate, 20.0, count * slots) == pytest.approx(1.0, rel=1e-6)


def test_slots_of_one_replica_are_as_those_of_several():
    assert analytic(OBJECTIVE, [0.05] * 3, 4).rates[0] == pytest.approx(analytic(OBJECTIVE, [0.05] * 4, 1).rates[3])


def test_a_line_that_more_replicas_share_lets_each_of_them_do_more():
    each = [rate / count for count, rate in enumerate(analytic(OBJECTIVE, [0.05] * 20, 1).rates, 1)]
    assert (np.diff(each) > 0).all() and each[-1] < 20.0


def test_faster_replicas_stand_more_and_slow_ones_take_nothing_away():
    fast, slow = analytic(OBJECTIVE, [0.025] * 3, 1).rates, analytic(Objective(500, 0.01), [0.05, 0.05, 5.0], 1).rates
    assert fast[0] == pytest.approx(2 * (20 - math.log(100) / 2), rel=1e-9)
    assert slow[2] == slow[1]


def test_an_objective_below_the_service_itself_is_said_to_be_out_of_reach():
    with pytest.raises(UnattainableError, match=r"1% of the requests take more than 230\.3 ms of service alone"):
        analytic(Objective(200, 0.01), [0.05] * 4, 2)


def test_the_fewest_that_stand_it_are_needed_and_nobody_where_nothing_comes():
    rates = [0.0, 0.1, 10.0, 10.1, 25.0, 25.1, 40.0]
    assert replicas_needed(curve(10.0, 25.0, 40.0), rates).tolist() == [0, 1, 1, 2, 2, 3, 3]


def test_a_number_that_stands_nothing_is_needed_by_no_rate():
    assert replicas_needed(curve(0.0, 10.0), [0.0, 0.1, 10.0, 10.1]).tolist() == [0, 2, 2, 3]


def test_beyond_the_curve_the_last_step_goes_on():
    known = curve(10.0, 25.0, 40.0)
    assert replicas_needed(known, [40.1, 55.0, 55.1, 400.0]).tolist() == [4, 4, 5, 27]
    assert beyond(known, [39.0, 40.0, 40.1]).tolist() == [False, False, True]
    assert replicas_needed(curve(10.0), [10.1, 20.0, 35.0]).tolist() == [2, 2, 4]


def test_where_the_last_replica_added_nothing_no_other_would():
    assert replicas_needed(curve(10.0, 20.0, 20.0), [20.0, 20.1, 1e6]).tolist() == [2, 3, 3]


@pytest.mark.parametrize("rates", [(), (0.0, 0.0), (-1.0, 1.0), (2.0, 1.0), (1.0, math.inf), (math.nan,)])
def test_what_is_no_curve_is_refused(rates):
    with pytest.raises(ValueError):
        Curve(rates, "measured", OBJECTIVE)
