"""A fit as it lies in its folder, read again."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.fitting.inversion import Floats
from experiments.fitting.overrides import Failed
from experiments.fitting.written import FLEET, PLAYED, TRACE
from record.files import FolderError
from record.parquet import read_frame


class NotFittedError(Exception):
    """The log was refused; one line that says why and what to collect."""


@dataclass(frozen=True)
class Kept:
    """What others need of a fit."""

    slots: tuple[int, ...]
    """That the log does not rule out, the likeliest first."""
    reference: int
    """Place of the host of speed 1."""
    drawn: Floats
    """Speeds that the log does not rule out, shape (some, hosts)."""
    overrides: tuple[str, ...]
    simulated: tuple[str, ...]
    outages: tuple[Failed, ...]
    trace: pd.DataFrame

    @property
    def hosts(self) -> int:
        """How many there were."""
        return int(self.drawn.shape[1])

    def speeds_for(self, replicas: int, speeds: Floats) -> list[float]:
        """Of so many replicas: the hosts in their order, and others as fast as the reference."""
        known: list[float] = speeds.tolist()[:replicas]
        return known + [float(speeds[self.reference])] * (replicas - len(known))


def kept(folder: Path) -> Kept:
    """Read it.

    Raises:
        FolderError: there is no fit.
        NotFittedError: the log was refused.
    """
    try:
        about = json.loads((folder / FLEET).read_text(encoding="utf-8"))
        if (refused := about["refused"]) is not None:
            raise NotFittedError(f"{folder}: not fitted, {refused['reason']}; {refused['collect']}")
        fleet, played = about["fleet"], about["played"]
        return Kept(
            tuple(int(each) for each in fleet["slots"]),
            list(fleet["hosts"]).index(fleet["reference"]),
            np.array(about["drawn"], np.float64),
            tuple(played["overrides"]),
            tuple(played["simulated"]),
            tuple(Failed(*each) for each in about["outages"]),
            read_frame(folder / TRACE),
        )
    except FileNotFoundError as error:
        name = Path(error.filename or FLEET).name
        raise FolderError(f"{folder}: no {name} in it; `aegis fit {folder}` makes it") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FolderError(f"{folder}: {FLEET}, {PLAYED} or {TRACE} is damaged; `aegis fit {folder}` again") from error
