"""A Docker engine and the services' image, or a reason why not."""

import contextlib
import fcntl
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.running import AT_MOST_S, ROOT

IMAGE = "aegis-services"
os.environ.setdefault("DOCKER_BUILDKIT", "0")  # an engine without the buildx plugin


def docker(*arguments, check=True, env=None, timeout_s=AT_MOST_S):
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


def pytest_collection_modifyitems(items):
    for item in items:
        if "tools" in item.fixturenames:
            item.add_marker(pytest.mark.timeout(1000))  # the first of them builds the image


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


@contextlib.contextmanager
def engine_held(kind):
    """Hold the engine, shared or exclusively; who waits for it comes before those that ask later."""
    folder = Path(tempfile.gettempdir())
    with (folder / "aegis-test-engine.lock").open("w") as engine:
        with (folder / "aegis-test-turn.lock").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            fcntl.flock(engine, kind)
        yield


@pytest.fixture(autouse=True)
def engine_shared(request):
    """An engine that becomes a Swarm, or leaves one, lets others wait: such a test has it for itself."""
    is_alone = "one_swarm_at_a_time" in request.fixturenames
    with engine_held(fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH):
        yield


@pytest.fixture
def one_swarm_at_a_time(engine_shared, image):
    """The engine for this test alone."""


@pytest.fixture
def token():
    return secrets.token_urlsafe(32)
