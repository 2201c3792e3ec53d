"""What tuning chose and what it bought, from `tuning.json` of a pack."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from record.files import FolderError, one_line

NAME = "tuning.json"


@dataclass(frozen=True)
class Tuned:
    """One arm."""

    arm: str
    tries: int
    """Settings that were tried, its own among them."""
    grid: int
    """Settings that its grid has."""
    chosen: tuple[str, ...]
    """Empty = its own."""
    gain: float | None
    """The p99 with what was chosen over that without, on seeds that the choice did not see: the geometric mean over
    seeds and the pathologies that are compared by it; None = nothing was chosen, or it is not known."""
    lost: tuple[float, float]
    """Share of requests lost without and with it, on those seeds."""
    rejected: tuple[str, ...] = ()
    """What was best of the tries, and on those seeds no better than its own; `gain` and `lost` are then its."""
    counts_late: bool = False
    """Whether `lost` holds those served too late, too: where a pathology is compared by what is served in time."""

    def sentence(self) -> str:
        """In words."""
        tried = f"{self.tries} of {self.grid} settings tried"
        if not self.chosen and not self.rejected:
            return f"{self.arm}: {tried}; its own were kept"
        change = "p99 not known" if self.gain is None else f"p99 x {self.gain:.3f}"
        what = "lost or late" if self.counts_late else "lost"
        lost = f"{what} {100 * self.lost[0]:.2f} -> {100 * self.lost[1]:.2f} %"
        on_others = f"{change}, {lost} on seeds of its own"
        if self.rejected:
            return f"{self.arm}: {tried}; its own were kept: {' '.join(self.rejected)} was best there, and {on_others}"
        return f"{self.arm}: {tried}; chosen {' '.join(self.chosen)}: {on_others}"


def read_tuned(pack: Path) -> list[Tuned]:
    """Of all arms; empty where nothing was tuned.

    Raises:
        FolderError: the file is damaged.
    """
    path = pack / NAME
    if not path.exists():
        return []
    try:
        content: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["arms"]
        return [Tuned(**{**each, **_tuples(each)}) for each in content]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FolderError(f"{path}: cannot be read ({one_line(error)})") from error


def _tuples(each: dict[str, Any]) -> dict[str, Any]:
    """Packs of before arms kept their own have no `rejected`."""
    return {"chosen": tuple(each["chosen"]), "lost": tuple(each["lost"]), "rejected": tuple(each.get("rejected", ()))}


def sentences(pack: Path) -> list[str]:
    """Of each arm."""
    return [each.sentence() for each in read_tuned(pack)] or ["nobody was tuned (--tune asks for it)"]
