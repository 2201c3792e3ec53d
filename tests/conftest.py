"""For all tests: the event loop of asynchronous ones, their order, and which of them are quick."""

import os
from pathlib import Path
from types import ModuleType

import pytest

os.environ["AEGIS_INTERPRETED"] = "1"  # what is tested is what one reads; test_compiled.py compares the other form
HERE = Path(__file__).parent
ROOMS = ("system", "containers", "monitoring", "services", "experiments", "analysis")
"""From the longest tests to the shortest: workers that take file after file then end together."""
OUTSIDE = ROOMS[:3]
"""Rooms whose tests need more than Python: whole runs, containers, other programs."""
STARTING = {"subprocess", "socket", "multiprocessing", "tests.services.live", "tests.measuring.measured"}
"""A module of tests that uses one of these starts processes or opens sockets; so do RUNNING of tests.running."""
RUNNING = {"run", "start", "command"}


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


def is_pure(module: ModuleType) -> bool:
    for value in vars(module).values():
        home = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if home in STARTING or (home == "tests.running" and value.__name__ in RUNNING):
            return False
    return True


def room(item) -> int:
    parts = item.path.relative_to(HERE).parts
    return ROOMS.index(parts[0]) if parts[0] in ROOMS else len(ROOMS)


def is_quick(item) -> bool:
    if item.path.relative_to(HERE).parts[0] in OUTSIDE or item.get_closest_marker("slow") is not None:
        return False
    return is_pure(item.module)


def pytest_collection_modifyitems(config, items):
    items.sort(key=room)
    if config.getoption("quick"):
        quick = [item for item in items if is_quick(item)]
        config.hook.pytest_deselected(items=[item for item in items if not is_quick(item)])
        items[:] = quick
