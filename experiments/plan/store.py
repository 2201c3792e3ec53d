"""What Hydra is told besides `conf/`: the schema, and the plugins outside the tree."""

import contextlib
from typing import Any

from hydra.core.config_store import ConfigStore

from experiments.plan.config import Config, ConfigError
from experiments.plan.engines import ENGINES
from experiments.plan.profiles import PROFILES
from services.manager.scalers import SCALERS
from services.plugins import check_folders
from services.router.policies import POLICIES


def register() -> None:
    """Make the schema known to Hydra, under the name that `conf/config.yaml` begins with, and plugins of outside.

    A policy outside the tree is chosen as any other, `policy=mine`: its group's entry follows from its constructor. One
    that cannot be used has an entry, too, so that choosing it says what is wrong with it.

    Raises:
        ConfigError: a folder of plugins is none.
    """
    try:
        check_folders()
    except ValueError as error:
        raise ConfigError(str(error)) from error
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for point in (POLICIES, SCALERS):
        for name in point.outsiders():
            options = {}
            with contextlib.suppress(ValueError):
                options = point.options(name, "rng")
            store.store(group=point.kind, name=name, node={"name": name, **options})
    for name in PROFILES.outsiders():
        store.store(group="workload", name=name, node={"profile": name})
    for name in ENGINES.outsiders():
        store.store(group="engine", name=name, node=_engine(name))


def _engine(name: str) -> dict[str, Any]:
    base = None
    with contextlib.suppress(ValueError):
        base = getattr(ENGINES.find(name), "based_on", None)
    return {"name": name} if base is None else {"defaults": [base, "_self_"], "name": name}
