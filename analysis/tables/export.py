"""A table as Markdown or CSV."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Format = Literal["md", "csv"]
FORMATS: tuple[Format, ...] = get_args(Format)


@dataclass(frozen=True)
class Sheet:
    """A table: a title, the names of its columns, and its rows; None = undefined."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]

    def as_markdown(self) -> str:
        """A heading and a table of GitHub's Markdown, in which no cell can be more than a cell's text."""
        head = " | ".join(_markdown(name) for name in self.columns)
        lines = [f"| {head} |", "|" + "---|" * len(self.columns)]
        lines += [f"| {' | '.join(_markdown(cell) for cell in row)} |" for row in self.rows]
        return "\n".join([f"### {_markdown(self.title)}", "", *lines]) + "\n"

    def as_csv(self) -> str:
        """RFC 4180 but for the line ends, names of columns first; undefined is empty, a float has all its digits."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([_plain(cell) for cell in row] for row in self.rows)
        return text.getvalue()


def escaped(text: str) -> str:
    """A text in one line of GitHub's Markdown, in which nothing of it is markup."""
    for special in "\\|<>*_`[]#":
        text = text.replace(special, f"\\{special}")
    return " ".join(text.split())


def _markdown(cell: object) -> str:
    return escaped("-" if cell is None or cell == "" else str(_plain(cell)))


def _plain(cell: object) -> object:
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, list | tuple):
        return "; ".join(map(str, cell))
    return "" if cell is None else cell


def text_of(sheets: Sequence[Sheet], form: Format, notes: Sequence[str] = ()) -> str:
    """Tables one below the other; in Markdown the notes stand below them all.

    Args:
        sheets: of CSV exactly one, as a file has one header.
        form: `md` or `csv`.
        notes: sentences; CSV has no place for them.
    """
    if form == "csv":
        (sheet,) = sheets
        return sheet.as_csv()
    parts = [sheet.as_markdown() for sheet in sheets]
    if notes:
        parts.append("\n".join(f"- {_markdown(note)}" for note in notes) + "\n")
    return "\n".join(parts)
