"""What `consistent_hash`, `join_idle_queue` and `weighted_latency` promise."""

from collections import Counter

import pytest

from services.router.policies import RequestInfo
from tests.services.router.test_policies import REQUEST, create, fleet, picks

KEYS = [f"user-{number}" for number in range(4000)]


def homes(policy, candidates):
    return {key: policy.pick(candidates, RequestInfo("1", key, 1), 0.0).replica.id for key in KEYS}


# -- consistent_hash


def test_a_key_has_one_home_and_homes_go_by_weight():
    candidates = fleet(1, 1, 2)
    where = homes(create("consistent_hash"), candidates)
    assert where == homes(create("consistent_hash", seed=9), candidates[::-1])  # neither chance nor order counts
    counts = Counter(where.values())
    assert [counts[id_] / len(KEYS) for id_ in ("r1", "r2", "r3")] == pytest.approx([0.25, 0.25, 0.5], abs=0.03)


def test_a_replica_that_leaves_moves_its_own_keys_only():
    policy, candidates = create("consistent_hash"), fleet(1, 1, 1, 1)
    before = homes(policy, candidates)
    after = homes(policy, candidates[:3])
    assert all(after[key] == home for key, home in before.items() if home != "r4")
    assert homes(policy, candidates) == before


def test_one_hot_key_fills_nobody_beyond_the_bound():
    policy, candidates = create("consistent_hash", balance_factor=1.25), fleet(1, 1, 1, 1)
    reasons = Counter()
    for number in range(1, 401):
        pick = policy.pick(candidates, RequestInfo(str(number), "hot", 1), 0.0)
        pick.replica.in_flight += 1
        reasons[pick.reason] += 1
        assert max(c.in_flight for c in candidates) <= 1.25 * number / 4 + 1
    assert sorted(c.in_flight for c in candidates)[-1] == 125 and set(reasons) == {"hashed", "overflow"}


def test_without_a_key_the_least_in_flight_is_taken():
    policy, candidates = create("consistent_hash"), fleet(1, 1)
    candidates[0].in_flight = 1
    pick = policy.pick(candidates, REQUEST, 0.0)
    assert (pick.replica.id, pick.reason) == ("r2", "keyless")


# -- join_idle_queue


def test_the_longest_idle_is_first_and_nobody_idle_is_chance():
    policy, candidates = create("join_idle_queue"), fleet(1, 1, 1)
    for at, number in enumerate((2, 0, 1)):
        policy.on_start(candidates[number], float(at))
        policy.on_finish(candidates[number], "ok", 0.5, at + 0.5)
    assert set(picks(policy, candidates, 20, 9.0)) == {"r3"}
    candidates[2].in_flight = 1
    assert set(picks(policy, candidates, 20, 9.0)) == {"r1"}
    for candidate in candidates:
        candidate.in_flight = 3
    counts = Counter(picks(policy, candidates, 3000, 9.0))
    assert [counts[c.id] for c in candidates] == pytest.approx([1000] * 3, rel=0.15)


def test_a_replica_with_free_slots_is_idle():
    policy, candidates = create("join_idle_queue"), fleet(1, 1)
    candidates[0].concurrency, candidates[0].in_flight = 4, 3
    candidates[1].in_flight = 1
    pick = policy.pick(candidates, REQUEST, 0.0)
    assert (pick.replica.id, pick.reason) == ("r1", "idle")


# -- weighted_latency


def test_chances_go_by_weight_over_latency_and_a_new_one_counts_as_the_mean():
    policy, candidates = create("weighted_latency"), fleet(1, 1, 2)
    for candidate, latency in zip(candidates[:2], (0.1, 0.3), strict=True):
        for _ in range(5):
            policy.on_finish(candidate, "ok", latency, 0.0)
    counts = Counter(picks(policy, candidates, 8000))
    whole = 10 + 10 / 3 + 2 / 0.2  # the mean of 0.1 and 0.3
    assert [counts[c.id] / 8000 for c in candidates] == pytest.approx([10 / whole, 10 / 3 / whole, 10 / whole], abs=0.02)
    assert policy.pick(candidates, REQUEST, 0.0).reason == "cold"


def test_failing_fast_is_slow_and_cancelled_is_nothing():
    policy, candidates = create("weighted_latency"), fleet(1, 1)
    for candidate in candidates:
        policy.on_finish(candidate, "ok", 0.1, 0.0)
    for _ in range(200):
        policy.on_finish(candidates[0], "error", 0.001, 0.0)
        policy.on_finish(candidates[1], "cancelled", 9.0, 0.0)
    counts = Counter(picks(policy, candidates, 4000))
    assert counts["r1"] / 4000 == pytest.approx(1 / 11, abs=0.03)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("consistent_hash", {"balance_factor": 1.0}, ["policy.balance_factor=1", "between 1.01 and 100"]),
        ("weighted_latency", {"memory": 0}, ["policy.memory=0", "between 1 and 10000"]),
        ("join_idle_queue", {"x": 1}, ["policy.x", "no options"]),
    ],
)
def test_a_wrong_option_names_its_bounds(name, options, words):
    with pytest.raises(ValueError) as caught:
        create(name, **options)
    assert all(word in str(caught.value) for word in words), caught.value
