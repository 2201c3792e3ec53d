import numpy as np
import pytest

from analysis.summary import summarise
from tests.analysis import synthetic
from tests.analysis.synthetic import healed, injected, sample


def reasons(folder, requests=None, **more):
    requests = synthetic.even_requests() if requests is None else requests
    found = metrics_of(folder, requests, **more)
    assert found["valid"] is not bool(found["invalid_reasons"])
    return found["invalid_reasons"]


def metrics_of(folder, requests, **more):
    from analysis.metrics import table as metrics
    from analysis.metrics import timeline
    from record.reading import read

    run = read(synthetic.write(folder, requests, **more))
    return metrics.compute(run, timeline.build(run))


def samples(**cpu):
    return [sample(float(second), **cpu) for second in range(1, 11)]


def requests_with(**columns):
    requests = synthetic.even_requests()
    for name, change in columns.items():
        change(requests, name)
    return requests


def late(requests, name):
    requests[name] = requests["scheduled_s"] + 0.040
    requests["completed_s"] += 0.05


def unsent(requests, name):
    requests.loc[requests["request_id"] == 50, [name, "completed_s"]] = np.nan
    requests.loc[requests["request_id"] == 50, "outcome"] = "dropped"


def clock(offset_ms, uncertainty_ms, name="router", at="start"):
    return {"clock": name, "at": at, "offset_ms": offset_ms, "uncertainty_ms": uncertainty_ms}


def by_workers(columns=None, **changes):
    """Files of a run of two workers; `changes` are those of the second one's record."""
    good = {
        "stopped": "complete", "shares_kernel": False, "clock_offset_ms": -3.6e6, "clock_uncertainty_ms": 0.3,
        "clock_drift_ms": 0.2, "clock_drift_uncertainty_ms": 0.4, "cpu_max_cores": 0.4, "cpu_foreign_cores": 0.1,
        "cpu_steal_cores": 0.0,
    }  # fmt: skip
    records = [{**good, "shard": 0, "worker": "a-1"}, {**good, "shard": 1, "worker": "b-2", **changes}]
    load = {"load": {"workers": 1, "remote_workers": 2}}
    return {"about": synthetic.manifest(generator=records, config=load), **(columns or {})}


def second_late(requests, name):
    requests.loc[requests["request_id"] % 2 == 1, name] += 0.040
    requests["completed_s"] += 0.05


def lacking(**lacked):
    return {"about": synthetic.manifest(generator=[{"shard": 0, "stopped": "complete", "descriptors": 64, **lacked}])}


@pytest.mark.parametrize(
    ("lacked", "remedy"),
    [
        ({"EMFILE": 1300}, "EMFILE 1,300 times (it may have 64 descriptors: raise the hard limit (ulimit -Hn)"),
        ({"EADDRNOTAVAIL": 2}, "EADDRNOTAVAIL 2 times (no local port is free: widen net.ipv4.ip_local_port_range"),
        ({"ENOBUFS": 1}, "ENOBUFS 1 times (the machine's limits"),
    ],
)
def test_a_generator_that_ran_out_of_what_it_needs_says_of_what_and_how_to_help(tmp_path, lacked, remedy):
    (reason,) = reasons(tmp_path, **lacking(lacked=lacked))
    assert remedy in reason
    assert reasons(tmp_path, **lacking(lacked={})) == []


WORKERS = [
    ("late", by_workers({"requests": requests_with(sent_s=second_late)}), ["worker b-2 left 41.0 ms late", "limit 25"]),
    (
        "lost",
        by_workers(stopped="lost", reason="worker b-2 was lost: no heartbeat", dropped=40),
        ["worker b-2 was lost: no heartbeat", "40 requests is not known"],
    ),
    ("stopped", by_workers(stopped="interrupted"), ["worker b-2 stopped early (interrupted)"]),
    (
        "no clock",
        by_workers(clock_uncertainty_ms=40.0),
        ["clock of worker b-2 is known to 40.0 ms only", "limit 25 ms"],
    ),
    ("drift", by_workers(clock_drift_ms=-12.0), ["clock of worker b-2 drifted by -12.0 ms", "limit 10 ms"]),
    ("generator", by_workers(cpu_max_cores=0.95), ["generator", "at worker b-2: 0.95 cores"]),
    ("unknown CPU", by_workers(cpu_max_cores=None), ["was not sampled at worker b-2"]),
    ("foreign", by_workers(cpu_foreign_cores=0.7), ["foreign processes", "at worker b-2: 0.70 cores (limit 0.5)"]),
    ("steal", by_workers(cpu_steal_cores=0.3), ["steal", "at worker b-2: 0.30 cores (limit 0.2)"]),
]


@pytest.mark.parametrize(("files", "words"), [case[1:] for case in WORKERS], ids=[case[0] for case in WORKERS])
def test_each_gate_of_a_worker_trips_and_names_it(tmp_path, files, words):
    found = reasons(tmp_path, **files)
    assert all(word in "; ".join(found) for word in words), found
    assert "a-1" not in str(found)


@pytest.mark.parametrize(
    "changes", [{}, {"clock_drift_ms": 12.0, "clock_drift_uncertainty_ms": 3.0}, {"shares_kernel": True, "cpu_foreign_cores": 2.0}]
)  # fmt: skip
def test_two_good_workers_make_a_valid_run_whatever_their_clocks_show(tmp_path, changes):
    assert reasons(tmp_path, **by_workers(**changes)) == []


TRIPS = [
    ("late", {"requests": requests_with(sent_s=late)}, ["40.0 ms late", "limit 25 ms"]),
    ("unsent", {"requests": requests_with(sent_s=unsent)}, ["79 of 80 planned", "99.9 %"]),
    ("dropped", {"requests": requests_with(sent_s=unsent)}, ["1 requests were dropped", "limit 0"]),
    ("generator", {"samples": samples(generator=0.95)}, ["generator", "0.95 cores", "limit 0.9"]),
    ("one busy second", {"samples": [*samples()[:9], sample(10.0, generator=0.97)]}, ["busiest second", "0.97"]),
    ("foreign", {"samples": samples(foreign=0.7)}, ["foreign", "0.70 cores", "limit 0.5"]),
    ("steal", {"samples": samples(steal=0.3)}, ["steal", "0.30 cores", "limit 0.2"]),
    ("no samples", {"samples": []}, ["CPU of generator was not sampled"]),
    ("late fault", {"events": [injected(0, 5.25, planned_s=5.0)]}, ["kill on r2 landed 250 ms late", "limit 100 ms"]),
    ("late heal", {"events": [injected(0, 5.0), healed(0, 7.3, planned_s=7.0)]}, ["healed 300 ms late"]),
    (
        "failed fault",
        {"events": [{**injected(0, 5.0), "event": "fault_failed", "reason": "no such process"}]},
        ["kill on r2 failed: no such process"],
    ),
    (
        "missing fault",
        {"about": synthetic.manifest(faults=[{"at_s": 5.0, "action": "kill", "target": "r2", "for_s": 2.0}])},
        ["kill on r2, planned at 5.0 s, never landed"],
    ),
    ("interrupted", {"about": synthetic.manifest(exit_reason="interrupted")}, ["did not complete", "interrupted"]),
    (
        "failed",
        {"about": synthetic.manifest(exit_reason="failed", error="router\ndied")},
        ["exit_reason failed: router died"],
    ),
    (
        "generator stopped early",
        {"about": synthetic.manifest(generator=[{"stopped": "parent_gone"}])},
        ["process 0 stopped early (parent_gone)"],
    ),
    ("clock", {"about": synthetic.manifest(clocks=[clock(-15.0, 0.2)])}, ["router clock", "-15.0 ms", "limit 10 ms"]),
    ("step", {"about": synthetic.manifest(clocks=[clock(3.6e6, 0.0, "wall", "end")])}, ["wall clock", "3,600,000.0"]),
    ("no clock", {"about": synthetic.manifest(clocks=[clock(None, None)])}, ["of the router could not be read"]),
    (
        "clocks not compared",
        {"about": synthetic.manifest(config={"validity": {"max_clock_offset_ms": 10.0}})},
        ["the clocks were not compared"],
    ),
    ("no generator", {"about": synthetic.manifest(generator=[])}, ["1 of 1 generator processes left no record"]),
]


def test_a_fault_on_all_that_spared_who_did_not_run_and_one_that_waited_are_no_fault_of_the_instrument(tmp_path):
    planned = [{"at_s": 5.0, "action": "slow", "target": f"r{number}", "for_s": 2.0} for number in (1, 2, 3)]
    told = [
        injected(0, 5.0, planned_s=5.0),
        {**injected(1, 6.5, planned_s=None), "waited_s": 1.5},
        {**injected(2, 7.0, planned_s=5.0), "event": "fault_spared", "reason": "r3 did not run"},
    ]
    assert reasons(tmp_path, about=synthetic.manifest(faults=planned), events=told) == []


@pytest.mark.parametrize(("files", "words"), [case[1:] for case in TRIPS], ids=[case[0] for case in TRIPS])
def test_each_gate_trips_and_names_its_number(tmp_path, files, words):
    found = reasons(tmp_path, **files)
    text = "; ".join(found)
    for word in words:
        assert word in text
    assert "\n" not in text


def test_a_good_run_has_no_reasons(tmp_path):
    events = [injected(0, 5.05, planned_s=5.0), healed(0, 7.0)]
    about = synthetic.manifest(faults=[{"at_s": 5.0, "action": "kill", "target": "r2", "for_s": 2.0}])
    assert reasons(tmp_path, about=about, events=events) == []


def test_a_clock_offset_that_may_be_none_is_no_reason_nor_a_service_that_is_dead_at_the_end(tmp_path):
    about = synthetic.manifest(clocks=[clock(-15.0, 6.0), clock(0.1, 0.2, "manager"), clock(None, None, at="end")])
    assert reasons(tmp_path, about=about) == []
    assert metrics_of(tmp_path, synthetic.even_requests(), about=about)["clock_offset_max_ms"] == 15.0


def test_limits_come_from_the_manifest(tmp_path):
    strict = synthetic.manifest(config={"validity": {"max_lateness_p99_ms": 0.5, "max_foreign_cpu_cores": None}})
    found = reasons(tmp_path / "strict", about=strict)
    assert len(found) == 1
    assert "limit 0.5 ms" in found[0]
    lax = synthetic.manifest(config={"validity": {"max_foreign_cpu_cores": 2.0}})
    assert reasons(tmp_path / "lax", about=lax, samples=samples(foreign=1.5)) == []


def test_the_generators_cpu_limit_holds_per_process(tmp_path):
    two = synthetic.manifest(config={"load": {"workers": 2}}, generator=[{"stopped": "complete"}] * 2)
    assert reasons(tmp_path / "two", about=two, samples=samples(generator=1.6)) == []
    assert reasons(tmp_path / "one", samples=samples(generator=1.6))


def test_a_system_that_fails_every_request_is_a_finding_and_a_valid_run(tmp_path):
    requests = synthetic.even_requests()
    requests["outcome"] = "http_error"
    requests["completed_s"] = requests["scheduled_s"] + 5.0
    assert reasons(tmp_path, requests) == []


def test_a_heal_by_the_clean_up_after_the_run_is_not_late(tmp_path):
    events = [injected(0, 5.0), healed(0, 10.4, planned_s=None, at_end=True)]
    assert reasons(tmp_path, events=events) == []


def test_an_interrupted_run_is_not_blamed_for_what_it_never_wrote(tmp_path):
    about = synthetic.manifest(exit_reason="killed", generator=[])
    folder = synthetic.write(tmp_path, None, about=about, samples=[], planned=np.arange(100) / 10)
    found = summarise(folder)
    assert found["valid"] is False
    assert len(found["invalid_reasons"]) == 1
    assert found["offered_requests"] == 0
    assert found["offered_rps"] is found["latency_p99_ms"] is found["error_rate"] is found["slo_violation_s"] is None


def test_an_interrupted_run_is_measured_up_to_where_it_broke_off(tmp_path):
    requests = synthetic.even_requests()
    about = synthetic.manifest(exit_reason="interrupted", generator=[{"stopped": "interrupted"}])
    planned = requests["scheduled_s"].to_numpy()
    part = requests[requests["scheduled_s"] < 6.05]
    found = metrics_of(tmp_path, part, about=about, planned=planned, samples=[sample(float(s)) for s in range(1, 7)])
    assert found["window_s"] == pytest.approx(4)
    assert found["offered_requests"] == 40
    assert found["offered_rps"] == pytest.approx(10)
    assert len(found["invalid_reasons"]) == 1
