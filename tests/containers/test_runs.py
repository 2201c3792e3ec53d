"""Runs with engine=compose: what a local run leaves in its folder, and nothing in Docker."""

import re
import signal

import pyarrow.parquet as pq
import pytest

from experiments.runner.guardian import project_of
from tests.containers.conftest import docker
from tests.containers.deployed import until_gone
from tests.ports import free_ports
from tests.running import AT_MOST_S, SHORT, events, lost, manifest, measuring, metrics, run, start, wait_for

KILL = "faults=[{at_s: 2, action: kill, target: r2, for_s: 2}]"
NOT_KEPT = {"work.parquet"}
"""In containers: the ledger of what replicas did."""
OURS = "com.docker.compose.project"


def projects():
    """The projects of runs that have containers now."""
    label = f'{{{{.Label "{OURS}"}}}}'
    found = docker("ps", "--all", "--filter", f"label={OURS}", "--format", label).split()
    return {project for project in found if re.fullmatch("aegis-[0-9a-f]{8}", project)}


@pytest.fixture
def before(image):
    """The projects of runs that are not this test's."""
    return projects()


@pytest.mark.parametrize("scenario", ["failover", "baseline"])
def test_a_run_in_containers_has_the_schema_of_a_local_one_and_leaves_nothing(before, tmp_path, scenario):
    faults = [KILL, "policy=round_robin", "replica.weights=[3,1]"] if scenario == "failover" else []
    for engine in ("compose", "local"):
        done = run(f"+scenario={scenario}", f"engine={engine}", *SHORT, *faults, f"hydra.run.dir={tmp_path / engine}")
        assert done.returncode in (0, 3), done.stdout + done.stderr
    in_containers, local = tmp_path / "compose", tmp_path / "local"
    assert {p.name for p in in_containers.iterdir()} == {p.name for p in local.iterdir()} - NOT_KEPT
    assert {p.name for p in (in_containers / "logs").iterdir()} == {p.name for p in (local / "logs").iterdir()}
    for table in ("schedule.parquet", "requests.parquet", "timeline.parquet"):
        assert pq.read_schema(in_containers / table).equals(pq.read_schema(local / table))
    assert set(metrics(in_containers)) == set(metrics(local))
    assert manifest(in_containers)["schedule_hash"] == manifest(local)["schedule_hash"]
    assert lost(in_containers).empty and lost(local).empty
    if faults:
        landed = [e["t_s"] - e["planned_s"] for e in events(in_containers) if e["event"] == "fault_injected"]
        assert len(landed) == 1 and landed[0] > 0
        for folder in (in_containers, local):
            rows = pq.read_table(folder / "requests.parquet").to_pandas()
            if any(e["event"] == "ejected" and e["t_s"] < 1.9 for e in events(folder)):
                continue  # the machine stood still, and one replica had it all
            shares = rows[rows["completed_s"] < 1.9]["replica"].value_counts()
            assert abs(shares["r1"] - 3 * shares["r2"]) <= 4  # before the kill each round is three and one
    cpu = pq.read_table(in_containers / "timeline.parquet").to_pydict()
    assert max(value or 0 for value in cpu["cpu_replicas_cores"]) > 0
    assert projects() <= before


def test_faults_by_the_engines_api_hurt_router_and_managed_replicas_and_are_healed(before, tmp_path):
    faults = (
        "faults=[{at_s: 1.5, action: pause, target: r1, for_s: 1}, {at_s: 2, action: slow, target: r2, for_s: 1, factor: 3},"
        "{at_s: 4, action: restart, target: router}]"
    )
    scaled = ["scaler=none", "replicas=2", "workload.duration_s=8", "workload.warmup_s=1", "tracking.enabled=false"]
    done = run("+scenario=autoscale", "engine=compose", *scaled, faults, f"hydra.run.dir={tmp_path / 'run'}")
    assert done.returncode in (0, 3), done.stdout + done.stderr
    found = events(tmp_path / "run")
    assert not [event for event in found if event["event"] == "fault_failed"]
    landed = {e["action"]: e["t_s"] for e in found if e["event"] == "fault_injected"}
    assert set(landed) == {"pause", "slow", "restart"}
    rows = pq.read_table(tmp_path / "run" / "requests.parquet").to_pandas()
    outage = rows[rows["outcome"].isin(["refused", "reset"])]
    assert len(outage) and outage["completed_s"].min() >= landed["restart"], "it lands when it begins"
    assert projects() <= before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("scenario", ["failover", "autoscale"])
def test_an_interrupted_run_leaves_no_container_and_keeps_what_was_measured(before, tmp_path, scenario, number):
    folder = tmp_path / "run"
    process = start(
        f"+scenario={scenario}", "engine=compose", *SHORT, "workload.duration_s=60", f"hydra.run.dir={folder}"
    )
    try:
        wait_for(lambda: measuring(folder), "the load")
        [project] = projects() - before
        process.send_signal(number)
        assert process.wait(AT_MOST_S) == (130 if number == signal.SIGINT else -signal.SIGKILL)
        until_gone(docker, f"{OURS}={project}")
        wait_for(lambda: manifest(folder)["exit_reason"] in ("interrupted", "killed"), "the folder closed")
        assert pq.read_table(folder / "requests.parquet").num_rows > 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_tidying_of_a_killed_run_knows_its_project():
    assert project_of("0123456789ab-cdef") == "aegis-01234567"


def test_without_an_engine_one_line_says_what_to_do(tmp_path):
    env = {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    done = run("+scenario=routed", "engine=compose", *SHORT, f"hydra.run.dir={tmp_path / 'run'}", env=env)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if "failed" in line]
    assert len(lines) == 1 and "no Docker engine answers" in lines[0], done.stderr


def test_an_image_of_ones_own_is_for_containers_only(tmp_path):
    done = run("+scenario=routed", "engine.image=x", f"hydra.run.dir={tmp_path / 'run'}")
    assert done.returncode == 2 and "engine.image" in done.stderr


def test_two_worker_containers_send_one_schedule(tools, tmp_path):
    [port] = free_ports(1)
    worker = ["python", "-m", "experiments.load_worker", "--master", f"127.0.0.1:{port}", "--once"]
    workers = [docker("run", "--detach", "--network", "host", "aegis-tools", *worker) for _ in range(2)]
    try:
        remote = ["load.remote_workers=2", f"load.master_port={port}"]
        done = run("+scenario=routed", *SHORT, *remote, f"hydra.run.dir={tmp_path / 'run'}")
        assert done.returncode in (0, 3), done.stdout + done.stderr
        sent = pq.read_table(tmp_path / "run" / "requests.parquet").to_pydict()
        planned = pq.read_table(tmp_path / "run" / "schedule.parquet").to_pydict()
        assert sent["request_id"] == planned["request_id"]
        assert sent["scheduled_s"] == planned["scheduled_s"]
        assert set(sent["outcome"]) <= {"ok", "timeout"}
        found = metrics(tmp_path / "run")
        assert found["lateness_p99_ms_worker_0"] is not None and found["lateness_p99_ms_worker_1"] is not None
        for each in workers:
            assert docker("wait", each) == "0"
    finally:
        docker("rm", "--force", *workers)
