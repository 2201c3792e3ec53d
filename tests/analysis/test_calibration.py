"""The whole comparison on simulated queues: a short form of `python -m analysis.calibration`."""

import math

import numpy as np
import pytest

from analysis import calibration
from analysis.calibration import calibrate, main, outside, report
from analysis.metrics import compute
from analysis.run_folder import read
from analysis.simulated_queues import FASTER, MEAN, REFERENCE, REQUESTS, SAME, latencies, simulate
from analysis.statistics import Paired
from analysis.timeline import build
from tests.analysis import synthetic

SHORT = {"utilisation": 0.8, "truth_pairs": 1000}


def test_simulated_queues_are_as_slow_as_theory_says():
    runs = simulate(0.5, 300, np.random.default_rng(1))
    for arm, spare in ((REFERENCE, 0.5), (SAME, 0.5), (FASTER, 0.6)):  # M/M/1: the sojourn is exponential
        assert runs[arm][MEAN].mean() == pytest.approx(1 / spare, rel=0.02)
        assert runs[arm]["latency_p99_ms"].mean() == pytest.approx(math.log(100) / spare, rel=0.03)
        assert runs[arm]["latency_p50_ms"].mean() == pytest.approx(math.log(2) / spare, rel=0.02)
    assert (
        np.log(runs[FASTER][MEAN] / runs[REFERENCE][MEAN]).std()
        < np.log(runs[SAME][MEAN] / runs[REFERENCE][MEAN]).std() / 3
    )


def test_the_metrics_of_a_simulated_run_are_those_that_metrics_json_would_hold(tmp_path):
    requests = synthetic.even_requests(duration_s=60.0)
    spread = np.random.default_rng(1).exponential(0.1, len(requests))
    requests["completed_s"] = requests["scheduled_s"] + spread
    about = synthetic.manifest(config={"workload": {"rate_rps": 10.0, "duration_s": 60.0, "warmup_s": 2.0}})
    run = read(synthetic.write(tmp_path, requests, about=about))
    written = compute(run, build(run))
    measured = 1e3 * spread[requests["scheduled_s"] >= 2.0]
    for key, values in latencies(measured[:, None]).items():
        assert values[0] == pytest.approx(written[key])
    assert REQUESTS < 3688  # so that p99.9 is in neither


def test_the_comparison_of_queues_is_as_often_right_as_it_says():
    fixed, sequential = calibrate(experiments=120, rng=np.random.default_rng(1), **SHORT)
    assert outside([*fixed, *sequential]) == []
    power = {(cell.contrast, cell.setting): cell.verdicts("better").value for cell in fixed}
    assert power[FASTER, "20"] > 0.99 > 0.5 > power[SAME, "20"]
    wide, narrow = (next(c for c in sequential if c.contrast == FASTER and c.setting == s) for s in ("0.5", "0.05"))
    assert wide.mean_pairs < narrow.mean_pairs <= calibration.BUDGET
    assert "| 0.8 | 20 |" in report(fixed, sequential)


def test_a_comparison_with_intervals_that_are_too_narrow_is_found_out(monkeypatch):
    def normal(self, alpha=0.05):
        half = 1.96 * self.sd / math.sqrt(self.n) if self.n > 1 else math.inf
        return self.mean - half, self.mean + half

    monkeypatch.setattr(Paired, "interval", normal)
    fixed, _ = calibrate(experiments=60, rng=np.random.default_rng(1), **SHORT)
    misses = outside(fixed)
    assert any("A/A, utilisation 0.8, 3: false verdicts" in line for line in misses)
    assert any("A/A, utilisation 0.8, 3: coverage" in line for line in misses)


def test_wrong_options_are_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--experiments", "0"])
    assert "at least 1" in capsys.readouterr().err
