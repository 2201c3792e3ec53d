"""`-m ... --cfg job`: the configuration of every job. Hydra itself takes `--cfg` without `-m` only."""

from hydra import initialize_config_dir
from hydra._internal.utils import get_args
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode

from experiments.plan.installed import CONF
from experiments.sweep.job import key_of
from experiments.sweep.sweep import NAME
from experiments.sweep.sweeper import sweep_asked_for


def shown(arguments: list[str]) -> list[list[str]]:
    """The command lines by which Hydra shows what is asked for: one a job, the first of them first.

    Of a sweeper that makes its jobs up as it goes, one without what it varies.

    Raises:
        ConfigError, HydraException, OmegaConfBaseException: a job is wrong.
    """
    if not {"-m", "--multirun"}.intersection(arguments):
        return [arguments]
    asked = get_args(arguments)
    rest = [text for text in arguments if text not in ("-m", "--multirun")]
    if asked.cfg is None:
        return [rest]
    options = [text for text in rest if text not in asked.overrides]
    task = [text for text in asked.overrides if not key_of(text).startswith("hydra")]
    kept = [text for text in asked.overrides if key_of(text).startswith("hydra")]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        hydra = loader.load_configuration(
            "config", overrides=asked.overrides, run_mode=RunMode.MULTIRUN, validate_sweep_overrides=False
        ).hydra
        if hydra.sweeper._target_ != NAME:
            parsed = OverridesParser.create(loader).parse_overrides(task)
            return [[*(str(text.input_line) for text in parsed if not text.is_sweep_override()), *kept, *options]]
        return [[*job.overrides, *kept, *options] for job in sweep_asked_for(loader, hydra, task).jobs]
