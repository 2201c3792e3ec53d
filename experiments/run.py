"""Runs an experiment: `python -m experiments.run +scenario=failover`.

`-m` sweeps; `repeat.resume=DIR` goes on with a sweep; `--dry-run` beside any of them starts nothing.

Exit status: 0 complete and valid; 1 it failed; 2 the configuration is wrong; 3 complete, but not valid;
130 and 143 interrupted by SIGINT and SIGTERM.
"""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from experiments.calibration.fitting import fitted
from experiments.plan import config as configuration
from experiments.plan.config import ConfigError
from experiments.plan.errors import one_line
from experiments.plan.installed import CONF
from experiments.plan.resolve import resolve
from experiments.runner.supervision import Interrupted, say, supervise
from experiments.sweep import jobs, sweeper
from experiments.sweep.jobs import place
from experiments.sweep.playing import ONE_BY_ONE
from experiments.sweep.sweeper import SeedBySeed
from services.door.access import TokenError, admin_token

COMPLETE, FAILED, WRONG, INVALID = 0, 1, 2, 3
"""Exit statuses, as DVC's stage and scripts read them."""
DRY_RUN = "--dry-run"
RESUME = "repeat.resume="


class Wrong(BaseException):
    """The configuration is wrong; carries the line to print. (Hydra would add its own to an Exception.)"""


CONFIG_ERRORS = (ConfigError, TokenError, HydraException, OmegaConfBaseException)
_statuses: list[int] = []
"""Of the jobs of this process that have ended."""
_sweep: Path | None = None
"""The folder of the sweep that is going on."""


def scenarios() -> list[str]:
    """The names of the scenarios there are."""
    return sorted(path.stem for path in (CONF / "scenario").glob("*.yaml"))


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def _job(composed: DictConfig) -> int:
    """One job of Hydra's; returns its status, since an exit would end a sweep."""
    global _sweep
    hydra_config = HydraConfig.get()
    sweeping = hydra_config.mode == RunMode.MULTIRUN
    folder = Path(hydra_config.runtime.output_dir)
    # Unset by another sweeper, which orders its jobs by itself.
    order = hydra_config.sweeper.get("order") if sweeping else 0
    try:
        plan = resolve(composed, hydra_config.overrides.task)
        jobs.check_here(plan.config)
        if order is None or not sweeping:
            jobs.check_alone(plan.config)
        if not sweeping and hydra_config.launcher._target_ != ONE_BY_ONE:
            raise ConfigError("hydra/launcher: is for sweeps, add -m")
    except CONFIG_ERRORS as error:
        with contextlib.suppress(OSError):
            folder.rmdir()  # Hydra made it
        raise Wrong(one_line(error)) from error
    from experiments.session import Session

    session = Session(
        plan=fitted(plan) if plan.config.load.fit else plan,
        scenario=hydra_config.runtime.choices["scenario"],
        folder=folder,
        overrides=list(hydra_config.overrides.task),
        sweep_dir=Path(hydra_config.sweep.dir).absolute() if sweeping else None,
        order=order,
        looks=list(hydra_config.sweeper.get("looks") or []),
        may_rename=not any(text.startswith(("hydra.run.", "hydra.sweep.")) for text in sys.argv[1:]),
    )
    _sweep = Path(hydra_config.sweep.dir) if sweeping else None
    _statuses.append(supervise(session))
    return _statuses[-1]


def main() -> int:
    """Run what the command line says; return the exit status."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise, so that the status and the wording are ours
    sweeper.register()
    is_dry = DRY_RUN in sys.argv[1:]
    arguments = sys.argv[1:] = place([argument for argument in sys.argv[1:] if argument != DRY_RUN])
    is_resumed = any(argument.startswith(RESUME) for argument in arguments)
    asks_hydra = any(argument.startswith("-") and argument not in ("-m", "--multirun") for argument in arguments)
    if not asks_hydra and not is_resumed and not any(a.lstrip("+").startswith("scenario=") for a in arguments):
        say(f"no scenario: add +scenario=NAME, one of {', '.join(scenarios())}")
        return WRONG
    ended: int | None = None
    try:
        configuration.register()
        if not asks_hydra:
            admin_token()
        if is_resumed:
            from experiments.sweep.resuming import resume

            sys.argv[1:], SeedBySeed.resumed = resume(arguments)
        if is_dry:
            from experiments.sweep.dry_run import show

            show(sys.argv[1:])
            return COMPLETE
        _job()
    except Wrong as error:
        say(str(error))
        return WRONG
    except CONFIG_ERRORS as error:
        say(one_line(error))
        return WRONG
    except Interrupted as error:
        ended = 128 + int(error.args[0])
    except KeyboardInterrupt:
        ended = 130
    sweep = SeedBySeed.current
    status = ended if ended is not None else _overall(_statuses if sweep is None else sweep.statuses)
    folder = _sweep if sweep is None else sweep.folder
    if folder is not None and not asks_hydra:
        from experiments.sweep.end import finish

        finish(folder, status, is_whole=ended is None, companion=None if sweep is None else sweep.companion)
        if sweep is not None and sweep.is_tracked:
            subprocess.run([sys.executable, "-m", "experiments.tracking", str(folder)], check=False)
    return status


def _overall(statuses: list[int]) -> int:
    return FAILED if FAILED in statuses else INVALID if INVALID in statuses else COMPLETE


if __name__ == "__main__":
    sys.exit(main())
