"""The order of the tests: those that run whole experiments begin first, so that two workers end together."""

from pathlib import Path

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.relative_to(HERE).parts[0] != "system")
