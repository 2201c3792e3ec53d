"""Sweeps: those that a scenario is by itself, those whose jobs run at the same time, and the check of every job before
the first one starts."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import yaml
from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import OmegaConf, flag_override

from experiments import calibration
from experiments import config as configuration
from experiments.config import Config, ConfigError
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


@dataclass(frozen=True)
class Parallel:
    """A sweep whose jobs another launcher than Hydra's own runs at the same time, in other processes."""

    arguments: list[str]
    """For Hydra: with a folder of its own, and without MLflow, whose database takes one writer at a time."""
    folder: Path
    jobs: int
    is_tracked: bool
    """Whether the runs are to be logged afterwards."""

    def statuses(self) -> list[int]:
        """Exit statuses of the jobs, from what they left behind: 0 complete and valid, 3 not valid, else 1."""
        return [_status(self.folder / str(number)) for number in range(self.jobs)]


def _status(folder: Path) -> int:
    try:
        complete = json.loads((folder / "manifest.json").read_text())["exit_reason"] == "complete"
        valid = json.loads((folder / "metrics.json").read_text())["valid"]
    except (OSError, ValueError, KeyError):
        return 1
    return 1 if not complete else 0 if valid else 3


def parallel(arguments: list[str], conf: Path) -> Parallel | None:
    """The parallel sweep that a command line asks for (`hydra/launcher=joblib`); None where it asks for none.

    Raises:
        ConfigError: a job is to be measured live, or the number of jobs is left to the data.
        HydraException, OmegaConfBaseException: of the first job that is wrong.
    """
    launcher = next((a.partition("=")[2] for a in arguments if a.startswith("hydra/launcher=")), "basic")
    if launcher == "basic":
        return None
    if not {"-m", "--multirun"} & set(arguments) and _of_scenario(arguments).get("mode") != "MULTIRUN":
        raise ConfigError(f"hydra/launcher={launcher}: is for sweeps, add -m")
    with initialize_config_dir(str(conf), version_base="1.3"):
        configs = check_jobs([a for a in arguments if not a.startswith("hydra")])
    if any(config.engine.name != "sim" for config in configs):
        raise ConfigError(f"hydra/launcher={launcher}: live runs at the same time spoil each other; add engine=sim")
    if configs[0].repeat.until_ratio_ci is not None:
        raise ConfigError(f"hydra/launcher={launcher}: does not go with repeat.until_ratio_ci, which looks in between")
    chosen = next((a.partition("=")[2] for a in arguments if a.startswith("hydra.sweep.dir=")), None)
    folder = Path(chosen or f"results/sweeps/{datetime.now():%Y-%m-%d_%H-%M-%S}")
    kept = [a for a in arguments if not a.startswith(("hydra.sweep.dir=", "tracking.enabled="))]
    added = [f"hydra.sweep.dir={folder}", "tracking.enabled=false"]
    return Parallel([*kept, *added], folder, len(configs), configs[0].tracking.enabled)
