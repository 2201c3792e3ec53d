"""What people found wrong with other balancers, where the right outcome is a number."""

from collections import Counter
from itertools import groupby

import pytest

from tests.services.router.test_policies import create, fleet, picks


@pytest.mark.parametrize(("hosts", "choices", "share"), [(4, 2, 0.50), (4, 3, 0.75), (30, 20, 2 / 3), (30, 30, 1.0)])
def test_the_least_loaded_is_among_those_drawn_as_often_as_draws_differ(hosts, choices, share):
    """envoy #20420: its draws may repeat, which makes 0.44, 0.57, 0.49 and 0.63 of these."""
    candidates = fleet(*[1] * hosts)
    for number, candidate in enumerate(candidates):
        candidate.in_flight = number
    counts = Counter(picks(create("least_request", choices=choices), candidates, 6000))
    assert counts["r1"] / 6000 == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize(("light", "longest"), [(25, 9), (66, 5)])
def test_a_light_replica_has_its_turns_evenly(light, longest):
    """lua-resty-balancer #44: with weights 100, 100 and 66 the third one gets nothing for a while."""
    chosen = picks(create("round_robin"), fleet(100, 100, light), 4 * (200 + light))
    window = chosen[200 + light :]
    assert Counter(window) == {"r1": 300, "r2": 300, "r3": 3 * light}
    pauses = [len(list(run)) for is_light, run in groupby(window, lambda id_: id_ == "r3") if not is_light]
    assert max(pauses) <= longest


def test_a_fleet_of_weights_5_9_and_11_gets_as_many_of_180():
    """haproxy #1393: each of five is to get 5, of five 9, of ten 11 of 180 requests."""
    weights = [5] * 5 + [9] * 5 + [11] * 10
    counts = Counter(picks(create("round_robin"), fleet(*weights), 1800))
    for number, weight in enumerate(weights, 1):
        assert counts[f"r{number}"] == pytest.approx(10 * weight, abs=1)
