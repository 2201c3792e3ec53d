"""A sweep over workloads: each is compared on its own, all of them are one family, and ranks are no more than ranks."""

import copy
import csv
import io
import json
from typing import Any

import pytest

from analysis.calibration.runs import metrics, run, settings
from analysis.compare import draw, files_of, main
from analysis.comparison.arms import ComparisonError, pair
from analysis.comparison.gathering import compare_runs, read_runs
from analysis.comparison.notes import notes_of_all
from analysis.comparison.over_workloads import in_words, overview_of, ranked
from analysis.comparison.questions import questions_of
from analysis.comparison.text import best
from analysis.pages.html import of_runs
from analysis.report import reported
from analysis.tables.lists import effect_numbers_list, overview_list, sentences
from experiments.tracking.sweep import effects, verdict
from tests.analysis import synthetic

SPIKE = {"profile": "spike", "rate_rps": 24.0, "spike": {"factor": 3.0}}
DAY = {"profile": "diurnal", "rate_rps": 24.0, "spike": {"factor": 3.0}}
AUC = {
    "C4.5": [.763, .599, .954, .628, .882, .936, .661, .583, .775, 1, .940, .619, .972, .957],
    "C4.5+m": [.768, .591, .971, .661, .888, .931, .668, .583, .838, 1, .962, .666, .981, .978],
    "C4.5+cf": [.771, .590, .968, .654, .886, .916, .609, .563, .866, 1, .965, .614, .975, .946],
    "C4.5+m+cf": [.798, .569, .967, .657, .898, .931, .685, .625, .875, 1, .962, .669, .975, .970],
}  # fmt: skip
"""Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7, 2006, table 6: 14 data sets."""


def one(policy, seed, p99_ms, workload, asked, **more):
    """A run, with a schedule of that hash."""
    manifest: Any = copy.deepcopy(settings())
    manifest["config"] |= {"policy": {"name": policy}, "workload": {**workload, "duration_s": 10.0, "warmup_s": 0.0}}
    manifest |= {"scenario": "routed", "seed": seed, "schedule_hash": f"{asked}{seed}", **more}
    return run(manifest), metrics(3000, {"latency_p99_ms": p99_ms}, failed=0)


def swept(*workloads, seeds=5):
    """Arms and their p99 by seed, under each workload: (settings, name of its schedules, {arm: values})."""
    return [
        one(arm, seed, values[seed], workload, asked)
        for seed in range(seeds)
        for workload, asked, arms in workloads
        for arm, values in arms.items()
    ]


def around(middle, seeds=5, spread=0.01):
    return [middle * (1 + spread * (seed - 2)) for seed in range(seeds)]


BETTER_EACH_ONCE = (
    (SPIKE, "s", {"a": around(100.0), "b": around(50.0, spread=0.012)}),
    (DAY, "d", {"a": around(50.0), "b": around(100.0, spread=0.012)}),
)


def test_arms_of_another_workload_are_another_comparison_and_are_called_alike_in_each():
    comparisons = compare_runs(swept(*BETTER_EACH_ONCE))
    assert [each.workload for each in comparisons] == ["workload.profile=spike", "workload.profile=diurnal"]
    verdicts = [[(row.reference, row.arm, row.overall) for row in each.rows if row.is_primary] for each in comparisons]
    assert verdicts == [[("policy=a", "policy=b", "better")], [("policy=a", "policy=b", "worse")]]
    rows = [row.as_dict() for each in comparisons for row in each.rows]
    assert {row["workload"] for row in rows} == {"workload.profile=spike", "workload.profile=diurnal"}
    table = effect_numbers_list(comparisons)
    assert table.columns[0] == "workload" and {row[0] for row in table.rows} == {row["workload"] for row in rows}


def test_one_workload_is_told_as_ever():
    comparisons = compare_runs(swept(BETTER_EACH_ONCE[0]))
    assert [each.workload for each in comparisons] == [""] and overview_of(comparisons) is None
    assert not any("workload" in row.as_dict() for row in comparisons[0].rows)
    assert effect_numbers_list(comparisons).columns[0] == "metric"
    assert not any("workload" in text for text in (*sentences(comparisons), *notes_of_all(comparisons)))


def test_all_workloads_are_one_family():
    """Four tests instead of two: the strictest of the headline has a twentieth over four (Holm, 1979), not over two."""
    both, alone = compare_runs(swept(*BETTER_EACH_ONCE)), compare_runs(swept(BETTER_EACH_ONCE[0]))
    assert (alone[0].family.headline, both[0].family.headline) == (2, 4)
    level = {len(each): min(row.level for one in each for row in one.rows if row.is_primary) for each in (alone, both)}
    # Lost requests, of which there were none, cannot err and take no share: one test that can, and two.
    assert level == {1: pytest.approx(0.05), 2: pytest.approx(0.05 / 2)}
    assert "one family of 4 tests, all else one of 2, all 2 workloads together (Holm)" in " ".join(notes_of_all(both))
    three = [(load, asked, {**arms, "c": around(70.0)}) for load, asked, arms in BETTER_EACH_ONCE]
    assert "(every pair of arms of all 2 workloads, together at 5 %)" in best(compare_runs(swept(*three))[0])


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ({"rate_rps": 60.0}, {"rate_rps": 90.0}, ["workload.rate_rps=60.0", "workload.rate_rps=90.0"]),
        (
            {"demand": {"distribution": "exponential"}}, {"demand": {"distribution": "pareto"}},
            ["workload.demand.distribution=exponential", "workload.demand.distribution=pareto"],
        ),
        (
            {"trace": "a.csv", "rate_rps": 3.0}, {"trace": "b.csv", "rate_rps": 4.0},
            ["workload.trace=a.csv", "workload.trace=b.csv"],
        ),
    ],
)  # fmt: skip
def test_whatever_changes_the_schedule_is_another_question(first, second, names):
    arms = {"a": around(100.0), "b": around(90.0)}
    found = questions_of(swept((first, "x", arms), (second, "y", arms)))
    assert [question.name for question in found] == names
    assert [[arm.label for arm in question.arms] for question in found] == [["policy=a", "policy=b"]] * 2


def test_a_workload_is_called_as_it_was_typed():
    arms = {"a": around(100.0), "b": around(90.0)}
    runs = swept((SPIKE, "s", arms), ({"profile": "file", "rate_rps": 24.0}, "f", arms))
    for each, _ in runs:
        choice = {"spike": "spike", "file": "trace"}[each.manifest["config"]["workload"]["profile"]]
        each.manifest["overrides"] = [f"workload={choice}", "seed=1"]
    assert [question.name for question in questions_of(runs)] == ["workload=spike", "workload=trace"]
    assert files_of(["workload=trace", "workload=trace/../x", "workload.rate_rps=60.0"]) == [
        "comparison-trace.png", "comparison-trace-..-x.png", "comparison-workload.rate-rps-60.0.png",
    ]  # fmt: skip


def test_what_changes_no_schedule_makes_no_question():
    arms = {"a": around(100.0), "b": around(90.0)}
    found = questions_of(swept(({"warm": 1}, "x", arms), ({"warm": 2}, "x", arms)))
    assert [len(question.arms) for question in found] == [4]


def test_the_same_workload_with_other_schedules_is_still_refused():
    """A mistake, as of two versions of the code: nobody meant to ask something else."""
    arms = {"a": around(100.0)}
    (found,) = questions_of([*swept((SPIKE, "x", arms)), *swept((SPIKE, "y", {"b": around(90.0)}))])
    with pytest.raises(ComparisonError, match="same seed, but different schedules"):
        pair(*found.arms)
    with pytest.raises(ComparisonError, match="same seed, but different schedules"):
        compare_runs(swept((SPIKE, "x", arms), (DAY, "y", arms)))


def test_a_workload_of_one_arm_is_left_out_and_told():
    arms = {"a": around(100.0), "b": around(90.0)}
    comparisons = compare_runs(swept((SPIKE, "s", arms), (DAY, "d", arms), ({"profile": "ramp"}, "r", {"a": around(1.0)})))
    assert [each.workload for each in comparisons] == ["workload.profile=spike", "workload.profile=diurnal"]
    assert "Not compared, as there is one arm only: workload.profile=ramp." in sentences(comparisons)


def test_mean_ranks_are_those_of_a_published_table():
    table = [ranked({name: (0, -values[number]) for name, values in AUC.items()}) for number in range(14)]
    means = [sum(column[name] for column in table) / 14 for name in AUC]
    # printed: 3.143, 2.000, 2.893, 1.964; `voting` has .975 twice there, ranked 2 and 3 by digits that are not printed
    assert means == pytest.approx([3.143, 2.0, 2.893, 1.964], abs=0.5 / 14)
    assert [round(14 * mean * 2) / 2 for mean in means[:2]] == [44.0, 28.0]


def test_who_loses_more_ranks_behind_and_who_has_no_number_last():
    assert ranked({"a": (0, 5.0), "b": (2, 1.0), "c": (0, 5.0), "d": (0, float("inf"))}) == {
        "a": 1.5, "c": 1.5, "d": 3.0, "b": 4.0,
    }  # fmt: skip


def test_the_summary_ranks_and_says_that_this_is_no_test():
    three = [(load, asked, {**arms, "c": around(70.0)}) for load, asked, arms in BETTER_EACH_ONCE]
    overview = overview_of(compare_runs(swept(*three)))
    assert {arm: overview.mean_rank(arm) for arm in overview.cells} == {"policy=a": 2.0, "policy=b": 2.0, "policy=c": 2.0}
    assert [overview.times_best(arm) for arm in ("policy=a", "policy=b", "policy=c")] == [1, 1, 0]
    said = " ".join(in_words(overview))
    assert "It is no test" in said and "Among the best under each of the 2: no arm." in said
    rows = {row[0]: row for row in overview_list(overview).rows}
    assert [str(cell).endswith("*") for cell in rows["b"][1:3]] == [True, False]


@pytest.mark.slow  # a picture
def test_arms_without_a_valid_pair_are_in_the_summary_and_its_picture(tmp_path):
    runs = swept(*BETTER_EACH_ONCE, seeds=1)
    for _, numbers in runs:
        numbers["valid"] = False
    comparisons = compare_runs(runs)
    overview = overview_of(comparisons)
    assert overview.cells == {"policy=a": [None, None], "policy=b": [None, None]}
    assert [row[1] for row in overview_list(overview).rows] == ["not compared"] * 2
    assert draw(comparisons, tmp_path) == ["comparison.png", "comparison-workload.profile-spike.png", "comparison-workload.profile-diurnal.png"]


def test_mlflow_has_each_workload_in_its_verdict_and_its_keys():
    rows = [row for each in compare_runs(swept(*BETTER_EACH_ONCE)) for row in each.rows]
    assert verdict(rows).startswith("workload.profile=spike: BETTER") and "workload.profile=diurnal: WORSE" in verdict(rows)
    keys = effects(rows)
    assert keys["vs/spike/b/latency_p99_ms"] == pytest.approx(0.5, rel=0.01)
    assert keys["vs/diurnal/b/latency_p99_ms"] == pytest.approx(2.0, rel=0.01)


def written(folder):
    """Two workloads and three arms on disk, seed by seed."""
    number = 0
    for seed in range(3):
        for profile, rate in (("spike", 10), ("diurnal", 12)):
            for policy, latency_s in (("round_robin", 0.1), ("peak_ewma", 0.05), ("random", 0.2)):
                load = {"profile": profile, "rate_rps": 10.0, "duration_s": 10.0, "warmup_s": 2.0}
                config = {"policy": {"name": policy}, "workload": load}
                about = synthetic.manifest(
                    config=config, seed=seed, overrides=[f"workload={profile}"], sweep_dir=str(folder)
                )
                requests = synthetic.even_requests(latency_s=latency_s * (1 + 0.02 * seed), rate=rate)
                synthetic.write(folder / str(number), requests, about=about)
                number += 1
    return folder


@pytest.mark.slow
def test_the_report_has_all_workloads_first_and_each_behind_its_name(tmp_path):
    runs = read_runs([written(tmp_path)])
    comparisons = compare_runs(runs)
    told = of_runs.describe(reported(runs, comparisons, "", []), [tmp_path])
    assert [text.partition(" Best: ")[0] for text in told.verdicts if " Best: " in text] == ["workload=spike:", "workload=diurnal:"]
    titles = [section.title for section in told.sections]
    assert titles[0] == "Over all workloads" and len(titles) == len(set(titles))
    for name in ("workload=spike", "workload=diurnal"):
        assert {f"{name}: Arms over each other", f"{name}: Over time"} <= set(titles)
        assert f"{name}: policy=random against policy=round_robin" in titles
    assert "over each family of comparisons of all 2 workloads (Holm)" in " ".join(map(str, told.sections))


@pytest.mark.slow
def test_the_command_prints_draws_and_writes_each_workload_and_all_of_them(tmp_path, capsys):
    written(tmp_path)
    assert main([str(tmp_path), "--expect", "[latency_p99_ms < 150, latency_p99_ms <= 0.9 x reference]"]) == 4
    out = capsys.readouterr().out
    places = [out.index(text) for text in ("\nworkload=spike\n", "\nworkload=diurnal\n", "Latency p99 under each workload")]
    assert places == sorted(places) and "not compared" not in out
    assert out.count("policy=peak_ewma is better than policy=round_robin") == 2
    rows = json.loads((tmp_path / "comparison.json").read_text())
    assert len({(row["workload"], row["arm"], row["metric"]) for row in rows}) == len(rows)
    assert {row["workload"] for row in rows} == {"workload=spike", "workload=diurnal"}
    assert all(row["best_set"] == ["policy=peak_ewma"] for row in rows if row["is_primary"])
    for name in ("comparison.png", "comparison-spike.png", "comparison-diurnal.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    judged = {one["arm"] for one in json.loads((tmp_path / "expectations.json").read_text())}
    assert "workload=spike: policy=random" in judged and "workload=diurnal: policy=peak_ewma" in judged
    assert main([str(tmp_path), "--format", "csv"]) == 0
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["workload"] for row in table} == {"workload=spike", "workload=diurnal"}
    assert main([str(tmp_path), "--format", "md"]) == 0
    assert "### workload=diurnal: policy=random against policy=round\\_robin" in capsys.readouterr().out
