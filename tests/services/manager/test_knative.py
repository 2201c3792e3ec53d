"""Knative's scaler against its own tests (vectors/knative.json), and how it reads its windows here."""

import json
from pathlib import Path

import pytest

from services.manager import scalers
from services.manager.scalers import Observation, ReplicaLoad
from services.manager.scalers.knative import Knative

VECTORS = json.loads(Path(__file__).with_name("vectors").joinpath("knative.json").read_text(encoding="utf-8"))["scale"]


def seen(replicas, in_flight, slots=2, rate_rps=None):
    loads = [ReplicaLoad(f"r{n}", None, slots, True) for n in range(replicas)]
    return Observation(loads, replicas, in_flight, rate_rps)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["test"])
def test_it_wants_what_knatives_own_tests_expect(vector):
    scaler = Knative(**vector["options"])
    began = vector["steps"][0]["at_s"]
    assert scaler.decide(seen(vector["ready_at_first"], None), began) is None
    wanted = [scaler.scale(s["stable"], s["panic"], float(s["target"]), s["ready"], s["at_s"]) for s in vector["steps"]]
    assert wanted == [step["expected"] for step in vector["steps"]]


def test_fifty_of_its_decisions_are_held_against_upstream():
    assert sum(len(vector["steps"]) for vector in VECTORS) >= 50


def test_the_target_is_that_part_of_the_slots_unless_it_is_given():
    for options, wanted in (({}, 5), ({"target": 10.0}, 1), ({"target_utilization": 100.0}, 4)):
        scaler = scalers.create("knative", options)
        scaler.decide(seen(1, None), 0.0)
        assert scaler.decide(seen(1, 7.0), 1.0) == wanted, options


def test_those_that_start_do_not_make_the_target_smaller():
    """Their slots are not known before they have registered."""
    scaler = scalers.create("knative", {})
    starting = [ReplicaLoad(f"s{n}", None, 1, False) for n in range(3)]
    there = ReplicaLoad("r1", None, 4, True)
    scaler.decide(Observation([there], 1, None), 0.0)
    assert scaler.decide(Observation([there, *starting], 4, 4.0), 1.0) == 2, "4 / (70 % of 4 slots)"


def test_it_scales_on_requests_a_second_too():
    scaler = scalers.create("knative", {"metric": "rps", "target": 10.0})
    scaler.decide(seen(1, None), 0.0)
    assert scaler.decide(seen(1, 1.0, rate_rps=30.0), 1.0) == 5, "30 over seven each"


@pytest.mark.parametrize("factor", [1.0, 10.0])
def test_a_surge_is_seen_in_the_short_window_and_kept_for_a_long_one(factor):
    scaler, wanted = scalers.create("knative", {"target_utilization": 100.0, "time_factor": factor}), {}
    loads = [2.0] * 60 + [12.0] * 6 + [2.0] * 100
    for second, load in enumerate(loads):
        wanted[second] = scaler.decide(seen(1, load if second else None), second / factor)
    assert wanted[59] == 1, "calm"
    # two seconds of twelve in six of the short window: (4 x 2 + 2 x 12) / 6 = 5.3, twice the one there is and more
    assert (wanted[60], wanted[61], wanted[65]) == (2, 3, 6)
    assert wanted[69] == 6, "no fewer in panic"
    last = max(second for second, number in wanted.items() if number == 6)
    # over twice of one: until nine second after the surge's end no more than two are in the short window
    assert 65 + 60 <= last <= 65 + 66, "a stable window after it was last over the threshold"


def test_it_begins_in_panic_where_there_are_several():
    scaler = scalers.create("knative", {})
    scaler.decide(seen(4, None), 0.0)
    assert scaler.decide(seen(4, 0.1), 1.0) == 4
    assert scaler.decide(seen(4, 0.1), 59.0) == 4
    assert scaler.decide(seen(4, 0.1), 61.0) == 2, "half of them at once"


def test_one_that_begins_anew_among_ten_keeps_them_after_two_idle_seconds():
    """knative/serving #2705: it wanted none, for lack of statistics; ten are right until the stable window is over."""
    scaler = scalers.create("knative", {"target": 10.0, "target_utilization": 100.0})
    scaler.decide(seen(10, None), 0.0)
    wanted = [scaler.decide(seen(10, 0.0), float(second)) for second in range(1, 61)]
    assert wanted == [10] * 60
    assert scaler.decide(seen(10, 0.0), 62.0) == 5, "by half at once, from then on"


def test_one_that_begins_anew_under_a_load_of_seven_stays_at_seven():
    """knative/serving #4795: without that it went from 7 to 1, 2, 6 and 7."""
    scaler = scalers.create("knative", {"target": 10.0, "target_utilization": 100.0})
    scaler.decide(seen(7, None), 0.0)
    loads = [5.0, 15.0, 55.0] + [65.0] * 100
    assert {scaler.decide(seen(7, load), float(second)) for second, load in enumerate(loads, 1)} == {7}


def test_the_end_of_panic_does_not_undo_it_while_few_are_ready():
    """knative/serving #3153: 1,000 wanted, some 40 ready, and after 60 s nearly all of it was undone."""
    scaler = scalers.create("knative", {"target": 1.0, "target_utilization": 100.0})
    scaler.decide(seen(1, None), 0.0)
    wanted = [scaler.decide(seen(min(1 + second // 3, 40), 1000.0), float(second)) for second in range(1, 301)]
    assert min(wanted[10:]) >= 1000
