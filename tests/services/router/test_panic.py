"""Failing open: where most checks fail, what they say is ignored."""

import pytest

from services.router.settings import HealthCheckSettings
from tests.services.router.test_fleet import Watched, ready_fleet


def failing_checks(fleet, *ids, passed=False):
    for id_ in ids:
        fleet.on_check(id_, passed, 1.0)
        fleet.on_check(id_, passed, 1.5)


def test_checks_that_fail_for_more_than_half_are_ignored_until_half_pass_again():
    fleet = ready_fleet(4)
    failing_checks(fleet, "r1", "r2")
    assert fleet.ids() == ["r3", "r4"] and not fleet.panics
    failing_checks(fleet, "r3")
    assert fleet.ids() == ["r1", "r2", "r3", "r4"] and fleet.panics
    assert fleet.events[-1] == ("panic", "r3", {"healthy": 1, "of": 4})
    failing_checks(fleet, "r4")
    assert fleet.ids() == ["r1", "r2", "r3", "r4"]
    failing_checks(fleet, "r1", passed=True)
    assert fleet.panics
    left = []
    fleet.left = left.append
    failing_checks(fleet, "r2", passed=True)
    assert fleet.ids() == ["r1", "r2"] and fleet.events[-1] == ("panic_over", "r2", {"healthy": 2, "of": 4})
    assert left == ["r3", "r4"], "who waits there has to be told"


def test_in_a_panic_failures_at_work_still_keep_a_replica_out():
    fleet = ready_fleet(4)
    failing_checks(fleet, "r1", "r2", "r3")
    fleet.fail("r1", 5)
    assert fleet.ids() == ["r2", "r3", "r4"] and fleet.words()[-1] == "ejected"
    fleet.fail("r2", 5)
    fleet.fail("r3", 5)
    assert fleet.ids() == ["r3", "r4"]  # half of the fleet, and no more
    fleet.tick(2.0)
    assert fleet.ids() == ["r1", "r2", "r3", "r4"]


def test_neither_strangers_nor_those_who_leave_count_or_serve_in_a_panic():
    fleet = ready_fleet(3)
    fleet.put("r4", 0.0, url="http://127.0.0.1:9004")  # not checked yet
    fleet.put("r3", 0.0, state="draining")
    failing_checks(fleet, "r1")
    assert fleet.ids() == ["r2"] and not fleet.panics
    failing_checks(fleet, "r2")
    assert fleet.ids() == ["r1", "r2"] and fleet.panics


def test_a_panic_ends_when_those_that_failed_are_gone():
    fleet = ready_fleet(4)
    failing_checks(fleet, "r1", "r2", "r3")
    fleet.remove("r1", 2.0)
    fleet.remove("r2", 2.0)
    assert fleet.ids() == ["r4"] and not fleet.panics


def test_a_threshold_of_zero_never_ignores_a_check():
    fleet = Watched(HealthCheckSettings(panic_threshold=0))
    fleet.put("r1", 0.0, url="http://127.0.0.1:9001")
    fleet.on_check("r1", True, 0.0)
    failing_checks(fleet, "r1")
    assert fleet.ids() == [] and not fleet.panics


def test_what_is_done_in_a_panic_is_work():
    fleet = ready_fleet(2)
    failing_checks(fleet, "r1", "r2")
    replica = fleet.replicas["r1"]
    fleet.on_start(replica, 10.0)
    assert fleet.work_seconds(12.0) == pytest.approx(2.0)
