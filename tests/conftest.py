"""For all tests: the event loop of asynchronous ones, their order, and which of them are quick."""

import ast
import os
from functools import cache
from pathlib import Path

import pytest

from services import compiled

# What is tested is what one reads; test_compiled.py compares the other form. Empty: services that a test starts are that.
os.environ.setdefault(compiled.INTERPRETED, "1")
compiled.state.is_installed = True
HERE = Path(__file__).parent
ROOMS = ("system", "containers", "monitoring", "services", "experiments", "analysis")
"""From the longest tests to the shortest: workers that take file after file then end together."""
OUTSIDE = ROOMS[:3]
"""Rooms whose tests need more than Python: whole runs, containers, other programs."""
STARTING = {
    "subprocess", "socket", "multiprocessing", "tests.services.live", "tests.measuring.measured",
    "tests.running.run", "tests.running.start", "tests.running.command", "tests.running.refused", "tests.warm",
}  # fmt: skip
"""A module of tests that imports one of these at its top starts processes or opens sockets."""


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="only tests of pure code: no processes, no sockets, not slow")


@pytest.fixture(autouse=True)
def alone(request, monkeypatch):
    """A quick test that speaks to anybody fails."""
    if request.config.getoption("quick"):

        def refuse(*_):
            pytest.fail("a quick test uses a socket; mark it slow")

        for name in ("connect", "connect_ex", "bind"):
            monkeypatch.setattr(f"socket.socket.{name}", refuse)


@pytest.fixture(scope="session")
def anyio_backend():
    """The services run on asyncio, and so do the tests."""
    return "asyncio"


@cache
def is_pure(path: Path) -> bool:
    """Whether a file or folder of tests may have quick ones, by its source."""
    if path.relative_to(HERE).parts[0] in OUTSIDE:
        return False
    if path.suffix != ".py":
        return True
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        used: set[str] = set()
        if isinstance(node, ast.Import):
            used = {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            used = {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
        if used & STARTING or ast.unparse(node) == "pytestmark = pytest.mark.slow":
            return False
    return True


def pytest_ignore_collect(collection_path, config):
    """What has no quick test is not imported: MLflow, a browser or schemathesis take longer than a hundred of them."""
    is_left_out = config.getoption("quick") and HERE in collection_path.parents and not is_pure(collection_path)
    return True if is_left_out else None


def room(item) -> int:
    parts = item.path.relative_to(HERE).parts
    return ROOMS.index(parts[0]) if parts[0] in ROOMS else len(ROOMS)


def pytest_collection_modifyitems(config, items):
    items.sort(key=room)
    if config.getoption("quick"):
        # Also of a file that is named on the command line: it is imported all the same.
        quick = [item for item in items if item.get_closest_marker("slow") is None and is_pure(item.path)]
        config.hook.pytest_deselected(items=[item for item in items if item not in quick])
        items[:] = quick
