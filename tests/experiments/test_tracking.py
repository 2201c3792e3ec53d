"""Runs in MLflow: many at once are as complete as each by itself."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from experiments.tracking import creating
from experiments.tracking.creating import create
from experiments.tracking.describing import about, describe
from tests.analysis.swept import swept
from tests.running import ROOT

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own
RUNS = 4
"""The last but one is interrupted; the last is complete, and not valid."""


def made(number, sweep):
    """A run's folder with figures of its own, analysed."""
    folder = swept(
        sweep, number, seed=number, policy="peak_ewma", latency_s=0.1 + 0.01 * number, dropped=number == RUNS - 1,
        exit_reason="interrupted" if number == RUNS - 2 else "complete",
    )  # fmt: skip
    (folder / "logs").mkdir()
    (folder / "logs" / "router.log").write_text("ready\n")
    return folder


def as_seen(client, place):
    """All that MLflow shows of each run, by seed; without what is a run's own by nature (its id, its place)."""
    runs = {}
    for run in client.search_runs(["1"]):
        info, data = run.info, run.data
        if data.tags["mode"] == "sweep":
            continue
        points = {
            key: sorted((m.timestamp, m.step, m.value) for m in client.get_metric_history(info.run_id, key))
            for key in data.metrics
        }
        kept = Path(info.artifact_uri.removeprefix("file://"))
        assert place in kept.parents
        files = {p.relative_to(kept).as_posix(): p.read_bytes() for p in kept.rglob("*") if p.is_file()}
        parent = client.get_run(data.tags["mlflow.parentRunId"]).data.tags["aegis.sweep"]
        tags = {key: value for key, value in data.tags.items() if key != "mlflow.parentRunId"}
        asked = [
            ({tag.key: tag.value for tag in one.tags}, one.dataset.to_dictionary()) for one in run.inputs.dataset_inputs
        ]
        told = (info.run_name, info.status, info.start_time, info.end_time, info.user_id, info.lifecycle_stage)
        runs[data.tags["seed"]] = (told, data.params, data.metrics, points, tags, parent, files, asked)
    return runs


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """The same folders logged one by one by MLflow's client, and all at once: what it then shows of each."""
    place = tmp_path_factory.mktemp("logged")
    sweep = place / "sweep"
    folders = [made(number, sweep) for number in range(RUNS)]
    seen = {}
    for way in ("client", "at_once"):
        database = place / way / "mlflow.db"
        code = (
            "import sys; from pathlib import Path; from experiments.tracking.store import Store\n"
            "from record.files import read_manifest\n"
            "store, folders = Store('aegis'), [Path(text) for text in sys.argv[2:]]\n"
            "if sys.argv[1] == 'at_once': store.log_ended(folders)\n"
            "else: [store.log_folder(store.open_run(f, read_manifest(f)), f) for f in folders]"
        )
        env = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{database}"}
        subprocess.run([sys.executable, "-c", code, way, *map(str, folders)], cwd=ROOT, env=env, check=True)
        notes = [json.loads((folder / "tracking.json").read_text())["mlflow_run_id"] for folder in folders]
        for folder in folders:
            (folder / "tracking.json").unlink()
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=f"sqlite:///{database}")
        assert {run.info.run_id for run in client.search_runs(["1"])} > set(notes)
        seen[way] = as_seen(client, place / way)
    yield seen
    shutil.rmtree(place)


def test_runs_that_are_logged_at_once_look_as_if_each_had_been_logged_by_mlflows_client(logged):
    assert sorted(logged["client"]) == [str(number) for number in range(RUNS)]
    assert logged["at_once"] == logged["client"]


def test_a_run_that_is_logged_at_once_has_all_of_its_folder(logged):
    told, params, metrics, points, tags, _, files, _ = logged["at_once"]["1"]
    assert (told[1], tags["aegis.logged"], tags["exit_reason"]) == ("FINISHED", "true", "complete")
    assert tags["valid"] in ("true", "false")
    assert params["policy.name"] == "peak_ewma"
    assert metrics["offered_requests"] > 0
    assert len(points["timeline/offered_rps"]) > 5
    assert {"manifest.json", "metrics.json", "requests.parquet", "logs/router.log"} <= set(files)
    assert logged["at_once"]["2"][0][1] == "KILLED"


def test_an_invalid_run_is_no_green_one_and_says_why(logged):
    told, _, _, _, tags, *_ = logged["at_once"]["3"]
    assert (told[1], tags["valid"], tags["exit_reason"]) == ("FAILED", "false", "complete")
    assert tags["mlflow.note.content"].startswith("INVALID. ")


def test_runs_are_named_by_arm_and_seed_and_have_them_as_columns(logged):
    told, _, _, _, tags, *_ = logged["at_once"]["1"]
    assert told[0] == "policy=peak_ewma, seed=1"
    assert (tags["scenario"], tags["arm"], tags["seed"]) == ("routed", "policy=peak_ewma", "1")


def test_what_a_run_was_asked_is_a_dataset_that_is_named_by_the_schedules_hash(logged):
    digests = set()
    for _, _, _, _, tags, _, _, asked in logged["at_once"].values():
        [(about, dataset)] = asked
        assert (about, dataset["name"]) == ({"mlflow.data.context": "load"}, "schedule")
        assert tags["schedule_hash"].startswith(dataset["digest"]) and len(dataset["digest"]) == 36
        assert json.loads(dataset["profile"]) == {"requests": 100}
        digests.add(dataset["digest"])
    assert len(digests) == len({run[4]["schedule_hash"] for run in logged["at_once"].values()})


def test_a_sweep_s_description_says_where_its_report_lies_if_there_is_one(tmp_path):
    made(0, tmp_path)
    assert "Report" not in describe(about(tmp_path), None, None)
    (tmp_path / "report.html").touch()
    assert f"Report, also among the artifacts: `{tmp_path / 'report.html'}`" in describe(about(tmp_path), None, None)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Where nothing is kept yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "aegis"


def in_order(sql):
    """Its lines; a table's constraints, which alembic takes from a set, by their text."""
    lines = [line.strip().rstrip(",") for line in sql.splitlines()]
    return sorted(lines, key=lambda line: line if line.startswith("CONSTRAINT") else "")


def schema(database):
    with closing(sqlite3.connect(database)) as connection:
        tables = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        return [(name, in_order(sql or "")) for name, sql in tables], connection.execute("SELECT * FROM alembic_version").fetchall()


def test_a_new_database_is_the_one_that_mlflow_makes_itself(tmp_path, cache):
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(f"sqlite:///{tmp_path / 'own.db'}", str(tmp_path))
    create(tmp_path / "made.db", "3")
    (kept,) = cache.iterdir()
    create(tmp_path / "copied.db", "3")
    assert schema(tmp_path / "own.db") == schema(tmp_path / "made.db") == schema(tmp_path / "copied.db")
    assert (tmp_path / "copied.db").read_bytes() == kept.read_bytes()
    SqlAlchemyStore(f"sqlite:///{tmp_path / 'copied.db'}", str(tmp_path))  # which refuses another schema


def test_a_database_that_is_there_is_left_alone_and_a_cache_that_cannot_be_written_costs_nothing(tmp_path, cache):
    (tmp_path / "there.db").write_text("of the user")
    create(tmp_path / "there.db", "3")
    assert (tmp_path / "there.db").read_text() == "of the user"
    cache.parent.write_text("no folder")
    create(tmp_path / "new.db", "3")
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize("damage", [b"no database", b"SQLite format 3\0", None])
def test_a_kept_database_that_is_damaged_is_made_anew_instead_of_being_copied(tmp_path, cache, monkeypatch, damage):
    kept = cache / "mlflow-3.db"

    def migrate(path):
        with closing(sqlite3.connect(path)) as database, database:
            database.executescript("CREATE TABLE alembic_version (version_num); INSERT INTO alembic_version VALUES (1)")

    def make(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        migrate(path)

    monkeypatch.setattr(creating, "_migrate", make)
    cache.mkdir(parents=True)
    migrate(kept)
    kept.write_bytes(damage if damage is not None else kept.read_bytes()[:5000])
    create(tmp_path / "new.db", "3")
    with closing(sqlite3.connect(tmp_path / "new.db")) as database:
        assert database.execute("SELECT * FROM alembic_version").fetchall() == [(1,)]


def test_a_user_without_a_home_has_mlflow_make_its_database_itself(tmp_path, monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    create(tmp_path / "new.db", "3")
    assert not (tmp_path / "new.db").exists()
