"""The admin token is used all over a real run, and stands in nothing that it leaves behind or shows."""

import contextlib
import os
import subprocess

import pandas as pd
import psutil
import pytest

from tests.running import AT_MOST_S, PATIENT, ROOT, command, command_of, events, manifest, wait_for
from tests.services.live import backend, router

TOKEN = "sesame-0pen-4-the-test-7c1f"
RUN = [
    "+scenario=autoscale", "replicas=2", "autoscaling.min_replicas=2", "workload.rate_rps=20", "workload.duration_s=9", "workload.warmup_s=1",
    PATIENT,
    "faults=[{at_s: 2, action: slow, target: r1, for_s: 1, factor: 2}, {at_s: 4, action: restart, target: r2}]",
]  # fmt: skip


def family(process):
    """Command lines of a process and all that it has started."""
    return [command_of(member) for member in (process, *process.children(recursive=True))]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A run with manager, faults and MLflow: its folder, what it said, and the command lines meanwhile."""
    place = tmp_path_factory.mktemp("secrets")
    env = {**os.environ, "AEGIS_ADMIN_TOKEN": TOKEN, "MLFLOW_TRACKING_URI": f"sqlite:///{place / 'mlflow.db'}"}
    lines = set()
    with (place / "said.txt").open("wb") as said:
        process = subprocess.Popen(
            command(*RUN, f"hydra.run.dir={place / 'run'}"), cwd=ROOT, stdout=said, stderr=subprocess.STDOUT, env=env
        )
        watched = psutil.Process(process.pid)
        try:
            while process.poll() is None:
                lines |= set(family(watched))
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.5)
        finally:
            process.terminate()
            process.wait(AT_MOST_S)
    assert process.returncode in (0, 3), (place / "said.txt").read_text()
    return place, lines


def test_the_runner_sends_the_token_where_it_changes_something(ran):
    place, _ = ran
    done = [(event["event"], event.get("target"), event.get("error")) for event in events(place / "run")]
    assert manifest(place / "run")["exit_reason"] == "complete"
    words = [(word, target) for word, target, _ in done]
    assert ("fault_injected", "r1") in words and ("fault_injected", "r2") in words, done
    assert not [event for event in done if "fail" in event[0] or event[2]]


def test_no_command_line_tells_the_token(ran):
    _, lines = ran
    seen = " ".join(lines)
    for module in ("services.router", "services.manager", "services.backend", "locust", "experiments.tracking"):
        assert module in seen, f"{module} was not seen"
    assert TOKEN not in seen


def test_no_file_of_the_run_or_of_mlflow_and_no_output_holds_the_token(ran):
    place, _ = ran
    files = [path for path in place.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"manifest.json", "events.jsonl", "mlflow.db", "said.txt", "manager.log", "r1.log", "router.json"} <= names
    holding = [path for path in files if TOKEN.encode() in path.read_bytes()]
    tables = [path for path in files if path.suffix == ".parquet"]
    holding += [path for path in tables if TOKEN in pd.read_parquet(path).to_csv()]
    assert tables and not holding


def test_a_replica_with_another_token_complains_and_tells_neither():
    mine, other = "the-replicas-own-token-000001", "the-routers-own-token-000002"
    with router(env={"AEGIS_ADMIN_TOKEN": other}) as front:
        with backend("--router", front.admin, env={"AEGIS_ADMIN_TOKEN": mine, "AEGIS_LOG_LEVEL": "warning"}) as replica:
            wait_for(lambda: "401" in replica.said(), "the replica complains")
            assert replica.said().count("\n") == 1
            said = replica.said() + front.said()
    assert mine not in said and other not in said
