"""From the overrides of a job to its plan, for many jobs: as Hydra composes each, at a tenth of the cost."""

import pickle
from collections.abc import Sequence
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from experiments.plan.engines import engine_of
from experiments.plan.resolve import resolve
from experiments.sweep.job import Job


class Composer:
    """Composes jobs. Those that choose the same groups are composed once, and then given their values as Hydra does.

    A composition takes a tenth of a second, a simulated run of a thousand requests less.
    """

    def __init__(self, loader: ConfigLoader) -> None:
        self._loader = loader
        self._known: dict[tuple[str, ...], tuple[bytes, str]] = {}
        """By the groups that are chosen, pickled: a fourth of what `deepcopy` takes."""
        self._parsed: dict[str, Override] = {}
        self._groups: dict[str, bool] = {}

    def compose(self, number: int, overrides: Sequence[str]) -> Job:
        """The job, checked.

        Raises:
            ConfigError, HydraException, OmegaConfBaseException: it is wrong.
        """
        composed, scenario = self._given_values(overrides) or self._by_hydra(overrides)
        plan = resolve(composed, overrides)
        engine_of(plan.config).check_here(plan.config)
        content = cast(dict[str, Any], OmegaConf.to_container(composed, enum_to_str=True))
        return Job(number, tuple(overrides), scenario, plan, content)

    def _given_values(self, overrides: Sequence[str]) -> tuple[DictConfig, str] | None:
        """None where a value is more than another one of a key that is there, or is wrong, which Hydra words better."""
        parsed = [self._parse(text) for text in overrides]
        choices = [override for override in parsed if self._is_choice(override)]
        values = [override for override in parsed if not self._is_choice(override)]
        if not all(value.type == OverrideType.CHANGE and not value.is_hydra_override() for value in values):
            return None
        key = tuple(str(choice.input_line) for choice in choices)
        if key not in self._known:
            known, scenario = self._by_hydra(key)
            self._known[key] = pickle.dumps(known), scenario
        pickled, scenario = self._known[key]
        composed = cast(DictConfig, pickle.loads(pickled))
        try:
            for value in values:
                OmegaConf.update(composed, value.key_or_group, value.value(), merge=True)
        except (OmegaConfBaseException, AssertionError, AttributeError, TypeError, ValueError):
            return None
        return composed, scenario

    def _by_hydra(self, overrides: Sequence[str]) -> tuple[DictConfig, str]:
        """Without Hydra's own section; and the scenario."""
        composed = self._loader.load_configuration(
            config_name="config", overrides=list(overrides), run_mode=RunMode.RUN, validate_sweep_overrides=False
        )
        scenario = composed.hydra.runtime.choices["scenario"]
        with flag_override(composed, ["readonly", "struct"], False):
            del composed["hydra"]
        return composed, scenario

    def _parse(self, text: str) -> Override:
        if text not in self._parsed:
            self._parsed[text] = OverridesParser.create().parse_override(text)
        return self._parsed[text]

    def _is_choice(self, override: Override) -> bool:
        key = override.key_or_group
        if key not in self._groups:
            self._groups[key] = bool(self._loader.get_group_options(key))
        return self._groups[key] and not isinstance(override.value(), dict)
