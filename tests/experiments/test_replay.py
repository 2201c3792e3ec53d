"""Which runs can be replayed, and what is said of those that cannot."""

import json

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from experiments import replay
from experiments.plan import store
from experiments.plan.original import as_planned, read_original
from experiments.plan.resolve import resolve
from experiments.plan.schedule import build_schedule
from experiments.runner.supervision import Interrupted
from record.provenance import differences, provenance
from record.schedule_hash import schedule_hash
from tests.analysis import synthetic
from tests.running import ROOT


def manifest_of(scenario, *overrides):
    """The manifest of a run that this version of the code would run again as it was."""
    store.register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        composed = compose("config", overrides=[f"+scenario={scenario}", *overrides])
    plan = resolve(composed)
    return synthetic.manifest(scenario=scenario, overrides=[f"+scenario={scenario}"], clocks=[]) | {
        "config": plan.resolved,
        "schedule_hash": schedule_hash(build_schedule(plan.config.workload, plan.config.seed)),
        "faults": [fault.as_dict() for fault in plan.faults],
    }


@pytest.fixture(scope="module")
def whole():
    """One with random faults."""
    return manifest_of("failure", "replica.speeds=[1,1,1,0.5]")


def folder_of(tmp_path, manifest):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def changed(manifest, change):
    copy = json.loads(json.dumps(manifest))
    change(copy)
    return copy


def test_a_run_comes_back_with_its_configuration_and_faults(tmp_path, whole):
    original = read_original(folder_of(tmp_path, whole))
    assert OmegaConf.to_container(OmegaConf.structured(original.plan.config)) == whole["config"]
    assert [fault.as_dict() for fault in original.plan.faults] == whole["faults"]
    assert len(original.plan.faults) == 5
    assert original.name == "failure-run"


REFUSED = {
    "a key that there is no more": (lambda m: m["config"]["load"].update(shards=1), ["load.shards", "no such key"]),
    "a key that there was not yet": (lambda m: m["config"]["load"].pop("workers"), ["load.workers", "missing"]),
    "a section that there was not yet": (lambda m: m["config"].pop("policy"), ["policy", "missing"]),
    "a wrong type": (lambda m: m["config"]["load"].update(workers="two"), ["workers", "two"]),
    "a policy that there is no more": (lambda m: m["config"]["policy"].update(name="gone"), ["policy", "gone"]),
    "another schedule": (lambda m: m.update(schedule_hash="0" * 64), ["schedule_hash"]),
    "another seed": (lambda m: m["config"].update(seed=2), ["faults come out otherwise"]),
    "other faults": (lambda m: m["faults"].pop(), ["faults come out otherwise"]),
    "an older schema": (lambda m: m.update(schema_version=0), ["schema 0"]),
    "a session of the web UI": (lambda m: m.update(mode="ui"), ["web UI"]),
    "a run that goes on": (lambda m: m.update(exit_reason="running"), ["still going on"]),
    "half a manifest": (lambda m: m.pop("schedule_hash"), ["incomplete", "schedule_hash"]),
    "no manifest of a run": (lambda m: m.clear(), ["not the manifest"]),
}


@pytest.mark.parametrize(("change", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_would_not_be_run_as_it_was_is_refused_in_one_line(tmp_path, capsys, whole, change, words):
    folder = folder_of(tmp_path, changed(whole, change))
    assert replay.main([str(folder), "--output", str(tmp_path / "new")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and all(word in said for word in words), said
    assert not (tmp_path / "new").exists()


def test_no_folder_a_folder_of_runs_and_a_used_output_are_refused(tmp_path, capsys, whole):
    folder = folder_of(tmp_path, whole | {"exit_reason": "failed"})
    assert replay.main([str(tmp_path / "nothing")]) == 2
    assert replay.main([str(tmp_path)]) == 2
    assert replay.main([str(folder), "--output", str(tmp_path)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3 and "not a run's folder" in said[0] and "not empty" in said[2]
    with pytest.raises(SystemExit, match="2"):
        replay.main([str(folder), "--repeats", "0"])


def test_what_differs_in_code_and_machine_is_named():
    now = provenance() | {"git": {"commit": "b", "dirty": False}}
    assert differences(now, now) == []
    then = changed(now, lambda m: (m["packages"].update(locust="1.0"), m.update(cores=96), m.update(git=None)))
    assert [(d["what"], d["then"], d["now"]) for d in differences(then, now)] == [
        ("git.commit", "none", "b"),
        ("git.dirty", "none", "False"),
        ("cores", "96", str(now["cores"])),
        ("packages.locust", "1.0", now["packages"]["locust"]),
    ]


def test_uncommitted_changes_are_named_even_where_both_have_them():
    dirty = provenance() | {"git": {"commit": "b", "dirty": True}}
    assert [d["what"] for d in differences(dirty, dirty)] == ["git.dirty"]


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """Replays a made-up run of 100 ms a request; `outcomes` are the repeats' latencies, or what they raise or return."""

    def judged(outcomes, old_latency_s=0.1, typed=()):
        def run_again(original, output, number):
            outcome = outcomes[number - 1]
            if isinstance(outcome, BaseException):
                raise outcome
            if isinstance(outcome, int):
                return outcome
            write(output / str(number), outcome, ended_at=f"2026-02-02T00:00:0{number}+00:00")
            return 0

        def write(folder, latency_s, **changes):
            requests = synthetic.requests_at(schedule["scheduled_s"].to_numpy(), 5.0, latency_s)
            return synthetic.write(folder, requests, about=about | changes, schedule=schedule)

        monkeypatch.setattr(replay, "_run_again", run_again)
        about = manifest_of("routed", "tracking.enabled=false", *typed)
        schedule = build_schedule(as_planned(about["config"]).config.workload, about["seed"])
        old = write(tmp_path / "old", old_latency_s)
        output = tmp_path / "new"
        status = replay.main([str(old), "--output", str(output), "--repeats", str(len(outcomes))])
        written = output / "replay.json"
        return status, json.loads(written.read_text()) if written.exists() else None

    return judged


def test_a_replay_that_agrees_is_status_0(judged, capsys):
    status, written = judged([0.100, 0.101, 0.102])
    assert (status, written["verdict"], written["valid"]) == (0, "agrees", 3)
    said = capsys.readouterr()
    assert written["sentence"] in said.out and "latency p99" in said.out
    assert [line for line in said.err.splitlines() if not line.startswith("warning: ")] == []


def test_an_old_run_that_was_slower_is_status_3(judged):
    status, written = judged([0.100, 0.101, 0.102], old_latency_s=0.130)
    assert (status, written["verdict"]) == (3, "differs")
    assert "latency p50 (x 1.287)" in written["sentence"]


def test_a_repeat_that_fails_is_status_1_and_the_others_are_compared(judged):
    status, written = judged([0.100, 1, 0.102])
    assert (status, written["failed"], written["valid"], written["verdict"]) == (1, 1, 2, "agrees")
    assert {row["n"] for row in written["metrics"]} == {2}


def test_an_interrupted_replay_keeps_what_was_measured_and_gives_no_verdict(judged, tmp_path):
    assert judged([0.100, Interrupted(2), 0.102]) == (130, None)
    assert (tmp_path / "new" / "1" / "requests.parquet").exists()


@pytest.mark.parametrize(("bound", "old_latency_s", "status"), [(105, 0.1, 0), (95, 0.1, 4), (95, 0.13, 3)])
def test_repeats_together_must_meet_what_the_run_expects_and_differing_comes_first(
    judged, tmp_path, capsys, bound, old_latency_s, status
):
    typed = [f"expect=['latency_p99_ms < {bound}','latency_p99_ms <= 1.05 x reference']"]
    assert judged([0.100, 0.101, 0.102], old_latency_s, typed)[0] == status
    (one,) = json.loads((tmp_path / "new" / "expectations.json").read_text())
    assert one["value"] == pytest.approx(101, abs=0.1) and one["n"] == 3
    assert one["outcome"] == ("met" if bound > 101 else "not met")
    assert 'timestamp="2026-02-02T00:00:03"' in (tmp_path / "new" / "junit.xml").read_text()
    assert "a replay has no reference" in capsys.readouterr().err
