"""What the manager makes of the router's statistics: all the work there is, counted once, whoever comes and goes."""

import pytest

from services.manager import scalers
from services.manager.deciding import Deciding
from services.manager.engines import Running
from services.manager.limits import Limits
from services.manager.settings import ScalingSettings
from services.router.fleet import Fleet
from services.router.replica import describe
from services.router.settings import EjectionSettings, HealthCheckSettings


class Watched:
    """A router's fleet, and a manager that looks at it."""

    def __init__(self):
        self.began_s = 0.0
        self.begin(0.0)
        scaler = scalers.create("target_tracking", {"target": 1.0})
        self.deciding = Deciding(scaler, Limits(ScalingSettings()), 2)
        self.states = {}

    def begin(self, now):
        """A new process of the router."""
        self.began_s = now
        self.fleet = Fleet(HealthCheckSettings(), EjectionSettings(), lambda *_, **__: None)

    def join(self, id_, now, in_flight=0):
        self.fleet.put(id_, now, url=f"http://{id_}", concurrency=1, state="ready")
        self.fleet.on_check(id_, True, now)
        self.states.setdefault(id_, "running")
        self.add(id_, in_flight, now)

    def add(self, id_, count, now):
        """So many requests more are in flight, or fewer."""
        replica = self.fleet.replicas[id_]
        for _ in range(abs(count)):
            if count > 0:
                self.fleet.on_start(replica, now)
            else:
                self.fleet.on_finish(replica, "ok", 0.1, now)

    def look(self, now):
        stats = {
            "monotonic_s": now,
            "began_s": self.began_s,
            "work_seconds_total": self.fleet.work_seconds(now),
            "requests_total": 0,
            "latencies_ms": {},
            "replicas": [describe(replica, now) for replica in self.fleet.replicas.values()],
        }
        running = [Running(id_, f"http://{id_}", "", 1, state) for id_, state in self.states.items()]
        return self.deciding.observe(stats, running)


@pytest.fixture
def watched():
    """Two replicas with four requests in flight, looked at once."""
    found = Watched()
    found.join("r1", 0.0, 2)
    found.join("r2", 0.0, 2)
    assert found.look(0.0).in_flight is None, "one moment is no mean"
    return found


def test_a_replica_that_joins_takes_work_and_adds_none(watched):
    watched.add("r1", -1, 0.7)
    watched.add("r2", -1, 0.7)
    watched.join("r3", 0.7, 2)
    seen = watched.look(1.0)
    assert seen.in_flight == pytest.approx(4.0)
    assert [replica.in_flight for replica in seen.replicas] == pytest.approx([1.7, 1.7, 0.6])


def test_what_a_replica_does_while_it_drains_and_has_done_before_it_left_is_not_lost(watched):
    watched.states["r2"] = "draining"
    watched.fleet.put("r2", 0.5, url="http://r2", state="draining", lease_s=8)
    watched.add("r1", 1, 0.6)
    watched.add("r2", -1, 0.6)
    seen = watched.look(1.0)
    assert [replica.id for replica in seen.replicas] == ["r1"]
    assert seen.in_flight == pytest.approx(4.0)
    watched.add("r2", -1, 1.2)
    watched.add("r1", 1, 1.2)
    watched.fleet.remove("r2", 1.3, "http://r2")
    del watched.states["r2"]
    assert watched.look(2.0).in_flight == pytest.approx(4.0)
    assert watched.look(3.0).in_flight == pytest.approx(4.0)


def test_a_replica_that_left_and_came_again_between_two_looks_is_counted_once(watched):
    watched.fleet.put("r2", 0.2, url="http://r2", state="draining", lease_s=8)
    watched.add("r2", -2, 0.3)
    watched.add("r1", 2, 0.3)
    watched.fleet.remove("r2", 0.4, "http://r2")
    watched.join("r2", 0.6)
    watched.add("r1", -2, 0.6)
    watched.add("r2", 2, 0.6)
    assert watched.look(1.0).in_flight == pytest.approx(4.0)


def test_requests_that_hang_on_a_replica_out_of_rotation_are_no_work(watched):
    for _ in range(HealthCheckSettings().unhealthy_threshold):
        watched.fleet.on_check("r2", False, 0.5)
    assert watched.look(1.0).in_flight == pytest.approx(2 + 2 * 0.5)
    assert watched.look(2.0).in_flight == pytest.approx(2.0)
    watched.fleet.replicas["r2"].lease_until = 2.5
    watched.fleet.tick(2.5)
    assert watched.look(3.0).in_flight == pytest.approx(2.0)


def test_replicas_of_somebody_else_are_not_scaled_for(watched):
    watched.join("theirs", 0.2, 3)
    del watched.states["theirs"]
    assert watched.look(1.0).in_flight == pytest.approx(4.0)


def theirs(watched, now, in_flight):
    """Another process that the manager did not start."""
    watched.join("theirs", now, in_flight)
    del watched.states["theirs"]


def test_requests_that_hang_on_somebody_elses_replica_take_no_work_from_the_managers_own(watched):
    theirs(watched, 0.0, 10)
    assert watched.look(1.0).in_flight == pytest.approx(4.0)
    for _ in range(HealthCheckSettings().unhealthy_threshold):
        watched.fleet.on_check("theirs", False, 1.5)
    assert watched.look(2.0).in_flight == pytest.approx(4.0)
    assert watched.look(3.0).in_flight == pytest.approx(4.0)


@pytest.mark.parametrize("comes_again", [False, True])
def test_what_somebody_elses_replica_did_before_it_left_is_not_taken_for_the_managers_work(watched, comes_again):
    theirs(watched, 0.0, 4)
    assert watched.look(1.0).in_flight == pytest.approx(4.0)
    watched.add("theirs", -4, 1.9)
    watched.fleet.remove("theirs", 1.9)
    if comes_again:
        theirs(watched, 1.9, 4)
    assert watched.look(2.0).in_flight is None
    assert watched.look(3.0).in_flight == pytest.approx(4.0)


def test_a_replica_is_known_by_its_address_where_it_registers_under_another_id():
    watched = Watched()
    watched.join("c0ffee", 0.0, 2)
    watched.look(0.0)
    stats = {
        "monotonic_s": 1.0, "began_s": 0.0, "work_seconds_total": watched.fleet.work_seconds(1.0),
        "requests_total": 0, "latencies_ms": {},
        "replicas": [describe(watched.fleet.replicas["c0ffee"], 1.0)],
    }  # fmt: skip
    seen = watched.deciding.observe(stats, [Running("r1", "http://c0ffee", "", None, "running")])
    assert (seen.ready, seen.replicas[0].in_flight, seen.in_flight) == (1, pytest.approx(2.0), pytest.approx(2.0))


def test_a_router_that_began_anew_is_looked_at_twice_before_it_is_believed(watched):
    assert watched.look(1.0).in_flight == pytest.approx(4.0)
    watched.begin(1.2)
    watched.join("r1", 1.3, 40)
    assert watched.look(2.0).in_flight is None
    assert watched.look(3.0).in_flight == pytest.approx(40.0)


def test_one_that_drains_does_not_hold_up_the_starts_of_others():
    deciding = Watched().deciding
    deciding.set_by_hand(5, 0.0, 0.0)
    running = [Running(f"r{n}", "", "", 1, state) for n, state in ((1, "running"), (2, "draining"), (3, "starting"))]
    assert deciding.plan(running, 0.0).start == ["r4", "r5"]


def test_requests_a_second_are_those_that_were_sent_since_the_last_look(watched):
    watched.add("r1", 3, 0.2)
    watched.add("r2", 1, 0.4)
    seen = watched.look(2.0)
    assert [replica.rate_rps for replica in seen.replicas] == pytest.approx([1.5, 0.5])
    assert seen.rate_rps == pytest.approx(2.0)
    watched.fleet.remove("r2", 2.1, "http://r2")
    watched.join("r2", 2.2, 2)  # it begins to count anew
    assert watched.look(4.0).rate_rps == pytest.approx(1.0)


def test_requests_of_somebody_elses_replicas_are_not_counted(watched):
    watched.join("theirs", 0.2, 3)
    del watched.states["theirs"]
    watched.add("r1", 1, 0.3)
    assert watched.look(1.0).rate_rps == pytest.approx(1.0)


def test_a_start_is_measured_from_the_look_at_which_it_was_asked_for(watched):
    assert watched.look(1.0).startup_s is None, "those of the first look were there"
    watched.states["r3"] = "starting"
    assert watched.look(2.0).startup_s is None
    watched.join("r3", 3.5)
    assert watched.look(4.0).startup_s == pytest.approx(3.0), "asked for at 1, seen at 4"
    watched.states["r4"] = "starting"
    watched.look(5.0)
    del watched.states["r4"]  # given up
    watched.look(6.0)
    watched.join("r4", 7.5)
    assert watched.look(8.0).startup_s == pytest.approx((3.0 + 2.0) / 2)


def test_a_scaler_with_windows_of_its_own_is_bounded_and_nothing_else(watched):
    class Own:
        bounded_only = True

        def decide(self, observation, now):
            return 9.0

    settings = ScalingSettings(max_replicas=8, max_up=1, stabilization_up_s=60.0)
    deciding = Deciding(Own(), Limits(settings), 2)
    deciding.decide(watched.look(1.0), 1.0, 1.0)
    assert deciding.desired == 8 and deciding.last["raw_desired"] == 9.0
    assert deciding.counts == {"up": 1}


@pytest.mark.parametrize("name", ["hpa", "keda", "knative", "predictive", "queueing", "threshold"])
def test_every_decision_says_why_and_by_which_rate(name):
    found = Watched()
    found.deciding = Deciding(scalers.create(name, {}), Limits(ScalingSettings(max_replicas=9)), 2)
    found.join("r1", 0.0, 3)
    found.join("r2", 0.0, 3)
    for now in range(70):
        found.deciding.decide(found.look(float(now)), float(now), 0.0)
        found.add("r1", 1 if now == 0 else 0, now + 0.5)
    said = found.deciding.decisions(0)["decisions"]
    assert all(each["reason"].endswith(")") and " (" in each["reason"] for each in said[1:]), said
    assert [each["observation"]["rate_rps"] for each in said[:2]] == [None, 1.0]


def test_nobody_knows_the_slots_of_who_has_not_registered(watched):
    watched.fleet.replicas["r1"].concurrency = 4
    watched.states["r3"] = "starting"
    observation = watched.look(1.0)
    assert [(each.id, each.slots) for each in observation.replicas] == [("r1", 4), ("r2", 1), ("r3", None)]
    assert (observation.slots_each, observation.slots_ready) == (2.5, [4, 1])
    watched.deciding.decide(observation, 1.0, 0.0)
    assert watched.deciding.last["observation"]["slots"] == 5


def test_windows_go_on_while_the_number_is_set_by_hand(watched):
    """Else the first look after it would count for all the time in which nobody asked."""
    watched.deciding = Deciding(scalers.create("knative", {"target": 1.0}), Limits(ScalingSettings(max_replicas=20)), 2)
    watched.deciding.decide(watched.look(1.0), 1.0, 0.0)
    for now in range(2, 60):
        watched.deciding.watch(watched.look(float(now)), float(now))
    watched.add("r1", 40, 59.0)
    watched.deciding.decide(watched.look(60.0), 60.0, 0.0)
    assert "mean 4.68, 10.67 in the panic window" in watched.deciding.last["reason"], "one second of 44 among 4"
    assert len(watched.deciding.decisions(0)["decisions"]) == 2
