"""The page from its parts: template, style, script and Vega become one file, in which no text of a folder is markup."""

import base64
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from analysis.pages.html.charts import Chart
from analysis.tables.export import Sheet
from record import __version__
from record.files import cached, write_text

HERE = Path(__file__).resolve().parent
NEEDED = ("vl_convert", "jinja2")
DRAWS = "vl_convert"
"""Of them, what only a page with charts needs."""
INSTALL = "pip install 'aegis-bench[report]'"
HOW_TO_GET = f"needs vl-convert: {INSTALL}"


class ReportError(RuntimeError):
    """The page cannot be made; one line that says what is missing."""


@dataclass(frozen=True)
class Link:
    """A table's cell that leads to a part of the page."""

    text: str
    anchor: str


@dataclass(frozen=True)
class Picture:
    """A picture that is drawn already."""

    title: str
    png: bytes
    anchor: str = ""
    about: str = ""
    is_folded: bool = False
    """Whether it is behind its title."""

    @property
    def address(self) -> str:
        """All of it, as a page's address that needs no network."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@dataclass(frozen=True)
class Section:
    """A part of a page, all of it optional."""

    title: str
    paragraphs: Sequence[str] = ()
    charts: Sequence[Chart] = ()
    sheets: Sequence[Sheet] = ()
    folded: Sequence[Sheet] = ()
    """Tables behind a line that opens them."""
    commands: Sequence[str] = ()
    is_folded: bool = False
    """Whether all of it is behind its title."""
    is_for_screens: bool = False
    """Whether paper has its title and how much it is, and nothing more."""
    pictures: Sequence[Picture] = ()

    @property
    def name(self) -> str:
        """What a link within the page calls it."""
        return re.sub(r"\W+", "-", self.title)

    @property
    def figures(self) -> list[tuple[Chart, bool]]:
        """The charts, and whether each takes the page's width: those that have to, and those without a neighbour."""
        placed: list[tuple[Chart, bool]] = []
        alone = False
        for chart in self.charts:
            if chart.is_wide and alone:
                placed[-1] = (placed[-1][0], True)
            alone = not chart.is_wide and not alone
            placed.append((chart, chart.is_wide))
        if alone:
            placed[-1] = (placed[-1][0], True)
        return placed

    @property
    def left_out(self) -> str:
        """What paper says in place of it."""
        rows = sum(len(sheet.rows) for sheet in (*self.sheets, *self.folded))
        counts = [f"{count} {what}{'' if count == 1 else 's'}"
                  for count, what in ((rows, "row"), (len(self.pictures), "picture")) if count]  # fmt: skip
        return ", ".join([*counts, "on the page itself."])

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.paragraphs or self.charts or self.pictures or self.sheets or self.folded or self.commands)


@dataclass(frozen=True)
class Document:
    """What a page says."""

    title: str
    subtitle: str
    verdicts: Sequence[str]
    """Sentences, the most important first."""
    is_valid: bool
    sections: Sequence[Section]
    notes: Sequence[str] = field(default=())
    """What a reader must know, below the verdicts."""


def missing(*, draws: bool = True) -> str | None:
    """What is not installed and how it is had; None where all is there. A page that `draws` has charts."""
    lacking = [name for name in NEEDED if (draws or name != DRAWS) and find_spec(name) is None]
    if not lacking:
        return None
    return HOW_TO_GET if draws else f"needs {lacking[0]}: {INSTALL}"


def write(document: Document, path: Path) -> None:
    """Write the page, whole or not at all.

    Raises:
        ReportError: what it is made with is not installed.
        OSError: the place cannot be written to.
    """
    draws = any(section.charts for section in document.sections)
    if reason := missing(draws=draws):
        raise ReportError(reason)
    write_text(path, render(document, bundle() if draws else ""))


def render(document: Document, vega: str) -> str:
    """The page as text.

    Args:
        document: what it says.
        vega: a script that sets `vegaEmbed`.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Every text is escaped, and what the charts are made of is JSON in which no `<` stands: what a folder says, be it
    # an arm's name or an error, is never markup. The policy in the page's head lets nothing of the network in besides.
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    sections = [section for section in document.sections if not section.is_empty]
    parts: dict[str, Any] = {
        "document": document,
        "sections": sections,
        "style": (HERE / "page.css").read_text(encoding="utf-8"),
        "script": (HERE / "page.js").read_text(encoding="utf-8"),
        # A bundle that held the end of a script would end it; as a string's part it stays the same so written.
        "vega": vega.replace("</script", "<\\/script") if any(section.charts for section in sections) else "",
        "version": __version__,
    }
    return environment.get_template("page.html").render(parts)


def bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, which sets `vegaEmbed`.

    vl-convert puts it together anew each time, which takes seconds: it is kept in the user's cache, by version.
    """
    vl_convert = import_module("vl_convert")  # its types know neither its version nor that all has a default

    kept = cached(f"vega-{vl_convert.__version__}.js")
    try:
        return kept.read_text(encoding="utf-8")
    except (OSError, ValueError):
        made: str = vl_convert.javascript_bundle()
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_text(kept, made)
    except OSError as error:
        print(f"note: {kept} cannot be kept ({error.strerror}); the next report takes as long", file=sys.stderr)
    return made
