import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from analysis.summary import main
from record.files import FolderError, find
from record.reading import read
from tests.analysis import synthetic
from tests.analysis.synthetic import sample
from tests.running import AT_MOST_S

ROOT = Path(__file__).resolve().parents[2]


def change_requests(folder, **columns):
    path = folder / "requests.parquet"
    pd.read_parquet(path).assign(**columns).to_parquet(path)


def change_manifest(folder, **keys):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


DAMAGE = [
    ("no manifest", lambda f: (f / "manifest.json").unlink(), "no manifest.json"),
    ("torn manifest", lambda f: (f / "manifest.json").write_text('{"run_id": '), "manifest.json: cannot be read"),
    ("no config", lambda f: (f / "manifest.json").write_text('{"run_id": "x"}'), "no config.workload"),
    ("an older schema", lambda f: change_manifest(f, schema_version=0), "schema 0, but 1 and 2 are read here"),
    ("a list as manifest", lambda f: (f / "manifest.json").write_text("[]"), "not the manifest of a run"),
    ("torn requests", lambda f: (f / "requests.parquet").write_bytes(b"PAR1 not really"), "requests.parquet: cannot"),
    ("no requests", lambda f: (f / "requests.parquet").unlink(), "requests.parquet is missing"),
    ("no schedule", lambda f: (f / "schedule.parquet").unlink(), "schedule.parquet is missing"),
    (
        "column missing",
        lambda f: pd.read_parquet(f / "requests.parquet").drop(columns="phase").to_parquet(f / "requests.parquet"),
        "lacks the column phase",
    ),
    ("unknown outcome", lambda f: change_requests(f, outcome="fine"), "outcome 'fine' is none of ok,"),
    ("text as time", lambda f: change_requests(f, sent_s="soon"), "sent_s is not made of numbers"),
    ("doubled ids", lambda f: change_requests(f, request_id=1), "request_id stands there twice"),
    ("torn middle line", lambda f: (f / "events.jsonl").write_text('{"t_s": 1\n{"t_s": 2, "event": "x"}\n'), "line 1"),
    ("event without a name", lambda f: (f / "events.jsonl").write_text('{"t_s": 1}\n{"t_s": 2}\n'), "lacks event"),
]


@pytest.mark.parametrize(("damage", "words"), [case[1:] for case in DAMAGE], ids=[case[0] for case in DAMAGE])
def test_a_damaged_folder_is_one_line_and_exit_status_1(tmp_path, capsys, damage, words):
    folder = synthetic.write(tmp_path / "run", synthetic.even_requests())
    damage(folder)
    assert main([str(folder)]) == 1
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert words in errors
    assert str(folder) in errors
    assert not (folder / "metrics.json").exists()


def test_the_command_itself_exits_1_with_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "analysis.summary", str(tmp_path / "nowhere")],
        capture_output=True, text=True, cwd=ROOT, env=dict(os.environ), timeout=AT_MOST_S,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "no run's folder here" in done.stderr


def test_a_torn_last_line_of_a_killed_runner_is_left_out(tmp_path):
    folder = synthetic.write(tmp_path, synthetic.even_requests())
    lines = [json.dumps(sample(1.0)), json.dumps(sample(2.0)), '{"t_s": 3.0, "cp']
    (folder / "samples.jsonl").write_text("\n".join(lines))
    assert len(read(folder).samples) == 2


def test_columns_without_any_value_are_read_as_unknown(tmp_path):
    requests = synthetic.even_requests()
    requests["replica"] = None
    requests[["attempts", "queue_s", "status"]] = None
    run = read(synthetic.write(tmp_path, requests.drop(columns="router_s")))
    assert run.requests[["attempts", "queue_s", "status", "router_s"]].isna().all().all()
    assert run.requests["attempts"].dtype == "float64"


def test_runs_are_found_at_any_depth_once_and_in_natural_order(tmp_path):
    for name in ("failover/10", "failover/2", "sweeps/t/0", "routed/1", "mlruns/1/artifacts", ".dvc/tmp/x"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
    found = [str(path.relative_to(tmp_path)) for path in find([tmp_path, tmp_path / "routed"])]
    assert found == ["failover/2", "failover/10", "routed/1", "sweeps/t/0"]
    with pytest.raises(FolderError, match="no run's folder"):
        find([tmp_path / "failover", tmp_path / "empty"])
