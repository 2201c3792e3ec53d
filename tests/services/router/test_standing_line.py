"""When a line is too long for too long: by hand, with the numbers of those who have told overload from chance before."""

import random

import pytest

from services.router import policies
from services.router.dispatch import Dispatcher
from services.router.fleet import Fleet
from services.router.settings import LimitSettings, RouterSettings, TimeoutSettings
from services.router.standing_line import BINS, StandingLine
from services.router.waiting import UnboundError

ROUNDING = 1 / BINS


def fluid(line, asked, done, until_s, *, from_s=0.0):
    """Those who came, at even distances, `asked` a second to a line that does `done` a second: when, whether they were
    let in, and how long they stand in line, seconds."""
    came, answered, waiting = [], from_s, 0.0
    for number in range(int(done)):  # in the second before nobody stood in line
        line.on_answer(from_s - 1 + number / done)
    for number in range(int((until_s - from_s) * asked)):
        now = from_s + number / asked
        while waiting >= 1 and answered + 1 / done <= now:
            answered += 1 / done
            line.on_answer(answered)
            waiting -= 1
        if waiting < 1:
            answered = now
        is_in = line.admits(int(waiting) + 1, now)
        waiting += is_in
        came.append((now, is_in, waiting / done))
    return came


@pytest.mark.parametrize("done", [40, 160, 2048])
@pytest.mark.parametrize(("asked", "after_s"), [(1.25, 4.0), (1.3, 3.0), (1.5, 1.5), (1.05, 21.0)])
def test_too_much_is_found_out_in_time_and_then_held_at_half_of_the_bound(done, asked, after_s):
    """By hand: of a quarter too much the wait grows by a quarter of the time that passes, and would by 0.15 of it where a
    tenth more were done. That is 0.6 s after four, and the wait a second. Of a twentieth too much it would not grow: the
    wait is a second after 20 s, and has been for one after 21. From then on as many are let in as are done. The same of a
    fleet of two slots as of a hundred."""
    came = fluid(StandingLine(1.0), asked * done, done, 30.0)
    refused = [at for at, is_in, _ in came if not is_in]
    assert refused[0] == pytest.approx(after_s, rel=1.5 * ROUNDING, abs=4 / done)
    assert max(wait for *_, wait in came) == pytest.approx((asked - 1) * after_s, rel=2 * ROUNDING, abs=4 / done)
    let_in = [(at, wait) for at, is_in, wait in came if is_in and at > refused[0]]
    assert all(wait == pytest.approx(0.5, abs=0.5 * ROUNDING + 2 / done) for _, wait in let_in)
    assert len(let_in) / (30 - let_in[0][0]) == pytest.approx(done, rel=0.02)


def test_as_in_codel_a_delay_above_the_bound_for_less_than_its_interval_is_let_pass():
    """RFC 8289: nothing is dropped until the delay has been too long for 100 ms. 1,000 a second come and are done."""
    line = StandingLine(0.1)
    for number in range(200):
        line.on_answer(number / 1000)
    let_in = []
    for number in range(150):
        line.on_answer(0.2 + number / 1000)
        let_in.append(line.admits(101, 0.2 + number / 1000))
    assert let_in.index(False) == pytest.approx(100, abs=1) and not any(let_in[102:])


def test_one_moment_below_the_bound_begins_the_interval_anew():
    line = StandingLine(1.0)
    for number in range(400):
        now = number / 100
        line.on_answer(now)
        assert line.admits(50 if number == 190 or number < 100 else 101, now) == (number < 291), now


def test_a_mean_of_20_ms_in_line_is_an_overload_of_dagor_and_not_of_a_bound_of_a_second():
    """WeChat refuses from an average of 20 ms on (Zhou et al., SoCC 2018), with time-outs of 500 ms. 10,000 are done a
    second, and 201 stand in line, for ten seconds."""
    outcomes = {}
    for bound_s in (0.02, 1.0):
        line = StandingLine(bound_s)
        outcomes[bound_s] = []
        for number in range(100_000):
            now = number / 10_000
            line.on_answer(now)
            outcomes[bound_s].append(line.admits(201, now))
    assert not any(outcomes[0.02][2000:]) and all(outcomes[1.0][20_000:])


def test_who_gives_up_unanswered_lets_nobody_else_in_while_nothing_is_answered():
    """A retry storm: what is under way is hung up and sent again, and replicas work for nobody. Those few that are in
    rotation's slots say nothing of that: until something is answered no line is let in, but slots are used."""
    line = StandingLine(1.0)
    for number in range(100):
        line.on_answer(number / 100)
    at = [1.0 + number / 100 for number in range(500)]
    let_in = [line.admits(200, now) for now in at]
    assert not any(let_in[130:])
    assert line.admits(0, at[-1]) and not line.admits(1, at[-1])


def test_an_overload_is_over_when_the_line_has_been_short_for_as_long_as_the_bound():
    line = StandingLine(1.0)
    came = fluid(line, 200, 160, 20.0)
    assert not came[-1][1] or not all(is_in for _, is_in, _ in came[-10:])
    assert line.is_held
    after = fluid(line, 80, 160, 26.0, from_s=20.0)
    assert all(is_in for _, is_in, _ in after) and not line.is_held


def test_after_the_router_stood_still_nothing_is_made_of_what_came_meanwhile():
    """A burst of three seconds after three of standstill: it looks too long from the first moment on, and has not been."""
    line = StandingLine(1.0)
    for number in range(300):
        line.on_answer(number / 100)
        assert line.admits(90, number / 100)
    assert all(line.admits(400 - number, 6.0 + number / 1000) for number in range(300))


def test_an_overload_is_over_where_slots_have_nobody_who_waits_for_them():
    """One replica of several was left out of what the others do: its line is as long as is let in, and they are idle."""
    line = StandingLine(1.0)
    fluid(line, 200, 160, 20.0)
    assert line.is_held
    at = [20.0 + number / 100 for number in range(300)]
    let_in = []
    for now in at:
        line.on_answer(now, is_awaited=False)
        let_in.append(line.admits(70, now))
    assert not all(let_in[:100]) and all(let_in[200:]) and not line.is_held


def dispatching(*slots, share=0.5, policy="least_request", **options):
    settings = RouterSettings(limits=LimitSettings(standing_share=share), timeouts=TimeoutSettings(attempt_s=2.0))
    fleet = Fleet(settings.health, settings.ejection, lambda *_, **__: None)
    for number, count in enumerate(slots, 1):
        fleet.put(f"r{number}", 0.0, url=f"http://r{number}", concurrency=count, state="ready")
        fleet.on_check(f"r{number}", True, 0.0)
    return Dispatcher(settings, fleet, policies.create(policy, options, random.Random(1)))


def refused_of(dispatcher, count=200, seconds=3.0):
    """Of those who come at even distances, and of whom nobody is answered, how many hear that it is too much."""
    refused = 0
    for number in range(count):
        now = seconds * number / count
        try:
            dispatcher.choose(dispatcher.open(now, idempotent=True), str(number), None, now)
        except UnboundError as error:
            assert error.reason == "shed"
            refused += 1
    return refused


def test_slots_are_those_of_the_fleet_and_where_one_has_not_said_how_many_nobody_is_refused():
    assert refused_of(dispatching(2, 2)) > 0
    assert refused_of(dispatching(2, None)) == 0
    assert refused_of(dispatching(100, 100)) == 0  # nobody stands in line
    assert refused_of(dispatching(2, 2, share=0)) == 0


def test_where_nobody_is_in_rotation_that_is_what_is_said():
    dispatcher, reasons = dispatching(), set()
    for number in range(300):
        try:
            dispatcher.choose(dispatcher.open(number / 100, idempotent=True), str(number), None, number / 100)
        except UnboundError as error:
            reasons.add(error.reason)
    assert reasons == {"no_replica"} and not dispatcher.standing.is_held


def test_a_retry_is_let_pass():
    dispatcher = dispatching(2, 2)
    first = dispatcher.open(0.0, idempotent=True)
    dispatcher.choose(first, "1", None, 0.0)
    assert refused_of(dispatcher) > 0 and dispatcher.standing.is_held
    dispatcher.choose(first, "1", None, 3.0)


def test_slots_that_a_replica_says_later_count_from_then_on():
    dispatcher = dispatching(2, None)
    dispatcher._fleet.put("r2", 0.0, url="http://r2", concurrency=3)
    assert dispatcher._fleet.slots() == 5
    dispatcher._fleet.remove("r1", 0.0)
    assert dispatcher._fleet.slots() == 3
