"""Slots that are held back where replicas are not equally fast, turned by hand: when, how long, and that nobody is left."""

import math

import numpy as np
import pytest

from services.router import held_back
from services.router.policies import Outcome, RequestInfo
from services.router.settings import LimitSettings
from services.router.standing_out import FORGET_S, LIMIT, LOST, MOST
from tests.services.router.test_policies import fleet
from tests.services.router.test_waiting import Bench, S

OK: Outcome = "ok"
BOUND = 80
"""Of a line in the dynamic programme; at the rates here nobody comes near it."""


def least_mean(ratio, arrivals, shortest=None):
    """A fast server of rate 1 and one `ratio` times as slow: the least mean number in the system, and the shortest line
    of which the slow one is then given one while the fast one is busy. By value iteration on the line and both servers
    (Koole, Systems and Control Letters 26, 1995); with `shortest` that line is given, and the mean is its."""
    slow = 1 / ratio
    total = arrivals + 1 + slow
    held = np.arange(BOUND + 1)[:, None, None] + np.array([[0, 1], [1, 2]])  # [in line, fast busy, slow busy]
    value = np.zeros(held.shape)

    def settled(value):
        given = value.copy()
        if shortest is None:
            given[1:, :, 0] = np.minimum(value[1:, :, 0], value[:-1, :, 1])
        else:
            given[shortest:, 1, 0] = value[shortest - 1 : -1, 1, 1]
        given[1:, 0, :] = given[:-1, 1, :]
        return given

    for _ in range(6000):
        after = settled(value)
        then = arrivals * np.concatenate([after[1:], after[-1:]])
        then += after[:, :1, :] + slow * after[:, :, :1]
        value, before = held + then / total, value
    mean = (value - before)[0, 0, 0]
    given = value[: BOUND // 2, 1, 1] <= value[1 : BOUND // 2 + 1, 1, 0]
    assert list(given) == sorted(given), "a threshold, as Lin and Kumar have proved"
    return mean, 1 + int(np.argmax(given))


def shortest_line(ratio):
    """With which the rule gives a slot `ratio` times as slow, the faster one being busy."""
    fast, slow = fleet(1.0, 1.0)
    fast.in_flight = 1
    seen = (fast, 1, 1, 1.0, 1.0), (slow, 1, 0, float(ratio), 1.0)
    return 1 + next(n for n in range(200) if held_back.slot(seen, n, "free") is not None)


@pytest.mark.parametrize(
    ("ratio", "arrivals", "best"),
    [(2, 0.5, 1), (4, 0.2, 3), (4, 0.8, 2), (10, 0.01, 9), (10, 0.2, 8), (10, 0.8, 4), (10, 1.0, 3)],
)
def test_of_two_unequal_servers_the_slow_one_is_held_back_no_less_than_is_best_and_exactly_so_where_few_come(
    ratio, arrivals, best
):
    mean, shortest = least_mean(ratio, arrivals)
    ours = shortest_line(ratio)
    assert shortest == best <= ours == max(1, ratio - 1)
    assert mean * (1 - 1e-9) <= least_mean(ratio, arrivals, ours)[0] < 1.11 * mean
    if arrivals <= 0.2:
        assert least_mean(ratio, arrivals, 1)[0] > 1.07 * least_mean(ratio, arrivals, ours)[0]


def uneven(slow=0.25, limits=None, **options):
    """Two replicas as fast as each other and one that says that it is slower; a slot each."""
    bench = Bench(2, limits, "adaptive", **options)
    bench.add("slow", weight=slow)
    return bench


def lined_up(bench, count, now=0.0):
    for number in range(count):
        bench.ask(number, now)
    return bench


def there(bench, id_):
    return [number for number, replica in bench.at.items() if replica.id == id_]


def test_a_slow_slot_is_held_back_until_the_line_takes_longer_and_the_last_one_then_gets_it():
    """By hand: the fast ones do 2 a unit, a slow slot takes 4. With six in line and two at the fast ones there are
    eight, which take as long."""
    bench = lined_up(uneven(), 7)
    assert {bench.at[0].id, bench.at[1].id} == {"r1", "r2"} and bench.waits == [2, 3, 4, 5, 6]
    bench.ask(7)
    assert there(bench, "slow") == [7] and bench.waits == [2, 3, 4, 5, 6]
    assert bench.fleet.picks == {"least": 2, "held": 1}
    bench.answer(0, S)
    assert sorted(bench.at) == [1, 2, 7] and bench.at[2].id != bench.at[1].id


def test_a_slow_replica_is_used_where_the_faster_ones_are_not_worth_the_wait():
    bench = lined_up(uneven(slow=0.8), 3)
    assert [replica.id for replica in bench.at.values()].count("slow") == 1 and not bench.waits


@pytest.mark.parametrize("weight", [1.0, None])
def test_where_replicas_are_alike_or_somebody_has_not_said_its_slots_nobody_waits(weight):
    bench = Bench(2, None, "adaptive")
    bench.add("r3", concurrency=1 if weight else None, weight=weight or 0.25)
    lined_up(bench, 30)
    assert not bench.waits and len(bench.at) == 30


LEAVES = {
    "removed": lambda bench, id_, now: bench.fleet.remove(id_, now),
    "draining": lambda bench, id_, now: bench.fleet.put(id_, now, state="draining"),
    "failing its checks": lambda bench, id_, now: [bench.fleet.on_check(id_, False, now) for _ in range(2)],
    "its lease over": lambda bench, id_, now: (bench.fleet.put(id_, now, lease_s=0.1), bench.fleet.tick(now + 0.2)),
    "failing at work": lambda bench, id_, now: [fails(bench, id_, now) for _ in range(5)],
    "at another address, unchecked": lambda bench, id_, now: bench.fleet.put(id_, now, url="http://new", state="ready"),
}  # fmt: skip


def fails(bench, id_, now):
    replica = bench.fleet.replicas[id_]
    bench.policy.on_start(replica, now)
    bench.fleet.on_start(replica, now)
    bench.dispatcher._under_way += 1
    bench.dispatcher.finish(replica, "error", 0.0, now, "status 500")


@pytest.mark.parametrize("how", LEAVES)
def test_whoever_waits_is_bound_at_once_when_the_slow_replica_leaves(how):
    bench = lined_up(uneven(), 7)
    LEAVES[how](bench, "slow", 1.0)
    assert not bench.waits and not bench.ends
    assert sorted(len(there(bench, id_)) for id_ in ("r1", "r2")) == [3, 4]


@pytest.mark.parametrize("how", [how for how in LEAVES if not how.startswith("failing")])
def test_whoever_waits_is_bound_at_once_when_the_fast_ones_leave_whose_slots_are_taken(how):
    """haproxy #6: what is pending when the last active server dies with its maxconn taken stays there, as nobody calls
    those who could."""
    bench = lined_up(uneven(), 7)
    for id_ in ("r1", "r2"):
        LEAVES[how](bench, id_, 1.0)
    assert not bench.waits and not bench.ends and len(there(bench, "slow")) == 5


def test_in_a_panic_those_whom_checks_keep_out_are_waited_for_like_the_others():
    bench = lined_up(uneven(), 7)
    for id_ in ("r1", "r2"):
        LEAVES["failing its checks"](bench, id_, 1.0)
    assert bench.fleet.panics and bench.waits == [2, 3, 4, 5] and there(bench, "slow") == [6]
    for step, number in enumerate((0, 1, 2, 3)):
        bench.answer(number, 1.0 + step * S)
    assert sorted(bench.at) == [4, 5, 6] and not bench.ends


def test_whoever_waits_is_bound_at_once_when_one_joins_whose_slots_are_not_known():
    bench = lined_up(uneven(slow_start_s=0.0), 7)
    bench.add("new", 1.0, concurrency=None)
    assert not bench.waits and len(bench.at) == 7


def test_whoever_waits_is_bound_by_the_next_tick_when_weights_say_no_more_that_one_is_slower():
    bench = lined_up(uneven(), 7)
    bench.fleet.put("slow", 1.0, weight=1.0)
    bench.fleet.tick(1.1)
    assert not bench.waits and there(bench, "slow")


def standing_out(slots=1, slow=(10 * S, OK)):
    """Three replicas told nothing of, one of which has been ten times as slow; idle since the moment that is given."""
    bench, now = Bench(0, None, "adaptive"), 0.0
    for id_ in ("r1", "r2", "slow"):
        bench.add(id_, concurrency=slots)
    for _ in range(30):
        bench.policy.pick(bench.fleet.candidates(), RequestInfo("", None, 1), now)
        for replica in bench.fleet.candidates():
            latency_s, outcome = slow if replica.id == "slow" else (S, OK)
            bench.policy.on_start(replica, now)
            now += latency_s
            bench.policy.on_finish(replica, outcome, latency_s, now)
    return bench, now


def test_one_that_stands_out_is_held_back_and_tried_again_once_that_is_forgotten():
    """At the latest when its evidence has faded from the most that is kept to what it takes; nobody has to come for it,
    and the one that tries it is the evidence for the next."""
    bench, now = standing_out()
    until = now + FORGET_S * math.log(MOST / LIMIT)
    lined_up(bench, 5, until - 2 * S)
    assert not there(bench, "slow") and bench.waits == [2, 3, 4]
    assert set(bench.fleet.picks) == {"standing_out"}
    bench.fleet.tick(until - S)
    assert bench.waits == [2, 3, 4]
    bench.fleet.tick(until + S)
    assert not bench.waits and 1 <= len(there(bench, "slow")) <= 2
    bench.answer(there(bench, "slow")[0], until + 9 * S, 8 * S)
    bench.ask(5, until + 9 * S)
    bench.ask(6, until + 9 * S)
    assert bench.waits == [5, 6], "it was tried by one or two, and is held back again"


def test_by_silence_alone_nobody_is_held_back_since_what_is_lost_on_its_way_takes_no_slot():
    """A firewall forgets connections: attempts that will never be answered, at replicas that have nothing to do."""
    bench, now = standing_out()
    for _ in range(40):
        for replica in bench.fleet.candidates():
            bench.policy.on_start(replica, now)
            now += S
            bench.policy.on_finish(replica, "ok", S, now)
    lined_up(bench, 12, now)
    assert not bench.waits
    for moment in range(1, 40):
        bench.ask(f"later {moment}", now + moment * S)
    assert not bench.waits and bench.fleet.picks["standing_out"]


@pytest.mark.parametrize("outcome", ["error", "overloaded"])
def test_nobody_waits_for_slots_of_one_that_fails_since_it_would_fail_him_no_less_soon(outcome):
    """Full replicas that queue nobody refuse at once: their slots are as fast as any."""
    bench, now = standing_out(slow=(S / 10, outcome))
    lined_up(bench, 12, now)
    assert not bench.waits and bench.fleet.picks["standing_out"]


def test_a_slow_one_that_has_failed_as_well_is_held_back_once_its_answers_have_said_so():
    bench, now = standing_out()
    for _ in range(3):
        bench.policy.on_start(bench.fleet.replicas["slow"], now)
        bench.policy.on_finish(bench.fleet.replicas["slow"], "error", 0.0, now)
    lined_up(bench, 5, now)
    assert not bench.waits
    for _ in range(12):
        bench.policy.on_start(bench.fleet.replicas["slow"], now)
        now += 10 * S
        bench.policy.on_finish(bench.fleet.replicas["slow"], "ok", 10 * S, now)
    for number in range(5):
        bench.answer(number, now)
    lined_up(bench, 5, now)
    assert not there(bench, "slow") and bench.waits == [2, 3, 4]


def test_an_attempt_that_takes_eight_times_as_long_as_its_replica_does_is_taken_for_lost_and_its_slot_for_free():
    bench, now = uneven(), 0.0
    for _ in range(10):
        bench.policy.pick(bench.fleet.candidates(), RequestInfo("", None, 1), now)
        for replica in bench.fleet.candidates():
            latency_s = 4 * S if replica.id == "slow" else S
            bench.policy.on_start(replica, now)
            now += latency_s
            bench.policy.on_finish(replica, "ok", latency_s, now)
    lined_up(bench, 7, now)
    bench.fleet.tick(now + (LOST - 0.1) * S)
    assert len(bench.waits) == 5
    bench.fleet.tick(now + (LOST + 0.1) * S)
    assert bench.waits == [4, 5, 6] and not there(bench, "slow")


def test_one_that_has_recovered_is_seen_to_though_it_gets_what_is_left_over():
    """From ten times as slow to as fast as the others: within a minute of one request at a time it has its share."""
    bench, now = standing_out()
    shares = []
    for number in range(600):
        bench.ask(number, now)
        ((asked, replica),) = bench.at.items()
        shares.append(replica.id)
        now += S
        bench.answer(asked, now)
    assert shares[:60].count("slow") == 0 and shares[-150:].count("slow") == pytest.approx(50, abs=25)


def test_whose_time_is_up_in_line_or_who_leaves_it_is_not_bound_afterwards():
    bench = uneven()
    for number in range(6):
        bench.ask(number, expires=1.0 if number == 3 else None)
    bench.dispatcher.leave(bench.tickets[4], 0.5)
    bench.dispatcher.expire(bench.tickets[3], 1.0)
    assert bench.ends == {3: "deadline"} and bench.waits == [2, 5]
    bench.fleet.remove("slow", 1.5)
    assert set(bench.at) == {0, 1, 2, 5}


def test_a_second_attempt_beside_a_slow_one_is_made_at_once_or_never():
    bench = lined_up(uneven(), 3)
    attempts = bench.dispatcher.open(0.0, idempotent=True)
    attempts.tried.add("r1")
    replica, _ = bench.dispatcher.choose(attempts, "9", None, 0.0, beside=True)
    assert replica.id in {"r2", "slow"} and bench.waits == [2]


def test_a_retry_waits_for_another_one_and_holds_up_nobody():
    bench = lined_up(uneven(), 2)
    failed, other = bench.at[0].id, bench.at[1].id
    bench.ask(2, tried=[failed])
    bench.ask(3)
    assert bench.waits == [2, 3]
    bench.answer(0, S)
    assert bench.at[3].id == failed and bench.waits == [2], "the next may have the one that has failed it"
    bench.answer(1, 2 * S)
    assert bench.at[2].id == other and not bench.waits


def test_beyond_what_may_wait_the_last_is_bound_at_once_and_nobody_is_refused():
    bench = lined_up(uneven(slow=0.001), held_back.LINE + 7)
    assert not bench.ends and len(bench.waits) == held_back.LINE
    assert len(bench.at) == 7 and not there(bench, "slow")


def test_a_bound_on_a_replicas_requests_refuses_as_it_does_where_nobody_waits():
    bench = lined_up(uneven(limits=LimitSettings(replica_requests=1)), 4)
    assert bench.ends == {3: "full"} and not bench.waits


def test_a_replica_that_comes_back_gets_no_more_than_its_slots_from_the_line():
    """haproxy #2744: up to twice its maxconn as it leaves maintenance."""
    bench = Bench(0, None, "adaptive", slow_start_s=0.0)
    for id_, weight in (("r1", 2.0), ("r2", 2.0), ("slow", 0.1)):
        bench.add(id_, concurrency=2, weight=weight)
    LEAVES["failing its checks"](bench, "r2", 0.0)
    lined_up(bench, 12)
    assert len(bench.waits) == 10
    for _ in range(2):
        bench.fleet.on_check("r2", True, 1.0)
    assert len(there(bench, "r2")) == 2 and len(bench.waits) == 8


def test_of_a_large_fleet_only_a_few_are_looked_at_and_nobody_waits():
    bench = Bench(20, None, "adaptive")
    bench.add("slow", weight=0.1)
    lined_up(bench, 100)
    assert not bench.waits
