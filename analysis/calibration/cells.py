"""What calibrating the comparison counts: experiments of one kind, how often something held, targets and tables."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

ERRORS = 3.0
"""Standard errors of the simulation by which a figure must miss its target to count as outside."""


@dataclass(frozen=True, slots=True)
class Share:
    """How many of how many experiments."""

    count: int
    of: int

    @property
    def value(self) -> float:
        """From 0 to 1; NaN of none."""
        return self.count / self.of if self.of else math.nan

    @property
    def error(self) -> float:
        """Standard error; with one experiment more of each kind, so that 0 and 1 do not seem exact."""
        smoothed = (self.count + 1) / (self.of + 2)
        return math.sqrt(smoothed * (1 - smoothed) / max(1, self.of))

    def __str__(self) -> str:
        """Per cent, with one standard error."""
        return f"{100 * self.value:.1f} ± {100 * self.error:.1f}" if self.of else "-"


@dataclass(frozen=True)
class Column:
    """A figure of every cell."""

    key: str
    title: str
    of: Literal["share", "median", "mean"] = "share"
    least: float = 0.0
    most: float = 1.0
    """Where the share must lie."""
    noted: str | None = None
    """What the product says to a user where the figure misses; then it counts as within, and is marked in the table."""

    def misses(self, share: Share) -> bool:
        """Whether it lies outside by more than the simulation's error explains."""
        slack = ERRORS * share.error
        return bool(share.of) and not self.least - slack <= share.value <= self.most + slack


COVERAGE = Column("covered", "coverage, %", least=0.92, most=0.98)
FALSE = Column("false", "false verdicts, %", most=0.05)


@dataclass
class Cell:
    """The experiments of one kind."""

    setting: dict[str, str]
    """What tells it from others, by the heading of a column."""
    found: dict[str, list[float]] = field(default_factory=dict)
    """By column: a number, or whether something held (0, 1), of every experiment that has it."""

    def add(self, **values: float | bool | None) -> None:
        """An experiment's figures; None, and what is infinite: it has none of that kind."""
        for key, value in values.items():
            if value is not None and math.isfinite(value):
                self.found.setdefault(key, []).append(float(value))

    def share(self, key: str) -> Share:
        """In how many experiments it held."""
        flags = self.found.get(key, [])
        return Share(round(sum(flags)), len(flags))

    def text(self, column: Column) -> str:
        """The figure as the table shows it."""
        if column.of == "share":
            share = self.share(column.key)
            return f"{share}{' †' if column.noted and column.misses(share) else ''}"
        values = self.found.get(column.key, [])
        if not values:
            return "-"
        return f"{float(np.median(values) if column.of == 'median' else np.mean(values)):.4g}"


@dataclass
class Table:
    """Cells with the same columns."""

    title: str
    columns: list[Column]
    cells: list[Cell]

    def outside(self) -> Iterator[str]:
        """A line for every figure that misses its target, and of which the product says nothing."""
        for cell in self.cells:
            for column in self.columns:
                share = cell.share(column.key)
                if column.of == "share" and column.noted is None and column.misses(share):
                    where = ", ".join(f"{name} {value}" for name, value in cell.setting.items())
                    yield f"{self.title}, {where}: {column.title.removesuffix(', %')} {share} %"

    def markdown(self) -> str:
        """With its title, and what the product says where a figure misses."""
        heads = [*self.cells[0].setting, *(column.title for column in self.columns)]
        lines = [f"**{self.title}**", "", f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
        for cell in self.cells:
            values = [*cell.setting.values(), *(cell.text(column) for column in self.columns)]
            lines.append(f"| {' | '.join(values)} |")
        notes = [c.noted for c in self.columns if c.noted and any("†" in cell.text(c) for cell in self.cells)]
        return "\n".join([*lines, *(f"\n† {note}" for note in dict.fromkeys(notes))])


def merge(parts: Iterable[list[Table]]) -> list[Table]:
    """Tables of the same title as one, in the order in which titles come first."""
    merged: dict[str, Table] = {}
    for table in (table for tables in parts for table in tables):
        merged.setdefault(table.title, Table(table.title, table.columns, [])).cells.extend(table.cells)
    return list(merged.values())
