"""What a run's folder says of how to run it again, held against the code and the machine of now."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments.plan.config import ConfigError
from experiments.plan.errors import one_line
from experiments.plan.fault_command import COMMAND
from experiments.plan.fault_plan import Fault
from experiments.plan.inputs import inputs_of
from experiments.plan.resolve import Plan, as_composed, resolve
from record.files import FolderError, read_manifest
from record.provenance import commit_of
from record.shapes import Manifest

NEEDED = ("scenario", "seed", "exit_reason", "schedule_hash", "faults", "overrides")
"""Keys of a manifest without which it cannot be replayed."""


COMMANDS = "--commands"
"""Lets what a folder says run lines for the shell."""


class ReplayError(ValueError):
    """The run cannot be replayed; the text is one line that says why."""


def refused(folder: Path, faults: Iterable[Fault]) -> str | None:
    """The line that refuses faults that have a shell do something, of a folder from anybody; None = they do not."""
    line = next((fault.inject for fault in faults if fault.action == COMMAND), None)
    if line is None:
        return None
    return f"{folder}: its faults run commands ({line!r}, ...); read them, then add {COMMANDS}"


@dataclass
class Original:
    """A run that can be replayed."""

    folder: Path
    manifest: Manifest
    plan: Plan

    @property
    def name(self) -> str:
        """The folder's name, with the scenario where it does not tell it."""
        name, scenario = self.folder.absolute().name, str(self.manifest["scenario"])
        return name if scenario in name else f"{scenario}-{name}"


def read_original(folder: Path) -> Original:
    """The run in `folder` as it is to be run again: its configuration, schedule and faults.

    Raises:
        ReplayError: it is no run that this version of the code would run again as it was.
    """
    try:
        manifest = read_manifest(folder)
    except FolderError as error:
        raise ReplayError(str(error)) from error
    if absent := [key for key in NEEDED if manifest.get(key) is None]:
        raise ReplayError(f"{folder}: the manifest is incomplete, it lacks {', '.join(absent)}")
    if manifest.get("mode") == "ui":
        raise ReplayError(f"{folder}: a session of the web UI, nothing was measured")
    if manifest["exit_reason"] == "running":
        raise ReplayError(f"{folder}: the run is still going on")
    commit = commit_of(manifest)
    other = f"this version of the code would not run it as it was (commit {commit})"
    try:
        plan = as_planned(manifest["config"])
    except (ConfigError, OmegaConfBaseException) as error:
        raise ReplayError(f"{folder}: {other}: {one_line(error)}") from error
    if [fault.as_dict() for fault in plan.faults] != manifest["faults"]:
        raise ReplayError(f"{folder}: {other}: the planned faults come out otherwise")
    for then, now in zip(manifest.get("inputs") or [], inputs_of(plan.config), strict=False):
        if then["sha256"] != now["sha256"]:
            raise ReplayError(f"{folder}: {then['key']}={then['file']}: its content is not what it was (sha256)")
    from experiments.plan.schedule import build_schedule  # with pandas: who asks for help does not wait for it
    from record.schedule_hash import schedule_hash

    if schedule_hash(build_schedule(plan.config.workload, plan.config.seed)) != manifest["schedule_hash"]:
        raise ReplayError(f"{folder}: {other}: the schedule comes out otherwise (schedule_hash)")
    return Original(folder, manifest, plan)


def as_planned(content: dict[str, Any]) -> Plan:
    """The plan of a manifest's configuration; every key must be known, and none may be absent.

    Raises:
        ConfigError: it is wrong, or a key is not there.
        OmegaConfBaseException: a value of the wrong type.
    """
    composed = as_composed(content)
    present = set(_paths(content))
    if absent := [path for path in _paths(OmegaConf.to_container(composed)) if path not in present]:
        raise ConfigError(f"{absent[0]}: is missing in the manifest")
    return resolve(composed)


def _paths(node: object, prefix: str = "") -> Iterator[str]:
    """Every key below a node, dotted; items of a list by their number."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield f"{prefix}{key}"
        yield from _paths(value, f"{prefix}{key}.")
