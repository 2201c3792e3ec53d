"""Whether the instrument finds what is wrong, and nothing else: on modelled proxies, and on records made by hand."""

import random

import pytest

from experiments.conforming import chances
from experiments.conforming.judging import judge
from experiments.conforming.modelled import measuring
from experiments.conforming.modelled.bugs import BUGS, RIGHT
from experiments.conforming.modelled.proxy import Proxy, Setting
from experiments.conforming.run import OF_POLICIES
from experiments.conforming.seen import Attempt, Seen, Span, Turn
from experiments.references import create

FOUR = ("r1", "r2", "r3", "r4")
EQUAL = (1.0,) * 4
RARE = ("count lost at ejection",)
"""Found in nine of ten runs of 2,000 requests (docs/conformance.md)."""


def seen(*rows, turns=(), ids=FOUR, blind=()):
    """Of rows (replica, picked from, picked until, ended from, ended until)."""
    attempts = [Attempt(n, 1, row[0], Span(*row[1:3]), Span(*row[3:5])) for n, row in enumerate(rows)]
    return Seen(ids, (1.0,) * len(ids), attempts, list(turns), blind=list(blind))


def judged(name, records, **options):
    return judge(records, create(name, records.weights, options))


@pytest.mark.parametrize("name", [name for name in BUGS if name not in RARE])
def test_a_seeded_bug_is_found(name):
    """Within far fewer than the 2,000 requests that `experiments.conformance_calibration` plays."""
    bug = BUGS[name]
    found = measuring.play(bug.proxy, bug.setting, 1, 700)
    assert found.first is not None and found.first.place <= found.decisions
    assert found.first.picked in FOUR and set(found.first.in_flight) == set(FOUR)


@pytest.mark.parametrize("number", range(len(RIGHT)))
def test_a_right_proxy_is_not_accused_and_its_decisions_could_have_been_wrong(number):
    setting = RIGHT[number]
    found = measuring.play(Proxy, setting, 100 + number, 500)
    assert found.first is None
    if setting.failing and setting.reference not in OF_POLICIES:  # once all have failed, all may be out
        assert 0 < found.judged < found.decisions
    else:
        assert found.judged >= 0.8 * found.decisions


def test_a_false_alarm_has_no_more_than_the_stated_chance():
    """150 right runs at an error rate of 20 %, many of whose stamps overlap: Ville's bound."""
    setting = Setting("envoy_least_request", (("choices", 2),), late_s=1e-3)
    alarms = sum(not measuring.play(Proxy, setting, seed, 60, 0.2).conforms for seed in range(150))
    assert alarms <= 0.2 * 150 + 3 * (0.2 * 0.8 * 150) ** 0.5


def test_two_decisions_whose_stamps_overlap_may_have_come_in_either_order():
    apart = seen((1, 0.0, 0.1, 5, 5), (0, 0.2, 0.3, 5, 5), (1, 0.4, 0.5, 5, 5), (0, 0.6, 0.7, 5, 5), ids=FOUR[:2])
    together = seen((1, 0.0, 0.3, 5, 5), (0, 0.2, 0.3, 5, 5), (0, 0.4, 0.7, 5, 5), (1, 0.6, 0.7, 5, 5), ids=FOUR[:2])
    wrong = seen((1, 0.0, 0.1, 5, 5), (0, 0.2, 0.3, 5, 5), (0, 0.4, 0.5, 5, 5), (1, 0.6, 0.7, 5, 5), ids=FOUR[:2])
    assert judged("nginx_round_robin", apart).first is None
    assert judged("nginx_round_robin", together).first is None
    first = judged("nginx_round_robin", wrong).first
    assert (first.request, first.picked, first.possible) == (2, "r1", ("r2",))


def test_a_finish_that_may_have_come_first_excuses_a_pick():
    """r1 has one until 1.0 or so; r2 has had one all along: who came at 1.0 may have found r1 idle."""
    rows = [(1, 0.0, 0.1, 9, 9), (0, 0.2, 0.3, 0.95, 1.05)]
    at_once = (0, 0.99, 1.01, 9, 9)
    two_busy = seen((0, 0.0, 0.1, 9, 9), (1, 0.2, 0.3, 9, 9), (0, 0.4, 0.5, 9, 9), (0, 0.6, 0.7, 9, 9), ids=FOUR[:2])
    for name in ("haproxy_leastconn", "least_request"):
        assert judged(name, seen(*rows, at_once, ids=FOUR[:2])).first is None
        first = judged(name, two_busy).first
        assert (first.request, first.possible, first.in_flight) == (3, ("r2",), {"r1": (2, 2), "r2": (1, 1)})
    # nginx has r2 before: r1 has paid for its turn in the tie before, and r2, alone at the least, has not.
    assert judged("nginx_least_conn", two_busy).first.request == 2


def test_who_is_out_of_rotation_is_not_to_be_picked():
    turns = [Turn(0, Span(0.5, 0.5), False)]
    rows = [(1, 0.6, 0.7, 0.8, 0.9), (0, 1.0, 1.1, 1.2, 1.3)]
    for name in ("least_request", "random", "envoy_least_request"):
        first = judged(name, seen(*rows, turns=turns)).first
        assert first.request == 1 and first.out == ("r1",) and "r1" not in first.possible
    nobody_knows = [Turn(0, Span(0.5, 0.5), None)]
    assert judged("random", seen(*rows, turns=nobody_knows)).first is None


def test_a_retry_to_the_same_host_is_named_with_where_it_had_been():
    tries = [Attempt(7, 1, 2, Span(0, 0.1), Span(0.2, 0.3), False), Attempt(7, 2, 2, Span(0.2, 0.4), Span(0.5, 0.6))]
    for name in ("least_request", "nginx_round_robin", "haproxy_leastconn"):
        first = judged(name, Seen(FOUR, EQUAL, list(tries))).first
        assert (first.request, first.attempt, first.tried) == (7, 2, ("r3",)) and "r3" not in first.possible


def test_a_failed_attempt_counts_for_as_long_as_the_policy_says():
    """linkerd2 #11669: who fails at once would have nothing in flight, and attract everything."""
    failed = Attempt(0, 1, 0, Span(0, 0.01), Span(0.02, 0.03), False)
    second = Attempt(1, 1, 0, Span(0.5, 0.51), Span(0.6, 0.61))
    others = [Attempt(n, 1, n - 1, Span(0.1, 0.11), Span(9, 9)) for n in (2,)]
    records = Seen(FOUR[:2], (1.0, 1.0), [failed, *others, second])
    assert judged("least_request", records).first is None  # one each: a tie
    assert judged("least_request", records, error_penalty_s=0.1).first is None
    alone = Seen(FOUR[:2], (1.0, 1.0), [failed, second])
    assert judged("least_request", alone).first.possible == ("r2",)
    assert judged("least_request", alone, error_penalty_s=0.1).first is None


def test_what_went_nobody_knows_where_accuses_nobody():
    rows = [(n % 4, n, n + 0.1, n + 0.5, n + 0.6) for n in range(8)]
    skipped = [*rows[:4], *rows[5:]]  # r1 had its turn, and nobody saw it
    assert judged("nginx_round_robin", seen(*skipped)).first is not None
    assert judged("nginx_round_robin", seen(*skipped, blind=[Span(3.7, 4.8)])).first is None


@pytest.mark.parametrize("name", ["nginx_least_conn", "haproxy_roundrobin", "random", "least_request"])
def test_doubts_about_many_replicas_cost_no_more_than_those_about_a_few(name, monkeypatch):
    """A fault over 20 replicas: 2^20 rotations would be possible at each decision."""
    ids = tuple(f"r{n}" for n in range(1, 21))
    nobody_knows = [Turn(n, Span(0.5, 0.5), None) for n in range(20)]
    records = seen(*[(n % 20, n, n + 0.1, n + 0.5, n + 0.6) for n in range(1, 41)], turns=nobody_knows, ids=ids)
    reference, asked = create(name, records.weights, {}), []
    picks = reference.picks

    def counted(state, offer):
        asked.append(offer)
        return picks(state, offer)

    monkeypatch.setattr(reference, "picks", counted)
    assert judge(records, reference).first is None
    assert len(asked) <= 64 * 40


@pytest.mark.parametrize("name", ["nginx_least_conn", "haproxy_roundrobin", "random", "least_request"])
def test_what_could_not_have_been_wrong_is_not_counted_as_judged(name):
    """Whoever is picked may have been the only one in rotation; before the first doubt it is not so."""
    nobody_knows = [Turn(n, Span(3.5, 3.5), None) for n in range(4)]
    rows = [(n % 4, n, n + 0.1, n + 0.5, n + 0.6) for n in range(8)]
    found = judged(name, seen(*rows, turns=nobody_knows))
    assert (found.first, found.decisions, found.judged) == (None, 8, 4)


def test_an_impossible_pick_is_among_those_that_were_judged():
    found = judged("random", seen((0, 1.0, 1.1, 9, 9), turns=[Turn(0, Span(0.5, 0.5), False)]))
    assert (found.impossible, found.judged) == (1, 1)


def test_a_few_doubts_leave_the_others_judged():
    doubts = [Turn(n, Span(0.5, 0.5), None) for n in (0, 1)]
    rows = [(2, 1.0, 1.1, 9, 9), (2, 2.0, 2.1, 9, 9)]
    first = judged("nginx_least_conn", seen(*rows, turns=doubts)).first
    assert first.request == 1 and first.possible == ("r1", "r2", "r4")


ROTATING = ("nginx_least_conn", "nginx_round_robin", "haproxy_leastconn", "haproxy_roundrobin", "envoy_round_robin")


@pytest.mark.parametrize("name", [*ROTATING, "round_robin"])
def test_many_stamps_at_one_moment_end_in_fewer_judged_and_no_alarm(name):
    """A machine that stood still for a while, again and again, with 20 requests and more each time: what the policy
    has in mind afterwards is not what it may have had in mind at first."""
    for seed in range(2):
        records = Proxy(Setting(name), seed).play(300)
        stalled = [
            Attempt(a.request, 1, a.replica, Span(a.picked.low // 0.5 * 0.5, a.picked.low // 0.5 * 0.5 + 0.15), a.ended)
            if a.picked.low % 0.5 < 0.1 else a for a in records.attempts
        ]  # fmt: skip
        found = judged(name, Seen(FOUR, EQUAL, stalled))
        assert found.first is None and 0 < found.judged < found.decisions


def test_evidence_says_what_the_picks_go_by():
    rng = random.Random(1)
    rows = [(rng.choice((0, 0, 1, 2, 3)), n, n + 0.1, n + 0.5, n + 0.6) for n in range(2000)]
    found = judged("random", seen(*rows))
    assert any(word in found.first.alternative for word in ("replica", "equals")) and found.evidence >= 1 / chances.ALPHA
    rotating = [(n % 4, n, n + 0.1, n + 0.5, n + 0.6) for n in range(200)]
    assert "distance from the last pick" in judged("random", seen(*rotating)).first.alternative
