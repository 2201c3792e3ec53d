"""Measurements take as long as they take; where there is an end to the time, those that it leaves out are named."""

import os
import time

import pytest

UNTIL = float(os.environ.get("AEGIS_UNTIL", "inf"))
"""In Unix time: none is begun later."""


def pytest_collection_modifyitems(items):
    """What is simulated as well (tests/experiments/test_pathologies.py) comes last."""
    items.sort(key=lambda item: item.path.name == "test_pathologies.py")


def pytest_runtest_setup(item):
    if time.time() > UNTIL:
        pytest.skip(f"no time is left (AEGIS_UNTIL); alone: python -m pytest {item.nodeid.partition('[')[0]}")
