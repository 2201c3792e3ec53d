"""A real run, replayed from the command line."""

import json
import subprocess
import sys

import pandas as pd

from tests.analysis.test_results_docs import check, documented
from tests.running import AT_MOST_S, ROOT, SHORT, manifest, run

LAX = ["validity.max_lateness_p99_ms=5000", "validity.max_foreign_cpu_cores=64", "validity.max_steal_cores=64"]
"""What else goes on on the machine is not what is tested here."""


def test_a_run_is_replayed_with_the_same_load_and_the_verdict_is_written(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    done = run("+scenario=baseline", *SHORT, "workload.duration_s=3", *LAX, f"hydra.run.dir={old}")
    assert done.returncode == 0, done.stderr + done.stdout
    done = subprocess.run(
        [sys.executable, "-m", "experiments.replay", old, "--repeats", "2", "--output", new],
        cwd=ROOT, capture_output=True, text=True, timeout=AT_MOST_S, check=False,
    )  # fmt: skip
    written = json.loads((new / "replay.json").read_text())
    assert done.returncode == {"agrees": 0}.get(written["verdict"], 3), done.stderr
    assert written["sentence"] in done.stdout
    assert "repeat 2 of 2" in done.stdout
    assert (written["valid"], written["repeats"]) == (2, 2)
    planned = pd.read_parquet(old / "schedule.parquet")
    for repeat in ("1", "2"):
        assert pd.read_parquet(new / repeat / "schedule.parquet").equals(planned)
        assert manifest(new / repeat)["config"] == manifest(old)["config"]
    names = documented("Replaying a run")
    check(names, {*written, *written["metrics"][0]})
