"""What was set before the data: what arms are compared by, and where a growing sweep is judged."""

from dataclasses import dataclass
from typing import Any

from analysis.comparison.arms import ComparisonError, Measured
from analysis.comparison.compared import BY_KEY
from analysis.comparison.effects import Estimand
from analysis.comparison.sequential import Look, extended, look
from analysis.comparison.verdicts import Smallest

SMALLEST = {"effect": 0.05, "share": 0.001, "seconds": 1.0, "count": 1.0}
"""The smallest effects of interest of a run that did not say them."""


@dataclass(frozen=True)
class Plan:
    """What was set before the data, equal in all runs."""

    primary: str
    smallest: Smallest
    estimand: Estimand
    until: float | None
    most: int


def plan_of(config: dict[str, Any]) -> Plan:
    """What the manifests say; where older ones say nothing, the defaults.

    Raises:
        ComparisonError: it cannot be used.
    """
    given, repeat = config.get("comparison") or {}, config.get("repeat") or {}
    primary, estimand = given.get("primary") or "latency_p99_ms", given.get("estimand") or "system"
    try:
        sizes = [float(given.get(f"smallest_{name}", default)) for name, default in SMALLEST.items()]
        most = int(repeat.get("max") or 20)
    except (TypeError, ValueError) as error:
        raise ComparisonError(f"config.comparison of the manifests: {error}") from error
    if primary not in BY_KEY or estimand not in ("system", "run") or min(sizes) <= 0:
        raise ComparisonError(
            f"config.comparison of the manifests: primary {primary}, estimand {estimand}, smallest effects {sizes}: "
            "not what arms can be compared by"
        )
    about: Estimand = "run" if estimand == "run" else "system"
    return Plan(primary, Smallest(*sizes), about, repeat.get("until_ratio_ci"), most)


def look_reached(plan: Plan, runs: list[Measured], pairs: int) -> Look | None:
    """Where the sweep stands, by its runs' plan and by the ends that it had before they were begun."""
    told = max((run.run.manifest.get("looks") or [] for run in runs), key=len)
    ended_at = tuple(sorted({int(pair) for pair in told if 0 < int(pair) < pairs}))
    if ended_at:
        return extended(pairs, ended_at)
    return None if plan.until is None else look(pairs, plan.most)
