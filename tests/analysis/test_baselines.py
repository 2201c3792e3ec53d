"""Baselines: kept under a name, with all that the same verdicts take, and never mistaken for the same circumstances."""

import json
import shutil

import pytest

from analysis import baseline
from analysis.baselines.against import against
from analysis.baselines.keeping import PLACE, BaselineError, load
from analysis.compare import main as compare
from analysis.comparison.arms import ComparisonError
from analysis.comparison.gathering import compare_runs, read_runs
from tests.analysis import synthetic

NAMES = {"policy": {"name": "round_robin"}}
BEFORE = ([0.1, 0.11, 0.12], [0.08, 0.09, 0.1])


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("analysis.pages.comparison_page.draw_comparison", lambda comparison, path: None)
    return tmp_path


def run(folder, latency_s, *, seed=1, **about):
    return synthetic.write(
        folder, synthetic.even_requests(latency_s=latency_s), about=synthetic.manifest(seed=seed, **about)
    )


def sweep(folder, reference, arm, **about):
    """Seed by seed, round robin first."""
    for seed, both in enumerate(zip(reference, arm, strict=True)):
        run(folder / str(2 * seed), both[0], seed=seed, config=NAMES, sweep_dir=str(folder), **about)
        run(folder / str(2 * seed + 1), both[1], seed=seed, sweep_dir=str(folder), **about)
    return folder


def runs(*places):
    return read_runs(list(places))


def shown(found, arm="now", metric="latency_p99_ms"):
    """What a row says, the arms' names apart."""
    row = found.row(arm, metric)
    return {key: getattr(row, key) for key in ("ratio", "low", "high", "p", "level", "n", "verdict", "difference")}


def test_what_was_kept_gives_the_verdicts_of_the_runs_it_was_made_of(here):
    place = sweep(here / "before", *BEFORE)
    assert baseline.main(["save", "main", str(place)]) == 0
    shutil.rmtree(place)
    for seed, latency_s in enumerate(BEFORE[0]):  # at first round robin only, so that the family is as large
        run(here / "kept" / str(seed), latency_s, seed=seed, config=NAMES)
        run(here / "now" / str(seed), latency_s * 1.2, seed=seed)
    (by_arms,) = compare_runs(runs(here / "kept", here / "now"))
    assert baseline.main(["save", "rr", str(here / "kept")]) == 0
    found = against("rr", runs(load("rr", PLACE).folder), runs(here / "now")).comparison
    assert shown(found) == shown(by_arms, "policy=peak_ewma")
    assert shown(found)["verdict"] == "worse" and found.row("now", "error_rate").verdict == "inconclusive"
    assert [pairs.reference for pairs in found.pairings] == ["rr (baseline)"]


def test_each_arm_has_its_counterpart_and_a_new_one_is_named(here, capsys):
    baseline.main(["save", "main", str(sweep(here / "before", *BEFORE))])
    sweep(here / "now", [0.1, 0.11, 0.12], [0.08, 0.09, 0.1])
    for seed in range(3):
        run(here / "now" / f"{seed}-more", 0.1, seed=seed, config={"policy": {"name": "p2c"}})
    found = against("main", runs(load("main", PLACE).folder), runs(here / "now"))
    assert {(p.reference, p.arm) for p in found.comparison.pairings} == {
        (f"main (baseline): policy={name}", f"policy={name}") for name in ("round_robin", "peak_ewma")
    }
    assert found.warnings == ["policy=p2c: not in the baseline main, which has policy=round_robin, policy=peak_ewma"]
    assert {shown(found.comparison, p.arm)["verdict"] for p in found.comparison.pairings} == {"equivalent"}


def test_another_machine_other_versions_and_another_key_are_warnings_and_a_key_of_one_version_is_none(here):
    then = {"cpu": "A", "cores": 2, "python": "3.11.1", "packages": {"aiohttp": "1"}}
    for seed in range(2):
        run(here / "before" / str(seed), 0.1, seed=seed, **then, config={"load": {"timeout_s": 9.0}, "old": 1})
        about = {"cpu": "B", "cores": 8, "python": "3.11.1", "packages": {"aiohttp": "2"}}
        config = {"load": {"timeout_s": 8.0}, "new": 1, "expect": ["latency_p99_ms < 9"]}
        run(here / "now" / str(seed), 0.1, seed=seed, **about, config=config)
    found = against("main", runs(here / "before"), runs(here / "now"))
    assert found.warnings == [
        "another configuration: load.timeout_s 9.0 then, 8.0 now",
        "another machine: cpu A then, B now; cores 2 then, 8 now",
        "other versions: packages.aiohttp 1 then, 2 now",
    ]
    simulated = {"virtual_time": True}
    for seed in range(2):
        run(here / "sim" / str(seed), 0.1, seed=seed, cpu="A", **simulated)
        run(here / "sim now" / str(seed), 0.1, seed=seed, cpu="B", **simulated)
    assert against("main", runs(here / "sim"), runs(here / "sim now")).warnings == []


def test_what_cannot_be_compared_with_a_baseline_is_one_line(here, capsys):
    run(here / "before", 0.1, seed=1)
    run(here / "now", 0.1, seed=2)
    with pytest.raises(ComparisonError, match=r"no seed in common: the baseline main has \[1\], the runs have \[2\]"):
        against("main", runs(here / "before"), runs(here / "now"))
    assert baseline.main(["save", "main", str(here / "before")]) == 0
    assert compare([str(here / "now"), "--baseline", "nightly"]) == 2
    assert capsys.readouterr().err == (
        "--baseline=nightly: there is no baselines/nightly/baseline.json; there are: main\n"
    )


def test_a_baseline_is_not_overwritten_by_chance_nor_is_a_folder_that_is_none(here, capsys):
    run(here / "one", 0.1)
    run(here / "two", 0.2)
    assert baseline.main(["save", "main", str(here / "one")]) == 0
    assert baseline.main(["save", "main", str(here / "two")]) == 2
    assert "baselines/main: is there already; --force takes its place" in capsys.readouterr().err
    assert baseline.main(["save", "main", str(here / "two"), "--force"]) == 0
    assert [metrics["latency_p99_ms"] for _, metrics in runs(here / "baselines")] == [pytest.approx(200)]
    (here / "baselines" / "notes").mkdir()
    assert baseline.main(["save", "notes", str(here / "one"), "--force"]) == 2
    assert (here / "baselines" / "notes").is_dir()
    for name in ("../up", ".hidden", "a b", ""):
        assert baseline.main(["save", name, str(here / "one")]) == 2
    assert {path.name for path in (here / "baselines").iterdir()} == {"main", "notes"}


def test_an_invalid_run_is_not_kept_and_none_at_all_is_refused(here, capsys):
    run(here / "all" / "0", 0.1)
    run(here / "all" / "1", 0.1, seed=2, generator=[{"stopped": "interrupted"}])
    assert baseline.main(["save", "main", str(here / "all")]) == 0
    told = capsys.readouterr()
    assert "1 runs" in told.out and "left out" in told.err
    assert baseline.main(["save", "bad", str(here / "all" / "1")]) == 2
    assert "there is no valid run to keep" in capsys.readouterr().err


def test_what_is_kept_names_no_place_of_the_machine_and_nothing_that_can_be_made_anew(here):
    place = sweep(here / "before", *BEFORE)
    (place / "0" / "metrics.json").write_text("{}")
    (place / "0" / "summary.png").write_bytes(b"")
    assert baseline.main(["save", "main", str(place)]) == 0
    kept = {path.name for path in (here / "baselines" / "main" / "0").iterdir()}
    assert kept == {"manifest.json", "schedule.parquet", "requests.parquet", "events.jsonl", "samples.jsonl"}
    assert str(here) not in (here / "baselines" / "main" / "0" / "manifest.json").read_text()


def test_the_list_tells_what_there_is(here, capsys):
    assert baseline.main(["list"]) == 0
    assert "no baselines in baselines/" in capsys.readouterr().out
    run(here / "one", 0.1, cpu="A", cores=2)
    baseline.main(["save", "main", str(here / "one")])
    capsys.readouterr()
    assert baseline.main(["list"]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line.split()[0] == "main" and "routed" in line and "0123456789" in line and "A, 2 cores" in line
    (here / "baselines" / "main" / "baseline.json").write_text('{"schema_version": 9, "saved_at": ""}')
    with pytest.raises(BaselineError, match="version 9"):
        load("main", PLACE)


def test_an_arm_without_router_is_no_counterpart_of_one_with_and_of_equal_ones_the_name_decides(here):
    """Where a section is null it has one key, which the section itself has not."""
    for seed in range(2):
        for number, (router, new) in enumerate(((None, 1), ({"health": {"interval_s": 0.5}}, 2))):
            run(here / "before" / f"{seed}{number}", 0.1, seed=seed, config={"router": router})
            run(here / "now" / f"{seed}{number}", 0.1, seed=seed, config={"router": router})
            run(here / "more" / f"{seed}{number}", 0.1, seed=seed, config={"new": {"key": new}})
            run(here / "less" / f"{seed}{number}", 0.1, seed=seed, config={"new": {"key": new, "other": 1}})
        run(here / "one" / str(seed), 0.1, seed=seed, config={"router": {"health": {"interval_s": 0.5}}})
    both = against("main", runs(here / "before"), runs(here / "now")).comparison.pairings
    assert [(p.reference, p.arm) for p in both] == [
        ("main (baseline): router=none", "router=none"),
        ("main (baseline): router=default", "router=default"),
    ]
    found = against("main", runs(here / "before"), runs(here / "one"))
    assert [pairs.reference for pairs in found.comparison.pairings] == ["main (baseline): router=default"]
    assert found.warnings == []
    alike = against("main", runs(here / "more"), runs(here / "less")).comparison.pairings
    assert [(p.reference.rpartition(": ")[2], p.arm) for p in alike] == [(f"new.key={n}",) * 2 for n in (1, 2)]


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        ({"slo": {"p99_ms": 500}}, {"slo": {"p99_ms": 900}}, "slo.p99_ms 500 then, 900 now"),
        ({"validity": {"late_ms": 5}}, {"validity": {"late_ms": 50}}, "validity.late_ms 5 then, 50 now"),
        ({"faults": [{"at_s": 3}]}, {"faults": [{"at_s": 4}]}, "faults [{'at_s': 3}] then, [{'at_s': 4}] now"),
        ({"faults": [{"at_s": 3}]}, {"faults": [{"at_s": 3, "new": None}]}, None),
        ({"repeat": {"max": 5}}, {"repeat": {"max": 9}}, None),
    ],
)
def test_another_protocol_than_the_baselines_is_refused_and_another_number_of_runs_is_not(
    here, capsys, then, now, said
):
    for seed in range(2):
        run(here / "before" / str(seed), 0.1, seed=seed, config=then)
        run(here / "now" / str(seed), 0.1, seed=seed, config=now)
    baseline.main(["save", "main", str(here / "before")])
    capsys.readouterr()
    status = compare([str(here / "now"), "--baseline", "main", "--expect", "failed_requests == 0"])
    err = capsys.readouterr().err
    assert (status, said is not None and said in err) == ((0, False) if said is None else (2, True)), err
    assert said is None or err.count("\n") == 1


def test_an_arm_that_the_baseline_does_not_have_meets_nothing_that_is_about_it(here):
    baseline.main(["save", "main", str(sweep(here / "before", *BEFORE))])
    sweep(here / "now", *BEFORE)
    for seed in range(3):
        run(here / "now" / f"{seed}-more", 5.0, seed=seed, config={"policy": {"name": "p2c"}})
    asked = ["--baseline", "main", "--expect", "latency_p99_ms <= 1.05 x reference"]
    assert compare([str(here / "now"), *asked]) == 4
    found = json.loads((here / "now" / "baseline-main" / "expectations.json").read_text())
    assert {one["arm"]: (one["outcome"], one["reason"]) for one in found} == {
        "policy=round_robin": ("met", ""),
        "policy=peak_ewma": ("met", ""),
        "policy=p2c": ("cannot be said", "not in the baseline"),
    }


def test_no_name_of_a_baseline_is_taken_for_that_of_an_arm(here):
    for seed in range(2):
        run(here / "before" / str(seed), 0.1, seed=seed)
        run(here / "now" / str(seed), 0.2, seed=seed, **({"generator": [{"stopped": "interrupted"}]} if seed else {}))
    for name in ("now", "pairs"):
        (row,) = [
            row
            for row in against(name, runs(here / "before"), runs(here / "now")).comparison.rows
            if row.metric == "latency_p99_ms"
        ]
        assert (row.reference, row.arm) == (f"{name} (baseline)", "now")
        assert row.left_out == {"pairs": 1, f"{name} (baseline)": 0, "now": 1}


def test_one_damaged_baseline_is_told_and_the_others_are_listed(here, capsys):
    run(here / "one", 0.1)
    for name in ("a", "b", "c"):
        baseline.main(["save", name, str(here / "one")])
    (here / "baselines" / "a" / "0" / "manifest.json").write_text("{")
    (here / "baselines" / "b" / "baseline.json").write_text("{")
    capsys.readouterr()
    assert baseline.main(["list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "damaged: " in lines["a"] and "damaged: " in lines["b"] and "routed" in lines["c"]


def test_a_run_that_a_baseline_below_keeps_too_counts_once(here):
    run(here / "one", 0.1)
    run(here / "two", 0.2)
    baseline.main(["save", "main", str(here / "one")])
    assert sorted(metrics["latency_p99_ms"] for _, metrics in runs(here)) == [pytest.approx(100), pytest.approx(200)]


def test_a_pipeline_stops_where_it_is_slower_than_the_baseline_and_keeps_the_comparison_of_the_sweep(here):
    baseline.main(["save", "main", str(sweep(here / "before", *BEFORE))])
    sweep(here / "now", *([1.2 * latency_s for latency_s in arm] for arm in BEFORE))
    asked = ["--baseline", "main", "--expect", "[latency_p99_ms <= 1.05 x reference, failed_requests == 0]"]
    assert compare([str(here / "now"), *asked]) == 4
    found = json.loads((here / "now" / "baseline-main" / "expectations.json").read_text())
    assert [(one["arm"], one["outcome"]) for one in found] == [
        ("policy=round_robin", "not met"),
        ("policy=round_robin", "met"),
        ("policy=peak_ewma", "not met"),
        ("policy=peak_ewma", "met"),
    ]
    assert not (here / "now" / "comparison.json").exists()
    assert compare([str(here / "before"), *asked]) == 0
