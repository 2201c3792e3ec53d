"""What each balancing policy promises, on plain objects and a clock of the test's own."""

import random
from collections import Counter
from dataclasses import dataclass

import pytest

from services.router import policies
from services.router.policies import RequestInfo
from services.router.policy import sample

REQUEST = RequestInfo("1", None, 1)


@dataclass
class Candidate:
    id: str
    weight: float = 1.0
    in_flight: int = 0
    concurrency: int | None = None
    resting: int = 0


def fleet(*weights):
    return [Candidate(f"r{number}", weight) for number, weight in enumerate(weights, 1)]


def create(name, seed=1, **options):
    return policies.create(name, options, random.Random(seed))


def picks(policy, candidates, count, now=0.0):
    return [policy.pick(candidates, REQUEST, now).replica.id for _ in range(count)]


@pytest.mark.parametrize("name", policies.POLICIES.files())
def test_a_policy_picks_what_it_was_offered_and_repeats_with_its_seed(name):
    def sequence(seed):
        policy, candidates = create(name, seed), fleet(1, 1, 1)
        rng, chosen = random.Random(7), []
        for step in range(300):
            replica = policy.pick(candidates, REQUEST, step / 10).replica
            assert any(replica is candidate for candidate in candidates)
            policy.on_start(replica, step / 10)
            policy.on_finish(replica, rng.choice(["ok", "error", "overloaded", "cancelled"]), rng.random(), step / 10)
            chosen.append(replica.id)
        return chosen

    assert sequence(1) == sequence(1)
    assert set(sequence(1)) == {"r1", "r2", "r3"}


@pytest.mark.parametrize("count, total", [(1, 1), (4, 4), (40, 40), (1000, 1000), (2, 21), (4, 22), (4, 1000), (20, 30)])
def test_draws_are_those_of_the_standard_library_so_that_runs_repeat_to_the_digit(count, total):
    candidates = fleet(*[1.0] * total)
    ours, theirs = random.Random(total), random.Random(total)
    for _ in range(50):
        assert sample(candidates, count, ours) == theirs.sample(candidates, count)
    assert ours.getstate() == theirs.getstate()


@pytest.mark.parametrize("name", policies.POLICIES.files())
def test_a_single_replica_gets_everything(name):
    only = fleet(1)
    assert set(picks(create(name), only, 20)) == {"r1"}


@pytest.mark.parametrize("name", ["adaptive", "least_request", "round_robin"])
@pytest.mark.parametrize("offered", [["r1"], ["r2", "r3"]])
def test_a_policy_forgets_nobody_when_the_offer_changes(name, offered):
    policy, everyone = create(name), fleet(1, 1, 1)
    picks(policy, everyone, 10)
    some = [candidate for candidate in everyone if candidate.id in offered]
    assert set(picks(policy, some, 20)) == set(offered)
    assert set(picks(policy, everyone, 40)) == {"r1", "r2", "r3"}


# -- round_robin


def test_smooth_weighted_round_robin_is_exact_in_every_round_and_spreads_the_heavy_one():
    policy, candidates = create("round_robin"), fleet(5, 1, 1)
    picks(policy, candidates, 70)  # the random beginning has worn off into a cycle
    chosen = picks(policy, candidates, 70)
    assert Counter(chosen) == {"r1": 50, "r2": 10, "r3": 10}
    for start in range(63):
        assert Counter(chosen[start : start + 7])["r1"] == 5
    assert "r1 r1 r1 r1 r1" not in " ".join(chosen)  # nginx's example: a a b a c a a


class First(random.Random):
    """Draws 0, so that a round begins where nginx's does."""

    def random(self):
        return 0.0


def test_five_one_one_is_nginx_sequence():
    # The example of nginx's commit that brought it: { a, a, b, a, c, a, a }, where plain weights gave c b a a a a a.
    candidates = [Candidate("a", 5), Candidate("b", 1), Candidate("c", 1)]
    policy = policies.create("round_robin", {}, First())
    assert "".join(picks(policy, candidates, 21)) == 3 * "aabacaa"


def test_round_robins_of_many_routers_do_not_begin_with_the_same_replica():
    firsts = {picks(create("round_robin", seed), fleet(1, 1, 1, 1), 1)[0] for seed in range(50)}
    assert firsts == {"r1", "r2", "r3", "r4"}


def test_a_changed_weight_acts_from_the_next_round_on():
    policy, candidates = create("round_robin"), fleet(1, 1)
    picks(policy, candidates, 10)
    candidates[0].weight = 3
    assert Counter(picks(policy, candidates, 80))["r1"] == pytest.approx(60, abs=2)


# -- least_request


def test_least_request_takes_the_least_for_its_weight():
    candidates = fleet(1, 1, 4)
    for candidate, load in zip(candidates, (1, 2, 6), strict=True):
        candidate.in_flight = load  # (1+1)/1 = 2, (2+1)/1 = 3, (6+1)/4 = 1.75
    assert set(picks(create("least_request"), candidates, 20)) == {"r3"}


def test_least_request_draws_among_equals():
    counts = Counter(picks(create("least_request"), fleet(1, 1, 1, 1), 4000))
    assert all(count == pytest.approx(1000, rel=0.15) for count in counts.values())


def test_of_few_choices_it_takes_the_least_loaded_of_those_drawn():
    candidates = fleet(1, 1, 1, 1)
    for candidate, load in zip(candidates, (0, 1, 2, 3), strict=True):
        candidate.in_flight = load
    two = Counter(picks(create("least_request", choices=2), candidates, 6000))
    assert two["r4"] == 0  # it would have to be drawn twice
    assert [two[id_] / 6000 for id_ in ("r1", "r2", "r3")] == pytest.approx([3 / 6, 2 / 6, 1 / 6], abs=0.03)
    three = Counter(picks(create("least_request", choices=3), candidates, 4000))
    assert set(three) == {"r1", "r2"} and three["r1"] / 4000 == pytest.approx(3 / 4, abs=0.03)
    assert set(picks(create("least_request", choices=5), candidates, 20)) == {"r1"}  # more than there are: all


def test_a_pick_tells_whether_all_were_looked_at():
    for choices, reason in ((0, "least"), (2, "sampled"), (3, "least")):
        assert create("least_request", choices=choices).pick(fleet(1, 1, 1), REQUEST, 0.0).reason == reason


@pytest.mark.parametrize("choices", [0, 2])
def test_two_arms_with_one_seed_draw_alike_whatever_their_loads_were(choices):
    quiet, busy = fleet(1, 1, 1, 1), fleet(1, 1, 1, 1)
    ours, theirs = (create("least_request", choices=choices) for _ in range(2))
    rng = random.Random(3)
    for _ in range(500):
        ours.pick(quiet, REQUEST, 0.0)
        for candidate in busy:
            candidate.in_flight = rng.randrange(3)  # with ties, and without
        theirs.pick(busy, REQUEST, 0.0)
    for candidate in busy:
        candidate.in_flight = 0
    assert picks(ours, quiet, 100) == picks(theirs, busy, 100)


def test_a_replica_that_fails_fast_does_not_attract_everything():
    policy, candidates = create("least_request", error_penalty_s=1.0), fleet(1, 1)
    candidates[1].in_flight = 2
    assert set(picks(policy, candidates, 10, now=0.0)) == {"r1"}
    for _ in range(3):
        policy.on_finish(candidates[0], "error", 0.001, 0.0)
    assert set(picks(policy, candidates, 10, now=0.5)) == {"r2"}
    assert set(picks(policy, candidates, 10, now=1.01)) == {"r1"}  # forgotten after the penalty


# -- peak_ewma


def fed(policy, candidates, latencies, now=0.0):
    for candidate, latency in zip(candidates, latencies, strict=True):
        policy.on_finish(candidate, "ok", latency, now)


def test_peak_ewma_prefers_the_faster_of_two_and_never_the_slowest_of_three():
    policy, candidates = create("peak_ewma"), fleet(1, 1, 1)
    fed(policy, candidates, (0.05, 0.10, 0.50))
    counts = Counter(picks(policy, candidates, 3000))
    assert counts["r3"] == 0
    assert counts["r1"] == pytest.approx(2000, rel=0.1)  # in two of three draws it is among the two


def test_peak_ewma_weighs_latency_by_what_is_in_flight_and_by_weight():
    policy, candidates = create("peak_ewma"), fleet(1, 1)
    fed(policy, candidates, (0.05, 0.10))
    candidates[0].in_flight = 2  # 0.05 * 3 > 0.10 * 1
    assert set(picks(policy, candidates, 20)) == {"r2"}
    candidates[0].weight = 2.0  # 0.05 * 3 / 2 < 0.10
    assert set(picks(policy, candidates, 20)) == {"r1"}


def test_a_peak_counts_at_once_and_fades_with_the_time_constant_even_when_nothing_is_heard():
    policy, candidates = create("peak_ewma", decay_s=10.0), fleet(1, 1)
    policy.on_finish(candidates[0], "ok", 0.05, 0.0)
    policy.on_finish(candidates[0], "ok", 1.0, 0.0)  # the peak replaces the average
    for now, chosen in ((0.0, "r2"), (15.0, "r2"), (17.0, "r1")):  # e^-1.5 = 0.223, e^-1.7 = 0.183
        policy.on_finish(candidates[1], "ok", 0.20, now)
        assert set(picks(policy, candidates, 20, now)) == {chosen}


def test_samples_below_the_average_draw_it_down_by_finagles_formula():
    policy, candidates = create("peak_ewma", decay_s=10.0), fleet(1, 1)
    policy.on_finish(candidates[0], "ok", 1.0, 0.0)
    policy.on_finish(candidates[0], "ok", 0.05, 10.0)  # 1.0 e^-1 + 0.05 (1 - e^-1) = 0.3995
    for latency, chosen in ((0.39, "r2"), (0.41, "r1")):
        other = Candidate(f"r{latency}")
        policy.on_finish(other, "ok", latency, 10.0)
        assert set(picks(policy, [candidates[0], other], 20, 10.0)) == {other.id if chosen == "r2" else "r1"}


def test_a_new_replica_is_not_flooded_and_not_left_out():
    policy, candidates = create("peak_ewma"), fleet(1, 1, 1, 1)
    fed(policy, candidates[:3], (0.04, 0.05, 0.07))  # it costs their mean: dearer than two, cheaper than one
    counts = Counter(picks(policy, candidates, 6000))
    assert counts["r4"] == pytest.approx(1000, rel=0.15)


def test_a_failing_replica_is_as_expensive_as_its_penalty():
    policy, candidates = create("peak_ewma", error_penalty_s=1.0), fleet(1, 1)
    fed(policy, candidates, (0.05, 0.30))
    policy.on_finish(candidates[0], "error", 0.001, 0.0)
    assert set(picks(policy, candidates, 20)) == {"r2"}


def test_a_cancelled_attempt_tells_only_that_it_took_at_least_so_long():
    policy, candidates = create("peak_ewma"), fleet(1, 1)
    fed(policy, candidates, (0.30, 0.10))
    policy.on_finish(candidates[0], "cancelled", 0.001, 5.0)  # a hedge that lost, say: no sign of speed
    assert set(picks(policy, candidates, 20, now=5.0)) == {"r2"}
    policy.on_finish(candidates[1], "cancelled", 2.0, 5.0)
    assert set(picks(policy, candidates, 20, now=5.0)) == {"r1"}


# -- options


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("nope", {}, ["nope", "least_request", "peak_ewma", "round_robin"]),
        ("", {}, ["None", "peak_ewma"]),
        ("peak_ewma", {"decay": 1.0}, ["policy.decay", "decay_s", "error_penalty_s"]),
        ("peak_ewma", {"decay_s": 0.0}, ["policy.decay_s", "0.01", "3600"]),
        ("peak_ewma", {"decay_s": "long"}, ["policy.decay_s=long", "number"]),
        ("least_request", {"error_penalty_s": -1.0}, ["policy.error_penalty_s", "60"]),
        ("least_request", {"choices": 1}, ["policy.choices=1", "must be 0", "between 2 and 64"]),
        ("least_request", {"choices": 2.5}, ["policy.choices=2.5", "whole number"]),
        ("adaptive", {"scan": 0}, ["policy.scan=0", "between 1 and 1000"]),
        ("adaptive", {"choices": 1}, ["policy.choices=1", "between 2 and 64"]),
        ("adaptive", {"slow_start_s": -1.0}, ["policy.slow_start_s=-1", "between 0 and 60"]),
        ("round_robin", {"x": 1}, ["policy.x", "no options"]),
    ],
)
def test_a_wrong_option_is_refused_with_the_choices(name, options, words):
    with pytest.raises(ValueError) as caught:
        create(name, **options)
    assert all(word in str(caught.value) for word in words), caught.value


class Offer(tuple):
    """Candidates that are counted as they are looked at."""

    looks = 0

    def __getitem__(self, place):
        self.looks += 1
        return super().__getitem__(place)

    def __iter__(self):
        self.looks += len(self)
        return super().__iter__()


@pytest.mark.parametrize(("name", "options"), [("peak_ewma", {}), ("adaptive", {}), ("least_request", {"choices": 2})])
def test_a_pick_of_a_thousand_replicas_looks_at_a_few_and_costs_what_one_of_a_small_fleet_does(name, options):
    offer, policy = Offer(fleet(*[1.0] * 1000)), create(name, **options)
    for candidate in offer:
        policy.on_start(candidate, 0.0)
        policy.on_finish(candidate, "ok", 0.1, 0.1)
    policy.pick(offer, REQUEST, 1.0)  # who is new is looked at
    offer.looks = 0
    for _ in range(100):
        policy.pick(offer, REQUEST, 1.01)
    assert 200 <= offer.looks <= 500
