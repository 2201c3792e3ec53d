"""Runs an experiment: `python -m experiments.run +scenario=failover`.

Exit status: 0 complete and valid; 1 it failed; 2 the configuration is wrong; 3 complete, but not valid;
130 and 143 interrupted by SIGINT and SIGTERM.
"""

import asyncio
import contextlib
import os
import signal
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

from experiments import config as configuration
from experiments import repeating
from experiments.config import Config, ConfigError
from experiments.config_errors import check_keys, one_line
from experiments.sweep import check_jobs

CONF = Path(__file__).resolve().parent.parent / "conf"
COMPLETE, FAILED, WRONG, INVALID = 0, 1, 2, 3
"""Exit statuses, as DVC's stage and scripts read them."""


class Interrupted(BaseException):
    """A signal ended the run; carries its number."""


class Wrong(BaseException):
    """The configuration is wrong; carries the line to print. (Hydra would add its own to an Exception.)"""


CONFIG_ERRORS = (ConfigError, HydraException, OmegaConfBaseException)
_statuses: list[int] = []
"""Of the jobs that have ended."""
_jobs = 1
"""How many there will be."""
_repetition: repeating.Repetition | None = None
"""The sweep, where the number of its pairs is left to the data."""


def scenarios() -> list[str]:
    """The names of the scenarios there are."""
    return sorted(path.stem for path in (CONF / "scenario").glob("*.yaml"))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@hydra.main(version_base="1.3", config_path="../conf", config_name="config")
def _job(composed: DictConfig) -> None:
    """One job of Hydra's; leaves its status behind, since an exit would end a sweep."""
    global _jobs
    hydra_config = HydraConfig.get()
    sweeping = hydra_config.mode == RunMode.MULTIRUN
    folder = Path(hydra_config.runtime.output_dir)
    try:
        if sweeping and not _statuses and _repetition is None:
            _jobs = len(check_jobs(sys.argv[1:]))
        check_keys(cast(dict[str, Any], OmegaConf.to_container(composed)))
        config = cast(Config, OmegaConf.to_object(composed))
        faults = configuration.validate(config)
        if config.load.ui and (config.router is None or sweeping):
            raise ConfigError("load.ui=true: the web UI needs a router and a single run")
        if config.repeat.until_ratio_ci is not None and _repetition is None:
            raise ConfigError(f"{repeating.KEY}: is for the command line of a sweep, with -m and two arms or more")
    except CONFIG_ERRORS as error:
        with contextlib.suppress(OSError):
            folder.rmdir()  # Hydra made it
        raise Wrong(one_line(error)) from error
    from experiments.session import Session

    session = Session(
        config=config,
        resolved=cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True)),
        faults=faults,
        scenario=hydra_config.runtime.choices["scenario"],
        folder=folder,
        overrides=list(hydra_config.overrides.task),
        sweep_dir=Path(hydra_config.sweep.dir).absolute() if sweeping else None,
    )
    _statuses.append(_with_signals(session))
    if _repetition is not None:
        _repetition.after_job(session.folder, _statuses[-1])
    elif sweeping and len(_statuses) == _jobs:
        print(f"compare its arms: python -m analysis.compare {hydra_config.sweep.dir}")


def _with_signals(session: Any) -> int:  # noqa: ANN401
    """Run the session; the first SIGINT, SIGTERM or SIGHUP ends it in order, further ones change nothing."""

    async def supervised() -> int:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(session.run())
        caught: list[int] = []

        def interrupt(number: int) -> None:
            caught.append(number)
            if len(caught) == 1:
                _say("\nstopping ..." if session.config.load.ui else "\nstopping: what was measured is being kept ...")
                session.interrupted = True
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, interrupt, number)
        with contextlib.suppress(asyncio.CancelledError):
            status = await task
            if not caught or session.config.load.ui:
                return int(status)
        raise Interrupted(caught[0])

    return asyncio.run(supervised())


def main() -> int:
    """Run what the command line says; return the exit status."""
    global _repetition
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise, so that the status and the wording are ours
    configuration.register()
    arguments = sys.argv[1:]
    asks_hydra = any(argument.startswith("-") and argument not in ("-m", "--multirun") for argument in arguments)
    if not asks_hydra and not any(a.lstrip("+").startswith("scenario=") for a in arguments):
        _say(f"no scenario: add +scenario=NAME, one of {', '.join(scenarios())}")
        return WRONG
    ended: int | None = None
    try:
        _repetition = None if asks_hydra else repeating.plan(arguments, CONF)
        if _repetition is not None:
            sys.argv[1:] = _repetition.arguments
        with contextlib.suppress(repeating.Enough):
            _job()
    except Wrong as error:
        _say(str(error))
        return WRONG
    except CONFIG_ERRORS as error:
        _say(one_line(error))
        return WRONG
    except Interrupted as error:
        ended = 128 + int(error.args[0])
    except KeyboardInterrupt:
        ended = 130
    status = ended if ended is not None else _overall(_statuses)
    if "experiments.session" in sys.modules:
        _finish_sweep(status)
    return status


def _overall(statuses: list[int]) -> int:
    return FAILED if FAILED in statuses else INVALID if INVALID in statuses else COMPLETE


def _finish_sweep(status: int) -> None:
    from experiments.session import Session

    if Session.sweeps_tracked is not None:
        word = "FINISHED" if status in (COMPLETE, INVALID) else "FAILED" if status == FAILED else "KILLED"
        command = [sys.executable, "-m", "experiments.tracking", "--finish-sweep", str(Session.sweeps_tracked), word]
        subprocess.run(command, check=False)


if __name__ == "__main__":
    sys.exit(main())
