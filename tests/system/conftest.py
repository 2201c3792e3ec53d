"""What the modules about MLflow share, each its own: a folder, and the environment of runs that log to a database in it."""

import pytest

from tests.system.tracked import database


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("tracking")


@pytest.fixture(scope="module")
def env(place):
    return database(place)
