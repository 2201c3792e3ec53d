"""The virtual fleet against exact recursions and closed forms."""

import random
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from analysis import queueing
from experiments.schedule import build_schedule
from experiments.virtual_fleet import VirtualReplica, sojourn_s
from experiments.workload import WorkloadSettings
from services.backend.work_queue import WorkQueue
from services.router import policies


def schedule(load, slots, requests=4000, seed=1):
    rate = load * slots / 0.05
    return build_schedule(WorkloadSettings(rate_rps=rate, duration_s=requests / rate), seed)


def fleet(count, slots=1, limit=100_000, speed=1.0):
    return [VirtualReplica(f"r{number}", WorkQueue(slots, limit, speed)) for number in range(1, count + 1)]


def policy(name="round_robin", **options):
    return policies.create(name, options, random.Random(1))


@pytest.mark.parametrize(("slots", "limit", "speed"), [(1, 100_000, 1.0), (3, 100_000, 1.0), (1, 4, 1.0), (2, 0, 1.25)])
def test_one_replica_is_the_exact_queue_of_this_schedule(slots, limit, speed):
    planned = schedule(0.9 * speed, slots)
    found = sojourn_s(planned, policy(), fleet(1, slots, limit, speed))
    exact = queueing.sojourn_s(planned["scheduled_s"], planned["demand_s"] / speed, slots, limit)
    assert np.array_equal(found, exact, equal_nan=True)
    assert np.isnan(found).any() == (limit < 100)


def test_round_robin_over_replicas_is_every_nth_request_on_a_queue_of_its_own():
    planned = schedule(0.8, 4)
    found = sojourn_s(planned, policy(), fleet(4))
    for share in (slice(first, None, 4) for first in range(4)):
        exact = queueing.sojourn_s(planned["scheduled_s"][share], planned["demand_s"][share], 1)
        assert np.array_equal(found[share], exact)


def test_many_runs_agree_with_the_closed_form_within_their_own_error():
    rate, means = 0.7 * 2 / 0.05, []
    for seed in range(8):
        found = sojourn_s(schedule(0.7, 2, seed=seed), policy(), fleet(1, 2))
        means.append(found[400:].mean())
    error = np.std(means, ddof=1) / len(means) ** 0.5
    assert np.mean(means) == pytest.approx(queueing.mmc_sojourn_mean_s(rate, 20.0, 2), abs=5 * error)
    assert error < 0.1 * np.mean(means)


class Recorder:
    """A policy that keeps what it is told, and sends everything to the first."""

    def __init__(self):
        self.told = []

    def pick(self, candidates, request, now):
        self.told.append(("pick", request.id, request.key, [c.in_flight for c in candidates], now))
        return policies.Pick(candidates[0], "turn")

    def on_start(self, replica, now):
        self.told.append(("start", replica.id, now))

    def on_finish(self, replica, outcome, latency, now):
        self.told.append((outcome, replica.id, latency, now))


def test_a_policy_hears_of_everything_once_and_in_the_order_of_time():
    planned = pd.DataFrame(
        {"request_id": [0, 1, 2, 3], "scheduled_s": [0.0, 0.5, 0.5, 2.0], "demand_s": [1.0, 1.0, 1.0, 0.25]}
    ).assign(key=list("abcd"))
    recorder = Recorder()
    found = sojourn_s(planned, recorder, fleet(2, limit=1))
    assert np.array_equal(found, [1.0, 1.5, np.nan, 0.25], equal_nan=True)
    assert recorder.told == [
        ("pick", "0", "a", [0, 0], 0.0), ("start", "r1", 0.0),
        ("pick", "1", "b", [1, 0], 0.5), ("start", "r1", 0.5),
        ("pick", "2", "c", [2, 0], 0.5), ("start", "r1", 0.5), ("overloaded", "r1", 0.0, 0.5),
        ("ok", "r1", 1.0, 1.0), ("ok", "r1", 1.5, 2.0),
        ("pick", "3", "d", [0, 0], 2.0), ("start", "r1", 2.0), ("ok", "r1", 0.25, 2.25),
    ]  # fmt: skip


def test_a_faster_fleet_and_a_better_view_have_shorter_tails():
    planned = schedule(0.9, 8, 8000)

    def p99(name, speed=1.0, **options):
        return np.quantile(sojourn_s(planned, policy(name, **options), fleet(4, 2, speed=speed)), 0.99)

    full, two, blind = p99("least_request"), p99("least_request", choices=2), p99("round_robin")
    assert full < two < blind
    assert p99("least_request", speed=1.05, choices=2) < two


@pytest.mark.parametrize("name", policies.names())
def test_every_policy_runs_in_virtual_time_and_leaves_nothing_in_flight(name):
    replicas = fleet(3)
    found = sojourn_s(schedule(0.5, 3, 600), policy(name), replicas)
    assert np.isfinite(found).all()
    assert Counter((replica.in_flight, len(replica.queue)) for replica in replicas) == {(0, 0): 3}
