"""What a simulated run is told of in memory is what its folder says, and no disk takes it from it."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.metrics.measured import in_numbers
from record import writing
from record.files import dump
from record.writing import Recorder
from tests.running import metrics, run

PLAIN = ["engine=sim", "tracking.enabled=false", "summary=never", "counterfactual=never", "workload.duration_s=12", "expect=[]"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "typed",
    [
        ["+scenario=failover", "workload.post_share=0.3"],
        ["+scenario=tail_at_scale"],
        ["+scenario=autoscale", "random_faults.count=0"],
    ],
    ids=lambda typed: typed[0],
)
def test_the_numbers_are_those_of_the_files(tmp_path, typed):
    faults = ["faults=[{at_s: 4, action: kill, target: r2, for_s: 3}]"]
    done = run(*typed, *PLAIN, *faults, f"hydra.run.dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "raw").exists()
    assert json.loads(dump(in_numbers(tmp_path).metrics)) == metrics(tmp_path)


def test_rows_that_could_not_be_merged_are_kept(tmp_path, monkeypatch):
    recorder = Recorder(tmp_path, {"run_id": "1", "config": {}})
    recorder.begin(None)
    recorder.rows = pa.table({"request_id": [0, 1]})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "finish", full)
    with pytest.raises(OSError, match="No space"):
        recorder.close("complete")
    assert pq.read_table(tmp_path / "raw" / "load-0.parquet").num_rows == 2
