"""MLflow's server on PostgreSQL, as docker-compose's profile `tracking` starts it: a run goes there."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.ports import free_port
from tests.running import AT_MOST_S, SHORT, run, wait_for

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.fixture
def postgres():
    """The URL of a new database; PostgreSQL does not run as root."""
    if not BINARIES or "postgres" not in {entry.pw_name for entry in pwd.getpwall()}:
        (pytest.fail if os.environ.get("AEGIS_CI") == "1" else pytest.skip)(
            "no PostgreSQL (Debian's package postgresql)"
        )
    folder = Path(tempfile.mkdtemp(prefix="aegis-postgres-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    port = free_port()
    as_postgres = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []

    def call(program, *arguments):
        done = subprocess.run(
            [*as_postgres, str(BINARIES[-1] / program), *arguments],
            capture_output=True,
            text=True,
            cwd=folder,
            timeout=AT_MOST_S,
        )
        assert done.returncode == 0, done.stderr

    call("initdb", "--pgdata", str(folder / "data"), "--auth", "trust", "--username", "mlflow")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    control = ["--pgdata", str(folder / "data"), "--wait"]
    try:
        call("pg_ctl", *control, "--log", str(folder / "log"), "-o", options, "start")
        call("createdb", "--host", "127.0.0.1", "--port", str(port), "--username", "mlflow", "mlflow")
        yield f"postgresql://mlflow@127.0.0.1:{port}/mlflow"
    finally:
        call("pg_ctl", *control, "--mode", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture
def server(postgres, tmp_path):
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--serve-artifacts",
        "--artifacts-destination",
        str(tmp_path / "artifacts"),
    ]
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=tmp_path, start_new_session=True)
    try:
        yield f"http://127.0.0.1:{port}", tmp_path / "server.log"
    finally:
        os.killpg(process.pid, 15)
        process.wait(AT_MOST_S)


def test_a_run_is_logged_to_a_server_on_postgresql(server, tmp_path):
    url, log = server

    def is_up():
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    wait_for(is_up, f"the server, see {log}")
    overrides = [override for override in SHORT if not override.startswith(("tracking", "summary"))]
    done = run(
        "+scenario=routed",
        "engine=sim",
        *overrides,
        f"hydra.run.dir={tmp_path / 'run'}",
        env={"MLFLOW_TRACKING_URI": url},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    client = MlflowClient(url)
    [found] = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert found.info.status == "FINISHED"
    assert found.data.metrics["valid"] == 1 or found.data.tags["valid"] == "true"
    assert "summary.png" in {artifact.path for artifact in client.list_artifacts(found.info.run_id)}
