"""The line at the router, turned by hand: who is next, who leaves and how, and which slots are taken."""

import random

import pytest

from services.router import policies
from services.router.dispatch import Dispatcher, NoReplicaError
from services.router.fleet import Fleet
from services.router.policies import RequestInfo
from services.router.policies.late_binding import LateBinding
from services.router.settings import LimitSettings, RouterSettings
from services.router.waiting import Ticket, UnboundError, Waiter

S = 0.1
"""What a request takes at a replica as fast as its fleet, seconds."""


class Bench:
    """Replicas of one slot each; requests are numbers."""

    def __init__(self, replicas=1, limits=None, name="late_binding", **options):
        self.settings = RouterSettings(limits=limits or LimitSettings())
        self.fleet = Fleet(self.settings.health, self.settings.ejection, lambda *_, **__: None)
        self.policy = policies.create(name, options, random.Random(1))
        self.dispatcher = Dispatcher(self.settings, self.fleet, self.policy)
        self.ends, self.at, self.tickets = {}, {}, {}
        for number in range(1, replicas + 1):
            self.add(f"r{number}")

    def add(self, id_, now=0.0, concurrency=1, weight=1.0):
        self.fleet.put(id_, now, url=f"http://{id_}", concurrency=concurrency, weight=weight, state="ready")
        self.fleet.on_check(id_, True, now)

    def ask(self, number, now=0.0, expires=None, tried=()):
        attempts = self.dispatcher.open(now, idempotent=True, expires=expires)
        attempts.tried.update(tried)
        waiter = Waiting(self, number)
        try:
            bound = self.dispatcher.bind(attempts, str(number), None, now, waiter)
        except UnboundError as error:
            waiter.unbound(error, now)
            return
        if isinstance(bound, Ticket):
            self.tickets[number] = bound
        else:
            waiter.bound(*bound, now)

    def answer(self, number, now, latency_s=S, outcome="ok"):
        self.dispatcher.finish(self.at.pop(number), outcome, latency_s, now)

    @property
    def waits(self):
        return [number for number, ticket in self.tickets.items() if ticket.is_in_line]


class Waiting(Waiter):
    def __init__(self, bench, number):
        self.bench, self.number = bench, number

    def bound(self, replica, limit_s, now):
        self.bench.at[self.number] = replica

    def unbound(self, error, now):
        self.bench.ends[self.number] = error.reason


@pytest.mark.parametrize(("order", "turns"), [("fifo", [1, 2, 3]), ("lifo", [3, 2, 1]), ("deadline", [2, 3, 1])])
def test_free_slots_go_to_those_in_line_in_its_order(order, turns):
    bench = Bench(order=order)
    bench.ask(0)
    for number, expires in ((1, 5.0), (2, 3.0), (3, 4.0)):
        bench.ask(number, 0.1 * number, expires)
    seen, last = [], 0
    for step in range(3):
        bench.answer(last, 1.0 + step * S)
        (last,) = bench.at
        seen.append(last)
    assert seen == turns and not bench.waits


def test_by_deadline_both_are_served_where_first_come_first_served_loses_one():
    """By hand: a slot that is free at 1 and at 2; one has time until 4, one that came later until 2."""
    served = {}
    for order in ("fifo", "deadline"):
        bench = Bench(order=order)
        bench.ask(0)
        bench.ask(1, 0.1, expires=4.0)
        bench.ask(2, 0.2, expires=2.0)
        bench.answer(0, 1.0)
        (served_first,) = bench.at
        bench.answer(served_first, 2.0)
        served[order] = (list(bench.at), bench.ends)
    assert served == {"fifo": ([], {2: "deadline"}), "deadline": ([1], {})}


@pytest.mark.parametrize(("order", "shed"), [("fifo", 3), ("lifo", 1), ("deadline", 1)])
def test_where_the_line_is_full_the_one_who_would_be_last_is_shed(order, shed):
    bench = Bench(order=order, limit=2)
    bench.ask(0)
    for number, expires in ((1, 5.0), (2, 3.0), (3, 4.0)):
        bench.ask(number, 0.1 * number, expires)
    assert bench.ends == {shed: "shed"} and len(bench.waits) == 2


def test_without_room_in_line_a_free_slot_is_given_all_the_same():
    bench = Bench(limit=0)
    bench.ask(0)
    bench.ask(1)
    bench.answer(0, 0.1)
    bench.ask(2, 0.1)
    assert bench.ends == {1: "shed"} and set(bench.at) == {2}


def test_whose_time_is_up_has_no_slot_though_nobody_has_looked_at_the_clock():
    bench = Bench(longest_s=0.5)
    bench.ask(0)
    bench.ask(1, expires=9.0)
    bench.ask(2, 0.3, expires=0.4)
    assert [bench.tickets[number].until for number in (1, 2)] == [0.5, 0.4]
    bench.answer(0, 0.6)
    assert bench.ends == {1: "shed", 2: "deadline"} and not bench.at


def test_what_has_expired_on_its_way_gets_no_attempt():
    bench = Bench()
    bench.ask(0, 1.0, expires=1.0)
    assert bench.ends == {0: "deadline"} and not bench.at


def test_a_new_replica_a_readmission_and_more_slots_wake_those_in_line():
    bench = Bench(2)
    for _ in range(2):
        bench.fleet.on_check("r2", False, 0.0)
    for number in range(4):
        bench.ask(number)
    assert set(bench.at) == {0}
    for _ in range(2):
        bench.fleet.on_check("r2", True, 0.1)
    assert set(bench.at) == {0, 1}
    bench.add("r3", 0.2)
    assert set(bench.at) == {0, 1, 2}
    bench.fleet.put("r3", 0.3, concurrency=2)
    bench.fleet.tick(0.4)
    assert set(bench.at) == {0, 1, 2, 3}


def test_where_nobody_is_in_rotation_any_more_everybody_in_line_is_told():
    bench = Bench()
    for number in range(3):
        bench.ask(number)
    bench.fleet.put("r1", 0.1, state="draining")
    assert bench.ends == {1: "no_replica", 2: "no_replica"} and not bench.waits


def test_one_that_was_tried_before_keeps_its_place_and_holds_nobody_up():
    bench = Bench(2)
    for number in range(2):
        bench.ask(number)
    slow = bench.at[0].id
    bench.ask(2, 0.1, tried=[slow])
    bench.ask(3, 0.2)
    bench.answer(0, 0.3)
    assert bench.at[3].id == slow and bench.waits == [2], "the free one has failed it; the next may have it"
    bench.answer(1, 0.4)
    assert bench.at[2].id != slow and not bench.waits


def test_who_is_called_may_end_at_once_without_anybody_being_forgotten():
    bench = Bench()
    for number in range(50):
        bench.ask(number)

    class Ending(Waiting):
        def bound(self, replica, limit_s, now):
            self.bench.ends[self.number] = "served"
            self.bench.dispatcher.finish(replica, "ok", S, now)

    for number, ticket in bench.tickets.items():
        ticket.waiter = Ending(bench, number)
    bench.answer(0, 1.0)
    assert len(bench.ends) == 49 and not bench.waits


def with_a_slow_one(**options):
    """Two replicas at speed 1, one at a fifth (seen as 4.75: two answers at the fleet's time come first)."""
    bench, now = Bench(3, **options), 0.0
    for _ in range(30):
        bench.policy.pick(bench.fleet.candidates(), RequestInfo("", None, 1), now)
        for replica, latency_s in zip(bench.fleet.candidates(), (S, S, 5 * S), strict=True):
            bench.policy.on_start(replica, now)
            now += latency_s
            bench.policy.on_finish(replica, "ok", latency_s, now)
    return bench, now


def test_a_slow_replica_is_left_idle_until_the_last_in_line_would_wait_longer_and_then_gets_the_last():
    """The last of n in line would be done after (n + 2) / 2 fleet times, which is less than 4.75 until n is 8."""
    bench, now = with_a_slow_one()
    for number in range(10):
        bench.ask(number, now)
    assert {bench.at.pop(number).id for number in (0, 1)} == {"r1", "r2"}
    assert {number: replica.id for number, replica in bench.at.items()} == {9: "r3"}
    assert bench.waits == list(range(2, 9))


def test_nobody_is_shed_while_a_replica_stands_idle_if_it_is_a_slow_one():
    bench, now = with_a_slow_one(limit=2)
    for number in range(6):
        bench.ask(number, now)
    assert bench.at[4].id == "r3" and bench.waits == [2, 3] and bench.ends == {5: "shed"}
    bench, now = with_a_slow_one(longest_s=0.5)
    for number in range(4):
        bench.ask(number, now)
    assert bench.waits == [2, 3]
    for number in (2, 3):
        bench.dispatcher.expire(bench.tickets[number], now + 0.5)
    assert bench.at[2].id == "r3" and bench.ends == {3: "shed"} and not bench.waits


def test_what_has_expired_at_the_end_of_the_line_gets_no_slot_as_the_last_one_either():
    bench, now = with_a_slow_one(order="lifo", limit=7)
    for number in range(2):
        bench.ask(number, now)
    bench.ask(2, now, expires=now + 0.1)
    for number in range(3, 9):
        bench.ask(number, now + 0.01 * number)
    assert len(bench.waits) == 7
    bench.ask(9, now + 0.2)
    assert bench.ends == {2: "deadline"} and all(replica.id != "r3" for replica in bench.at.values())


def test_a_limit_on_what_is_under_way_holds_for_those_in_line_and_not_for_their_retries():
    bench = Bench(limits=LimitSettings(adaptive=True, initial=2, least=2))
    for number in range(4):
        bench.ask(number)
    for id_ in ("r2", "r3"):
        bench.add(id_)
    assert set(bench.at) == {0, 1} and bench.waits == [2, 3]
    bench.answer(0, 0.1)
    assert set(bench.at) == {1, 2} and bench.waits == [3]
    bench.answer(1, 0.2, outcome="error")
    assert set(bench.at) == {2, 3}


def test_a_call_asks_the_policy_once_for_all_whom_the_same_replica_has_failed(monkeypatch):
    bench, asked = Bench(2), []
    for number in range(2):
        bench.ask(number)
    slow = bench.at[0].id
    for number in range(2, 40):
        bench.ask(number, tried=[slow])
    pick = bench.policy.pick

    def counted(*about):
        asked.append(about)
        return pick(*about)

    monkeypatch.setattr(bench.policy, "pick", counted)
    bench.answer(0, 0.3)
    assert len(asked) == 1 and bench.waits == list(range(2, 40))


def test_who_has_gone_unheard_gets_no_slot_and_the_next_has_it():
    bench = Bench()
    for number in range(3):
        bench.ask(number)
    bench.tickets[1].waiter.has_gone = lambda: True
    bench.answer(0, 1.0)
    assert set(bench.at) == {2} and not bench.waits and not bench.ends


def test_who_waits_in_line_is_work_for_a_manager_to_see():
    bench = Bench()
    for number in range(3):
        bench.ask(number)
    assert bench.dispatcher.work_seconds(2.0) == pytest.approx(3 * 2.0)
    bench.answer(0, 2.0)
    bench.dispatcher.leave(bench.tickets[2], 3.0)
    assert bench.dispatcher.work_seconds(4.0) == pytest.approx(3 * 2.0 + 2 * 1.0 + 1.0)


def test_slots_that_nobody_has_said_are_found():
    bench = Bench(0)
    bench.add("r1", concurrency=None)
    for number in range(5):
        bench.ask(number)
    assert len(bench.at) == 2, "what is taken before anything is known"
    now = 0.0
    for number in range(5, 5000):
        now += 0.01
        bench.ask(number, now)
        bench.answer(next(iter(bench.at)), now)
    assert len(bench.at) > 2, "latency has not risen with what was in flight"


def test_now_or_never_does_not_stand_in_line():
    bench = Bench()
    bench.ask(0)
    with pytest.raises(NoReplicaError, match="no replica has a free slot"):
        bench.dispatcher.choose(bench.dispatcher.open(0.0, idempotent=True), "1", None, 0.0)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (dict(order="last"), "policy.order=last: must be one of fifo, lifo, deadline"),
        (dict(slots="some"), "policy.slots=some: must be one of registered, found"),
        (dict(limit=-1), "policy.limit=-1: must be between 0 and 100000"),
        (dict(longest_s=-1), "policy.longest_s=-1: must be between 0 and 600"),
    ],
)
def test_a_wrong_option_is_refused_with_what_it_may_be(wrong, says):
    with pytest.raises(ValueError, match=says):
        policies.create("late_binding", wrong, random.Random(1))


def test_in_a_large_fleet_the_slots_found_of_those_that_are_full_are_not_forgotten():
    """Only those with room are candidates where room is bounded: here 2 of 80."""
    bench = Bench(replicas=80, limits=LimitSettings(replica_requests=4), slots="found")
    policy, everybody = bench.policy, list(bench.fleet.replicas.values())
    assert isinstance(policy, LateBinding)
    for replica in everybody:
        for number in range(10):  # a window with both of its slots taken
            replica.in_flight = 1
            policy.on_start(replica, number)
            policy.on_finish(replica, "ok", S, number + S)
        replica.in_flight = 0
    assert {policy.slots(replica) for replica in everybody} == {4}
    for number in range(4 * 80 - 2):
        bench.ask(number, 20)
    full = [replica for replica in everybody if replica.in_flight == 4]
    bench.ask("one more", 30)
    assert len(full) == 78 and {policy.slots(replica) for replica in full} == {4}


def test_a_weight_is_that_of_all_slots_of_a_replica_together():
    """Four slots and one, weights of 4 and 1: each slot is as fast, and all are used, as where nobody has said a weight.
    With 4 and 2 that of the one is twice as fast, and taken first."""
    for small, used, first in ((1.0, 5, None), (None, 5, None), (2.0, 5, "small")):
        bench = Bench(0)
        bench.add("large", concurrency=4, weight=4.0 if small else 1.0)
        bench.add("small", weight=small or 1.0)
        for number in range(6):
            bench.ask(number)
        assert len(bench.at) == used and bench.waits == [5]
        assert first is None or bench.at[0].id == first
