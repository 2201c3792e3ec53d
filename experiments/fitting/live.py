"""Made-up systems as live runs, which stay in a folder: what is there is not measured again."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pandas as pd
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from experiments.fitting.made_up import System, config_of, faults_of
from experiments.fitting.reading import of_run
from experiments.fitting.truth import Truth
from experiments.plan import store
from experiments.plan.config import Config
from experiments.plan.differing import differing
from experiments.plan.fault_plan import Fault
from experiments.plan.installed import CONF
from experiments.plan.resolve import resolve
from experiments.runner.exit_status import ExitStatus
from experiments.runner.supervision import say
from record.files import FolderError, read_manifest, read_metrics
from record.reading import read
from record.schema import MANIFEST
from services.processes import python_module

LIVE_REQUESTS = 2400
"""Of a log: 20 s of most systems."""
MOST_RPS = 120.0
"""What router, replicas and generator do on two cores without delaying each other."""
LEAST_MEAN_MS = 30.0
"""Demands beside which late timers and the way to a host (some milliseconds) are small."""
LONGEST_S = 30.0
TRIES = 2
"""A run that is not valid is measured once more."""
SCENARIO = "+scenario=routed"
OF_SYSTEM = ("seed", "replicas", "replica", "workload", "load", "router", "policy", "tier")
"""The sections that say what a system is; engine and tracking are live runs' own."""
ALONE = ("tracking.enabled=false", "summary=never", "counterfactual=never", "ledger=never")


class NotMeasuredError(Exception):
    """What is typed cannot be measured here; one line."""


def slowed(system: System) -> System:
    """The same system in another unit of time, in which it can be played live, and its clock the run's own.

    Hosts, slots, speeds, utilisation, policy and the family of demands stay; its requests are fewer where all of them
    would take longer than `LONGEST_S`.
    """
    busy = system.utilisation * system.slots * sum(system.speeds)
    mean_ms = round(max(LEAST_MEAN_MS, busy / MOST_RPS * 1e3), 1)
    longest = int(busy / (mean_ms / 1e3) * LONGEST_S)
    return replace(system, mean_ms=mean_ms, requests=min(system.requests, longest), step_s=0.0)


def overrides_of(system: System) -> list[str]:
    """What is typed to measure it."""
    typed = [SCENARIO, *(_typed(key, value) for key, value in _differing(config_of(system)))]
    if faults := faults_of(system):
        typed.append(f"faults=[{','.join(_fault(fault) for fault in faults)}]")
    return [*typed, *ALONE]


def _differing(config: Config) -> Iterator[tuple[str, object]]:
    plain = _plain()
    for section in OF_SYSTEM:
        mine, theirs = getattr(config, section), getattr(plain, section)
        if isinstance(mine, int):
            yield section, mine
        else:
            yield from differing(mine, theirs, section)


@cache
def _plain() -> Config:
    """The scenario by itself."""
    store.register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return resolve(compose("config", overrides=[SCENARIO])).config


def _typed(key: str, value: object) -> str:
    shown = f"{value:.6g}" if isinstance(value, float) else value
    return f"{'policy' if key == 'policy.name' else key}={shown}"


def _fault(fault: Fault) -> str:
    given = {"at_s": fault.at_s, "action": fault.action, "target": fault.target, "for_s": fault.for_s}
    given |= fault.parameters
    return "{" + ", ".join(f"{key}: {value}" for key, value in given.items() if value is not None) + "}"


def measured(place: Path, overrides: Sequence[str]) -> Path | None:
    """The folder of a valid run below `place`, which is measured where there is none; None = there was none in two.

    Raises:
        NotMeasuredError: its configuration is refused.
        FolderError: there is a run of something else.
    """
    for number in range(1, TRIES + 1):
        folder = place / str(number)
        if not read_metrics(folder) and (why := _measure(folder, overrides)) is not None:
            say(f"{folder}: failed, {why}")
            continue
        if read_manifest(folder)["overrides"] != list(overrides):
            raise FolderError(f"{folder}: a run of something else; choose another folder")
        metrics = read_metrics(folder)
        if metrics["valid"]:
            return folder
        say(f"{folder}: not valid, {metrics['invalid_reasons'][0]}")
    return None


def _measure(folder: Path, overrides: Sequence[str]) -> str | None:
    """Why it failed; None = it did not."""
    if (folder / MANIFEST).is_file():  # broken off
        shutil.rmtree(folder)
    command = python_module("experiments.run", *overrides, f"hydra.run.dir={folder}")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        _, told = process.communicate()  # where this is interrupted, so is the run, and it ends in order
    if process.returncode in (ExitStatus.COMPLETE, ExitStatus.INVALID):
        return None
    last = (told.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
    if process.returncode == ExitStatus.WRONG:
        raise NotMeasuredError(last)
    return last


def log_in(folder: Path) -> tuple[pd.DataFrame, Truth]:
    """What the clients of a run saw of its requests, as a log, and what is true of it by the word of its replicas.

    Raises:
        FolderError: the run is damaged.
    """
    run = read(folder)
    replicas = [f"r{number}" for number in range(1, int(run.manifest["config"]["replicas"]) + 1)]
    answered = run.requests[run.requests["outcome"] == "ok"]
    waited = answered["queue_s"] > 1e-6
    way_s = answered["completed_s"] - answered["sent_s"] - answered["queue_s"] - answered["service_s"]
    way_s = way_s.mask(waited, 0.0)
    ways_s = way_s.groupby(answered["replica"]).mean()
    failing = [(fault.landed_s, fault.ends_s(run.end_s)) for fault in run.faults if fault.action == "error"]
    return of_run(run.requests), Truth(
        float(waited.mean()),
        run.demand_s.to_numpy(),
        failing[0] if failing else None,
        tuple(float(ways_s.get(each, 0.0)) for each in replicas),
        float(way_s.std()),
    )
