"""What Hydra is told besides `conf/`: the schema, and the plugins outside the tree."""

import contextlib
import textwrap
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from experiments.plan.choices import GROUPS, choices
from experiments.plan.config import Config, ConfigError
from experiments.plan.engines import ENGINES
from experiments.plan.keys import meaning
from experiments.plan.profiles import PROFILES
from experiments.runner.exit_status import ExitStatus
from services.manager.scalers import SCALERS
from services.plugins import check_folders
from services.router.policies import POLICIES

WIDTH = 80
"""Columns of the help."""


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
    OmegaConf.register_new_resolver("aegis", _told, replace=True)
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


def _told(what: str) -> str:
    """A part of the help, `conf/hydra/help/aegis.yaml`."""
    if what == "scenarios":
        named = [(choice.name, choice.about) for choice in choices("scenario")]
    elif what == "groups":
        outside = {"policy": POLICIES, "scaler": SCALERS, "workload": PROFILES, "engine": ENGINES}
        named = [(group, ", ".join(choice.name for choice in choices(group))) for group in GROUPS[1:]]
        named = [
            (group, ", ".join([names, *(outside[group].outsiders() if group in outside else ())]))
            for group, names in named
        ]
    else:
        named = [(f"{status:d}", meaning(ExitStatus, status.name)) for status in ExitStatus]
    room = 2 + max(len(name) for name, _ in named)
    lines = (textwrap.wrap(text, WIDTH - 2 - room, break_on_hyphens=False) for _, text in named)
    return "\n".join(
        f"  {name if number == 0 else '':{room}}{line}"
        for (name, _), wrapped in zip(named, lines, strict=True)
        for number, line in enumerate(wrapped)
    ).replace("$", "$$")


def _engine(name: str) -> dict[str, Any]:
    base = None
    with contextlib.suppress(ValueError):
        base = getattr(ENGINES.find(name), "based_on", None)
    return {"name": name} if base is None else {"defaults": [base, "_self_"], "name": name}
