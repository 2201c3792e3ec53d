"""The whole comparison on simulated data: a short form of `python -m analysis.calibration`."""

import math

import numpy as np
import pytest

from analysis.calibration import failures as calibration_failures
from analysis.calibration import families as calibration_families
from analysis.calibration import latency as calibration_latency
from analysis.calibration.__main__ import SUBJECTS, calibrate, main
from analysis.calibration.cells import Cell, Column, Table, merge
from analysis.calibration.latency import CONTRASTS, FASTER, PRIMARY, REFERENCE, SAME
from analysis.calibration.queues import MEAN, REQUESTS, latencies, simulate, sojourns
from analysis.comparison.statistics import Paired
from analysis.metrics.table import compute
from analysis.metrics.timeline import build
from record.metrics import value_of
from record.reading import read
from tests.analysis import synthetic

pytestmark = pytest.mark.slow


def rng(seed=1):
    return np.random.default_rng(seed)


def outside(tables):
    return [line for table in tables for line in table.outside()]


def cells(tables, title):
    return next(table for table in tables if table.title == title).cells


def test_simulated_queues_are_as_slow_as_theory_says():
    parts = list(simulate(0.5, 300, [REFERENCE, *CONTRASTS], rng()))
    runs = {name: latencies(np.concatenate([part[name] for part in parts])) for name in parts[0]}
    for server, spare in ((REFERENCE, 0.5), (SAME, 0.5), (FASTER, 0.6)):  # M/M/1: the sojourn is exponential
        assert server.spare(0.5) == pytest.approx(spare)
        assert runs[server.name][MEAN].mean() == pytest.approx(1e3 / spare, rel=0.02)
        assert runs[server.name]["latency_p99_ms"].mean() == pytest.approx(1e3 * math.log(100) / spare, rel=0.03)
        assert runs[server.name]["latency_p50_ms"].mean() == pytest.approx(1e3 * math.log(2) / spare, rel=0.02)
    logs = {name: np.log(found[MEAN] / runs[REFERENCE.name][MEAN]).std() for name, found in runs.items()}
    assert logs[FASTER.name] < logs[SAME.name] / 3


def test_the_walk_is_lindleys_recursion():
    gaps, services = rng().exponential(1.2, (3, 500)), rng(2).exponential(1.0, (3, 500))
    wait, expected = np.zeros(3), np.empty((3, 500))
    for number in range(500):
        if number:
            wait = np.maximum(wait + services[:, number - 1] - gaps[:, number], 0.0)
        expected[:, number] = wait + services[:, number]
    assert np.allclose(sojourns(gaps, services), expected)


def test_the_metrics_of_a_simulated_run_are_those_that_metrics_json_would_hold(tmp_path):
    requests = synthetic.even_requests(duration_s=60.0)
    spread = rng().exponential(0.1, len(requests))
    requests["completed_s"] = requests["scheduled_s"] + 0.001 + spread  # sent after 1 ms
    about = synthetic.manifest(config={"workload": {"rate_rps": 10.0, "duration_s": 60.0, "warmup_s": 2.0}})
    run = read(synthetic.write(tmp_path, requests, about=about))
    written = compute(run, build(run))
    measured = 1e3 * (0.001 + spread[requests["scheduled_s"] >= 2.0])
    for key, values in latencies(measured[None, :]).items():
        assert values[0] == pytest.approx(value_of(written, key))
    assert REQUESTS < 3688  # so that p99.9 is in neither


def test_intervals_on_runs_cover_as_often_as_they_say_and_find_what_is_there():
    tables = calibration_latency.of_runs(0.8, 120, rng(), truth_pairs=1000)
    assert outside(tables) == []
    power = {cell.setting["pairs"]: cell.share("better").value for cell in cells(tables, "10 % faster, runs of 3,000 requests")}
    assert power["20"] > 0.99
    sequential = cells(tables, "10 % faster, sequential, at most 20 pairs")
    used = {cell.setting["until_ratio_ci"]: np.mean(cell.found["pairs"]) for cell in sequential}
    assert used["0.5"] < used["0.05"] <= calibration_latency.BUDGET


def test_the_system_is_refused_to_short_runs_and_covered_by_long_ones():
    short = calibration_latency.of_system(0.8, 60, rng(), lengths=(3000,))
    for cell in cells(short, "10 % faster, the system"):
        assert cell.share("shown").value < 0.1, cell.setting
    long = calibration_latency.of_system(0.5, 100, rng(), lengths=(6000,))
    assert outside(long) == []
    for cell in cells(long, "10 % faster, the system"):
        assert cell.share("shown").value > 0.9, cell.setting


def test_failing_buys_no_verdict_and_shares_are_covered():
    assert outside(calibration_failures.of_shares(60, rng())) == []
    assert outside(calibration_failures.of_losers(40, rng())) == []


def test_many_arms_a_map_extensions_and_bad_runs_err_no_more_than_they_say():
    assert outside(calibration_families.of_many_arms(25, rng())) == []
    assert outside(calibration_families.of_maps(20, rng())) == []
    assert outside(calibration_families.of_extended(150, rng())) == []
    tables = calibration_families.of_bad_runs(100, rng())
    assert outside(tables) == []
    worst = cells(tables, "Rare bad runs")[-2]
    assert worst.share("covered").value < 0.9  # ten pairs, one run in ten is bad: Student's interval does not hold,
    assert worst.share("said").value > 0.6  # and the bad run is named


def test_a_comparison_with_intervals_that_are_too_narrow_is_found_out(monkeypatch):
    def normal(self, alpha=0.05):
        half = 1.96 * self.sd / math.sqrt(self.n) if self.n > 1 else math.inf
        return self.mean - half, self.mean + half

    monkeypatch.setattr(Paired, "interval", normal)
    misses = outside(calibration_latency.of_runs(0.8, 150, rng(), truth_pairs=500))
    assert any("A/A, runs of 3,000 requests, utilisation 0.8, pairs 3: false verdicts" in line for line in misses)
    assert any("A/A, runs of 3,000 requests, utilisation 0.8, pairs 3: coverage" in line for line in misses)


def test_a_figure_outside_its_target_is_a_miss_unless_the_product_says_so():
    cell = Cell({"pairs": "3"})
    for number in range(400):
        cell.add(covered=number % 2 == 0)
    miss = Column("covered", "coverage, %", least=0.92, most=0.98)
    noted = Column("covered", "coverage, %", least=0.92, most=0.98, noted="said so")
    assert outside([Table("t", [miss], [cell])]) == ["t, pairs 3: coverage 50.0 ± 2.5 %"]
    assert outside([Table("t", [noted], [cell])]) == []
    assert "50.0 ± 2.5 † |" in Table("t", [noted], [cell]).markdown()
    assert "† said so" in Table("t", [noted], [cell]).markdown()


def test_tables_of_one_title_become_one_and_a_part_of_a_subject_repeats():
    first, second = (calibrate("maps", 0, 30, seed=1) for _ in range(2))
    assert [t.markdown() for t in first] == [t.markdown() for t in second]
    assert len(merge([first, second])) == 1
    assert set(SUBJECTS) == {"runs", "system", "shares", "arms", "maps", "extended", "bad-runs"}
    assert PRIMARY == "latency_p99_ms"


def test_wrong_options_are_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--experiments", "0"])
    assert "at least 1" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["--only", "nothing"])
