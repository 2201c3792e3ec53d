"""What a comparison says of itself: runs that stand apart, extended sweeps, what would decide, and the estimand."""

import json
import math

import numpy as np
import pytest

from analysis.calibration.runs import arm, settings
from analysis.compare import main
from analysis.comparison.advice import advise
from analysis.comparison.arms import sort_into_arms
from analysis.comparison.comparison import compare
from analysis.comparison.gathering import compare_runs, read_runs
from analysis.comparison.notes import notes
from analysis.comparison.sequential import extended
from tests.analysis import synthetic
from tests.analysis.test_failing_buys_nothing import NAMES, compared, runs_of, sweep


def test_a_run_that_stands_apart_is_named_with_its_folder():
    manifest = settings()
    arms = [arm("a", manifest, runs_of([100.0, 104.0, 98.0, 101.0, 99.0, 102.0])), arm("b", manifest, runs_of([90.0, 94.0, 88.0, 910.0, 89.0, 92.0]))]
    found = compare(arms)
    assert [(one.arm, one.seed, one.value) for one in found.outlying] == [("b", 3, 910.0)]
    assert any("stands apart: b, seed 3" in note for note in notes(found))
    even = compare([arms[0], arm("b", manifest, runs_of([90.0, 94.0, 88.0, 91.0, 89.0, 92.0]))])
    assert even.outlying == []


def test_runs_of_a_compiled_router_beside_others_are_told():
    def told(*forms):
        arms = [
            arm(name, {**settings(), "router_compiled": form}, runs_of([100.0, 101.0, 102.0]))
            for name, form in zip("ab", forms, strict=True)
        ]
        return [note for note in notes(compare(arms)) if "compiled router" in note]

    assert len(told(True, False)) == 1
    assert told(True, True) == told(False, False) == told(None, False) == []


def test_student_and_sign_flips_that_disagree_are_both_told():
    skewed = [1.001] * 9 + [40.0]
    found = compared(runs_of([100.0] * 10), runs_of([100.0 * f for f in skewed]))
    row = found.row("b", "latency_p99_ms")
    assert row.permutation_p < 0.05 < row.p
    assert any("they disagree" in note for note in notes(found))


def test_how_many_bad_runs_may_have_been_missed_is_said():
    found = compared(runs_of([100.0, 101.0, 102.0]), runs_of([100.0, 101.0, 102.0]))
    assert any("63 %" in note for note in notes(found))  # 1 - 0.05^(1/3)


def test_an_extended_sweep_is_judged_as_what_it_is():
    rng = np.random.default_rng(2)
    ours = runs_of((100 * np.exp(rng.normal(0, 0.05, 10))).tolist())
    theirs = runs_of((100 * np.exp(rng.normal(0.05, 0.05, 10))).tolist())
    planned, later = compared(ours, theirs), compared(ours, theirs, looks=[5])
    assert planned.row("b", "latency_p99_ms").alpha == 0.05
    assert later.row("b", "latency_p99_ms").alpha == extended(10, (5,)).level < 0.02
    assert later.look.ended_at == (5,)


def test_more_pairs_and_minutes_are_advised_with_the_command(tmp_path, capsys):
    sweep(
        tmp_path,
        [synthetic.even_requests(latency_s=v, duration_s=100.0) for v in (0.1, 0.1, 0.1, 0.1)],
        [synthetic.even_requests(latency_s=v, duration_s=100.0) for v in (0.08, 0.12, 0.1, 0.093)],
    )
    for job in tmp_path.iterdir():
        about = json.loads((job / "manifest.json").read_text()) | {"sweep_dir": str(tmp_path)}
        (job / "manifest.json").write_text(json.dumps(about))
    assert main([str(tmp_path)]) == 0
    row = next(r for r in json.loads((tmp_path / "comparison.json").read_text()) if r["is_primary"])
    assert row["verdict"] == "inconclusive" and row["pairs_needed"] > 4
    assert row["minutes_needed"] == pytest.approx((row["pairs_needed"] - 4) * 2 * (1 + 4 / 60))  # a run took a minute, and 4 s besides
    printed = capsys.readouterr().out
    assert f"python -m experiments.run repeat.resume={tmp_path} repeat.max={row['pairs_needed']}" in printed


def test_the_estimand_is_said_and_the_length_that_would_do(tmp_path, capsys):
    rng = np.random.default_rng(1)
    for seed in range(3):
        for job, (mean, config) in enumerate(((0.05, NAMES), (0.045, {}))):
            requests = synthetic.even_requests(duration_s=20.0, rate=50)
            requests["completed_s"] = requests["sent_s"] + rng.exponential(mean, len(requests))
            about = config | {"workload": {"rate_rps": 50.0, "duration_s": 20.0, "warmup_s": 2.0, "profile": "constant", "demand": {"distribution": "exponential"}}, "scaler": {"name": "none"}, "replica": {"kind": "sleep", "concurrency": 4, "speeds": []}, "replicas": 1}
            synthetic.write(tmp_path / str(2 * seed + job), requests, about=synthetic.manifest(config=about, seed=seed))
    (found,) = compare_runs(read_runs([tmp_path]))
    by_metric = {row.metric: row for row in found.rows}
    assert by_metric["latency_p50_ms"].estimand == "system"
    assert by_metric["goodput_rps"].estimand == "run"
    assert by_metric["latency_p50_ms"].system_reason is None
    p99 = by_metric["latency_p99_ms"]
    assert (p99.estimand == "system") == (p99.system_reason is None)
    assert compare(sort_into_arms(read_runs([tmp_path]))).row("policy=peak_ewma", "latency_p99_ms").sentence is None
    assert main([str(tmp_path)]) == 0
    assert "about" in capsys.readouterr().out


def test_an_episode_with_a_fault_has_no_long_run(tmp_path):
    fault = [{"at_s": 4.0, "action": "kill", "target": "r2", "for_s": 2.0}]
    events = [synthetic.injected(0, 4.0), synthetic.healed(0, 6.0)]
    for seed in range(3):
        for job, config in enumerate((NAMES, {})):
            synthetic.write(tmp_path / str(2 * seed + job), synthetic.even_requests(), about=synthetic.manifest(config=config, seed=seed, faults=fault), events=events)
    assert {row.estimand for row in compare_runs(read_runs([tmp_path]))[0].rows} == {"run"}
    assert all(row.system_reason is None for row in compare_runs(read_runs([tmp_path]))[0].rows)


def test_the_level_of_an_extension_keeps_all_of_them_within_one_per_cent():
    levels = [extended(5 * (k + 1), tuple(5 * n for n in range(1, k + 1))).level for k in range(1, 6)]
    assert levels == sorted(levels, reverse=True) and levels[0] < 0.02
    rng = np.random.default_rng(7)
    steps = rng.normal(0, math.sqrt(5), (200_000, 6)).cumsum(axis=1) / np.sqrt(5 * np.arange(1, 7))
    from scipy.stats import norm

    bounds = [norm.ppf(1 - level / 2) for level in (0.05, *levels)]
    assert (np.abs(steps) > bounds).any(axis=1).mean() == pytest.approx(0.0597, abs=0.002)
    # Judged at 5 % again and again: 14.2 % after five looks, 15.5 after six (Armitage, McPherson and Rowe, 1969).
    assert (np.abs(steps[:, :5]) > 1.96).any(axis=1).mean() == pytest.approx(0.142, abs=0.003)


@pytest.mark.parametrize("valid", [4, 5])
def test_an_extended_sweep_with_invalid_runs_is_judged_and_advised_by_what_was_measured(valid):
    rng = np.random.default_rng(valid)
    runs = [runs_of(np.exp(rng.normal(4.6, 0.2, 8)).tolist()) for _ in "ab"]
    for number in range(valid, 8):
        runs[0][number]["valid"] = False
    found = advise(compared(*runs, looks=[5]))
    row = found.row("b", "latency_p99_ms")
    assert found.look.ended_at == (5,) and row.n == valid
    assert row.pairs_needed is None or row.pairs_needed > 8
