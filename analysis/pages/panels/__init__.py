"""What stands on a run's page, one panel a file: `mine.py` has a class with `name = "mine"`, made without arguments.

    place = (row, position)      from the top, from the left; (5, 1) begins a row below those of the tree
    columns                      its width, of twelve; what does not fit into its row any more gets a line below
    height_px(source) -> int     of a line the highest counts; 0: this run has nothing of it that a reader would miss
    draw(axes, source)           on axes of its own; where a reader would miss it, it says there why it is empty

The same file may lie outside the tree, in `panels/` of a folder of `AEGIS_PLUGINS` (several are joined by a colon). A
panel that cannot be used is missing from the page, and nothing else is. Colours and what else panels share stand in
`analysis/pages/style.py`.
"""

import importlib
import os
import pkgutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Protocol

import pandas as pd
from matplotlib.axes import Axes

from record.counterfactual import read
from record.metrics import Metrics
from record.reading import Run
from record.shapes import Counterfactual

VARIABLE = "AEGIS_PLUGINS"
COLUMNS = 12
"""Of a page."""
TREE = __path__[0]


@dataclass(frozen=True)
class Source:
    """What a panel is drawn from."""

    run: Run
    timeline: pd.DataFrame
    """The run's rows a second."""
    metrics: Metrics

    @cached_property
    def counterfactual(self) -> Counterfactual | None:
        """The same run without the router's failure handling; None where nothing of the kind was simulated.

        Raises:
            FolderError: it is damaged.
        """
        return read(self.run.folder, self.run.manifest)


class Panel(Protocol):
    """The shape of every panel."""

    name: ClassVar[str]
    place: ClassVar[tuple[int, int]]
    columns: ClassVar[int]

    def height_px(self, source: Source) -> int:
        """Its height in pixels; 0 = it is left out of this run's page, on which nobody would miss it."""

    def draw(self, axes: Axes, source: Source) -> None:
        """Draw it, title and labels included."""


class PanelError(Exception):
    """A panel, or a folder of them, cannot be used; one line that says which, and why."""

    def __init__(self, what: str, why: str, cause: Exception | None = None) -> None:
        because = f" ({type(cause).__name__}: {' '.join(str(cause).split())})" if cause else ""
        super().__init__(f"without {what}: {why}{because}")


def find() -> tuple[list[Panel], list[PanelError]]:
    """All panels in the order of their places, and what is wrong with the others."""
    panels: dict[str, Panel] = {}
    folders = [Path(text).absolute() for text in os.environ.get(VARIABLE, "").split(os.pathsep) if text]
    wrong = [
        PanelError(f"panels of {folder}", f"{VARIABLE} must name folders") for folder in folders if not folder.is_dir()
    ]
    first: dict[str, str] = {}
    for name, file in _files(folders):
        try:
            if first.setdefault(name, file) != file:
                raise PanelError(f"the panel {name}", f"{first[name]} and {file} have this name; rename one")
            panels[name] = _load(name, file)
        except PanelError as error:
            wrong.append(error)
    return sorted(panels.values(), key=lambda panel: (*panel.place, panel.name)), wrong


def _files(folders: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Name and file of each, the tree's first."""
    __path__[:] = [TREE, *(str(folder / "panels") for folder in folders)]  # imports look there, too
    for folder in __path__:
        names = [module.name for module in pkgutil.iter_modules([folder]) if not module.name.startswith("_")]
        yield from ((name, str(Path(folder) / f"{name}.py")) for name in names)


def _load(name: str, file: str) -> Panel:
    """The panel of a file.

    Raises:
        PanelError: it cannot be imported, or is not of the shape.
    """
    try:
        module = importlib.import_module(f"{__name__}.{name}")
    except Exception as error:
        raise PanelError(f"the panel {name}", f"{file} cannot be imported", error) from error
    made = next((c for c in vars(module).values() if isinstance(c, type) and getattr(c, "name", 0) == name), None)
    if made is None:
        raise PanelError(f"the panel {name}", f'{file} has no class with `name = "{name}"`')
    missing = [word for word in ("place", "columns", "height_px", "draw") if not hasattr(made, word)]
    if missing:
        raise PanelError(f"the panel {name}", f"{made.__name__} in {file} lacks {', '.join(missing)}")
    try:
        panel: Panel = made()
        row, position = panel.place
        is_placed = all(isinstance(number, int | float) for number in (row, position))
    except Exception as error:
        raise PanelError(
            f"the panel {name}", f"{made.__name__} in {file} cannot be made, or its place is no pair", error
        ) from error
    if not is_placed or panel.columns not in range(1, COLUMNS + 1):
        raise PanelError(
            f"the panel {name}", f"{file} needs place = (row, position), two numbers, and columns from 1 to {COLUMNS}"
        )
    return panel
