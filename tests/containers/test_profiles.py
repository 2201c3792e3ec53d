"""Prometheus and Locust beside the stack, as the profiles start them."""

import json
import urllib.request

import pytest

from tests.containers.conftest import docker, missing
from tests.containers.deployed import until_gone
from tests.containers.test_compose import FIXED, Project
from tests.ports import free_ports
from tests.running import wait_for


def got(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.loads(answer.read())
    except OSError:
        return None


@pytest.fixture
def project(image, token):
    project = Project(FIXED, token)
    yield project
    project("--profile", "monitoring", "--profile", "load", "down", "--volumes")
    until_gone(docker, project.label)


def test_prometheus_finds_router_manager_and_every_replica_by_itself(project):
    tags = docker("images", "--format", "{{.Tag}}", "prom/prometheus").split()
    if not tags:
        missing("no image prom/prometheus: docker pull prom/prometheus")
    [port] = free_ports(1)
    project.env |= {"PROMETHEUS_TAG": tags[0], "PROMETHEUS_PORT": str(port)}
    project("--profile", "monitoring", "up", "-d", "prometheus", "router", "manager", "replica")

    def targets():
        found = got(f"http://127.0.0.1:{port}/api/v1/targets?state=active")
        return [(t["labels"]["job"], t["health"]) for t in found["data"]["activeTargets"]] if found else []

    def all_up(replicas):
        found = targets()
        jobs = [job for job, _ in found]
        return all(health == "up" for _, health in found) and sorted(jobs) == [
            "aegis-manager",
            *["aegis-replicas"] * replicas,
            "aegis-router",
        ]

    wait_for(lambda: all_up(2), f"two replicas, router and manager up: {targets()}")
    project("--profile", "monitoring", "up", "-d", "--scale", "replica=3", "replica")
    wait_for(lambda: all_up(3), "a third replica found")


def test_locusts_workers_find_their_master(tools, project):
    [port] = free_ports(1)
    project.env["LOCUST_PORT"] = str(port)
    project("--profile", "load", "up", "-d")

    def workers():
        found = got(f"http://127.0.0.1:{port}/stats/requests")
        return [worker["state"] for worker in found.get("workers") or []] if found else []

    wait_for(lambda: workers() == ["ready", "ready"], "two workers ready")
    assert docker("exec", project.containers("load-master")[0], "id", "-u") == "10001"
