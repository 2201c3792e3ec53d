"""Leases, health checks, passive ejection and rotation, on a clock of the test's own."""

import pytest

from services.router.fleet import Fleet, NotOwnerError, most_ejected
from services.router.settings import EjectionSettings, HealthCheckSettings


class Watched(Fleet):
    """A fleet that keeps what it emits as (event, replica, detail)."""

    def __init__(self, health=None, **ejection):
        self.events = []
        super().__init__(health or HealthCheckSettings(), EjectionSettings(**ejection), self.heard)

    def heard(self, event, replica, now, **detail):
        self.events.append((event, replica, detail))

    def words(self, replica="r1"):
        return [event for event, id_, _ in self.events if id_ == replica]

    def fail(self, id_, times, now=0.0, outcome="error"):
        replica = self.replicas[id_]
        for _ in range(times):
            self.on_start(replica, now)
            self.on_finish(replica, outcome, 0.01, now, "status 500")

    def ids(self, tried=()):
        return [replica.id for replica in self.candidates(set(tried))]


def ready_fleet(count=3, **ejection):
    fleet = Watched(**ejection)
    for number in range(1, count + 1):
        fleet.put(f"r{number}", 0.0, url=f"http://127.0.0.1:{9000 + number}")
        fleet.on_check(f"r{number}", True, 0.0)
    return fleet


def test_a_replica_is_used_after_its_first_passed_check_and_not_before():
    fleet = Watched()
    assert fleet.put("r1", 0.0, url="http://127.0.0.1:9001")
    assert fleet.replicas["r1"].state == "pending" and fleet.ids() == []
    fleet.on_check("r1", False, 0.1)
    assert fleet.ids() == []
    fleet.on_check("r1", True, 0.2)
    assert fleet.ids() == ["r1"]
    assert fleet.words() == ["registered", "readmitted"]


def test_a_lease_that_is_not_renewed_runs_out_and_none_never_does():
    fleet = ready_fleet(2)
    fleet.put("r1", 0.0, lease_s=3.0)
    fleet.put("r1", 2.0, lease_s=3.0)
    fleet.tick(4.9)
    assert fleet.ids() == ["r1", "r2"]
    fleet.tick(5.0)
    assert fleet.ids() == ["r2"] and fleet.words()[-1] == "expired"
    fleet.tick(1e6)
    assert fleet.ids() == ["r2"]


@pytest.mark.parametrize("state", [None, "draining"])
@pytest.mark.parametrize("tick_is_first", [True, False])
def test_a_lease_renewed_after_a_router_stood_still_lasts_as_long_wherever_its_next_tick_falls(tick_is_first, state):
    fleet = ready_fleet(2)
    fleet.tick(0.3)
    for id_ in ("r1", "r2"):
        fleet.put(id_, 0.35, lease_s=5.0)
    if tick_is_first:
        fleet.tick(60.0)
    fleet.put("r1", 60.0, lease_s=5.0, state=state)
    if not tick_is_first:
        fleet.tick(60.0)
    assert fleet.replicas["r1"].lease_until == 65.0
    assert fleet.replicas["r2"].lease_until == pytest.approx(64.95), "its renewal lies unread: 59.6 s more"


def test_two_failed_checks_in_a_row_eject_and_two_passed_ones_bring_back():
    fleet = ready_fleet()
    fleet.on_check("r1", False, 1.0)
    fleet.on_check("r1", True, 2.0)
    fleet.on_check("r1", False, 3.0)
    assert "r1" in fleet.ids()
    fleet.on_check("r1", False, 4.0, "status 503")
    assert "r1" not in fleet.ids()
    assert fleet.events[-1][2]["cause"] == "health_check" and fleet.events[-1][2]["reason"] == "status 503"
    fleet.on_check("r1", True, 5.0)
    assert "r1" not in fleet.ids()
    fleet.on_check("r1", True, 6.0)
    assert "r1" in fleet.ids()


def test_failures_in_a_row_eject_for_longer_every_time():
    fleet = ready_fleet(consecutive_failures=5, base_s=2.0, max_s=5.0)
    lengths, now = [], 0.0
    for _ in range(4):
        fleet.fail("r1", 4, now)
        assert "r1" in fleet.ids()
        fleet.fail("r1", 1, now)
        assert "r1" not in fleet.ids()
        length = fleet.events[-1][2]["for_s"]
        fleet.tick(now + length - 0.01)
        assert "r1" not in fleet.ids()
        now += length
        fleet.tick(now)
        assert "r1" in fleet.ids()
        lengths.append(length)
    assert lengths == [2.0, 4.0, 5.0, 5.0]
    fleet.fail("r1", 1, now, outcome="ok")
    fleet.fail("r1", 5, now)
    assert fleet.events[-1][2]["for_s"] == 2.0  # a good answer wipes the record


def test_a_good_answer_interrupts_a_row_of_failures():
    fleet = ready_fleet()
    fleet.fail("r1", 4)
    fleet.fail("r1", 1, outcome="ok")
    fleet.fail("r1", 4)
    assert "r1" in fleet.ids()


@pytest.mark.parametrize("outcome", ["overloaded", "cancelled"])
def test_overload_and_hang_ups_do_not_eject(outcome):
    fleet = ready_fleet()
    fleet.fail("r1", 50, outcome=outcome)
    assert "r1" in fleet.ids()


def test_passing_a_check_does_not_end_a_passive_ejection():
    fleet = ready_fleet()
    fleet.fail("r1", 5)
    for moment in range(1, 5):
        fleet.on_check("r1", True, moment / 10)
    assert "r1" not in fleet.ids()
    fleet.tick(2.0)
    assert "r1" in fleet.ids()


def test_the_end_of_an_ejection_does_not_bring_back_an_unhealthy_replica():
    fleet = ready_fleet()
    fleet.fail("r1", 5)
    fleet.on_check("r1", False, 0.1)
    fleet.on_check("r1", False, 0.2)
    fleet.tick(2.0)
    assert fleet.replicas["r1"].state == "ejected"


def test_passive_ejection_leaves_half_of_the_fleet_and_never_takes_the_last_one():
    fleet = ready_fleet(4)
    for number in range(1, 5):
        fleet.fail(f"r{number}", 50)
    assert len(fleet.ids()) == 2
    alone = ready_fleet(1)
    alone.fail("r1", 50)
    assert alone.ids() == ["r1"]


def test_one_of_two_may_be_ejected_but_not_when_the_other_is_unhealthy():
    fleet = ready_fleet(2)
    fleet.fail("r1", 5)
    assert fleet.ids() == ["r2"]
    sick = ready_fleet(2)
    sick.on_check("r2", False, 0.1)
    sick.on_check("r2", False, 0.2)
    sick.fail("r1", 50)
    assert sick.ids() == ["r1"]


def test_a_share_of_the_fleet_is_that_share_to_the_replica():
    for hundredths in range(1, 101):
        for count in (1, 7, 10, 50, 100, 300, 10_000):
            assert most_ejected(hundredths / 100, count) == max(1, hundredths * count // 100)
    fleet = ready_fleet(100, max_share=0.29)
    for number in range(1, 101):
        fleet.fail(f"r{number}", 50)
    assert len(fleet.ids()) == 71


def test_ejection_that_is_switched_off_ejects_nobody_and_checks_still_do():
    fleet = ready_fleet(4, enabled=False)
    fleet.fail("r1", 1000)
    assert fleet.ids() == ["r1", "r2", "r3", "r4"] and fleet.words() == ["registered", "readmitted"]
    fleet.on_check("r1", False, 0.1)
    fleet.on_check("r1", False, 0.2)
    assert fleet.ids() == ["r2", "r3", "r4"]


def test_a_router_that_stood_still_waits_so_much_longer_for_renewals_and_no_more():
    fleet = Watched()
    fleet.put("r1", 0.0, url="http://127.0.0.1:9001", lease_s=1.0)
    fleet.put("r2", 0.0, url="http://127.0.0.1:9002")
    for tenth in range(6):
        fleet.tick(tenth / 10)
    fleet.tick(3.5)  # three seconds late, less a tick: half a second is left
    for tenth in range(1, 20):
        fleet.tick(3.5 + tenth / 10)
        assert ("r1" in fleet.replicas) == (tenth < 4), tenth
    assert "r2" in fleet.replicas


def test_without_checks_a_replica_serves_from_its_registration_on_and_its_lease_alone_takes_it_out():
    fleet, asked = Watched(HealthCheckSettings(enabled=False)), []
    fleet.watch = asked.append
    fleet.put("r1", 0.0, url="http://127.0.0.1:9001", lease_s=3.0)
    fleet.put("r2", 0.0, url="http://127.0.0.1:9002")
    assert fleet.ids() == ["r1", "r2"] and fleet.words() == ["registered", "readmitted"]
    fleet.put("r2", 1.0, state="draining")
    assert fleet.ids() == ["r1"]
    fleet.put("r2", 2.0, state="ready")
    assert fleet.ids() == ["r1", "r2"]
    fleet.tick(3.0)
    assert fleet.ids() == ["r2"] and fleet.words()[-1] == "expired"
    fleet.put("r3", 4.0, url="http://127.0.0.1:9003", state="draining")
    assert fleet.ids() == ["r2"] and asked == []


def test_draining_takes_out_of_rotation_at_once_and_leaving_is_told():
    fleet = ready_fleet()
    fleet.put("r1", 1.0, state="draining")
    assert fleet.ids() == ["r2", "r3"]
    fleet.put("r1", 1.5, state="draining")
    assert fleet.remove("r1", 2.0)
    assert fleet.words() == ["registered", "readmitted", "draining", "drained"]
    assert fleet.remove("r2", 2.0) and fleet.words("r2")[-1] == "removed"
    assert not fleet.remove("r2", 2.0)


def test_a_drained_replica_that_registers_again_must_pass_a_check_first():
    fleet = ready_fleet()
    fleet.put("r1", 1.0, state="draining")
    fleet.put("r1", 2.0, state="ready")
    assert "r1" not in fleet.ids()
    fleet.on_check("r1", True, 2.1)
    assert "r1" in fleet.ids()


def test_a_replica_that_comes_back_at_another_address_begins_anew():
    fleet = ready_fleet()
    fleet.fail("r1", 3)
    fleet.put("r1", 1.0, weight=2.0)
    assert fleet.replicas["r1"].failures_in_row == 3 and fleet.replicas["r1"].weight == 2.0
    assert fleet.put("r1", 2.0, url="http://127.0.0.1:9999")
    assert fleet.replicas["r1"].failures_in_row == 0 and fleet.replicas["r1"].state == "pending"


def test_an_unknown_replica_needs_an_address():
    with pytest.raises(KeyError):
        Watched().put("r1", 0.0, weight=2.0)


def test_a_retry_goes_elsewhere_while_there_is_an_elsewhere():
    fleet = ready_fleet()
    assert fleet.ids(tried=["r1"]) == ["r2", "r3"]
    assert fleet.ids(tried=["r1", "r2", "r3"]) == ["r1", "r2", "r3"]


def test_the_mean_number_in_flight_can_be_read_off_two_moments():
    fleet = ready_fleet()
    replica = fleet.replicas["r1"]
    fleet.on_start(replica, 10.0)
    fleet.on_start(replica, 11.0)  # one for 1 s, then two for 2 s, then one
    fleet.on_finish(replica, "ok", 2.0, 13.0)
    assert replica.in_flight_seconds(12.0 + 1.0) == pytest.approx(5.0)
    assert replica.in_flight_seconds(15.0) - replica.in_flight_seconds(13.0) == pytest.approx(2.0)


def test_an_ejected_replica_serves_again_when_it_is_the_last_one_left():
    fleet = ready_fleet(2, consecutive_failures=3)
    fleet.fail("r1", 3)
    assert fleet.ids() == ["r2"]
    fleet.on_check("r2", False, 1.0)
    fleet.on_check("r2", False, 1.5)
    assert fleet.replicas["r1"].state == "ejected"
    assert fleet.ids() == ["r1"]


def test_a_registration_without_a_lease_does_not_expire_and_a_change_leaves_the_lease():
    fleet = ready_fleet(1)
    fleet.put("r1", 0.0, url="http://127.0.0.1:9001", lease_s=1.0)
    fleet.put("r1", 0.0, weight=2.0)
    assert fleet.replicas["r1"].lease_until == 1.0
    fleet.put("r1", 0.5, url="http://127.0.0.1:9001")
    fleet.tick(1e6)
    assert fleet.ids() == ["r1"]


def test_a_process_whose_id_another_one_has_taken_over_can_neither_renew_nor_drain_nor_remove_it():
    fleet = ready_fleet(1)
    fleet.put("r1", 1.0, url="http://127.0.0.1:9999", state="ready", lease_s=3.0)
    for farewell in ({"lease_s": 3.0}, {"lease_s": 3.0, "state": "draining"}):
        with pytest.raises(NotOwnerError, match="9999"):
            fleet.put("r1", 2.0, url="http://127.0.0.1:9001", **farewell)
    with pytest.raises(NotOwnerError):
        fleet.remove("r1", 2.0, url="http://127.0.0.1:9001")
    assert fleet.replicas["r1"].url == "http://127.0.0.1:9999"
    assert fleet.remove("r1", 2.0, url="http://127.0.0.1:9999")


def test_an_answer_of_which_no_time_is_known_is_no_answer_in_no_time():
    fleet = ready_fleet(1)
    replica = fleet.replicas["r1"]
    for latency_s in (0.0, 0.2, 0.0):
        fleet.on_start(replica, 0.0)
        fleet.on_finish(replica, "ok", latency_s, 1.0)
    assert replica.latency_s == 0.2
