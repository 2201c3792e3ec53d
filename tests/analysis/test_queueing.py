"""Theory against itself and against what is printed in books: closed forms, and exact sojourns of a schedule."""

import math

import numpy as np
import pytest

from analysis.distributions.queues import (
    erlang_b,
    erlang_c,
    mmc_sojourn_exceeds,
    mmc_sojourn_mean_s,
    mmc_sojourn_quantile_s,
    mmck_blocking,
)
from analysis.metrics.queueing import sojourn_s


def markovian(arrival_rate, service_rate, n, seed=1):
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.exponential(1 / arrival_rate, n)), rng.exponential(1 / service_rate, n)


def sojourns(schedule, servers, **limits):
    arrivals_s, services_s = schedule
    return sojourn_s(arrivals_s, services_s, servers, **limits)


def test_a_schedule_by_hand_on_one_server_and_on_two():
    arrivals, services = [0.0, 1.0, 1.5, 6.0], [2.0, 2.0, 1.0, 1.0]
    assert sojourn_s(arrivals, services, 1) == pytest.approx([2.0, 3.0, 3.5, 1.0])
    assert sojourn_s(arrivals, services, 2) == pytest.approx([2.0, 2.0, 1.5, 1.0])


def test_who_finds_no_place_is_blocked_and_holds_up_nobody():
    arrivals, services = [0.0, 0.1, 0.2, 0.3, 1.05], [1.0, 1.0, 1.0, 1.0, 1.0]
    found = sojourn_s(arrivals, services, 1, waiting_places=1)
    assert found[:2] == pytest.approx([1.0, 1.9])
    assert np.isnan(found[2:4]).all()
    assert found[4] == pytest.approx(1.95)


def test_one_server_agrees_with_lindleys_recursion():
    arrivals, services = markovian(8.0, 10.0, 5000)
    wait, waits = 0.0, [0.0]
    for gap, service in zip(np.diff(arrivals), services, strict=False):
        wait = max(0.0, wait + service - gap)
        waits.append(wait)
    assert sojourn_s(arrivals, services, 1) == pytest.approx(np.array(waits) + services)


@pytest.mark.parametrize(("servers", "offered", "blocking"), [(1, 1.0, 0.5), (5, 3.0, 0.11005), (10, 8.0, 0.12166)])
def test_erlang_b_is_that_of_the_tables(servers, offered, blocking):
    assert erlang_b(servers, offered) == pytest.approx(blocking, abs=1e-5)


def test_erlang_c_is_the_load_on_one_server_and_certain_beyond_capacity():
    assert erlang_c(1, 0.7) == pytest.approx(0.7)
    assert erlang_c(2, 1.2) == pytest.approx(0.45)
    assert erlang_c(3, 3.0) == 1.0


@pytest.mark.parametrize(
    ("arrivals", "service", "servers", "waits"),
    [
        (0.1, 0.0033, 35, 0.3121925015328496),
        (0.1, 0.0033, 40, 0.06278834613535761),
        (120, 5, 35, 0.023521116861458607),
        (90, 3.0033, 35, 0.2816872350258893),
    ],
)
def test_erlang_c_is_that_of_a_library_of_others(arrivals, service, servers, waits):
    # FelixKleineBoesing/queuingSystem, tests/modelling/test_erlangc.py, commit 20f4c0e.
    assert erlang_c(servers, arrivals / service) == pytest.approx(waits, rel=1e-9)


@pytest.mark.parametrize(("servers", "within"), [(35, 0.7710233599946846), (40, 0.9668921807646333)])
def test_a_sojourn_is_a_wait_and_a_service(servers, within):
    # Whoever waits at most 20 s, likewise there; the sojourn by numbers, over the wait's density.
    arrivals, service, t_s = 0.1, 0.0033, 20.0
    waits, spare = erlang_c(servers, arrivals / service), servers * service - arrivals
    assert 1 - waits * math.exp(-spare * t_s) == pytest.approx(within, rel=1e-9)
    wait_s = np.linspace(0.0, 500.0, 200_001)
    density = waits * spare * np.exp(-spare * wait_s) * np.exp(-service * (500.0 - wait_s))
    exceeds = (1 - waits) * math.exp(-service * 500.0) + np.trapezoid(density, wait_s) + waits * math.exp(-spare * 500.0)
    assert mmc_sojourn_exceeds(500.0, arrivals, service, servers) == pytest.approx(exceeds, rel=1e-7)


def test_one_server_has_an_exponential_sojourn():
    assert mmc_sojourn_mean_s(8.0, 10.0, 1) == pytest.approx(0.5)
    assert mmc_sojourn_exceeds(0.3, 8.0, 10.0, 1) == pytest.approx(math.exp(-0.6))
    assert mmc_sojourn_quantile_s(0.99, 8.0, 10.0, 1) == pytest.approx(math.log(100) / 2)
    assert mmc_sojourn_mean_s(10.0, 10.0, 1) == math.inf


@pytest.mark.parametrize("servers", [1, 2, 4])
def test_closed_forms_and_simulated_schedules_agree(servers):
    rate = 0.7 * servers * 10.0
    found = np.concatenate([sojourns(markovian(rate, 10.0, 60_000, seed), servers) for seed in range(5)])
    assert found.mean() == pytest.approx(mmc_sojourn_mean_s(rate, 10.0, servers), rel=0.03)
    for share in (0.5, 0.99):
        assert np.quantile(found, share) == pytest.approx(mmc_sojourn_quantile_s(share, rate, 10.0, servers), rel=0.05)


def test_the_share_that_is_turned_away_is_that_of_the_birth_death_process():
    assert mmck_blocking(8.0, 10.0, 1, 0) == pytest.approx(erlang_b(1, 0.8))
    assert mmck_blocking(12.0, 4.0, 5, 0) == pytest.approx(erlang_b(5, 3.0))
    blocked = np.isnan(sojourns(markovian(9.0, 10.0, 200_000), 1, waiting_places=3)).mean()
    assert blocked == pytest.approx(mmck_blocking(9.0, 10.0, 1, 3), rel=0.03)
