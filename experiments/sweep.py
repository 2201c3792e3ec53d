"""Sweeps: those that a scenario is by itself, and the check of every job before the first one starts."""

from pathlib import Path
from typing import Any, cast

import yaml
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import OmegaConf, flag_override

from experiments import calibration
from experiments import config as configuration
from experiments.config import Config
from experiments.config_errors import check_keys

SCENARIOS = Path(__file__).resolve().parent.parent / "conf" / "scenario"


def place(arguments: list[str]) -> list[str]:
    """`arguments` for Hydra: the folder that was chosen for a run holds the sweep where the scenario is one."""
    if _of_scenario(arguments).get("mode") != "MULTIRUN":
        return arguments
    return [a.replace("hydra.run.dir=", "hydra.sweep.dir=", 1) for a in arguments]


def _of_scenario(arguments: list[str]) -> dict[str, Any]:
    """What the scenario's file tells Hydra itself."""
    name = next((a.partition("=")[2] for a in arguments if a.startswith("+scenario=")), "")
    path = SCENARIOS / f"{name}.yaml"
    content = yaml.safe_load(path.read_text()) if path.is_file() else {}
    return content.get("hydra") or {}


def check_jobs(arguments: list[str]) -> list[Config]:
    """Compose and validate every combination that `arguments` and the scenario span; return them in order.

    An hour's measuring must not end on a typing error.

    Raises:
        ConfigError, HydraException, OmegaConfBaseException: of the first job that is wrong.
    """
    loader = GlobalHydra.instance().config_loader()
    given = [f"{key}={value}" for key, value in _of_scenario(arguments).get("sweeper", {}).get("params", {}).items()]
    given += [argument for argument in arguments if not argument.startswith("-")]
    overrides = OverridesParser.create(loader).parse_overrides(given)
    jobs = BasicSweeper.split_arguments(overrides, max_batch_size=None)[0]
    configs = []
    for job in jobs:
        composed = loader.load_configuration(
            config_name="config", overrides=list(job), run_mode=RunMode.RUN, validate_sweep_overrides=False
        )
        with flag_override(composed, ["readonly", "struct"], False):
            del composed["hydra"]
        check_keys(cast(dict[str, Any], OmegaConf.to_container(composed)))
        config = cast(Config, OmegaConf.to_object(composed))
        configuration.fill_in(config, job)
        configuration.validate(config)
        calibration.check(config)
        configs.append(config)
    return configs
