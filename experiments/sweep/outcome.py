"""What a job gives back to its sweeper: a number to optimise, and how the run ended."""

import json
import math
from pathlib import Path
from typing import Any

from analysis.comparison.compared import BY_KEY
from experiments.plan.config import ConfigError
from experiments.runner.exit_status import ExitStatus


class Outcome(float):
    """The value of `comparison.primary`, NaN where there is none; it goes through pickle to a launcher's processes."""

    status: int

    def __new__(cls, value: float, status: int) -> "Outcome":
        """`status` is the run's exit status."""
        outcome = super().__new__(cls, value)
        outcome.status = status
        return outcome

    def __reduce__(self) -> tuple[type["Outcome"], tuple[float, int]]:
        """What pickle makes it from again."""
        return Outcome, (float(self), self.status)


class NotMeasuredError(Exception):
    """A run without a value, for a sweeper that optimises: its trial failed, and tells nothing of its settings.

    Optuna counts such a trial as failed and goes on as long as `hydra.sweeper.max_failure_rate` allows; a NaN told as a
    value ends its study.
    """

    def __init__(self, text: str, status: int) -> None:
        """`status` is the run's exit status."""
        super().__init__(text, status)
        self.status = status


def outcome_of(folder: Path, primary: str, status: int) -> Outcome:
    """The outcome of the run in `folder`: a value only where it is complete and valid."""
    if status != ExitStatus.COMPLETE or not (folder / "metrics.json").exists():
        return Outcome(math.nan, status)
    return Outcome(value_of(json.loads((folder / "metrics.json").read_text(encoding="utf-8")), primary), status)


def value_of(metrics: dict[str, Any], primary: str) -> float:
    """The value of a metric; NaN = it is not known.

    A latency that lies among requests that were not served, and a recovery that never came, are worse than any number.
    """
    value = metrics[primary]
    if value is not None:
        return float(value)
    is_latency = primary.startswith("latency_")
    if is_latency and metrics.get("failed_requests"):
        return math.inf
    return math.inf if primary == "recovery_s" and metrics.get("recovered") is False else math.nan


def check_direction(sweeper: Any, primary: str) -> None:  # noqa: ANN401 - any sweeper's section
    """Refuse to search for the worst: the direction that a sweeper optimises in must be that of the metric.

    Raises:
        ConfigError: it is the other one, or there are several.
    """
    if "direction" not in sweeper:
        return
    better = "minimize" if BY_KEY[primary].lower_is_better else "maximize"
    direction = getattr(sweeper.direction, "name", sweeper.direction)
    if direction != better:
        raise ConfigError(
            f"hydra.sweeper.direction={direction}: must be {better}, as a job's value is comparison.primary={primary}"
        )
