"""docker-compose.yml as a user has it: fixed size, and scaled by the manager."""

import os
import re
import shutil
import subprocess
import uuid

import pytest

from tests.containers.conftest import docker, missing
from tests.containers.deployed import answers, fetch, scaled_and_hurt, seen, until_gone
from tests.ports import free_ports
from tests.running import AT_MOST_S, ROOT, wait_for

FIXED, SCALED = ["docker-compose.yml"], ["docker-compose.yml", "docker-compose.autoscale.yml"]


def compose_command():
    """Compose v1's command, or v2's."""
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    if docker("compose", "version", check=False):
        return ["docker", "compose"]
    missing("no Compose (Debian's package docker-compose)")


class Project:
    """A project of its own, at free ports."""

    def __init__(self, files, token):
        self.name = f"aegis-test-{uuid.uuid4().hex[:8]}"
        self.label = f"com.docker.compose.project={self.name}"
        ports = free_ports(3)
        self.url, self.admin, self.manager = (f"http://127.0.0.1:{port}" for port in ports)
        names = ("AEGIS_PORT", "AEGIS_ADMIN_PORT", "AEGIS_MANAGER_PORT")
        self.env = {"AEGIS_ADMIN_TOKEN": token, **dict(zip(names, map(str, ports), strict=True))}
        self._command = [*compose_command(), "-p", self.name, *(part for file in files for part in ("-f", file))]

    def __call__(self, *arguments, check=True):
        done = subprocess.run(
            [*self._command, *arguments],
            cwd=ROOT,
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            timeout=AT_MOST_S,
        )
        assert not check or done.returncode == 0, done.stderr[-3000:]
        return done

    def replicas(self):
        found = seen(f"{self.admin}/replicas") or {"replicas": []}
        return {replica["id"]: replica["state"] for replica in found["replicas"]}

    def containers(self, service):
        found = docker("ps", "-q", "-f", f"label={self.label}", "-f", f"label=com.docker.compose.service={service}")
        return found.split()


@pytest.fixture
def project(request, image, token):
    project = Project(request.param, token)
    try:
        project("up", "-d")
        yield project
    finally:
        print(project("logs", "--no-color", "manager", "router", check=False).stdout[-5000:])  # shown where it failed
        project("down", "--volumes")
        until_gone(docker, project.label)


def test_without_a_token_nothing_starts_and_one_line_says_how_to_make_one(image):
    project = Project(FIXED, "")
    done = project("up", "-d", check=False)
    assert done.returncode != 0
    assert "secrets.token_urlsafe" in done.stderr and ".env" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_token_that_is_too_short_ends_up_at_once_names_the_culprit_and_leaves_no_router_restarting(image):
    project = Project(FIXED, "short")
    try:
        done = project("up", "-d", check=False)
        assert done.returncode != 0
        assert "exited with code 2" in done.stderr or "admin-token" in done.stderr  # Compose v1, v2
        said = project("logs", "--no-color", "admin-token").stdout
        assert "AEGIS_ADMIN_TOKEN: must hold 16 to 1024 characters, not 5" in said and "Traceback" not in said
        assert project.containers("router") == []
    finally:
        project("down", "--volumes")


@pytest.mark.parametrize("project", [FIXED], indirect=True)
def test_replicas_keep_their_names_when_up_makes_them_anew_and_no_volume_is_left_of_what_never_ran(project):
    def ready():
        states = project.replicas()
        return sorted(states) if list(states.values()) == ["ready", "ready"] else None

    before = wait_for(ready, "both replicas ready")
    old = set(project.containers("replica"))
    project("up", "-d", "--force-recreate", "--no-deps", "replica")
    wait_for(lambda: len(set(project.containers("replica")) - old) == 2, "two new containers")
    events = fetch(f"{project.admin}/events")[1]["events"]
    wait_for(lambda: ready() == before, f"the names of before, {before}: {events}")
    assert [re.split("[-_]replica[-_]", name) for name in before] == [[project.name, "1"], [project.name, "2"]]
    assert docker("volume", "ls", "--quiet", "--filter", f"label={project.label}") == ""


@pytest.mark.parametrize("project", [FIXED], indirect=True)
def test_a_fixed_stack_serves_keeps_its_admin_side_apart_and_has_no_root(project, token):
    wait_for(lambda: answers(project.url), "a request served")
    wait_for(lambda: list(project.replicas().values()) == ["ready", "ready"], "both replicas ready")
    found = wait_for(lambda: seen(f"{project.manager}/status"), "the manager up")
    assert found["ready"] == 2 and found["acts"] is False
    status, refused = fetch(f"{project.manager}/scale", {"replicas": 3}, token)
    assert status == 409 and "--engine" in refused["detail"]
    # a client in the data network: the data port answers, the admin port cannot be reached
    ask = "import urllib.request as u; print(u.urlopen('http://router:%d/%s', timeout=3).status)"
    client = ["run", "--rm", "--network", f"{project.name}_data", "aegis-services", "python", "-c"]
    assert docker(*client, ask % (8080, "work")) == "200"
    assert docker(*client, ask % (8081, "replicas"), check=False) == ""
    for container in docker("ps", "-q", "-f", f"label={project.label}").split():
        about = docker(
            "inspect",
            "-f",
            "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.Init}} {{.Mounts}}",
            container,
        )
        assert about == "true [ALL] true []", about
        assert docker("exec", container, "id", "-u") == "10001"
    assert (
        docker(
            "exec",
            project.containers("router")[0],
            "python",
            "-c",
            "import importlib.util as i; print(i.find_spec('mlflow'), i.find_spec('locust'))",
        )
        == "None None"
    )


@pytest.mark.parametrize("project", [SCALED], indirect=True)
def test_the_manager_scales_containers_and_replaces_a_killed_one_and_no_request_is_lost(project, token):
    wait_for(lambda: answers(project.url), "a request served")
    manager = project.containers("manager")[0]

    def kill_one():
        docker("pause", manager)  # else it could be back before anyone looked
        found = docker("ps", "-q", "-f", f"label={project.label}", "-f", "label=org.aegis.replica=r3")
        docker("kill", found)
        return "r3"

    def is_out(id_):
        events = fetch(f"{project.admin}/events")[1]["events"]
        # by failed checks, or by its lease, whichever is first: an address that nobody answers takes time-outs to fail
        out = any(e["event"] in ("ejected", "expired") and e["replica"] == id_ for e in events)
        if out:
            docker("unpause", manager)
        return out

    scaled_and_hurt(project.url, project.manager, token, project.replicas, kill_one, is_out)


@pytest.mark.parametrize("project", [SCALED], indirect=True)
def test_a_manager_that_was_killed_finds_its_replicas_again(project, token):
    wait_for(lambda: list(project.replicas().values()) == ["ready", "ready"], "both replicas ready")
    before = set(docker("ps", "-q", "-f", f"label={project.label}", "-f", "label=org.aegis.replica").split())
    manager = project.containers("manager")[0]
    docker("kill", manager)
    docker("start", manager)

    def back():
        return (seen(f"{project.manager}/decisions") or {}).get("decisions")

    assert wait_for(back, "the manager back")[0]["reason"] == "found running"
    after = set(docker("ps", "-q", "-f", f"label={project.label}", "-f", "label=org.aegis.replica").split())
    assert after == before
