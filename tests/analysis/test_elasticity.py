"""SPEC's elasticity metrics and open needs, against worked examples."""

import numpy as np
import pytest

from analysis.scaling.elasticity import elastic_speed_up, elasticity
from analysis.scaling.needs import needs


def course(*stretches):
    """A whole number for each second, from (number, seconds)."""
    return np.concatenate([np.full(seconds, number, np.int64) for number, seconds in stretches])


def seconds_of(counts):
    return np.ones(len(counts))


DEMANDED = course((10, 120))
READY = course((1, 75), (6, 15), (65, 15), (1053, 15))
"""What an HPA with a `Value` of a queue does that takes starting pods for there: 100 requests/s, 10 a pod, looks every 15 s,
starts of 60 s. Pods ready at 75, 90 and 105 s, and 1,043 idle from then on, are upstream's figures
(llm-d/llm-d-autoscaling, pull request 1019, docs/design/hpa-overshoot.md)."""


def test_an_hpa_that_overshoots_comes_out_to_the_digit():
    assert (READY - DEMANDED)[-1] == 1043
    told = elasticity(DEMANDED, READY, seconds_of(READY), most=2000)
    assert told.under_accuracy == pytest.approx((75 * 9 + 15 * 4) / 10 / 120) == pytest.approx(0.6125)
    assert told.over_accuracy == pytest.approx((15 * 55 + 15 * 1043) / 10 / 120) == pytest.approx(13.725)
    assert told.under_resource_share == pytest.approx(735 / (120 * 2000)) == pytest.approx(0.0030625)
    assert told.over_resource_share == pytest.approx(16470 / (120 * 2000)) == pytest.approx(0.068625)
    assert (told.under_share, told.over_share) == (0.75, 0.25)
    assert told.jitter_per_min == pytest.approx(1052 / 2)
    assert told.instability_up_share == pytest.approx(3 / 119)
    assert told.instability_down_share == 0


def test_a_need_is_open_until_enough_are_ready():
    told = needs(DEMANDED, READY, seconds_of(READY))
    assert told.open_s.tolist() == [90.0] and told.is_met.tolist() == [True]


def test_a_supply_that_follows_a_second_late():
    demanded, ready = np.array([2, 4, 4, 2, 2, 2]), np.array([2, 2, 4, 4, 2, 3])
    told = elasticity(demanded, ready, seconds_of(ready), most=4)
    assert told.under_accuracy == pytest.approx(2 / 4 / 6)
    assert told.over_accuracy == pytest.approx((2 / 2 + 1 / 2) / 6)
    assert (told.under_resource_share, told.over_resource_share) == (pytest.approx(2 / 24), pytest.approx(3 / 24))
    assert (told.under_share, told.over_share) == (pytest.approx(1 / 6), pytest.approx(2 / 6))
    assert told.jitter_per_min == pytest.approx((5 - 4) / 6 * 60)
    assert told.instability_up_share == pytest.approx(3 / 5)  # the rise a second late, the fall not followed, the swing
    assert told.instability_down_share == pytest.approx(2 / 5)  # the rise not followed, the fall a second late


def test_a_supply_that_is_the_demand_is_best_in_all():
    demanded = course((1, 5), (3, 5), (2, 5))
    told = elasticity(demanded, demanded, seconds_of(demanded), most=5)
    assert set(vars(told).values()) == {0.0}


def test_rows_count_by_their_length_and_what_needs_nothing_as_one():
    told = elasticity(np.array([0, 2]), np.array([1, 1]), np.array([1.0, 0.5]), most=2)
    assert told.over_accuracy == pytest.approx(1 / 1.5)
    assert told.under_accuracy == pytest.approx(0.5 * 0.5 / 1.5)
    assert told.under_share == pytest.approx(0.5 / 1.5)


def test_one_row_has_no_slope():
    told = elasticity(np.array([2]), np.array([1]), np.array([1.0]), most=2)
    assert told.instability_up_share == told.instability_down_share == 0.0


def test_the_speed_up_is_the_geometric_mean_and_none_of_nothing():
    assert elastic_speed_up((0.4, 0.2, 0.3, 0.6), (0.1, 0.2, 0.3, 0.15)) == pytest.approx(2.0)
    assert elastic_speed_up((0.4, 0.2), (0.0, 0.2)) is None
    assert elastic_speed_up((0.0, 0.2), (0.1, 0.2)) is None


@pytest.mark.parametrize(
    ("demanded", "ready", "open_s", "is_met"),
    [
        ([1, 2, 2, 2], [1, 1, 2, 2], [1.0], [True]),
        ([1, 2, 3, 3], [1, 1, 1, 3], [2.0, 1.0], [True, True]),
        ([1, 2, 1, 1], [1, 1, 1, 1], [1.0], [False]),  # it fell before it was met
        ([1, 2, 2, 2], [1, 1, 1, 1], [3.0], [False]),  # and the end came
        ([2, 2, 3, 3], [1, 2, 3, 3], [1.0, 0.0], [True, True]),  # open at the beginning
        ([2, 1, 2, 1], [2, 2, 2, 1], [0.0], [True]),
        ([3, 2, 1, 1], [3, 3, 3, 1], [], []),
    ],
)
def test_every_rise_of_the_demand(demanded, ready, open_s, is_met):
    told = needs(np.array(demanded), np.array(ready), np.ones(len(demanded)))
    assert told.open_s.tolist() == open_s
    assert told.is_met.tolist() == is_met
