"""A trace in a plan and in runs, and the sojourns that it implies."""

import json
import os

import numpy as np
import pandas as pd
import pytest

from experiments.plan.config import Config, ConfigError
from experiments.plan.original import ReplayError, read_original
from experiments.plan.resolve import as_composed, resolve
from experiments.plan.schedule import build_schedule
from experiments.plan.workload import WorkloadSettings
from tests.experiments.simulated import configured
from tests.experiments.simulated import run as simulated
from tests.experiments.traced import ROWS, TRACES, code_trace, kiefer_wolfowitz, of_words, planned, written
from tests.running import ROOT, run


def test_a_scenarios_course_makes_room_for_a_trace(tmp_path):
    keys = ["+scenario=autoscale", f"workload.trace={written(tmp_path, 't.csv')}", "workload.warmup_s=0"]
    with pytest.raises(ConfigError, match=r"workload\.profile=spike: .* add workload=constant"):
        of_words(keys)
    assert of_words([*keys, "workload=constant"]).config.workload.profile == "constant"


def test_the_run_lasts_as_long_as_the_trace_unless_a_length_is_typed(tmp_path):
    trace = f"workload.trace={written(tmp_path, 't.csv')}"
    plan = planned(trace, "workload.warmup_s=0")
    workload = plan.config.workload
    assert (workload.duration_s, workload.rate_rps) == (5.0, 0.8)  # the last second counts as a whole one
    assert plan.resolved["workload"]["duration_s"] == 5.0 and any("as long as the trace" in note for note in plan.notes)
    again = resolve(as_composed(plan.resolved))
    assert again == plan and again.resolved == plan.resolved
    typed = planned(trace, "workload.warmup_s=0", "workload.duration_s=3")
    assert typed.config.workload.duration_s == 3.0 and typed.config.workload.expected_requests() == 3
    assert resolve(as_composed(typed.resolved)) == typed
    long = planned(trace, "workload.warmup_s=0", "workload.duration_s=30")
    assert any("nothing is asked in the last 25 s" in note for note in long.notes)
    assert planned(trace, "workload.warmup_s=0", "workload.trace_repeat=4").config.workload.duration_s == 20.0


def test_a_path_counts_from_where_it_was_typed(tmp_path, monkeypatch):
    written(tmp_path, "t.csv")
    monkeypatch.chdir(tmp_path)
    plan = planned("workload.trace=t.csv", "workload.warmup_s=0")
    assert plan.resolved["workload"]["trace"] == plan.config.workload.trace == str(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["workload.rate_rps=5"], r"workload\.rate_rps: is what the trace says; .*workload\.trace_height"),
        (["workload.utilisation=0.5"], r"workload\.utilisation: is what the trace says"),
        (["workload.arrivals=uniform"], r"workload\.arrivals: is what the trace says"),
        (["workload=spike"], r"workload\.profile=spike: a trace has its own course"),
        (["workload.demand.mean_ms=5"], r"workload\.demand\.mean_ms: is what the trace says"),
        (["workload.keys=5"], r"workload\.keys: is what the trace says"),
        (["workload.post_share=0.5"], r"workload\.post_share: is what the trace says"),
        (["workload.demand.replica_noise=0.5"], r"replica_noise: must be 0 with a trace that has demands"),
        (["load.loop=closed"], r"load\.loop=closed: must be open with workload\.trace"),
        (["load.fit=true"], r"load\.fit=True: must be false with workload\.trace"),
        (["workload.warmup_s=5"], r"workload\.warmup_s=5: must be below workload\.duration_s=5"),
        (["workload.trace_height=0"], r"workload\.trace_height=0: must be between"),
        (["workload.trace_repeat=1000000"], r"lasts 5,000,000 s, a run 86,400; .*trace_for_s"),
    ],
)
def test_what_does_not_go_with_a_trace_is_refused_by_key(typed, words, tmp_path):
    warmup = [] if any("warmup" in text for text in typed) else ["workload.warmup_s=0"]
    with pytest.raises(ConfigError, match=words):
        planned(f"workload.trace={written(tmp_path, 't.csv')}", *warmup, *typed)


def test_moments_of_the_day_are_told_to_begin_at_the_first(tmp_path):
    file = written(tmp_path, "t.csv", ROWS.assign(scheduled_s=ROWS["scheduled_s"] + 1_700_000_000))
    with pytest.raises(ConfigError, match=r"begin there by workload\.trace_from_s=1700000000"):
        planned(f"workload.trace={file}")
    begun = planned(f"workload.trace={file}", "workload.trace_from_s=1700000000", "workload.warmup_s=0")
    assert begun.config.workload.duration_s == 5.0


def test_without_a_trace_its_keys_are_refused_and_a_demand_that_no_replica_takes_is_so_live(tmp_path):
    with pytest.raises(ConfigError, match=r"workload\.trace_speed=2: goes with workload\.trace=FILE"):
        planned("workload.trace_speed=2")
    file = written(tmp_path, "t.csv", ROWS.assign(demand_s=[70.0, 1, 1, 1]))
    with pytest.raises(ConfigError, match=r"workload\.trace: its demand_s=70: must be at most 60, which replicas take"):
        planned(f"workload.trace={file}", "workload.warmup_s=0")
    assert planned(f"workload.trace={file}", "workload.warmup_s=0", "engine=sim")


# -- the sojourns that it implies


def one_station(file, duration_s, slots=4):
    config: Config = configured(0.5, slots=slots, router=None)
    config.workload = WorkloadSettings(trace=file, duration_s=duration_s, warmup_s=0.0)
    schedule = build_schedule(config.workload, config.seed)
    return schedule, simulated(config, schedule=schedule).load.sojourn_s()


def test_one_replica_gives_the_sojourns_of_the_recursion_request_by_request(tmp_path):
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.gamma(0.05, 20 * 0.1, 3000))  # gaps with a coefficient of variation of 4.5
    file = written(tmp_path, "t.parquet", pd.DataFrame({"scheduled_s": times, "demand_s": rng.lognormal(-1.8, 1, 3000)}))
    schedule, found = one_station(file, float(times[-1]) + 1)
    expected = kiefer_wolfowitz(schedule["scheduled_s"], schedule["demand_s"], 4)
    assert len(found) == 3000 and np.abs(found - expected).max() < 1e-6
    assert expected.max() > 5  # they did wait


@pytest.mark.skipif(not TRACES, reason="AEGIS_TRACES names no folder with the public traces")
def test_a_public_trace_has_the_sojourns_that_are_published_with_it(tmp_path):
    asked = code_trace()
    _, found = one_station(written(tmp_path, "t.csv", asked), 3436.0)
    expected = kiefer_wolfowitz(asked["scheduled_s"], asked["demand_s"], 4)
    assert len(found) == 8819 and np.abs(found - expected).max() < 1e-3
    assert np.quantile(found, 0.99, method="higher") == pytest.approx(127.64, abs=0.005)
    assert (np.median(found), found.mean()) == pytest.approx((24.75, 34.86), abs=0.005)


# -- whole runs


SIM = ["engine=sim", "tracking.enabled=false", "summary=never", "workload.warmup_s=0"]


def test_a_run_says_which_file_it_was_and_is_replayed_only_from_that(tmp_path):
    file = written(tmp_path, "t.csv")
    done = run("+scenario=baseline", *SIM, f"workload.trace={file}", f"hydra.run.dir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "as long as the trace is played" in done.stderr and "4 requests in 5 s" in done.stdout
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    (about,) = manifest["inputs"]
    assert (about["key"], about["file"], about["bytes"]) == ("workload.trace", file, (tmp_path / "t.csv").stat().st_size)
    assert len(about["sha256"]) == 64
    assert read_original(tmp_path / "run").plan.config.workload.trace == file
    written(tmp_path, "t.csv", ROWS.assign(demand_s=0.5))
    with pytest.raises(ReplayError, match=r"workload\.trace=.*: its content is not what it was"):
        read_original(tmp_path / "run")
    (tmp_path / "t.csv").unlink()
    with pytest.raises(ReplayError, match="there is no such file"):
        read_original(tmp_path / "run")


@pytest.mark.parametrize("launcher", [[], ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"], ["hydra.job.chdir=true"]])
def test_the_arms_of_a_sweep_play_the_same_trace_wherever_hydra_goes(launcher, tmp_path):
    file = os.path.relpath(written(tmp_path, "t.csv"), ROOT)  # where `run` types it
    done = run(
        "-m", "+scenario=routed", *SIM, f"workload.trace={file}", "policy=round_robin,random", "seed=1,2", *launcher,
        f"hydra.sweep.dir={tmp_path / 'sweep'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    manifests = [json.loads(path.read_text()) for path in (tmp_path / "sweep").glob("*/manifest.json")]
    assert len(manifests) == 4 and len({about["schedule_hash"] for about in manifests}) == 1
