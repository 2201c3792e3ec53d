"""A new local database of MLflow's, which migrates it through all its schemas: once a version, as it takes seconds."""

import contextlib
import shutil
import sqlite3
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from record.files import cached, whole


def create(database: Path, version: str) -> None:
    """Make it, where it is not there: a copy of one that MLflow has made, without any content.

    Where that does not go well, none is made: then MLflow does it by itself, as it always did.

    Args:
        database: its file.
        version: of MLflow.
    """
    if database.exists():
        return
    with contextlib.suppress(Exception):
        kept = cached(f"mlflow-{version}.db").absolute()
        if not _is_sound(kept):
            _migrate(kept)
        with whole(database) as partial:
            shutil.copyfile(kept, partial)


def _is_sound(kept: Path) -> bool:
    """Whether it is there, whole, and has been migrated: what is wrong with it, every new project would have."""
    try:
        with contextlib.closing(sqlite3.connect(f"{kept.as_uri()}?mode=ro", uri=True)) as database:
            version = database.execute("SELECT version_num FROM alembic_version").fetchone()
            return version not in (None, (None,)) and database.execute("PRAGMA quick_check").fetchone() == ("ok",)
    except sqlite3.Error:
        return False


def _migrate(path: Path) -> None:
    """As SqlAlchemyStore (MLflow 3.17) does with a database that has no tables."""
    utils: Any = import_module("mlflow.store.db.utils")
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent) as place:  # another process may be about the same
        made = Path(place) / path.name
        engine = utils.create_sqlalchemy_engine(f"sqlite:///{made}")
        utils._initialize_tables(engine)
        engine.dispose()
        made.replace(path)
