"""Checks every job of a sweep before the first one starts: an hour's measuring must not end on a typing error."""

from typing import Any, cast

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import OmegaConf, flag_override

from experiments import config as configuration
from experiments.config import Config
from experiments.config_errors import check_keys


def check_jobs(arguments: list[str]) -> list[Config]:
    """Compose and validate every combination that `arguments` span; return them in order.

    Raises:
        ConfigError, HydraException, OmegaConfBaseException: of the first job that is wrong.
    """
    loader = GlobalHydra.instance().config_loader()
    overrides = OverridesParser.create(loader).parse_overrides([a for a in arguments if not a.startswith("-")])
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
        configuration.validate(config)
        configs.append(config)
    return configs
