"""A run again in virtual time: the same schedule, faults and seed, as it was configured or otherwise."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from analysis.metrics.measured import InNumbers, numbers_of
from experiments.plan.config import ConfigError
from experiments.plan.errors import one_line
from experiments.plan.installed import CONF
from experiments.plan.resolve import as_composed, resolve
from experiments.plan.schedule import build_schedule
from experiments.simulator.agenda import PastEventError
from experiments.simulator.manager import ScalerError
from experiments.simulator.simulation import rows
from experiments.simulator.stack import VirtualStack
from record.reading import Run
from record.schedule_hash import schedule_hash
from record.schema import METHOD
from record.shapes import Event
from record.work import as_table
from record.writing import phases

NAME = "sim"
"""Of the engine."""


class TwinError(Exception):
    """A run has no twin; one line that says why."""


def twin(run: Run, changes: Mapping[str, Any] | None = None) -> InNumbers:
    """A run's twin in virtual time.

    Args:
        run: live or simulated; one that is simulated keeps its engine's delays, others get those of `engine=sim`.
        changes: keys, dotted, that are to be otherwise.

    Raises:
        TwinError: its configuration is none that can be simulated.
    """
    try:
        return _twin(run, changes or {})
    except (ConfigError, OmegaConfBaseException, PastEventError, ScalerError) as error:
        raise TwinError(one_line(error)) from error


def _twin(run: Run, changes: Mapping[str, Any]) -> InNumbers:
    composed = as_composed(_in_virtual_time(run.manifest["config"]))
    composed.autoscaling.capacity = None  # of the run as it was; by it nothing is decided
    for key, value in changes.items():
        OmegaConf.update(composed, key, value)
    plan = resolve(composed)
    config = replace(plan.config, ledger="never" if run.work is None else "always")
    schedule = build_schedule(config.workload, config.seed)
    if schedule_hash(schedule) != run.manifest.get("schedule_hash"):
        raise TwinError("this version of the code makes another schedule of it (schedule_hash)")
    if [fault.as_dict() for fault in plan.faults] != run.manifest.get("faults"):
        raise TwinError("this version of the code plans other faults for it")
    events: list[Event] = []

    def sink(source: str, event: str, t_s: float, **detail: object) -> None:
        events.append(cast(Event, {"t_s": t_s, "source": source, "event": event, **detail}))

    stack = VirtualStack(config, plan.faults, schedule, sink)
    stack.run(lambda _: True)
    requests = rows(stack, schedule).to_pandas()
    requests["phase"] = phases(requests["scheduled_s"].to_numpy(), config.workload.warmup_s, events)
    planned = schedule if stack.load.asked_s is None else requests
    manifest = run.manifest | {"config": plan.resolved, "virtual_time": True}
    work = None if stack.work is None else as_table(stack.work).to_pandas()
    needed = None if changes else run.demand  # what is otherwise may need another number
    about = (planned["scheduled_s"], schedule["demand_s"], schedule.get(METHOD), work, needed)
    return numbers_of(Run(run.folder, manifest, requests, events, stack.samples, *about))


def _in_virtual_time(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration with the simulator in its engine's place, and without what only concerned that."""
    if (config.get("engine") or {}).get("name") == NAME:
        return config
    # `resolve` and `load.fit` have set the rate by now.
    return config | {
        "engine": yaml.safe_load((CONF / "engine" / f"{NAME}.yaml").read_text(encoding="utf-8")),
        "load": (config.get("load") or {}) | {"fit": False, "remote_workers": 0},
        "workload": config["workload"] | {"utilisation": None},
    }
