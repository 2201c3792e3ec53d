"""A run of what is not of Aegis: what its numbers say, and that what nobody told is null and no zero."""

import pandas as pd
import pytest

from analysis.metrics.measured import in_numbers
from analysis.metrics.verdict import verdict
from analysis.pages.run_page import draw
from record.metrics import value_of
from record.shapes import Event
from tests.analysis.synthetic import even_requests, healed, injected, manifest, sample, write

URL = "http://127.0.0.1:8000"
TOLD = ["replica", "attempts", "queue_s", "service_s", "router_s"]
"""What headers of Aegis say."""
REPLICA = {"concurrency": 2, "queue_limit": 100, "kind": "sleep", "discipline": "fifo", "speeds": []}


def external(replicas=0, **config):
    workload = {
        "rate_rps": 10.0, "duration_s": 10.0, "warmup_s": 2.0, "profile": "constant",
        "demand": {"mean_ms": 50.0, "distribution": "constant", "replica_noise": 0.0},
    }  # fmt: skip
    return manifest(
        config={
            "router": {"url": URL}, "replicas": replicas, "replica": REPLICA, "workload": workload,
            "scaler": {"name": "none"}, **config,
        }
    )  # fmt: skip


def samples(*unknown, ready=None):
    """Without the CPU of those roles."""
    taken = []
    for second in range(1, 11):
        one = sample(float(second), ready, ready)
        taken.append({**one, "router_lag_ms": None, "cpu": {role: cores for role, cores in one["cpu"].items() if role not in unknown}})
    return taken


def silent(requests):
    """The same rows, of a service that answers without a header of ours."""
    requests[TOLD] = None
    return requests.astype(dict.fromkeys(TOLD[1:], "float64"))


def test_what_a_service_does_not_tell_is_null_with_the_reason(tmp_path):
    taken = samples("router", "replicas")
    _, _, found = in_numbers(write(tmp_path, silent(even_requests(rate=20)), about=external(), samples=taken))
    assert found["valid"] and found["latency_p50_ms"] == pytest.approx(100) and found["error_rate"] == 0
    assert found["steady"] is True
    null = [
        "retried_requests", "attempts_per_request", "hedged_requests", "router_overhead_p50_ms", "queue_p50_ms",
        "service_p50_ms", "utilisation", "relaxation_s", "floor_p99_ms", "excess_p99_ms", "exact_error_p50_ms",
        "time_in_panic_s", "false_ejections", "regret_mean_ms", "replica_seconds", "replicas_max", "replicas_min",
        "cpu_router_cores", "cpu_replicas_cores", "router_lag_ms", "amplification", "detection_s",
    ]  # fmt: skip
    assert {key: value_of(found, key) for key in null} == dict.fromkeys(null)
    assert not [key for key in found if key.startswith("share_")]
    unknown, processes = found["warnings"][-2:]
    assert unknown.startswith(f"{URL} is not of Aegis, which cannot know detection") and unknown.endswith(": null")
    assert "no X-Aegis-Attempts" in unknown and "no X-Aegis-Replica" in unknown
    assert processes.startswith(f"which processes {URL} is, is not known") and "router.ports" in processes


def test_before_replicas_of_ours_who_served_and_the_floor_are_known(tmp_path):
    requests = even_requests()
    requests[["attempts", "router_s"]] = float("nan")
    _, _, found = in_numbers(write(tmp_path, requests, about=external(2), samples=samples(ready=2)))
    assert found["floor_p50_ms"] == pytest.approx(50) and found["excess_p50_ms"] == pytest.approx(50)
    assert found["utilisation"] == pytest.approx(10 * 0.05 / 4) and value_of(found, "share_r1") == 0.5
    assert found["retried_requests"] is None and found["cpu_router_cores"] == pytest.approx(0.2)
    assert found["regret_mean_ms"] is None and found["replica_seconds"] == 20
    (note,) = [text for text in found["warnings"] if URL in text]
    assert "the floor" not in note


def test_a_cache_before_the_replicas_makes_the_floor_unknown(tmp_path):
    requests = even_requests()
    requests.loc[50:59, TOLD] = None
    _, _, found = in_numbers(write(tmp_path, requests, about=external(2), samples=samples(ready=2)))
    assert found["floor_p50_ms"] is None and found["utilisation"] is None and value_of(found, "share_r1") == 0.5
    assert any("utilisation and the floor (X-Aegis-Replica of this run in 87.5% of the answers)" in text
               for text in found["warnings"])  # fmt: skip


def test_redirects_are_answers_and_are_counted_in_a_note(tmp_path):
    requests = silent(even_requests())
    requests.loc[90:, "status"] = 302
    _, _, found = in_numbers(write(tmp_path, requests, about=external(), samples=samples("replicas")))
    assert found["error_rate"] == 0
    assert "10 of 80 answers are redirects (3xx), which are not followed and count as ok" in found["warnings"]


def test_what_a_command_did_is_seen_from_outside_and_nobody_is_said_to_have_missed_it(tmp_path):
    requests = silent(even_requests(duration_s=20.0))
    is_down = requests["scheduled_s"].between(8, 10, inclusive="left")
    requests.loc[is_down, ["status", "outcome"]] = [503, "http_error"]
    requests["phase"] = pd.cut(requests["scheduled_s"], [-1, 1.99, 7.99, 9.99, 99],
                               labels=["warmup", "steady", "fault", "recovery"]).astype(str)  # fmt: skip
    about = external()
    about["config"]["workload"]["duration_s"] = 20.0
    about["faults"] = [{"at_s": 8.0, "action": "command", "target": "system", "for_s": 2.0, "inject": "a", "heal": "b"}]
    events = [injected(0, 8.0, "system", "command"), healed(0, 10.0, "system", "command")]
    taken = [sample(float(second), None, None) for second in range(1, 21)]
    run, timeline, found = in_numbers(write(tmp_path, requests, about=about, events=events, samples=taken))
    assert (found["faults_injected"], found["faults_undetected"], found["detection_s"]) == (1, None, None)
    assert found["recovered"] is True and found["recovery_s"] == 0 and found["error_rate_fault"] == 1
    said = verdict(run.manifest, found)
    assert said.startswith("VALID. The system was hit by `command`; ") and "rotation" not in said
    draw(run, timeline, found, tmp_path / "summary.png")
    assert (tmp_path / "summary.png").stat().st_size > 10_000


def test_a_kill_behind_a_proxy_of_ones_own_is_not_said_to_have_stayed_in_rotation(tmp_path):
    about = external(2)
    about["faults"] = [{"at_s": 6.0, "action": "kill", "target": "r1", "for_s": 1.0}]
    requests = even_requests()
    requests[["attempts", "router_s"]] = float("nan")
    events = [injected(0, 6.0, "r1"), healed(0, 7.0, "r1")]
    run, _, found = in_numbers(write(tmp_path, requests, about=about, events=events, samples=samples(ready=2)))
    assert found["faults_undetected"] is None and found["floor_p50_ms"] == pytest.approx(50)
    assert "rotation" not in verdict(run.manifest, found)


def test_a_proxy_that_ended_by_itself_or_heard_nothing_is_a_note_of_a_valid_run(tmp_path):
    about = manifest(config={"router": {"data_plane": "envoy"}, "replicas": 2})
    told = [("members_unheard", 3.0, "envoy does not hear who is behind it (x)"), ("router_ended", 5.04, "envoy ended by itself (y)")]
    events: list[Event] = [{"t_s": at, "source": "runner", "event": event, "reason": reason} for event, at, reason in told]
    _, _, found = in_numbers(write(tmp_path, even_requests(), about=about, events=events, samples=samples(ready=2)))
    assert found["valid"]
    unheard, ended, *_ = [text for text in found["warnings"] if text.startswith("envoy ")]
    assert unheard.startswith("envoy does not hear who is behind it (x), at 3.0 s: ")
    assert ended.startswith("envoy ended by itself (y), at 5.0 s: ")
