"""Repeats the arms of a sweep, seed after seed, until their difference is known well enough or the budget is spent.

`repeat.until_ratio_ci=0.05 repeat.max=20` on the command line of a sweep. Hydra makes its list of jobs before the
first one runs: the list gets the seeds of the whole budget, and ends early by `Enough`.
"""

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from experiments import config as configuration
from experiments.config import Config, ConfigError
from experiments.sweep import check_jobs

if TYPE_CHECKING:  # a wrong configuration must answer at once
    from analysis.comparison import Comparison

KEY = "repeat.until_ratio_ci"
MULTIRUN = ("-m", "--multirun")
FAILED = 1
"""Exit status of a failed run."""


class Enough(BaseException):
    """No further pair is wanted. (Hydra would report an Exception.)"""


@dataclass
class Repetition:
    """A sweep whose number of pairs is left to the data."""

    arguments: list[str]
    """Of the command line, with the seeds of the whole budget, the first override of all."""
    arms: int
    until: float
    most: int
    """Budget of pairs."""
    folders: list[Path] = field(default_factory=list)
    """Of the jobs that have ended, in order."""
    has_failed: bool = False

    def after_job(self, folder: Path, status: int) -> None:
        """Take note of a job; at a planned look, and after a failed job's seed, see what is known, and print it.

        Raises:
            Enough: it is known well enough, the budget is spent, or a job failed.
        """
        from analysis.comparison_text import headline, left_out, progress
        from analysis.sequential import planned_looks

        self.folders.append(folder)
        self.has_failed |= status == FAILED
        pairs, rest = divmod(len(self.folders), self.arms)
        if rest or not (self.has_failed or pairs in planned_looks(self.most)):
            return
        found = self._compare()
        for pairing in found.pairings:
            print(progress(found, pairing, self.until), flush=True)
        if not (found.is_narrow(self.until) or self.has_failed or pairs == self.most):
            return
        for pairing in found.pairings:
            for text in (left_out(pairing), headline(found, pairing)):
                if text:
                    print(text, flush=True)
        raise Enough

    def _compare(self) -> "Comparison":
        from analysis.arms import ComparisonError, sort_into_arms
        from analysis.compare import read_runs
        from analysis.comparison import compare
        from analysis.run_folder import FolderError

        try:
            return compare(sort_into_arms(read_runs([f for f in self.folders if (f / "manifest.json").exists()])))
        except (ComparisonError, FolderError) as error:
            print(error, file=sys.stderr, flush=True)
            raise Enough from error


def plan(arguments: list[str], conf: Path) -> Repetition | None:
    """The repetition that a command line asks for; None where it asks for none.

    Every arm is composed and checked here, with every seed of the budget.

    Args:
        arguments: the command line without the program's name.
        conf: folder of the configuration.

    Raises:
        ConfigError, HydraException, OmegaConfBaseException: it is wrong.
    """
    overrides = [argument for argument in arguments if argument not in MULTIRUN]
    if len(overrides) == len(arguments) or not any(KEY in override for override in overrides):
        return None
    with initialize_config_dir(str(conf), version_base="1.3"):
        parsed = OverridesParser.create(GlobalHydra.instance().config_loader()).parse_overrides(overrides)
        swept = {override.key_or_group: override for override in parsed if override.is_sweep_override()}
        for key in swept:
            if key == "seed":
                raise ConfigError(f"{swept[key].input_line}: with {KEY} give the first seed only; the others follow it")
            if key.startswith("repeat."):
                raise ConfigError(f"{swept[key].input_line}: must be the same for all arms")
        has_seed = any(override.key_or_group == "seed" for override in parsed)
        configs = check_jobs(overrides if has_seed else [*overrides, f"seed={Config().seed}"])
    first = configs[0]
    until, most = first.repeat.until_ratio_ci, first.repeat.max
    if until is None:
        return None
    if len(configs) < 2:
        raise ConfigError(f"{KEY}={until}: one arm only; it needs two or more, as policy=round_robin,peak_ewma")
    seeds = range(first.seed, first.seed + most)
    for config in configs:
        for seed in seeds:
            configuration.validate(replace(config, seed=seed))
    kept = [text for text, override in zip(overrides, parsed, strict=True) if override.key_or_group != "seed"]
    # A batch a seed: Hydra composes a batch right before it runs it, and numbers the jobs on.
    batch = f"hydra.sweeper.max_batch_size={len(configs)}"
    repeated = ["--multirun", batch, f"seed={','.join(map(str, seeds))}", *kept]
    return Repetition(repeated, len(configs), until, most)
