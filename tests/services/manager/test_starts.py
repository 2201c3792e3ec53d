"""What is drawn for a start, and when one that failed is tried again."""

import math
from statistics import median

import pytest

from services.manager.engines import Running
from services.manager.planning import Planning
from services.manager.settings import ScalingSettings, StartSettings
from services.manager.starts import Starts


def starts(seed=1, **settings):
    return Starts(StartSettings(**settings), seed)


def test_a_start_is_as_its_process_has_it_unless_something_is_asked_for():
    drawn = starts().draw("r3", 10.0)
    assert (drawn.wait_s, drawn.crash_after_s, drawn.options()) == (0.0, None, {})


def test_the_same_seed_replica_and_number_draw_the_same():
    asked = {"extra_s": 10, "extra_sigma": 0.5, "never_ready": 0.2, "crash": 0.3}

    def drawn(seed):
        made = starts(seed, **asked)
        return [made.draw(id_, 0.0) for id_ in ("r2", "r3", "r2", "r2", "r3")]

    assert drawn(7) == drawn(7) != drawn(8)
    assert len({start.wait_s for start in drawn(7)}) > 2
    others = starts(7, **asked)  # whoever else has started meanwhile
    others.draw("r9", 0.0)
    assert others.draw("r2", 0.0) == drawn(7)[0]


def test_shares_and_medians_are_those_that_were_asked_for():
    made = starts(extra_s=10, extra_sigma=0.5, never_ready=0.2, crash=0.3, crash_after_s=7)
    drawn = [made.draw(f"r{number}", 0.0) for number in range(1, 4001)]
    never = [start for start in drawn if start.wait_s == math.inf]
    others = [start for start in drawn if start.wait_s < math.inf]
    assert len(never) / 4000 == pytest.approx(0.2, abs=0.026)  # four standard errors
    assert sum(start.crash_after_s == 7 for start in others) / len(others) == pytest.approx(0.3, abs=0.033)
    assert median(start.wait_s for start in others) == pytest.approx(10, rel=0.05)
    assert {"ready_after_s": math.inf} == never[0].options()


def test_an_image_is_pulled_once_by_each_host_and_whoever_comes_meanwhile_waits_for_the_rest():
    made = starts(hosts=2, pull_s=30, extra_s=2)
    made.begun(["r1"])
    assert made.draw("r3", 0.0).wait_s == 2, "r1's host has the image"
    assert made.draw("r2", 0.0).wait_s == 32
    assert made.draw("r4", 10.0).wait_s == 22, "the same host, ten seconds later"
    assert made.draw("r6", 31.0).wait_s == 2
    each_its_own = starts(pull_s=30)
    assert [each_its_own.draw("r2", at).wait_s for at in (0.0, 100.0)] == [30, 0]


def test_pauses_are_kubernetes_crash_loop_back_off():
    # kubernetes #12648 and #133472: at once, then 10 s, doubled up to five minutes; ten good minutes begin anew
    made, now, pauses = starts(backoff_s=10, backoff_most_s=300), 0.0, []
    for number in range(1, 10):
        count, again_s = made.failed("r2", now)
        assert count == number
        assert made.may_start("r2", now + again_s) and (again_s == 0 or not made.may_start("r2", now + again_s - 0.1))
        pauses.append(again_s)
        now += again_s + 5.0
    assert pauses == [0, 10, 20, 40, 80, 160, 300, 300, 300]
    assert made.failed("r2", now - 5.0 + 599.0) == (10, 300.0), "not yet ten minutes"
    assert made.failed("r2", now + 2000.0) == (1, 0.0)
    assert made.may_start("r3", 0.0), "others are not held up"


def test_a_start_that_takes_longer_than_the_pauses_is_no_good_time():
    # Docker Swarm's starts are given up after 60 s, which is twice the longest pause
    made, now, pauses = starts(), 0.0, []
    for _ in range(6):
        made.draw("r2", now)
        now += 61.0
        pauses.append(made.failed("r2", now)[1])
        now += pauses[-1]
    assert pauses == [0, 1, 2, 4, 8, 16]
    made.draw("r2", now)
    made.up("r2", now + 100.0)
    made.up("r2", now + 130.0)
    assert made.failed("r2", now + 159.0) == (7, 30.0), "up for 59 s"
    made.draw("r2", now + 189.0)
    made.up("r2", now + 200.0)
    assert made.failed("r2", now + 261.0) == (1, 0.0), "and for 61 s"


class Fleet:
    """Replicas whose states the test sets, and who plans for them."""

    def __init__(self, count, **settings):
        starts = StartSettings(**{key: settings.pop(key) for key in list(settings) if hasattr(StartSettings, key)})
        self.settings = ScalingSettings(max_replicas=20, max_up=20, starts=starts, **settings)
        self.planning = Planning(Starts(starts, 1))
        self.states = {f"r{number}": "running" for number in range(1, count + 1)}

    def plan(self, desired, now):
        running = [Running(id_, "", "", 1, state) for id_, state in self.states.items()]
        return self.planning.plan(running, desired, self.settings, now)

    def told(self):
        return [(e["event"], e["replica"], e["in_a_row"], e["again_in_s"]) for e in self.planning.events(0)["events"]]


def test_one_that_crashes_keeps_its_place_while_it_waits_and_is_told_once():
    fleet = Fleet(2)
    fleet.states["r2"] = "dead"
    assert fleet.plan(2, 10.0).start == ["r2"], "the first time at once"
    fleet.states["r2"] = "running"
    assert fleet.plan(2, 11.0).start == []
    fleet.states["r2"] = "dead"
    for now in (12.0, 12.5):
        plan = fleet.plan(2, now)
        assert (plan.start, plan.drain) == ([], []), "no r3 in its place"
    assert fleet.plan(2, 13.0).start == ["r2"]
    assert fleet.told() == [("replica_ended", "r2", 1, 0.0), ("replica_ended", "r2", 2, 1.0)]
    assert fleet.planning.events(1)["events"][0]["in_a_row"] == 2


def test_a_start_that_fails_is_not_told_again_as_an_end():
    fleet = Fleet(1)
    assert fleet.plan(2, 0.0).start == ["r2"]
    fleet.planning.failed("r2", "r2 was not ready within 20 s", 20.0)
    fleet.states["r2"] = "dead"  # as an engine may show it
    assert fleet.plan(2, 20.0).start == ["r2"]
    fleet.planning.failed("r2", "r2 was not ready within 20 s", 40.0)
    assert fleet.plan(2, 40.5).start == []
    assert fleet.told() == [("start_failed", "r2", 1, 0.0), ("start_failed", "r2", 2, 1.0)]
    assert fleet.plan(1, 41.0).drain == ["r2"]
    del fleet.states["r2"]
    assert fleet.plan(2, 41.1).start == ["r2"]
    fleet.planning.failed("r2", "r2 was not ready within 20 s", 61.1)
    assert fleet.told()[-1] == ("start_failed", "r2", 3, 2.0), "not to be wanted for a moment is no way round"


def test_one_that_ends_before_anybody_has_seen_it_up_makes_no_storm():
    fleet = Fleet(2)
    for now in range(100):  # each look finds dead what the one before has started
        fleet.states["r2"] = "dead"
        fleet.plan(2, float(now))
    pauses = [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert [told[2:] for told in fleet.told()] == list(enumerate(pauses, 1))


def test_one_that_is_drained_and_gone_has_not_ended_by_itself():
    fleet = Fleet(2)
    assert fleet.plan(1, 1.0).drain == ["r2"]
    fleet.states["r2"] = "dead"  # its process is over, and nobody has taken it off the list yet
    fleet.plan(1, 2.0)
    assert fleet.told() == []


def test_a_dead_one_that_stood_by_and_is_others_to_start_again_takes_no_members_place():
    fleet = Fleet(1, warm=1, self_heal=False)
    assert fleet.plan(1, 0.0).start == ["r2"]
    fleet.states["r2"] = "warm"
    plan = fleet.plan(1, 1.0)
    fleet.states["r2"] = "dead"
    plan = fleet.plan(1, 2.0)
    assert (plan.start, plan.drain, plan.join) == ([], [], []), "it keeps its place among those that stand by"
    plan = fleet.plan(2, 3.0)
    assert (plan.start, plan.drain, plan.join) == (["r3"], [], [])
    fleet.states["r3"] = "running"
    assert fleet.plan(2, 4.0).drain == [], "nobody who lives goes for it"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"extra_sigma": 0.5}, "autoscaling.starts.extra_sigma=0.5: says nothing without autoscaling.starts.extra_s"),
        ({"hosts": 3}, "autoscaling.starts.hosts=3: says nothing without autoscaling.starts.pull_s"),
        ({"pull_sigma": 1, "extra_s": 2}, "autoscaling.starts.pull_sigma=1: says nothing without autoscaling.starts.pull_s"),
        ({"crash_after_s": 2}, "autoscaling.starts.crash_after_s=2: says nothing without autoscaling.starts.crash"),
    ],
)
def test_what_nothing_would_read_is_refused(settings, says):
    with pytest.raises(ValueError) as error:
        ScalingSettings(starts=StartSettings(**settings)).validate()
    assert str(error.value).startswith(says)


def test_what_there_is_no_more_of_is_refused_and_asked_for_again_later():
    fleet = Fleet(3, supply=4)
    assert fleet.plan(6, 0.0).start == ["r4"]
    assert fleet.told() == [("start_failed", "r5", 1, 0.0), ("start_failed", "r6", 1, 0.0)]
    fleet.states["r4"] = "running"
    fleet.plan(6, 1.0)
    assert [told[1:] for told in fleet.told()[2:]] == [("r5", 2, 1.0), ("r6", 2, 1.0)]
    fleet.states["r3"] = "draining"  # it still takes its place
    assert fleet.plan(5, 10.0).start == []
    del fleet.states["r3"]
    assert fleet.plan(5, 100.0).start == ["r3"]


def test_a_cloud_without_capacity_is_not_stormed():
    fleet = Fleet(3, supply=3)
    for second in range(600):
        fleet.plan(13, float(second))
    by_minute = [sum(60 * m <= e["monotonic_s"] < 60 * m + 60 for e in fleet.planning.events(0)["events"])
                 for m in range(10)]  # fmt: skip
    # Ten replicas: at 0, 0 (the next look), 1, 2, 4, 8, 16, 30, ... seconds after the one before
    assert by_minute[0] == 70 and max(by_minute[1:]) == 20


def test_those_that_stand_by_join_before_anybody_starts_and_are_made_up_for():
    fleet = Fleet(2, warm=2)
    plan = fleet.plan(2, 0.0)
    assert (plan.start, plan.join, fleet.planning.standby) == (["r3", "r4"], [], {"r3", "r4"})
    fleet.states |= {"r3": "warm", "r4": "starting"}
    plan = fleet.plan(4, 5.0)
    assert plan.join == ["r3"] and plan.start == ["r5", "r6"], "one joins, one starts, one is to stand by"
    assert fleet.planning.standby == {"r4", "r6"}
    fleet.states = {f"r{n}": "running" for n in (1, 2, 3, 5)} | {"r4": "warm", "r6": "warm"}
    plan = fleet.plan(2, 9.0)
    assert sorted(plan.drain) == ["r3", "r5"] and plan.start == [], "those that stand by stay"
    fleet.states |= {"r3": "draining", "r5": "draining"}
    fleet.states["r1"] = "dead"
    assert fleet.plan(2, 10.0).join == ["r4"], "also in the place of one that crashed"


def test_one_that_crashes_while_it_stands_by_is_made_up_for_with_a_pause():
    fleet = Fleet(1, warm=1)
    assert fleet.plan(1, 0.0).start == ["r2"]
    for moment, begun in ((1.0, ["r2"]), (3.0, [])):  # at once the first time, then after a second
        fleet.states["r2"] = "warm"
        fleet.plan(1, moment)
        fleet.states["r2"] = "dead"
        assert fleet.plan(1, moment + 1.0).drain == ["r2"], "it is forgotten"
        del fleet.states["r2"]
        assert fleet.plan(1, moment + 1.2).start == begun
    assert fleet.plan(1, 5.0).start == ["r2"]
    assert fleet.told()[-1] == ("replica_ended", "r2", 2, 1.0)
