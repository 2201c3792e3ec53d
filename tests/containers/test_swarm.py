"""docker-stack.yml on a Swarm of one node."""

import json
import uuid

import pytest

from tests.containers.conftest import docker
from tests.containers.deployed import answers, scaled_and_hurt, until_gone
from tests.ports import free_ports
from tests.running import wait_for

SECRET = "aegis_admin_token"


@pytest.fixture
def swarm(one_swarm_at_a_time):
    """This engine is a Swarm of one node, for the test's time where it was none."""
    was = docker("info", "--format", "{{.Swarm.LocalNodeState}}") == "active"
    if not was:
        docker("swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:0")
    elif docker("secret", "ls", "-q", "-f", f"name={SECRET}"):
        pytest.skip(f"this Swarm has a secret {SECRET} of its own")
    yield
    if not was:
        docker("swarm", "leave", "--force")


def test_the_manager_scales_the_service_and_swarm_replaces_a_killed_task_and_no_request_is_lost(swarm, token, tmp_path):
    stack = f"aegis-test-{uuid.uuid4().hex[:8]}"
    data, manager = free_ports(2)
    secret = tmp_path / "token"
    secret.write_text(token)
    docker("secret", "create", SECRET, str(secret))
    label = f"com.docker.stack.namespace={stack}"

    def ask_router(path):
        found = docker("ps", "-q", "-f", f"name={stack}_router")
        code = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:8081{path}').read().decode())"
        text = docker("exec", found, "python", "-c", code, check=False) if found else ""
        return json.loads(text) if text else None

    def replicas():
        return {r["id"]: r["state"] for r in (ask_router("/replicas") or {"replicas": []})["replicas"]}

    def kill_one():
        docker("kill", docker("ps", "-q", "-f", f"name={stack}_replica.3"))
        return "r3"

    def is_out(id_):
        return any(
            e["event"] in ("ejected", "expired") and e["replica"] == id_ for e in ask_router("/events")["events"]
        )

    try:
        env = {"AEGIS_PORT": str(data), "AEGIS_MANAGER_PORT": str(manager)}
        docker("stack", "deploy", "-c", "docker-stack.yml", stack, env=env)
        url = f"http://127.0.0.1:{data}"
        wait_for(lambda: answers(url) and len(replicas()) == 2, "a request served")
        scaled_and_hurt(url, f"http://127.0.0.1:{manager}", token, replicas, kill_one, is_out)
    finally:
        docker("stack", "rm", stack, check=False)
        until_gone(docker, label)
        docker("secret", "rm", SECRET, check=False)
