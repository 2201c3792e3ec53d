"""Verdicts on arms: the right one, on the right pairs, or a clear refusal."""

import json
import math

import pandas as pd
import pytest
from rich.console import Console

from analysis.compare import _table, main, show
from analysis.comparison.gathering import compare_runs, read_runs
from analysis.comparison.sequential import look
from analysis.comparison.statistics import paired
from analysis.comparison.text import effect
from analysis.tables.export import Sheet
from tests.analysis import synthetic

pytestmark = pytest.mark.slow

NAMES = {"policy": {"name": "round_robin"}}


def run(folder, latency_s, *, seed=1, scenario="routed", valid=True, config=None, requests=None, schedule=None, **about):
    """A run whose latencies are all `latency_s`."""
    table = synthetic.even_requests(latency_s=latency_s) if requests is None else requests
    generator = [{"stopped": "complete" if valid else "interrupted"}]
    about = {"generator": generator, "seed": seed, "scenario": scenario, **about}
    return synthetic.write(folder, table, about=synthetic.manifest(config=config or {}, **about), schedule=schedule)


def sweep(folder, reference, arm, **more):
    """Jobs as Hydra numbers them: seed by seed, the reference first."""
    for job, (first, second) in enumerate(zip(reference, arm, strict=True)):
        run(folder / str(2 * job), first, seed=job, config=NAMES, **more)
        run(folder / str(2 * job + 1), second, seed=job, **more)
    return folder


def rows(folder):
    return {row["metric"]: row for row in json.loads((folder / "comparison.json").read_text())}


def test_a_faster_arm_is_better_and_the_files_say_by_how_much(tmp_path, capsys):
    sweep(tmp_path, [0.1, 0.11, 0.12], [0.05, 0.055, 0.06])
    assert main([str(tmp_path)]) == 0
    row = rows(tmp_path)["latency_p99_ms"]
    assert (row["reference"], row["arm"], row["n"]) == ("policy=round_robin", "policy=peak_ewma", 3)
    assert row["ratio"] == pytest.approx(0.5)
    assert row["low"] <= row["ratio"] <= row["high"]
    assert row["verdict"] == "better"
    assert row["is_primary"]
    assert rows(tmp_path)["goodput_rps"]["verdict"] == "equivalent"
    printed = capsys.readouterr().out
    assert "BETTER. policy=peak_ewma is better than policy=round_robin: latency p99 x 0.500" in printed
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_the_table_fits_the_terminal_and_no_figure_is_cut(tmp_path, capsys, columns):
    sweep(tmp_path, [0.1, 0.11, 0.12], [0.05, 0.055, 0.06])
    (comparison,) = compare_runs(read_runs([tmp_path]))
    show([comparison], Console(width=columns))
    table = capsys.readouterr().out.partition("BETTER.")[0]
    assert max(map(len, table.splitlines())) <= columns
    words = " ".join(table.split())
    if columns == 80:
        return
    for row in comparison.rows:
        assert effect(row).replace("percentage points", "pp") in words
    assert "failed requests runs 0.0 % 0.0 % " in words


def test_a_metrics_name_is_not_broken_within_a_word(capsys):
    columns = ("metric", "about", "policy=round_robin", "policy=least_request", "effect [interval]", "verdict")
    lost = "+0.000 [-0.077, +0.077] percentage points 99.7 %"
    rows = [
        (name, "these runs", "12.0 %", "12.0 %", lost, "inconclusive")
        for name in ("failed requests", "replica-seconds")
    ]
    Console(width=80).print(_table(Sheet("", columns, rows), 80))
    assert "replica-seconds " in capsys.readouterr().out


def test_the_arm_named_first_is_the_reference(tmp_path):
    sweep(tmp_path, [0.1, 0.11, 0.12], [0.05, 0.055, 0.06])
    assert main([str(tmp_path / "1"), str(tmp_path / "0"), "--output", str(tmp_path / "out")]) == 0
    row = rows(tmp_path / "out")["latency_p99_ms"]
    assert (row["reference"], row["ratio"]) == ("policy=peak_ewma", pytest.approx(2.0))


@pytest.mark.parametrize(
    ("arm", "verdict"),
    [
        ([0.2, 0.21, 0.22], "worse"),
        ([0.1005, 0.11, 0.1195], "equivalent"),
        ([0.08, 0.12, 0.15], "inconclusive"),
        ([0.1, 0.11, 0.12], "equivalent"),
    ],
    ids=["slower", "hardly different", "scattered", "identical"],
)
def test_each_verdict_has_its_data(tmp_path, arm, verdict):
    sweep(tmp_path, [0.1, 0.11, 0.12], arm)
    assert main([str(tmp_path)]) == 0
    assert rows(tmp_path)["latency_p99_ms"]["verdict"] == verdict


def test_one_pair_has_a_ratio_but_no_interval_and_no_verdict(tmp_path, capsys):
    sweep(tmp_path, [0.1], [0.05])
    assert main([str(tmp_path)]) == 0
    row = rows(tmp_path)["latency_p99_ms"]
    assert (row["ratio"], row["low"], row["high"]) == (pytest.approx(0.5), None, None)
    assert (row["verdict"], row["smallest_detectable"]) == ("inconclusive", None)
    assert "one pair shows no spread" in capsys.readouterr().out


def test_an_invalid_run_takes_its_pair_with_it_and_the_loss_is_told_by_arm(tmp_path, capsys):
    sweep(tmp_path, [0.1, 0.11, 0.12, 0.13], [0.05, 0.055, 0.06, 0.065])
    run(tmp_path / "3", 5.0, seed=1, valid=False)
    assert main([str(tmp_path)]) == 0
    row = rows(tmp_path)["latency_p99_ms"]
    assert (row["n"], row["ratio"]) == (3, pytest.approx(0.5))
    assert row["left_out"] == {"pairs": 1, "policy=round_robin": 0, "policy=peak_ewma": 1}
    printed = capsys.readouterr().out
    assert "1 pair(s) (0 invalid of policy=round_robin, 1 invalid of policy=peak_ewma)" in printed
    assert "lost different numbers of runs" in printed


def test_arms_of_different_length_are_paired_by_seed_and_the_rest_is_told(tmp_path, capsys):
    sweep(tmp_path, [0.1, 0.11, 0.12], [0.05, 0.055, 0.06])
    run(tmp_path / "6", 9.0, seed=9, config=NAMES)
    assert main([str(tmp_path)]) == 0
    assert rows(tmp_path)["latency_p99_ms"]["n"] == 3
    assert "ithout a partner: 1 of policy=round_robin" in capsys.readouterr().out


def test_a_half_written_run_is_said_and_left_out(tmp_path, capsys):
    sweep(tmp_path, [0.1, 0.11, 0.12], [0.05, 0.055, 0.06])
    (tmp_path / "0" / "requests.parquet").write_bytes(b"PAR1")
    assert main([str(tmp_path)]) == 0
    assert rows(tmp_path)["latency_p99_ms"]["n"] == 2
    assert "requests.parquet: cannot be read" in capsys.readouterr().err


def test_an_arm_that_only_fails_is_worse_in_failures(tmp_path):
    failing = synthetic.even_requests().assign(outcome="http_error", status=500)
    for seed in range(3):
        run(tmp_path / f"{seed}a", 0.1, seed=seed, config=NAMES)
        run(tmp_path / f"{seed}b", 0.1, seed=seed, requests=failing)
    assert main([str(tmp_path)]) == 0
    row = rows(tmp_path)["error_rate"]
    assert (row["ratio"], row["difference"], row["verdict"]) == (None, 1.0, "worse")


def test_no_failure_in_few_requests_does_not_mean_that_there_is_none(tmp_path):
    sweep(tmp_path, [0.1, 0.11, 0.12], [0.05, 0.055, 0.06])
    assert main([str(tmp_path)]) == 0
    row = rows(tmp_path)["error_rate"]
    most = 1 - 0.025 ** (1 / (3 * 80))  # Clopper and Pearson
    assert (row["low"], row["high"]) == (pytest.approx(-most), pytest.approx(most))
    assert row["verdict"] == "inconclusive"


def test_a_metric_that_no_run_has_is_absent(tmp_path):
    sweep(tmp_path, [0.1, 0.11], [0.05, 0.055])
    assert main([str(tmp_path)]) == 0
    assert "latency_p999_ms" not in rows(tmp_path)
    assert "detection_s" not in rows(tmp_path)


def test_three_arms_are_each_compared_with_the_first_and_judged_together(tmp_path):
    for seed, value in enumerate([0.1, 0.11, 0.12]):
        run(tmp_path / f"{seed}-0", value, seed=seed, config=NAMES)
        run(tmp_path / f"{seed}-1", value / 2, seed=seed)
        run(tmp_path / f"{seed}-2", value * (1.9 + 0.1 * seed), seed=seed, config={"policy": {"name": "least_request"}})
    assert main([str(tmp_path)]) == 0
    found = json.loads((tmp_path / "comparison.json").read_text())
    primary = {row["arm"]: row for row in found if row["metric"] == "latency_p99_ms"}
    assert {arm: row["verdict"] for arm, row in primary.items()} == {
        "policy=peak_ewma": "better", "policy=least_request": "worse",
    }  # fmt: skip
    assert sorted(row["level"] for row in primary.values()) == [0.025, 0.05]


def test_a_sequential_sweep_is_judged_at_the_level_of_its_look_whenever_it_is_compared(tmp_path, capsys):
    sequential = {"repeat": {"until_ratio_ci": 0.05, "max": 4}}
    for seed, value in enumerate([0.1, 0.11, 0.12]):
        run(tmp_path / f"{seed}a", 0.1, seed=seed, config=NAMES | sequential)
        run(tmp_path / f"{seed}b", value, seed=seed, config=sequential, valid=seed != 1)
    assert main([str(tmp_path)]) == 0
    row = rows(tmp_path)["latency_p99_ms"]
    differences = [math.log(value / 0.1) for value in (0.1, 0.12)]
    level = look(3, 4).level
    assert (row["n"], row["alpha"], row["level"]) == (2, level, level)  # the invalid pair counts for the look
    assert (row["low"], row["high"]) == pytest.approx(tuple(map(math.exp, paired(differences).interval(level))))
    assert sorted(r["level"] for r in rows(tmp_path).values())[0] == pytest.approx(level / 6)  # Holm below the look's
    assert "look 1 of 2" in capsys.readouterr().out


def test_a_sweep_whose_number_of_runs_was_set_before_has_the_whole_level(tmp_path):
    sweep(tmp_path, [0.1, 0.11, 0.12], [0.05, 0.055, 0.06])
    assert main([str(tmp_path)]) == 0
    assert rows(tmp_path)["latency_p99_ms"]["alpha"] == 0.05


@pytest.mark.parametrize("others", [[], [NAMES]], ids=["choices only", "beside another policy"])
def test_arms_of_one_policy_are_told_apart_by_its_options(tmp_path, others):
    configs = [{"policy": {"name": "least_request", "choices": choices}} for choices in (0, 2)] + others
    for seed, value in enumerate([0.1, 0.11, 0.12]):
        for job, config in enumerate(configs):
            run(tmp_path / f"{seed}-{job}", value, seed=seed, config=config)
    assert main([str(tmp_path)]) == 0
    row, *_ = (row for row in json.loads((tmp_path / "comparison.json").read_text()) if row["is_primary"])
    assert "policy.choices=0" in row["reference"] and "policy.choices=2" in row["arm"]
    assert row["n"] == 3


def test_baseline_and_routed_are_arms_named_by_their_scenarios(tmp_path):
    for seed in (1, 2):
        run(tmp_path / f"{seed}a", 0.1, seed=seed, scenario="baseline", config={"router": None})
        run(tmp_path / f"{seed}b", 0.101, seed=seed)
    assert main([str(tmp_path)]) == 0
    row = rows(tmp_path)["latency_p99_ms"]
    assert row["reference"].endswith("baseline")
    assert row["arm"].endswith("routed")


OTHER = synthetic.schedule_at(synthetic.even_requests()["scheduled_s"].to_numpy(), demand_s=0.06)
REFUSED = [
    ("one arm", lambda f: [run(f / str(s), 0.1, seed=s) for s in (1, 2)], "one arm only"),
    (
        "other schedules",
        lambda f: [run(f / "a", 0.1, config=NAMES), run(f / "b", 0.1, schedule=OTHER)],
        "same seed, but different schedules",
    ),
    (
        "other limits",
        lambda f: [run(f / "a", 0.1, config=NAMES), run(f / "b", 0.1, config={"validity": {"min_sent_share": 0.5}})],
        "differ in validity.min_sent_share",
    ),
    (
        "other looks",
        lambda f: [run(f / "a", 0.1, config=NAMES), run(f / "b", 0.1, config={"repeat": {"max": 9}})],
        "differ in repeat.max",
    ),
    ("nothing", lambda f: f.mkdir(exist_ok=True), "no run's folder here"),
    ("an older schema", lambda f: run(f / "a", 0.1, schema_version=0), "schema 0, but 1 and 2 are read here"),
]


@pytest.mark.parametrize(("make", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_cannot_be_compared_is_refused_in_a_line(tmp_path, capsys, make, words):
    make(tmp_path)
    assert main([str(tmp_path)]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "comparison.json").exists()


def test_seeds_without_a_common_one_give_no_verdict(tmp_path, capsys):
    run(tmp_path / "a", 0.1, seed=1, config=NAMES)
    run(tmp_path / "b", 0.1, seed=2)
    assert main([str(tmp_path)]) == 0
    assert json.loads((tmp_path / "comparison.json").read_text()) == []
    assert "INCONCLUSIVE. No pair of valid runs" in capsys.readouterr().out


def test_comparing_leaves_the_runs_as_they_are(tmp_path):
    sweep(tmp_path, [0.1, 0.11], [0.05, 0.055])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main([str(tmp_path)]) == 0
    assert {path: path.read_bytes() for path in before} == before
    assert pd.read_json(tmp_path / "comparison.json").shape[0] > 0
