"""Every policy through any order of starts, ends, arrivals, ejections and farewells: what must hold whatever happens."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.router import held_back, policies
from services.router.dispatch import Dispatcher, NoReplicaError
from services.router.fleet import REASONS, Fleet
from services.router.policies import OUTCOMES, POLICIES, Report, RequestInfo
from services.router.policies.adaptive import Adaptive
from services.router.policy import SPARE
from services.router.settings import LimitSettings, RouterSettings
from services.router.standing_out import told_speeds
from services.router.waiting import ORDERS, Ticket, UnboundError, Waiter

IDS = ["r1", "r2", "r3", "r4", "r5"]
ID = st.sampled_from(IDS)
STEP = st.one_of(
    st.tuples(st.just("start"), st.sampled_from([None, None, 0.005, 0.2])),
    st.tuples(st.just("hang_up"), st.integers(0, 30)),
    st.tuples(st.just("finish"), st.tuples(st.integers(0, 30), st.sampled_from(OUTCOMES))),
    st.tuples(st.just("add"), st.tuples(ID, st.sampled_from([0.25, 1.0, 4.0]), st.sampled_from([None, 1, 4]))),
    st.tuples(st.sampled_from(["remove", "drain", "fail", "recover"]), ID),
    st.tuples(st.just("report"), st.tuples(st.integers(0, 30), st.floats(0.01, 0.5), st.floats(0.2, 1.0))),
    st.tuples(st.just("probed"), st.tuples(ID, st.integers(0, 20), st.none() | st.floats(0.001, 2.0))),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.01, 0.3, 2.0, 30.0])),
)
SCRIPT = st.lists(STEP, max_size=80)
POLICY = pytest.mark.parametrize("name", POLICIES.files())


class World:
    """A dispatcher with a policy and a fleet, and a clock that only goes on."""

    def __init__(self, name, seed, limits=None, **options):
        self.settings = RouterSettings(limits=limits or LimitSettings())
        self.fleet = Fleet(self.settings.health, self.settings.ejection, lambda *_, **__: None)
        self.policy = policies.create(name, options, random.Random(seed))
        self.dispatcher = Dispatcher(self.settings, self.fleet, self.policy)
        self.dispatcher.probe = lambda replica: self.asked.add(replica.id)
        self.asked = set()
        self.now = 0.0
        self.under_way, self.in_line = [], []
        self.requests = self.begun = self.ended = self.refused = 0
        for id_ in IDS[:3]:
            self.add((id_, 1.0, 2))

    def add(self, about):
        id_, weight, concurrency = about
        self.fleet.put(
            id_, self.now, url=f"http://{id_}", weight=weight, concurrency=concurrency, state="ready", lease_s=1e6
        )
        self.fleet.on_check(id_, True, self.now)

    def remove(self, id_):
        self.fleet.remove(id_, self.now)

    def drain(self, id_):
        if id_ in self.fleet.replicas:
            self.fleet.put(id_, self.now, state="draining")

    def fail(self, id_):
        for _ in range(self.settings.health.unhealthy_threshold):
            self.fleet.on_check(id_, False, self.now)

    def recover(self, id_):
        for _ in range(self.settings.health.healthy_threshold):
            self.fleet.on_check(id_, True, self.now)

    def wait(self, seconds):
        self.now += seconds
        for waiter in [waiter for waiter in self.in_line if waiter.ticket.until <= self.now]:  # as its timer would
            self.dispatcher.expire(waiter.ticket, self.now)
        self.fleet.tick(self.now)

    def start(self, patience_s=None):
        self.requests += 1
        expires = None if patience_s is None else self.now + patience_s
        attempts = self.dispatcher.open(self.now, idempotent=True, expires=expires)
        offered = self.fleet.candidates()
        waiter = Waiting(self)
        try:
            bound = self.dispatcher.bind(
                attempts, str(self.requests), f"key-{self.requests % 7}", self.now, waiter
            )
        except NoReplicaError:
            assert not offered
            self.refused += 1
            return None
        except UnboundError as error:
            assert error.reason in ("shed", "limit", "full")
            self.refused += 1
            return None
        if isinstance(bound, Ticket):
            waiter.ticket = bound
            self.in_line.append(waiter)
            return None
        assert any(bound[0] is candidate for candidate in offered)
        self.has_begun(bound[0])
        return bound[0]

    def has_begun(self, replica):
        self.under_way.append((replica, self.now))
        self.begun += 1

    def finish(self, how):
        number, outcome = how
        if self.under_way:
            replica, began = self.under_way.pop(number % len(self.under_way))
            self.ended += 1
            self.dispatcher.finish(replica, outcome, self.now - began, self.now)

    def hang_up(self, number):
        if self.in_line:
            waiter = self.in_line.pop(number % len(self.in_line))
            self.dispatcher.leave(waiter.ticket, self.now)
            self.refused += 1

    def rest(self):
        """Let everything end that is under way or in line."""
        while self.under_way:
            self.finish((0, "ok"))

    def report(self, about):
        number, service_s, utilisation = about
        if self.under_way and self.dispatcher.reads_reports:
            replica, _ = self.under_way[number % len(self.under_way)]
            self.dispatcher.reported(replica, Report(3, service_s, utilisation, 20 + 30 * utilisation, 0.5), self.now)

    def probed(self, about):
        id_, in_flight, latency_s = about
        if hasattr(self.policy, "on_probe"):
            self.dispatcher.probed(id_, in_flight, latency_s, self.now)

    def play(self, script):
        for step, about in script:
            getattr(self, step)(about)
            counted = [sum(replica is each for replica, _ in self.under_way) for each in self.fleet.replicas.values()]
            assert [each.in_flight for each in self.fleet.replicas.values()] == counted
            # Whoever waits is in line, once; everybody else is under way, has ended, or has been told why not.
            line = self.dispatcher.line
            assert len(self.in_line) == (0 if line is None else len(line))
            assert self.requests == len(self.under_way) + self.ended + len(self.in_line) + self.refused


class Waiting(Waiter):
    """Who stands in line."""

    def __init__(self, world):
        self.world, self.ticket = world, None

    def bound(self, replica, limit_s, now):
        assert limit_s > 0 and replica in self.world.fleet.candidates()
        self.world.in_line.remove(self)
        self.world.has_begun(replica)

    def unbound(self, error, now):
        assert error.reason in ("no_replica", "deadline", "shed")
        self.world.in_line.remove(self)
        self.world.refused += 1


@POLICY
@given(script=SCRIPT, seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_what_is_in_flight_is_what_was_begun_and_nothing_is_left_at_rest(name, script, seed):
    world = World(name, seed)
    world.play(script)
    assert sum(world.fleet.picks.values()) == world.begun  # each with its reason
    gone = {id(replica): replica for replica, _ in world.under_way}
    world.rest()
    assert not world.in_line, "who waits has a slot, sooner or later"
    assert all(each.in_flight == 0 for each in (*world.fleet.replicas.values(), *gone.values()))


LIMITS = st.builds(
    LimitSettings, adaptive=st.booleans(), initial=st.just(4), least=st.just(2), replica_requests=st.integers(0, 2)
)
LINES = {
    "late_binding": st.fixed_dictionaries(
        {
            "order": st.sampled_from(ORDERS), "limit": st.integers(0, 4), "longest_s": st.sampled_from([0.0, 0.1]),
            "slots": st.sampled_from(["registered", "found"]),
        }
    ),
    "adaptive": st.fixed_dictionaries({"slow_start_s": st.sampled_from([0.0, 5.0]), "scan": st.sampled_from([2, 16])}),
}  # fmt: skip


@pytest.mark.parametrize("name", LINES)
@given(script=st.lists(STEP, max_size=80), limits=LIMITS, seed=st.integers(0, 1000), data=st.data())
@settings(max_examples=150, deadline=None)
def test_whoever_asks_is_answered_once_whatever_line_and_limits_there_are(name, script, limits, seed, data):
    """By a slot, its deadline, shedding, the client's own leave, or for want of replicas: never silently."""
    options = data.draw(LINES[name])
    world = World(name, seed, limits, **options)
    world.play(script)
    assert len(world.in_line) <= options.get("limit", held_back.LINE)
    world.rest()
    world.wait(30.0)
    world.rest()
    assert not world.in_line and world.requests == world.ended + world.refused
    assert all(each.in_flight == 0 for each in world.fleet.replicas.values())


@given(script=SCRIPT, seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_nobody_waits_by_default_where_a_slot_is_free_at_the_fastest_or_a_tick_after_all_are_alike(script, seed):
    world = World("adaptive", seed, slow_start_s=0.0)
    assert isinstance(world.policy, Adaptive)
    outliers = world.policy._outliers
    world.play(script)
    world.fleet.tick(world.now)
    offered = world.fleet.candidates()
    if world.in_line:
        assert all(replica.concurrency for replica in offered)
        told = told_speeds(offered)
        fastest = [each for each in offered if each.id not in told and not outliers.times(each.id, world.now)[1]]
        assert all(each.in_flight >= each.concurrency for each in fastest)
    for replica in list(offered):
        world.fleet.put(replica.id, world.now, weight=1.0, concurrency=1)
    world.wait(60.0)  # what stood out is forgotten where nothing is under way, and is all there is where something is
    still = [outliers.times(each.id, world.now)[1] for each in world.fleet.candidates()]
    assert any(still) or not world.in_line


@POLICY
@given(script=SCRIPT, seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_nobody_who_is_in_rotation_and_well_starves(name, script, seed):
    """Whatever was before: with 40 requests under way at a time for a virtual minute everybody has its turn."""
    world = World(name, seed, LimitSettings(standing_share=0))  # where nothing ends a line is refused, and nobody picked
    world.play(script)
    world.rest()
    world.wait(30.0)
    for id_ in list(world.fleet.replicas):
        world.add((id_, 1.0, 2))
    picked = set()
    for step in range(1200):
        if len(world.under_way) >= 40:
            world.finish((0, "ok"))
        world.start()
        picked |= {replica.id for replica, _ in world.under_way}
        if step % 2 == 0:
            world.wait(0.1)
    assert picked == {replica.id for replica in world.fleet.candidates()}


@POLICY
def test_a_fleet_whose_replicas_have_a_new_name_each_time_does_not_fill_the_memory(name):
    world = World(name, 1)
    for number in range(600):
        id_ = f"pod-{number}"
        world.add((id_, 1.0, 2 if number % 2 else None))
        for step in range(4):
            world.start()
            world.report((step, 0.1, 0.5))
            world.probed((id_, 1, 0.1))
            world.wait(0.05)
            world.finish((0, "error" if step == 2 else "ok"))
        world.remove(id_)
        world.wait(2.0)
    rooms = [vars(each) for each in (world.policy, getattr(world.policy, "_outliers", None)) if each is not None]
    kept = [len(each) for room in rooms for each in room.values() if isinstance(each, dict | list)]
    assert sum(kept) <= 3 * (2 * len(world.fleet.replicas) + SPARE), kept


def test_probes_are_asked_of_the_fleets_replicas_and_told_of_nobody_who_has_left():
    world = World("prequal", 1)
    world.start()
    assert world.asked == set(IDS[:3])
    world.remove("r1")
    world.probed(("r1", 0, 0.0))
    world.probed(("r2", 5, 0.5))
    world.probed(("r3", 5, 0.6))
    picked = world.policy.pick(world.fleet.candidates(), RequestInfo("1", None, 1), world.now)
    assert (picked.replica.id, picked.reason) == ("r2", "cold")


def test_a_policy_that_stumbles_over_a_report_or_a_probe_costs_no_request(capsys):
    world = World("c3", 1)
    replica = world.start()
    world.dispatcher.reported(replica, None, world.now)
    world.dispatcher.probed("r2", 1, 0.1, world.now)  # it has no such method
    world.finish((0, "ok"))
    assert "in on_report" in (said := capsys.readouterr().err) and "in on_probe" in said


def test_reasons_without_end_are_counted_together_beyond_a_few():
    world = World("random", 1)
    for number in range(1000):
        world.fleet.picked(f"reason {number}")
    assert len(world.fleet.picks) == REASONS + 1 and world.fleet.picks["other"] == 1000 - REASONS
