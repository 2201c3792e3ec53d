"""Runs an experiment: `python -m experiments.run +scenario=failover`.

Exit status: 0 complete and valid; 1 it failed; 2 the configuration is wrong; 3 complete, but not valid;
130 and 143 interrupted by SIGINT and SIGTERM.
"""

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments import calibration, repeating
from experiments import config as configuration
from experiments.config import Config, ConfigError
from experiments.config_errors import check_keys, one_line
from experiments.fitting import fit
from experiments.supervision import Interrupted, say, supervise
from experiments.sweep import Parallel, check_jobs, parallel, place
from services.access import TokenError, admin_token

CONF = Path(__file__).resolve().parent.parent / "conf"
BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
COMPLETE, FAILED, WRONG, INVALID = 0, 1, 2, 3
"""Exit statuses, as DVC's stage and scripts read them."""


class Wrong(BaseException):
    """The configuration is wrong; carries the line to print. (Hydra would add its own to an Exception.)"""


CONFIG_ERRORS = (ConfigError, TokenError, HydraException, OmegaConfBaseException)
_statuses: list[int] = []
"""Of the jobs that have ended."""
_sweep: Path | None = None
"""The folder of the sweep that is going on."""
_repetition: repeating.Repetition | None = None
"""The sweep, where the number of its pairs is left to the data."""


def scenarios() -> list[str]:
    """The names of the scenarios there are."""
    return sorted(path.stem for path in (CONF / "scenario").glob("*.yaml"))


@hydra.main(version_base="1.3", config_path="../conf", config_name="config")
def _job(composed: DictConfig) -> None:
    """One job of Hydra's; leaves its status behind, since an exit would end a sweep."""
    global _sweep
    hydra_config = HydraConfig.get()
    sweeping = hydra_config.mode == RunMode.MULTIRUN
    folder = Path(hydra_config.runtime.output_dir)
    try:
        if sweeping and not _statuses and _repetition is None and hydra_config.launcher._target_ == BASIC:
            check_jobs(sys.argv[1:])
        check_keys(cast(dict[str, Any], OmegaConf.to_container(composed)))
        config = cast(Config, OmegaConf.to_object(composed))
        configuration.fill_in(config, hydra_config.overrides.task)
        composed.replicas = config.replicas
        faults = configuration.validate(config)
        composed.workload.rate_rps = config.workload.rate_rps
        composed.comparison.primary = config.comparison.primary
        calibration.check(config)
        if config.load.ui and (config.router is None or sweeping):
            raise ConfigError("load.ui=true: the web UI needs a router and a single run")
        if config.repeat.until_ratio_ci is not None and _repetition is None:
            raise ConfigError(f"{repeating.KEY}: is for the command line of a sweep, with -m and two arms or more")
    except CONFIG_ERRORS as error:
        with contextlib.suppress(OSError):
            folder.rmdir()  # Hydra made it
        raise Wrong(one_line(error)) from error
    from experiments.session import Session

    if config.load.fit:
        fit(config, composed)
    session = Session(
        config=config,
        resolved=cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True)),
        faults=faults,
        scenario=hydra_config.runtime.choices["scenario"],
        folder=folder,
        overrides=list(hydra_config.overrides.task),
        sweep_dir=Path(hydra_config.sweep.dir).absolute() if sweeping else None,
    )
    _sweep = Path(hydra_config.sweep.dir) if sweeping else None
    _statuses.append(supervise(session))
    if _repetition is not None:
        _repetition.after_job(session.folder, _statuses[-1])


def main() -> int:
    """Run what the command line says; return the exit status."""
    global _repetition
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise, so that the status and the wording are ours
    configuration.register()
    arguments = sys.argv[1:] = place(sys.argv[1:])
    asks_hydra = any(argument.startswith("-") and argument not in ("-m", "--multirun") for argument in arguments)
    if not asks_hydra and not any(a.lstrip("+").startswith("scenario=") for a in arguments):
        say(f"no scenario: add +scenario=NAME, one of {', '.join(scenarios())}")
        return WRONG
    ended: int | None = None
    at_once: Parallel | None = None
    try:
        if not asks_hydra:
            admin_token()
        at_once = None if asks_hydra else parallel(arguments, CONF)
        if at_once is not None:
            sys.argv[1:] = at_once.arguments
        _repetition = None if asks_hydra or at_once is not None else repeating.plan(arguments, CONF)
        if _repetition is not None:
            sys.argv[1:] = _repetition.arguments
        with contextlib.suppress(repeating.Enough):
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
    status = ended if ended is not None else _overall(_statuses if at_once is None else at_once.statuses())
    sweep = _sweep if at_once is None else at_once.folder
    if sweep is not None and not asks_hydra:
        from experiments.sweep_end import finish

        finish(sweep, status, is_whole=ended is None)
        if at_once is not None and at_once.is_tracked:
            subprocess.run([sys.executable, "-m", "experiments.tracking", str(sweep)], check=False)
    return status


def _overall(statuses: list[int]) -> int:
    return FAILED if FAILED in statuses else INVALID if INVALID in statuses else COMPLETE


if __name__ == "__main__":
    sys.exit(main())
