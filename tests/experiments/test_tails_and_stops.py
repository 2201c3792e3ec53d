"""Latency with a tail and stops again and again: against closed forms, by the replica's own draws and simulated."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from analysis.metrics.capacity import Course
from experiments.plan.config import Config
from experiments.plan.fault_plan import Fault
from experiments.plan.fault_timeline import plan_faults
from services.backend import faults
from tests.analysis.synthetic import healed, injected
from tests.analysis.test_floor import courses_of
from tests.experiments.simulated import configured, run

U = (np.arange(200_000) + 0.5) / 200_000


def spread(**given):
    active = faults.parse({"latency": {"added_ms": 100.0, **given}})["latency"]
    return np.array([faults.added_s(active, u) for u in U])


def test_a_lognormal_tail_has_its_mean_and_its_quantiles():
    added = spread(sigma=1.0)
    assert added.mean() == pytest.approx(0.1, rel=0.005)
    assert np.median(added) == pytest.approx(0.1 * math.exp(-0.5), rel=1e-4)
    assert np.quantile(added, 0.99) == pytest.approx(0.1 * math.exp(NormalDist().inv_cdf(0.99) - 0.5), rel=1e-3)


def test_a_pareto_tail_has_its_mean_and_its_quantiles():
    """Index 2.5 and mean 100 ms: from 60 ms on, and beyond x with probability (60 / x)^2.5."""
    added = spread(tail_index=2.5)
    assert added.min() == pytest.approx(0.06, rel=1e-4) and added.mean() == pytest.approx(0.1, rel=0.005)
    assert (added > 0.12).mean() == pytest.approx(0.5**2.5, abs=1e-4)
    assert np.quantile(added, 0.99) == pytest.approx(0.06 * 0.01 ** (-1 / 2.5), rel=1e-3)


def test_without_a_tail_it_is_always_the_same():
    assert set(spread()) == {0.1}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tail_index": 0.8}, ["tail_index=0.8", "above 1"]),
        ({"sigma": 1.0, "tail_index": 2.0}, ["sigma=1", "tail_index=2", "one of them"]),
        ({"sigma": 4.0}, ["sigma=4", "between 0 and 3"]),
    ],
)
def test_a_tail_that_there_is_not_is_refused_before_the_run_and_by_the_replica(given, words):
    with pytest.raises(ValueError) as caught:
        faults.parse({"latency": given})
    assert all(word in str(caught.value) for word in words)
    with pytest.raises(ValueError, match=r"^faults\[0\]"):
        planned(Fault(at_s=1.0, action="latency", target="r1", **given))


def planned(fault):
    return plan_faults(
        [fault], Config().random_faults, replicas=["r1"], initial=1, has_router=True, has_manager=False, duration_s=60.0,
        warmup_s=0.0, seed=1,
    )  # fmt: skip


def test_stops_that_leave_nothing_between_them_are_refused():
    with pytest.raises(ValueError, match=r"^faults\[0\]\.pause_ms=500: must be less than period_s=0\.5"):
        planned(Fault(at_s=1.0, action="pause", target="r1", period_s=0.5, pause_ms=500.0))


def times_s(fault):
    """Of 4,000 requests of 1 ms, 20 a second, at one replica; nobody checks it."""
    config = configured(0.02, requests=4_000, mean_ms=1.0, distribution="constant", policy={"name": "round_robin"})
    config.router.health.enabled = False
    return run(config, [fault]).load.sojourn_s()


def test_a_simulated_tail_is_the_one_that_was_asked_for():
    added = times_s(Fault(at_s=0.0, action="latency", target="r1", for_s=199.0, added_ms=100.0, tail_index=2.5))
    late = added[added > 0.05] - 0.001
    assert len(late) > 3_800 and late.mean() == pytest.approx(0.1, rel=0.06)
    assert (late > 0.12).mean() == pytest.approx(0.5**2.5, abs=0.02)


def test_stops_cost_requests_what_renewal_theory_says():
    """200 ms of every 1,000: a fifth of the requests are hit, and wait 0.2^2 / 2 / 1 = 20 ms on average."""
    waits = times_s(Fault(at_s=0.0, action="pause", target="r1", for_s=199.0, period_s=1.0, pause_ms=200.0)) - 0.001
    assert (waits > 0.005).mean() == pytest.approx(0.2, abs=0.03)
    assert waits.mean() == pytest.approx(0.02, rel=0.15)
    assert np.quantile(waits, 0.99) == pytest.approx(0.19, abs=0.01)  # more than x with probability 0.2 - x


def test_the_floor_knows_every_stop_and_no_tail(tmp_path):
    told = {"period_s": 2.0, "pause_ms": 500.0}
    events = [injected(0, 5.0, action="pause", parameters=told), healed(0, 8.2, action="pause")]
    assert courses_of(tmp_path / "stops", events)[1] == Course(1.0, frozen=((5.0, 5.5), (7.0, 7.5)))
    tail = {"added_ms": 100.0, "share": 1.0, "sigma": 0.0, "tail_index": 2.0}
    events = [injected(0, 5.0, action="latency", parameters=tail)]
    assert courses_of(tmp_path / "tail", events) is None
