"""Optuna's sweeper for Hydra, with what a search over measurements needs: a trial may fail."""

from importlib.util import find_spec

from hydra.core.config_store import ConfigStore

PACKAGE = "hydra_plugins.hydra_optuna_sweeper"
GRID = "optuna.samplers.GridSampler"


def register() -> None:
    """Other defaults, where the sweeper is installed: a run that failed or is not valid is a failed trial, not the
    study's end; and each trial knows those before it.

    Under the name of its plugin, since Hydra holds a file of that name in `conf/` against the plugin's entry.
    """
    if find_spec(PACKAGE) is None:
        return
    from hydra_plugins.hydra_optuna_sweeper.config import OptunaSweeperConf

    node = OptunaSweeperConf(max_failure_rate=1.0, n_jobs=1)
    ConfigStore.instance().store(group="hydra/sweeper", name="optuna", node=node, provider="aegis")


def let_end(sampler: str | None) -> None:
    """Let a search with `sampler` (a dotted name) end with a trial that failed.

    Optuna 2.10's sampler of a grid stops the study after the last trial, which is an error in a study that others run.
    Hydra's sweeper, which counts a grid's trials by itself, expects that error after a trial with a value only.
    """
    if sampler == GRID:
        from optuna.samplers import GridSampler

        setattr(GridSampler, "after_trial", lambda *_: None)  # noqa: B010 - the type checker refuses an assignment


def found_nothing(error: Exception) -> bool:
    """Whether a search ended with `error` because none of its trials has a value."""
    return isinstance(error, ValueError) and str(error) == "No trials are completed yet."
