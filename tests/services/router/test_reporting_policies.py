"""What `prequal`, `c3` and `weighted_utilisation` make of probes and reports, by numbers worked out by hand."""

import math
from collections import Counter

import pytest

from services.router.policies import Report
from services.router.policies.prequal import uses
from tests.services.router.test_policies import REQUEST, create, fleet, picks

# -- c3


def told(policy, candidate, service_s, queue, latency_s, now=0.0):
    policy.on_report(candidate, Report(in_flight=queue, service_s=service_s), now)
    policy.on_finish(candidate, "ok", latency_s, now)


def test_the_cubic_score_is_the_papers():
    policy, (one,) = create("c3", share=1.0), fleet(1)
    told(policy, one, service_s=0.05, queue=3, latency_s=0.07)
    one.in_flight = 1
    assert policy.score(one) == pytest.approx(0.07 - 0.05 + (1 + 1 + 3) ** 3 * 0.05)
    many = create("c3", share=1.0, clients=4)
    told(many, one, service_s=0.05, queue=3, latency_s=0.07)
    assert many.score(one) == pytest.approx(0.02 + (1 + 4 * 1 + 3) ** 3 * 0.05)


def test_a_replica_five_times_as_fast_is_taken_up_to_a_queue_of_34_not_100():
    """The paper's example: 4 ms against 20 ms and a queue of 20 balance at 20 * 5^(1/3) = 34.2, linearly at 100."""
    policy, (fast, slow) = create("c3", share=1.0), fleet(1, 1)
    told(policy, slow, service_s=0.02, queue=19, latency_s=0.02)
    for queue, taken in ((32, "r1"), (33, "r1"), (34, "r2"), (99, "r2")):
        told(policy, fast, service_s=0.004, queue=queue, latency_s=0.004)
        assert policy.pick([fast, slow], REQUEST, 0.0).replica.id == taken  # q = 1 + queue


def test_a_new_report_counts_nine_tenths():
    policy, (one,) = create("c3"), fleet(1)
    told(policy, one, service_s=0.1, queue=0, latency_s=0.1)
    told(policy, one, service_s=0.2, queue=0, latency_s=0.2)
    assert policy.score(one) == pytest.approx(0.1 + 0.9 * 0.1)


def test_c3_asks_no_newcomer_first_and_nobody_who_fails_fast_and_forgets_that_of_an_idle_one():
    policy, candidates = create("c3", share=1.0), fleet(1, 1, 1)
    told(policy, candidates[0], service_s=0.1, queue=0, latency_s=0.1)
    told(policy, candidates[1], service_s=0.1, queue=0, latency_s=0.1)
    policy.on_finish(candidates[1], "error", 0.001, 0.0)
    counts = Counter(picks(policy, candidates, 400))
    assert counts["r2"] == 0 and counts["r1"] == pytest.approx(200, abs=60)  # the new one is like the known
    assert policy.pick(candidates, REQUEST, 0.0).reason == "cold"
    assert "r2" in picks(policy, candidates, 60, now=11.0)


# -- weighted_utilisation


def reports(policy, candidate, moments, **about):
    for moment in moments:
        policy.on_report(candidate, Report(**about), moment)


def test_the_weight_is_a58s():
    """100 / 0.5 = 200; 100 / (0.5 + 10/100 * 1) = 166.7; penalty 2: 100 / 0.7 = 142.9; shares of what is drawn."""
    for penalty, weight in ((0.0, 200.0), (1.0, 500 / 3), (2.0, 1000 / 7)):
        policy, candidates = create("weighted_utilisation", blackout_s=0.0, error_penalty=penalty), fleet(1, 1)
        reports(policy, candidates[0], [0.0], rps=100.0, utilisation=0.5, eps=10.0)
        reports(policy, candidates[1], [0.0], rps=50.0, utilisation=0.5, eps=0.0)  # 100
        counts = Counter(picks(policy, candidates, 3000, now=0.0))
        assert counts["r1"] / 3000 == pytest.approx(weight / (weight + 100), abs=0.002)


def test_a_weight_counts_after_the_blackout_and_until_it_expires_and_then_there_is_a_new_blackout():
    policy, candidates = create("weighted_utilisation"), fleet(1, 1)
    for candidate, rps in zip(candidates, (30.0, 10.0), strict=True):
        reports(policy, candidate, [0.0, 5.0, 10.0], rps=rps, utilisation=0.5)

    def share(now):
        return Counter(picks(policy, candidates, 400, now=now))["r1"] / 400

    assert (share(9.9), share(10.9)) == (pytest.approx(0.5, abs=0.01), pytest.approx(0.75, abs=0.01))
    assert (share(189.0), share(190.0)) == (pytest.approx(0.75, abs=0.01), pytest.approx(0.5, abs=0.01))
    for candidate, rps in zip(candidates, (30.0, 10.0), strict=True):
        reports(policy, candidate, [191.0, 202.0], rps=rps, utilisation=0.5)
    assert (share(200.0), share(202.0)) == (pytest.approx(0.5, abs=0.01), pytest.approx(0.75, abs=0.01))


def test_one_that_does_not_report_has_the_mean_and_one_alone_that_does_changes_nothing():
    policy, candidates = create("weighted_utilisation", blackout_s=0.0), fleet(1, 1, 1)
    reports(policy, candidates[0], [0.0], rps=30.0, utilisation=1.0)
    assert Counter(picks(policy, candidates, 300, now=0.0)) == {"r1": 100, "r2": 100, "r3": 100}
    reports(policy, candidates[1], [0.0], rps=10.0, utilisation=1.0)
    counts = Counter(picks(policy, candidates, 600, now=5.0))
    assert [counts[id_] for id_ in ("r1", "r2", "r3")] == pytest.approx([300, 100, 200], abs=2)
    reports(policy, candidates[2], [6.0], rps=0.0, utilisation=0.0)  # says nothing
    assert policy.pick(candidates, REQUEST, 7.0).reason == "weighted"


# -- prequal


def probed(policy, *answers, now=0.0):
    for id_, in_flight, latency_s in answers:
        policy.on_probe(id_, in_flight, latency_s, now)


@pytest.mark.parametrize(
    ("hot", "taken", "reason"),
    [
        (1.0, "r3", "cold"),  # nobody is hot: the least latency
        (0.6, "r2", "cold"),  # of 1, 2, 9 the quantile is 2: r3 is hot
        (0.0, "r1", "hot"),  # everybody is: the least in flight
    ],
)
def test_the_hot_are_chosen_by_what_they_have_and_the_cold_by_latency(hot, taken, reason):
    policy, candidates = create("prequal", hot=hot), fleet(*[1] * 9)  # a pool of three
    probed(policy, ("r1", 1, 0.3), ("r2", 2, 0.2), ("r3", 9, 0.1))
    pick = policy.pick(candidates, REQUEST, 0.5)
    assert (pick.replica.id, pick.reason) == (taken, reason)


def test_an_answer_is_used_as_often_as_equation_1_says_and_never_where_it_has_no_solution():
    assert uses(16, 100, 3) == pytest.approx(2 / (0.84 * 3 - 1)) == pytest.approx(1.316, abs=0.001)
    assert uses(2, 4, 3) == pytest.approx(4) and uses(5, 16, 3) == pytest.approx(32 / 17)
    assert uses(10, 16, 3) == pytest.approx(16) and uses(11, 16, 3) == math.inf  # m < n (1 - 1/3) = 10.67
    assert uses(1, 100, 10) == 1.0


def test_what_is_sent_is_added_to_what_was_answered_and_old_answers_are_none():
    policy, candidates = create("prequal", hot=0.0), fleet(1, 1)
    assert policy.pick(candidates, REQUEST, 0.0).reason == "drawn"  # nobody has been asked yet
    probed(policy, ("r1", 0, 0.1), ("r2", 1, 0.1))
    assert picks(policy, candidates, 3, now=0.5) == ["r1", "r1", "r2"]  # 0 and 1; 1 and 1: the first; 2 and 1
    assert policy.pick(candidates, REQUEST, 1.1).reason == "drawn"


def test_three_others_are_asked_after_each_pick_and_who_has_left_is_not_picked():
    policy, candidates = create("prequal"), fleet(1, 1, 1, 1, 1, 1, 1, 1)
    asked = Counter()
    for _ in range(800):
        policy.pick(candidates, REQUEST, 0.0)
        ids = policy.probes(0.0)
        assert len(set(ids)) == len(ids) == 3
        asked.update(ids)
    assert all(count == pytest.approx(300, rel=0.25) for count in asked.values())
    probed(policy, ("r1", 0, 0.001), ("r2", 5, 0.2), ("r3", 5, 0.3))
    assert policy.pick(candidates[1:], REQUEST, 0.1).replica.id == "r2"


def test_one_without_a_latency_is_taken_for_one_like_the_others():
    policy, candidates = create("prequal", hot=1.0), fleet(*[1] * 9)
    probed(policy, ("r1", 0, 0.1), ("r2", 0, None), ("r3", 0, 0.3))
    assert policy.pick(candidates, REQUEST, 0.0).replica.id == "r1"


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("prequal", {"probes": 1}, ["policy.probes=1", "between 2 and 16"]),
        ("prequal", {"hot": 1.5}, ["policy.hot=1.5", "between 0 and 1"]),
        ("c3", {"clients": 0}, ["policy.clients=0", "between 1 and 1000"]),
        ("c3", {"share": 0.0}, ["policy.share=0", "between 0.01 and 1"]),
        ("weighted_utilisation", {"update_s": 0.0}, ["policy.update_s=0", "between 0.1 and 3600"]),
    ],
)
def test_a_wrong_option_names_its_bounds(name, options, words):
    with pytest.raises(ValueError) as caught:
        create(name, **options)
    assert all(word in str(caught.value) for word in words), caught.value
