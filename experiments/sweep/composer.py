"""From the overrides of a job to its plan, for many jobs: as Hydra composes each, at a tenth of the cost."""

import pickle
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from experiments.plan.engines import engine_of
from experiments.plan.resolve import resolve
from experiments.sweep.job import Job, key_of

PLAIN_SEED = re.compile(r"seed=(0|[1-9]\d*)", re.ASCII)


class Composer:
    """Composes jobs. What is known of an earlier one is taken over, and then given the job's own values.

    Of one that chooses the same groups the composition is, which Hydra makes in a tenth of a second; a simulated run of
    a thousand requests takes less. Of one that differs in a plain seed only, all but the seed and the faults it draws.
    """

    def __init__(self, loader: ConfigLoader) -> None:
        self._loader = loader
        self._known: dict[tuple[str, ...], tuple[bytes, str]] = {}
        """By the groups that are chosen, pickled: a fourth of what `deepcopy` takes."""
        self._arms: dict[tuple[str, ...], Job] = {}
        """By the overrides besides the seed; none whose keys follow from others by interpolation."""
        self._parsed: dict[str, Override] = {}
        self._groups: dict[str, bool] = {}

    def compose(self, number: int, overrides: Sequence[str]) -> Job:
        """The job, checked.

        Raises:
            ConfigError, HydraException, OmegaConfBaseException: it is wrong.
        """
        arm = tuple(text for text in overrides if key_of(text) != "seed")
        if (job := self._given_seed(number, overrides, arm)) is not None:
            return job
        composed, scenario = self._given_values(overrides) or self._by_hydra(overrides)
        plan = resolve(composed, overrides)
        engine_of(plan.config).check_here(plan.config)
        content = cast(dict[str, Any], OmegaConf.to_container(composed, enum_to_str=True))
        job = Job(number, tuple(overrides), scenario, plan, content)
        if "${" not in str(content):
            self._arms[arm] = job
        return job

    def _given_seed(self, number: int, overrides: Sequence[str], arm: tuple[str, ...]) -> Job | None:
        """None where no job of this arm is known, the seed is more than a number, or changes more than the faults."""
        known, seeds = self._arms.get(arm), [text for text in overrides if key_of(text) == "seed"]
        if known is None or len(seeds) != 1 or (number_typed := PLAIN_SEED.fullmatch(seeds[0])) is None:
            return None
        job = replace(known.with_seed(int(number_typed[1]), number), overrides=tuple(overrides))
        # On whether there are any the primary metric may depend.
        return job if bool(job.plan.faults) == bool(known.plan.faults) else None

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
