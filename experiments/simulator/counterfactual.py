"""What the router's failure handling bought in a run: the same run simulated without it, and with it as the check."""

from pathlib import Path
from typing import NamedTuple

from analysis.metrics.counterfactual import unserved_per_s
from analysis.metrics.measured import InNumbers
from experiments.plan.config import Config, RouterConfig
from experiments.plan.fault_command import COMMAND
from experiments.plan.resolve import as_composed, resolve
from experiments.simulator.twin import NAME, TwinError, twin
from record.counterfactual import write
from record.reading import read
from record.shapes import Counterfactual, Simulated


class Part(NamedTuple):
    """A part of the handling, and how it is taken away."""

    words: str
    key: str
    value: int | bool


RETRIES = Part("retries", "router.retry.max_attempts", 1)
CHECKS = Part("health checks", "router.health.enabled", False)
EJECTION = Part("passive ejection", "router.ejection.enabled", False)
MOST_REQUESTS = 200_000
"""Of a run to which `auto` adds: to simulate so many twice takes some seconds."""


def handling(router: RouterConfig | None) -> list[Part]:
    """What of the handling a run has; the leases of the replicas and the policy are none of it, and stay."""
    if router is None:
        return []
    has = {RETRIES: router.retry.max_attempts > 1, CHECKS: router.health.enabled, EJECTION: router.ejection.enabled}
    return [part for part, is_there in has.items() if is_there]


def is_asked_for(config: Config, *, has_faults: bool, is_single: bool, requests: int) -> bool:
    """Whether a run is to have its counterfactual, by the key `counterfactual`.

    Args:
        config: the run's.
        has_faults: whether anything is to fail in it.
        is_single: it is no job of a sweep, and no replay.
        requests: of its schedule.
    """
    if config.counterfactual == "auto":
        can_be = is_single and requests <= MOST_REQUESTS and not any(f.action == COMMAND for f in config.faults)
        return has_faults and can_be and bool(handling(config.own_router))
    return has_faults and config.counterfactual == "always"


def add(folder: Path) -> Counterfactual:
    """Simulate a run without its failure handling, and as it was where it was measured; leave both in its folder.

    Args:
        folder: the run's; its files are whole.

    Raises:
        TwinError: it cannot be simulated, or there is nothing to take away; one line.
        FolderError: a file of the run is damaged.
        OSError: the disk does not take it.
    """
    run = read(folder)
    config = resolve(as_composed(run.manifest["config"])).config
    parts = handling(config.own_router)
    if config.own_router is None:
        raise TwinError("router=none has no failure handling to be simulated without")
    if not parts:
        raise TwinError("retries, health checks and passive ejection are switched off already")
    both: Counterfactual = {
        "run_id": run.manifest["run_id"],
        "started_at": run.manifest["started_at"],
        "schedule_hash": run.manifest["schedule_hash"],
        "without": [part.words for part in parts],
        "overrides": [f"{part.key}={str(part.value).lower()}" for part in parts],
        "handled": None if config.engine.name == NAME else _kept(twin(run)),
        "unhandled": _kept(twin(run, {part.key: part.value for part in parts})),
    }
    write(folder, both)
    return both


def _kept(simulated: InNumbers) -> Simulated:
    return {"metrics": simulated.metrics, "unserved_per_s": unserved_per_s(simulated.run)}
