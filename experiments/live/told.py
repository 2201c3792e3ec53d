"""What the router and the manager of a run are told, as options of their command lines."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.plan.config import Config, RouterConfig
from experiments.plan.fault_plan import Fault
from experiments.plan.replica_options import scaling_settings
from record.schema import DECISIONS
from services.router.settings import RouterSettings

Write = Callable[[str, dict[str, Any]], str]
"""Leaves settings in a file of that name; returns what `--config` is given for it."""


def router_options(config: Config, router: RouterConfig, write: Write) -> list[str]:
    """Of Aegis' own router: its settings without what is the run's business, the policy, the seed."""
    known = [each.name for each in dataclasses.fields(RouterSettings)]
    values = dataclasses.asdict(router)
    settings = {"router": {name: values[name] for name in known}, "policy": config.policy}
    path = write("router.json", settings)
    written = ["--decisions", str(Path(path).with_name(DECISIONS))] if router.decisions else []
    return ["--config", path, "--seed", str(config.seed), *written]


def manager_options(
    config: Config, faults: list[Fault], replica: dict[str, Any], registry: str, flags: list[str], write: Write
) -> list[str]:
    """Of the manager.

    Args:
        config: the run's.
        faults: likewise.
        replica: what replicas are told.
        registry: the router's admin URL, or what stands in its place.
        flags: of the engine that runs them.
        write: leaves the settings in a file.
    """
    settings = write(
        "manager.json",
        {
            "scaling": dataclasses.asdict(scaling_settings(config, faults)),
            "scaler": config.scaler,
            "replica": replica,
            "replicas": config.replicas,
        },
    )
    timeout = ["--startup-timeout", str(config.engine.startup_timeout_s)]
    return ["--router", registry, "--seed", str(config.seed), *timeout, *flags, "--config", settings]
