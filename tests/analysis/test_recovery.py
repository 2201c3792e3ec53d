import numpy as np
import pytest

from analysis.metrics import recovery, timeline
from record.reading import read
from tests.analysis import synthetic
from tests.analysis.synthetic import healed, injected, router

DURATION_S = 30


def run_with(folder, events, bad=(), slow=()):
    """30 s at 10 requests/s; a failure in each second of `bad`, 300 ms instead of 100 in each of `slow`."""
    requests = synthetic.even_requests(DURATION_S, 10, 2)
    second = requests["scheduled_s"].astype(int)
    first = min((e["t_s"] for e in events if e["event"] == "fault_injected"), default=np.inf)
    requests.loc[requests["scheduled_s"] >= first, "phase"] = "fault"
    requests.loc[second.isin(bad) & (requests["request_id"] % 10 == 4), "outcome"] = "refused"
    requests.loc[second.isin(slow), "completed_s"] = requests["scheduled_s"] + 0.3
    about = synthetic.manifest(config={"workload": {"duration_s": float(DURATION_S), "warmup_s": 2.0}})
    return read(synthetic.write(folder, requests, about=about, events=events))


def assess(folder, events, bad=(), slow=()):
    run = run_with(folder, events, bad, slow)
    return recovery.assess(run, timeline.build(run))


KILL = [injected(0, 10.0), healed(0, 15.0)]
RECOVERY = [
    # name, events, bad seconds, slow seconds, recovery_s
    ("no fault", [], [], [], None),
    ("well all the time", KILL, [], [], 0.0),
    ("bad until the heal", KILL, range(10, 15), [], 0.0),
    ("bad until 17", KILL, range(10, 17), [], 2.0),
    ("slow until 18", KILL, [], range(10, 18), 3.0),
    ("a relapse after three good seconds", KILL, [10, 11, 18, 19], [], 0.0),
    ("heal within a second", [injected(0, 10.0), healed(0, 15.4)], range(10, 17), [], 1.6),
    ("heal within a good second", [injected(0, 10.0), healed(0, 15.4)], range(10, 15), [], 0.0),
    ("never", KILL, range(10, 30), [], None),
    ("well in the last two seconds only", KILL, range(10, 28), [], None),
    ("well in the last three", KILL, range(10, 27), [], 12.0),
    ("lost for good", [injected(0, 10.0)], [10, 11], [], 2.0),
    ("healed by the clean-up only", [injected(0, 10.0, action="slow"), healed(0, 30.2, at_end=True)], [10], [], 1.0),
]


@pytest.mark.parametrize(("events", "bad", "slow", "expected"), [c[1:] for c in RECOVERY], ids=[c[0] for c in RECOVERY])
def test_recovery_is_the_first_of_three_good_seconds_after_the_heal(tmp_path, events, bad, slow, expected):
    found = assess(tmp_path, events, bad, slow)
    assert found.recovery_s == (None if expected is None else pytest.approx(expected))
    assert found.recovered is (None if not events else expected is not None)


@pytest.mark.parametrize("relapse", [15, 16, 17])
def test_a_relapse_within_three_seconds_postpones_recovery(tmp_path, relapse):
    assert assess(tmp_path, KILL, [10, 11, relapse]).recovery_s == relapse + 1 - 15


def test_the_worst_of_several_faults_counts(tmp_path):
    events = [*KILL, injected(1, 20.0, "r3"), healed(1, 22.0, "r3")]
    found = assess(tmp_path, sorted(events, key=lambda e: e["t_s"]), [*range(10, 16), *range(20, 25)])
    assert found.recovery_s == 3.0  # the first: 16 - 15; the second: 25 - 22
    assert found.recovered is True


def test_a_fault_that_lands_before_recovery_prolongs_the_episode(tmp_path):
    events = [*KILL, injected(1, 17.0, "r3"), healed(1, 19.0, "r3")]
    found = assess(tmp_path, events, range(10, 21))
    assert found.recovery_s == 2.0  # 21 - 19, not 21 - 15


def test_overlapping_faults_count_from_the_last_heal(tmp_path):
    events = [injected(0, 10.0), injected(1, 11.0, "r3"), healed(1, 12.0, "r3"), healed(0, 15.0)]
    assert assess(tmp_path, events, range(10, 17)).recovery_s == 2.0


def test_one_unrecovered_episode_makes_the_run_unrecovered(tmp_path):
    events = [*KILL, injected(1, 20.0, "r3"), healed(1, 22.0, "r3")]
    found = assess(tmp_path, events, range(20, 30))
    assert found.recovery_s is None
    assert found.recovered is False


@pytest.mark.parametrize(("landed_s", "is_judged"), [(0.5, False), (4.9, False), (5.0, True)])
@pytest.mark.parametrize("bad", [(), range(5, 30)], ids=["well", "never well again"])
def test_without_3_s_of_steady_phase_recovery_is_neither_claimed_nor_denied(tmp_path, landed_s, is_judged, bad):
    found = assess(tmp_path, [injected(0, landed_s), healed(0, 6.0)], bad)  # warm-up ends at 2
    harmed = (True, None, False) if bad else (False, 0.0, True)
    assert (found.fault_harm, found.recovery_s, found.recovered) == (harmed if is_judged else (None, None, None))


def scattered(folder, rate, slower=1.0, until=15.0, lost=None):
    """30 s of exponential latencies, one request a queue of its own; those from 10 s until `until` `slower` times."""
    requests = synthetic.even_requests(DURATION_S, rate, 2)
    latency = np.random.default_rng(7).exponential(0.05, len(requests)) + 0.002
    hit = requests["scheduled_s"].between(10, until, inclusive="left")
    requests["completed_s"] = requests["scheduled_s"] + latency * np.where(hit, slower, 1.0)
    requests.loc[requests["scheduled_s"] >= 10, "phase"] = "recovery"
    requests.loc[requests["scheduled_s"].between(10, 15, inclusive="left"), "phase"] = "fault"
    if lost is not None:
        requests.loc[lost, "outcome"] = "reset"
    about = synthetic.manifest(config={"workload": {"duration_s": float(DURATION_S), "warmup_s": 2.0}})
    run = read(synthetic.write(folder, requests, about=about, events=KILL))
    return recovery.assess(run, timeline.build(run))


@pytest.mark.parametrize("rate", [4, 20, 100])
def test_however_few_requests_scatter_a_fault_that_harmed_nobody_leaves_nothing_to_recover_from(tmp_path, rate):
    found = scattered(tmp_path, rate)
    assert (found.fault_harm, found.recovered, found.recovery_s) == (False, True, 0.0)


@pytest.mark.parametrize("until", [11.0, 15.0], ids=["a second", "five"])
def test_requests_that_waited_longer_are_harm_though_none_was_lost(tmp_path, until):
    assert scattered(tmp_path, 100, slower=4.0, until=until).fault_harm is True


@pytest.mark.parametrize(("lost", "harm"), [(999, True), (1500, True), (500, False)])
def test_one_lost_request_is_harm_and_one_that_was_in_flight_when_the_fault_landed_too(tmp_path, lost, harm):
    # At 100 requests/s number 999 is due 10 ms before the fault, and ends after it; 500 has nothing to do with it.
    assert scattered(tmp_path, 100, lost=lost).fault_harm is harm


def test_a_second_whose_p99_lies_among_the_failed_is_not_well(tmp_path):
    requests = synthetic.even_requests(DURATION_S, 200, 2)
    requests.loc[requests["scheduled_s"] >= 10, "phase"] = "fault"
    # 2 of 200 a second: goodput is 99 %, and p99 rests on the first of them.
    requests.loc[requests["scheduled_s"].between(10, 18) & (requests["request_id"] % 100 == 4), "outcome"] = "refused"
    about = synthetic.manifest(config={"workload": {"duration_s": float(DURATION_S), "warmup_s": 2.0}})
    run = read(synthetic.write(tmp_path, requests, about=about, events=KILL))
    assert recovery.assess(run, timeline.build(run)).recovery_s == 3.0  # 18 - 15


DETECTION = [
    # name, events, detection_s, undetected
    ("no fault", [], None, None),
    ("ejected", [*KILL, router("ejected", 10.4)], 0.4, 0),
    ("the first event counts", [*KILL, router("ejected", 10.4), router("expired", 13.0)], 0.4, 0),
    ("expired", [*KILL, router("expired", 12.5)], 2.5, 0),
    ("drained on its own word", [*KILL, router("draining", 11.0)], 1.0, 0),
    ("another replica", [*KILL, router("ejected", 10.4, "r3")], None, 1),
    ("before it landed, and back again", [router("ejected", 5), router("readmitted", 6), *KILL], None, 1),
    ("just after the heal", [*KILL, router("ejected", 17.5)], 7.5, 0),
    ("long after the heal", [*KILL, router("ejected", 19.0)], None, 1),
    ("out of rotation already", [router("ejected", 9.0), *KILL, router("readmitted", 16.0)], None, 0),
    ("on the router", [injected(0, 10.0, "router"), healed(0, 15.0, "router")], None, 0),
    (
        "slowest of two",
        [*KILL, router("ejected", 10.4), injected(1, 20.0, "r3"), router("ejected", 21.5, "r3"), healed(1, 22.0, "r3")],
        1.5,
        0,
    ),
    (
        "one of two",
        [*KILL, router("ejected", 10.4), injected(1, 20.0, "r3", "slow"), healed(1, 22.0, "r3", "slow")],
        0.4,
        1,
    ),
    (
        "not credited to an earlier fault on the same replica",
        [injected(0, 10.0), healed(0, 12.0), injected(1, 13.0), router("ejected", 13.5), healed(1, 18.0)],
        0.5,
        1,
    ),
]


@pytest.mark.parametrize(
    ("events", "expected", "undetected"), [c[1:] for c in DETECTION], ids=[c[0] for c in DETECTION]
)
def test_detection_is_the_first_event_that_takes_the_replica_out_of_rotation(tmp_path, events, expected, undetected):
    found = assess(tmp_path, sorted(events, key=lambda e: e["t_s"]))
    assert found.detection_s == (None if expected is None else pytest.approx(expected))
    assert found.undetected == undetected
