"""What an import leaves is what a run plays: the trace by `workload.trace`, the rates by the profile `file`."""

import json

import numpy as np
import pytest

from experiments.plan.profiles import PROFILES
from experiments.plan.traces.reading import read
from tests.experiments.importing import imported
from tests.experiments.log_samples import SAMPLES, T0


@pytest.mark.parametrize("name", sorted(SAMPLES))
@pytest.mark.parametrize("kept", ["keys", "queries"])
def test_a_run_takes_the_trace_of_every_format(tmp_path, capsys, name, kept):
    got = imported(tmp_path, capsys, SAMPLES[name], "--keep", kept)
    recorded = read(str(got.folder / "trace.parquet"))
    assert recorded.scheduled_s.tolist() == got.requests["scheduled_s"].tolist()
    assert recorded.demand_s is None
    if "method" in got.requests:
        methods = got.requests["method"].fillna("GET")
        assert recorded.is_post.tolist() == methods.isin(["POST", "PATCH"]).tolist()


def test_a_run_takes_the_rates(tmp_path, capsys):
    values = [[T0 + 10 * n, str(rate)] for n, rate in enumerate([20, 40, 60])]
    answer = {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": values}]}}
    got = imported(tmp_path, capsys, json.dumps(answer))
    course = PROFILES.create("file", {"path": str(got.folder / "rate.txt"), "every_s": 1.0, "level": "own"})
    course.check()
    times, expected = course.knots(1.0, 30.0)
    # In each step of ten seconds ten times its rate, and 1,200 requests in all.
    assert np.interp([10, 20, 30], times, expected).tolist() == pytest.approx([200, 600, 1200])
