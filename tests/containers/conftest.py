"""A Docker engine and the services' image, or a reason why not."""

import fcntl
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.running import ROOT

IMAGE = "aegis-services"
os.environ.setdefault("DOCKER_BUILDKIT", "0")  # an engine without the buildx plugin


def docker(*arguments, check=True, env=None, timeout_s=120):
    """What `docker ...` prints."""
    done = subprocess.run(
        ["docker", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
    )
    assert not check or done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr[-2000:]}"
    return done.stdout.strip()


def missing(reason):
    """Skip; a failure in CI, which has everything."""
    (pytest.fail if os.environ.get("AEGIS_CI") == "1" else pytest.skip)(reason)


@pytest.fixture(scope="session")
def tools(image):
    """The image with the experiments, by the Python that runs this: a load's workers must have the runner's."""
    python = f"PYTHON=python:{sys.version_info[0]}.{sys.version_info[1]}-slim"
    docker("build", "--quiet", "--target", "tools", "--build-arg", python, "--tag", "aegis-tools", ".", timeout_s=900)


@pytest.fixture(scope="session")
def image():
    """The services' image, built from this tree."""
    lost = None
    if shutil.which("docker") is None:
        lost = "docker is not there (Debian's package docker.io)"
    elif not docker("info", "--format", "{{.ServerVersion}}", check=False):
        lost = "no Docker engine answers"
    if lost:
        missing(lost)
    docker("build", "--quiet", "--target", "services", "--tag", IMAGE, ".", timeout_s=600)
    return IMAGE


@pytest.fixture
def one_swarm_at_a_time(image):
    """An engine is in one Swarm: who makes it one, and leaves it again, is alone meanwhile."""
    with (Path(tempfile.gettempdir()) / "aegis-test-swarm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def token():
    return secrets.token_urlsafe(32)
