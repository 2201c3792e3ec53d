"""The end of a run or a sweep, as Hydra's callback: collects how the jobs ended, and ends with the exit status."""

import contextlib
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from experiments.plan.config import ConfigError
from experiments.plan.errors import one_line
from experiments.plan.installed import missing
from experiments.runner.exit_status import ExitStatus
from experiments.runner.supervision import say
from experiments.sweep import optuna
from experiments.sweep.jobs import ONE_BY_ONE
from experiments.sweep.outcome import NotMeasuredError
from experiments.sweep.sweep import NAME
from experiments.tracking.companion import SweepCompanion
from record.place import Claim, hold, is_held

STATUSES = ".statuses"
"""In a sweep's folder while it goes on: a line a job that has ended. A launcher's jobs are processes of their own, and
what they give back goes to the sweeper alone, whichever that is."""
_ENDED: set[Path] = set()
"""Folders of sweeps whose end has begun: what interrupts that must not take away what it has written."""

_CLAIMS: dict[Path, Claim] = {}
"""Folders of sweeps that this process has taken."""


class Ending(Callback):
    """Named in `conf/config.yaml` under `hydra.callbacks`."""

    def on_run_end(self, config: DictConfig, **about: Any) -> None:  # noqa: ANN401 - Hydra's signature
        """End with the run's status; what the job raised, Hydra raises."""
        result: JobReturn = about["job_return"]
        if result.status == JobStatus.COMPLETED:
            raise SystemExit(int(result.return_value.status))

    def on_multirun_start(self, config: DictConfig, **about: Any) -> None:  # noqa: ANN401
        """Let the sweep be known from now on, so that it can be ended when it is interrupted."""
        HydraConfig.instance().set_config(config)
        if not is_held(Path(config.hydra.sweep.dir)):
            (Path(config.hydra.sweep.dir) / STATUSES).unlink(missing_ok=True)
        optuna.let_end(OmegaConf.select(config, "hydra.sweeper.sampler._target_"))
        self._began = time.time()

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **about: Any) -> None:  # noqa: ANN401
        """In the job's process: note how it ended."""
        if config.hydra.mode == RunMode.MULTIRUN:
            note_status(Path(config.hydra.sweep.dir), _status_of(job_return))

    def on_multirun_end(self, config: DictConfig, **about: Any) -> None:  # noqa: ANN401
        """End the sweep, and with its status."""
        status: int = ExitStatus.of_all(_statuses(Path(config.hydra.sweep.dir)))
        try:
            status = end(config, status, is_whole=True, since=self._began)
        except Exception as error:  # of which Hydra would make a warning, and status 0
            say(f"failed: {one_line(error)}")
            status = ExitStatus.FAILED
        raise SystemExit(status)


def take(folder: Path) -> None:
    """Make a folder this sweep's, until its end.

    Raises:
        ConfigError: another sweep is going on there.
    """
    if (claim := hold(folder)) is None:
        raise ConfigError(f"{folder}: another sweep writes here; choose another hydra.sweep.dir")
    _CLAIMS[folder] = claim


def note_status(folder: Path, status: int) -> None:
    """Note how a job of the sweep in `folder` ended."""
    with (folder / STATUSES).open("a", encoding="utf-8") as file:
        file.write(f"{status:d}\n")


def end_without_result() -> int:
    """End a search of which no trial counts; return how its runs ended."""
    config = cast(DictConfig, HydraConfig.instance().cfg)
    status = ExitStatus.of_all(_statuses(Path(config.hydra.sweep.dir)))
    return end(config, status, is_whole=True)


def end_interrupted(status: int) -> None:
    """End the sweep that an interruption hit, if it was one."""
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        config = cast(DictConfig, HydraConfig.instance().cfg)
        if Path(config.hydra.sweep.dir) not in _ENDED:
            end(config, status, is_whole=False)


def end(config: DictConfig, status: int, *, is_whole: bool, since: float | None = None) -> int:
    """Compare the sweep's runs and log them, where its jobs did not; return the sweep's exit status.

    Args:
        config: with Hydra's section.
        status: that of its jobs.
        is_whole: whether every job has ended.
        since: when its first job was begun, seconds since 1970, where that is known.
    """
    from experiments.sweep.end import finish

    folder = Path(config.hydra.sweep.dir)
    _ENDED.add(folder)
    (folder / STATUSES).unlink(missing_ok=True)
    is_logged = SweepCompanion.of(folder) is not None
    status = finish(folder, status, is_whole=is_whole, since=since)
    if not is_logged and config.hydra.launcher._target_ != ONE_BY_ONE and _is_tracked(config):
        subprocess.run([sys.executable, "-m", "experiments.tracking", str(folder)], check=False)
    if (claim := _CLAIMS.pop(folder, None)) is not None:
        claim.release()
    return int(status)


def _is_tracked(config: DictConfig) -> bool:
    """Whether the runs of our own sweeper's parallel jobs are to be logged, which did not log themselves."""
    if config.hydra.sweeper._target_ != NAME:
        return False
    asked = config.hydra.sweeper.tracking
    return missing("tracking") is None if asked is None else bool(asked)


def _status_of(result: JobReturn) -> int:
    if result.status == JobStatus.COMPLETED:
        return int(result.return_value.status)
    error = result._return_value  # `return_value` would print and raise it
    return error.status if isinstance(error, NotMeasuredError) else ExitStatus.FAILED


def _statuses(folder: Path) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        return [int(line) for line in (folder / STATUSES).read_text(encoding="utf-8").split()]
    return []
