"""For all tests: on which event loop asynchronous ones run, and their order.

Those that run whole experiments begin first, so that two workers end together.
"""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def anyio_backend():
    """The services run on asyncio, and so do the tests."""
    return "asyncio"


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.relative_to(HERE).parts[0] != "system")
