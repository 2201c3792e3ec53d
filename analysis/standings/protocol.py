"""`evidence.json`: what was set before the data, and where in an evidence pack each run lies."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from record.files import FolderError, one_line, write_json
from record.naming import UNFIT

NAME = "evidence.json"
FORMAT = 1
FAMILIES = ("board", "pathology")
"""What errs with at most 5 % together: all verdicts of a board, or those under one pathology."""
RUNS, SAME, TUNING = "runs", "same", "tuning"
"""Folders of a pack: the board's runs; those of arms against themselves; those of tuning."""


@dataclass(frozen=True)
class ArmPlan:
    """An arm as it was typed."""

    name: str
    overrides: tuple[str, ...]
    tuned: tuple[str, ...] = ()
    """What tuning added."""

    @property
    def typed(self) -> tuple[str, ...]:
        """All of it."""
        return (*self.overrides, *self.tuned)


@dataclass(frozen=True)
class RowPlan:
    """A pathology, at one size of the fleet."""

    name: str
    scenario: str
    measure: str
    """What arms are compared by besides lost requests, a key of `measures.MEASURES`."""
    overrides: tuple[str, ...]
    """Times and sizes, equal for all arms."""
    about: str = ""
    """What goes wrong, a sentence."""
    replicas: int | None = None
    """None = as the scenario has it."""


@dataclass(frozen=True)
class Refusal:
    """A cell that cannot be asked."""

    row: str
    arm: str
    reason: str
    """The line of exit status 2."""


@dataclass(frozen=True)
class Protocol:
    """What was set before the data."""

    suite: str
    engine: str
    is_virtual: bool
    arms: tuple[ArmPlan, ...]
    rows: tuple[RowPlan, ...]
    seeds: tuple[int, ...]
    duration_s: float | None
    """Of each run; None = as each scenario has it."""
    common: tuple[str, ...]
    """Overrides that all arms have."""
    family: str
    tries: int
    """Of a run whose instrument did not work."""
    refused: tuple[Refusal, ...] = ()
    skipped: tuple[str, ...] = ()
    """Pathologies that nobody was asked, each with its reason."""
    same_groups: int = 0
    """Groups of pairs of each arm against itself a pathology; 0 = none."""
    ended: tuple[int, ...] = ()
    """The numbers of seeds at which the board was whole and judged before more were added."""
    command: tuple[str, ...] = ()
    """As typed last; where variables name arms' programs or plugins, after `env` and those."""
    earlier: tuple[tuple[str, ...], ...] = ()
    """Likewise, what was typed before that and was not the same, in its order."""
    format: int = FORMAT

    def refusal(self, row: str, arm: str) -> str | None:
        """Why an arm cannot be asked under a pathology; None = it can."""
        return next((each.reason for each in self.refused if (each.row, each.arm) == (row, arm)), None)

    def write(self, folder: Path) -> None:
        """`evidence.json`, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        write_json(folder / NAME, asdict(self))


def read_protocol(folder: Path) -> Protocol:
    """What was set before the data.

    Raises:
        FolderError: there is none that can be read.
    """
    path = folder / NAME
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FolderError(f"{folder}: no evidence pack ({NAME} is missing)") from error
    except (OSError, ValueError) as error:
        raise FolderError(f"{path}: cannot be read ({one_line(error)})") from error
    try:
        if content["format"] != FORMAT:
            raise FolderError(f"{path}: format {content['format']}, but {FORMAT} is read here; measure again")
        values: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in content.items()}
        values["arms"] = tuple(ArmPlan(a["name"], tuple(a["overrides"]), tuple(a["tuned"])) for a in content["arms"])
        values["rows"] = tuple(RowPlan(**{**row, "overrides": tuple(row["overrides"])}) for row in content["rows"])
        values["earlier"] = tuple(map(tuple, content.get("earlier", ())))
        values["refused"] = tuple(Refusal(**each) for each in content["refused"])
        return Protocol(**values)
    except (KeyError, TypeError, AttributeError) as error:
        raise FolderError(f"{path}: is not what `aegis evidence` writes ({one_line(error)})") from error


def fit_for_a_name(text: str) -> str:
    """What a folder can be called after."""
    return UNFIT.sub("-", text)


def folder_of(pack: Path, kind: str, row: str, arm: str, seed: int, attempt: int = 1) -> Path:
    """Where a run lies.

    Args:
        pack: the evidence pack.
        kind: `RUNS`, `SAME` or a folder of tuning.
        row: the pathology's name.
        arm: the arm's.
        seed: of the run.
        attempt: from 1 on, where an earlier one was not valid.
    """
    again = f",try={attempt}" if attempt > 1 else ""
    return pack / kind / fit_for_a_name(row) / f"{fit_for_a_name(arm)},seed={seed}{again}"
