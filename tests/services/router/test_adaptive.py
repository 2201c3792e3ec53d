"""What `adaptive` promises: the least in flight, but for whoever stands out, whether by answers or by silence."""

import math
import random
from collections import Counter

import pytest

from services.router import policies
from services.router.policies import RequestInfo
from services.router.policy import SPARE
from services.router.standing_out import FORGET_S, LIMIT, MOST, StandingOut, told_speeds
from tests.services.router.test_policies import Candidate, create, fleet, picks

REQUEST = RequestInfo("1", None, 1)
AT_ONCE = RequestInfo("1", None, 1, may_wait=False)
"""One that is not held back for a faster slot."""


class Bench:
    """A policy with a clock and a fleet of its own; what is in flight is counted as the router counts it."""

    def __init__(self, replicas=4, seed=1, **options):
        self.policy = create("adaptive", seed, **options)
        self.fleet = fleet(*[1.0] * replicas)
        self.rng = random.Random(seed)
        self.now = 0.0

    def start(self, replica):
        self.policy.on_start(replica, self.now)
        replica.in_flight += 1
        return replica, self.now

    def finish(self, attempt, outcome="ok"):
        replica, began = attempt
        replica.in_flight -= 1
        self.policy.on_finish(replica, outcome, self.now - began, self.now)

    def serve(self, replica, seconds, outcome="ok"):
        attempt = self.start(replica)
        self.now += seconds
        self.finish(attempt, outcome)

    def settle(self, rounds=50):
        """Everybody answers after exponential times of 50 ms."""
        for _ in range(rounds):
            for replica in self.fleet:
                self.policy.pick(self.fleet, REQUEST, self.now)
                self.serve(replica, self.rng.expovariate(20))
        return self

    def shares(self, count=400, request=REQUEST):
        return Counter(self.policy.pick(self.fleet, request, self.now).replica.id for _ in range(count))


def test_replicas_that_are_alike_get_what_least_request_gives_them():
    bench = Bench().settle()
    for candidate, load in zip(bench.fleet, (2, 1, 0, 3), strict=True):
        candidate.in_flight = load
    assert set(bench.shares()) == {"r3"}
    bench.fleet[0].weight = 4.0  # (2 + 1) / 4 < (0 + 1) / 1
    assert set(bench.shares()) == {"r1"}


def test_one_long_demand_condemns_nobody_and_two_silent_attempts_do():
    bench = Bench(2).settle()
    slow, other = bench.fleet
    long = bench.start(slow)
    bench.now += 30.0  # six hundred times what the fleet takes
    other.in_flight = 3
    assert set(bench.shares()) == {"r1"}  # one in flight against three
    second = bench.start(slow)
    bench.now += 0.5
    pick = bench.policy.pick(bench.fleet, REQUEST, bench.now)
    assert (pick.replica.id, pick.reason) == ("r2", "standing_out")
    for attempt in (long, second):
        bench.finish(attempt)
    assert slow.in_flight == 0


def test_a_silent_replica_looks_worse_every_moment_and_never_better():
    bench = Bench().settle()
    slow = bench.fleet[0]
    for _ in range(3):
        bench.start(slow)
    seen = []
    for _ in range(200):
        bench.now += 0.05
        seen.append(bench.policy._outliers.times(slow.id, bench.now)[0])
    assert seen == sorted(seen) and seen[-1] > 10 * seen[0]


def test_a_slow_replica_is_left_alone_and_tried_again_one_request_at_a_time():
    bench = Bench().settle()
    slow = bench.fleet[0]
    for _ in range(20):
        bench.serve(slow, 0.5)
    assert "r1" not in bench.shares()
    bench.now += FORGET_S * math.log(MOST / LIMIT) + 0.1
    assert "r1" in bench.shares()
    attempt = bench.start(slow)
    bench.now += 0.5
    for other in bench.fleet[1:]:
        other.in_flight = 1
    assert "r1" not in bench.shares()  # the one under way speaks against it again
    bench.finish(attempt)


def test_a_replica_that_has_recovered_is_like_the_others_again():
    bench = Bench().settle()
    for _ in range(20):
        bench.serve(bench.fleet[0], 0.5)
    bench.now += FORGET_S
    for _ in range(60):
        bench.serve(bench.fleet[0], 0.05)
    assert bench.shares()["r1"] == pytest.approx(100, rel=0.4)


def test_failing_fast_does_not_look_fast():
    bench = Bench().settle()
    for _ in range(3):
        bench.serve(bench.fleet[0], 0.001, "error")
    for other in bench.fleet[1:]:
        other.in_flight = 5
    assert "r1" not in bench.shares()


def test_many_cancelled_at_once_say_nothing_of_speed():
    bench = Bench().settle()
    for _ in range(50):
        bench.serve(bench.fleet[0], 0.0, "cancelled")
    assert bench.shares()["r1"] == pytest.approx(100, rel=0.4)


def test_when_all_become_slower_nobody_is_left_alone_for_long():
    bench = Bench().settle()
    for _ in range(400):
        for replica in bench.fleet:
            bench.policy.pick(bench.fleet, REQUEST, bench.now)
            bench.serve(replica, bench.rng.expovariate(2))  # ten times as slow
    assert set(bench.shares()) == {"r1", "r2", "r3", "r4"}


def test_the_free_slots_of_a_slow_replica_are_no_cheaper_than_its_last():
    bench = Bench(2).settle()
    slow, other = bench.fleet
    slow.concurrency = other.concurrency = 2
    for _ in range(200):
        bench.policy.pick(bench.fleet, REQUEST, bench.now)
        bench.serve(slow, 0.2)
        for _ in range(4):
            bench.serve(other, 0.05)
    other.in_flight = 5  # 4 x 2 > 5 + 1, though 4 x 1 < 5 + 1
    assert set(bench.shares(request=AT_ONCE)) == {"r2"}
    other.in_flight = 12
    assert set(bench.shares(request=AT_ONCE)) == {"r1"}


def test_weights_say_how_fast_a_slot_is_where_slots_are_known():
    fleet_of = fleet(1, 0.5, 2)
    assert told_speeds(fleet_of) == {}
    for candidate, slots in zip(fleet_of, (2, 2, 4), strict=True):
        candidate.concurrency = slots
    assert told_speeds(fleet_of) == {"r2": 0.5}
    for candidate in fleet_of:
        candidate.weight = 1.0
    assert told_speeds(fleet_of) == {}  # as they are by default: nobody has said anything


def test_a_replica_that_is_as_slow_as_its_weight_says_does_not_stand_out():
    bench = Bench(2)
    slow, other = bench.fleet
    slow.weight, slow.concurrency, other.concurrency = 0.25, 2, 2
    for _ in range(100):
        bench.policy.pick(bench.fleet, REQUEST, bench.now)
        bench.serve(slow, bench.rng.expovariate(5))
        bench.serve(other, bench.rng.expovariate(20))
    assert bench.policy.pick(bench.fleet, REQUEST, bench.now).reason == "least"
    other.in_flight = 6  # 2 / 0.25 > 6 + 1, though 1 / 0.25 < 6 + 1
    assert set(bench.shares(request=AT_ONCE)) == {"r2"}
    other.in_flight = 8
    assert set(bench.shares(request=AT_ONCE)) == {"r1"}


def test_a_wait_in_line_is_no_slowness():
    outliers = StandingOut(1.0)
    for step in range(200):
        now = step * 1.0
        for id_ in ("r1", "r2", "r3"):
            outliers.begin(id_, 1.0, now)
            outliers.end(id_, 0.05, now + 0.05, answered=True, failed=False)
        outliers.refresh(("r1", "r2", "r3"), now + 0.1)
    for step in range(100):
        outliers.begin("r1", 10.0, 300.0 + step)  # the tenth in a line
        outliers.end("r1", 0.5, 300.5 + step, answered=True, failed=False)
    assert not outliers.times("r1", 500.0)[1]


def test_of_those_that_have_left_the_latest_are_remembered_and_not_all_of_ten_minutes():
    outliers = StandingOut(1.0)
    for number in range(200):
        outliers.begin(f"r{number}", 1.0, number)
        outliers.end(f"r{number}", 0.05, number + 0.05, answered=True, failed=False)
        outliers.refresh([f"r{number}"], number + 0.1)
    assert set(outliers.known) == {f"r{number}" for number in range(200 - 2 - SPARE, 200)}


def test_like_its_fleet_a_replica_stands_out_about_as_seldom_as_wald_says():
    rng, outliers, now, out = random.Random(5), StandingOut(1.0), 0.0, 0
    ids = [f"r{number}" for number in range(8)]
    for step in range(4000):
        for id_ in ids:
            outliers.begin(id_, 1.0, now)
            outliers.end(id_, rng.expovariate(20), now, answered=True, failed=False)
        now += 0.2
        outliers.refresh(ids, now)
        if step > 100:
            out += sum(outliers.times(id_, now)[1] for id_ in ids)
    assert 0 < out / (3900 * 8) < 3 * math.exp(-LIMIT)


def test_a_replica_that_joins_gets_a_growing_share_and_those_of_the_beginning_all_at_once():
    policy, candidates = create("adaptive", slow_start_s=10.0), fleet(1, 1, 1, 1)
    assert set(picks(policy, candidates[:3], 60)) == {"r1", "r2", "r3"}
    for candidate in candidates[:3]:
        candidate.in_flight = 2  # the new one would be first choice for everything
    shares = [Counter(picks(policy, candidates, 2000, now=at))["r4"] / 2000 for at in (100.0, 105.0, 110.0)]
    assert shares == pytest.approx([0.1, 0.5, 1.0], abs=0.04)


def test_of_a_large_fleet_a_few_are_drawn_and_the_least_of_them_taken():
    candidates = fleet(*[1.0] * 40)
    for number, candidate in enumerate(candidates):
        candidate.in_flight = number
    policy = create("adaptive", choices=4)
    seen = Counter(picks(policy, candidates, 4000))
    assert policy.pick(candidates, REQUEST, 0.0).reason == "sampled"
    assert seen["r1"] / 4000 == pytest.approx(4 / 40, rel=0.2)
    assert not {"r38", "r39", "r40"} & set(seen)
    assert set(picks(create("adaptive", scan=40), candidates, 50)) == {"r1"}


def test_what_is_known_of_a_replica_outlives_its_absence():
    bench = Bench().settle()
    for _ in range(20):
        bench.serve(bench.fleet[0], 0.5)
    picks(bench.policy, bench.fleet[1:], 50, bench.now)
    assert "r1" not in bench.shares()


def test_two_routers_with_one_seed_pick_alike():
    def sequence():
        bench = Bench(seed=3).settle(10)
        return picks(bench.policy, bench.fleet, 100, bench.now)

    assert sequence() == sequence()
    assert isinstance(policies.create("adaptive", {}, random.Random(1)).pick([Candidate("a")], REQUEST, 0.0).reason, str)
