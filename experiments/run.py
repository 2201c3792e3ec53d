"""Runs an experiment: `python -m experiments.run +scenario=failover`.

`-m` sweeps; `repeat.resume=DIR` goes on with a sweep; `--dry-run` beside any of them starts nothing.

Exit status: 0 complete and valid; 1 it failed; 2 the configuration is wrong; 3 complete, but not valid;
4 complete and valid, but an `expect` does not hold;
130 and 143 interrupted by SIGINT and SIGTERM.
"""

import contextlib
import math
import os
import sys
from pathlib import Path

if not __package__:  # `python experiments/run.py`, which Hydra's tab completion asks for
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments.calibration.fitting import fitted
from experiments.plan import store
from experiments.plan.composing import is_of_composing, why
from experiments.plan.config import ConfigError
from experiments.plan.engines import engine_of
from experiments.plan.errors import WrongError, one_line
from experiments.plan.expecting import quoted
from experiments.plan.installed import CONF
from experiments.plan.original import COMMANDS
from experiments.plan.resolve import resolve
from experiments.runner.exit_status import ExitStatus
from experiments.runner.reader import outlive_the_reader
from experiments.runner.supervision import Interrupted, ended_by_signals, say, status_of, supervise
from experiments.sweep import jobs, optuna, sweeper
from experiments.sweep.ending import end_interrupted, end_without_result
from experiments.sweep.jobs import place, spread
from experiments.sweep.outcome import NotMeasuredError, Outcome, check_direction, outcome_of
from experiments.sweep.resuming import resumed
from experiments.sweep.showing import shown
from experiments.sweep.sweep import NAME
from services.door.access import TokenError, admin_token

BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
DRY_RUN = "--dry-run"
RESUME = "repeat.resume="
CONFIG_ERRORS = (ConfigError, TokenError, HydraException, OmegaConfBaseException)


def scenarios() -> list[str]:
    """The names of the scenarios there are."""
    return sorted(path.stem for path in (CONF / "scenario").glob("*.yaml"))


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def job(composed: DictConfig) -> Outcome:
    """One job of Hydra's; returns how it ended, since an exit would end a sweep, and the value of its primary metric.

    Raises:
        WrongError: its configuration is wrong.
        NotMeasuredError: it has no value, and its sweeper optimises.
    """
    asked = HydraConfig.get()
    is_swept = asked.mode == RunMode.MULTIRUN
    is_ours = asked.sweeper._target_ == NAME
    is_optimised = is_swept and asked.sweeper._target_ not in (NAME, BASIC)
    folder = Path(asked.runtime.output_dir)
    try:
        plan = resolve(composed, asked.overrides.task)
        engine_of(plan.config).check_here(plan.config)
        if not (is_swept and is_ours):
            jobs.check_alone(plan.config)
            jobs.check_launcher(plan.config, asked.launcher._target_, is_swept=is_swept)
        if is_optimised:
            if plan.config.expect:
                raise ConfigError("expect: a search tries what does not meet it; expect it of a run of what was found")
            check_direction(asked.sweeper, plan.primary)
    except CONFIG_ERRORS as error:
        with contextlib.suppress(OSError):
            folder.rmdir()  # Hydra made it
        raise WrongError(one_line(error)) from error
    if not (is_swept and is_ours):  # that sweeper has said them, once for all jobs
        for note in plan.notes:
            say(note)
    from experiments.session import Session

    session = Session(
        plan=fitted(plan) if plan.config.load.fit else plan,
        scenario=asked.runtime.choices["scenario"],
        folder=folder,
        overrides=list(asked.overrides.task),
        sweep_dir=Path(asked.sweep.dir).absolute() if is_swept else None,
        # Another sweeper orders its jobs by itself.
        order=asked.sweeper.get("order") if is_swept else 0,
        looks=list(asked.sweeper.get("looks") or []),
        may_rename=not any(text.startswith(("hydra.run.", "hydra.sweep.dir")) for text in asked.overrides.hydra),
        hydra_files={
            "config.yaml": OmegaConf.to_yaml(composed),
            "hydra.yaml": OmegaConf.to_yaml(HydraConfig.instance().cfg),
            "overrides.yaml": OmegaConf.to_yaml(asked.overrides.task),
        },
    )
    outcome = outcome_of(session.folder, plan.primary, supervise(session))
    if is_optimised and math.isnan(outcome):
        raise NotMeasuredError(f"{session.folder}: no {plan.primary} that counts", outcome.status)
    return outcome


def main() -> int:
    """Run what the command line says; return the exit status, where Hydra's callback has not ended with it."""
    if sys.flags.optimize:
        say(f"PYTHONOPTIMIZE={sys.flags.optimize}: takes out assertions, by which Hydra reads overrides; unset it")
        return ExitStatus.WRONG
    outlive_the_reader()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise, so that the status and the wording are ours
    sweeper.register()
    is_dry = DRY_RUN in sys.argv[1:]
    arguments = place([argument for argument in sys.argv[1:] if argument != DRY_RUN])
    is_resumed = any(argument.startswith(RESUME) for argument in arguments)
    ours = ("-m", "--multirun", *([COMMANDS] if is_resumed else []))
    asks_hydra = any(argument.startswith("-") and argument not in ours for argument in arguments)
    if not asks_hydra and not is_resumed and not any(a.lstrip("+").startswith("scenario=") for a in arguments):
        say(f"no scenario: add +scenario=NAME, one of {', '.join(scenarios())}")
        return ExitStatus.WRONG
    try:
        store.register()
        arguments = spread(quoted(arguments))
        if not asks_hydra:
            admin_token()
        if is_resumed:
            arguments = resumed(arguments)
        if is_dry:
            from experiments.sweep.dry_run import show

            show(arguments)
            return ExitStatus.COMPLETE
        with ended_by_signals():
            for number, command_line in enumerate(shown(arguments) if asks_hydra else [arguments]):
                if number:
                    print("---")  # YAML's sign between documents
                sys.argv[1:] = command_line  # Hydra reads it there
                job()
    except WrongError as error:
        say(str(error))
        return ExitStatus.WRONG
    except CONFIG_ERRORS as error:
        say(one_line(error))
        return ExitStatus.WRONG
    except (Interrupted, KeyboardInterrupt) as error:
        status = status_of(error)
        end_interrupted(status)
        return status
    except Exception as error:
        if is_of_composing(error):
            say(why(arguments, error))
            return ExitStatus.WRONG
        # Nothing of ours: let it be seen, but leave no sweep open.
        if optuna.found_nothing(error):
            say("the search has no result: no trial has a value that counts (why, is said above for each)")
            return end_without_result()
        end_interrupted(ExitStatus.FAILED)
        raise
    return ExitStatus.COMPLETE


if __name__ == "__main__":
    sys.exit(main())
