"""What a reader gives of a log: requests in columns, what was broken, and what was left out."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow.compute as pc

from experiments.importing.source import Lines

SECONDS = ("taken_s", "upstream_s", "demand_s")
COUNTS = ("attempts", "status", "size", "received")
TEXTS = ("upstream", "method", "path")
COLUMNS = (*SECONDS, *COUNTS, *TEXTS)
"""What a format may tell of a request: the whole time at the proxy, that of the attempt at its host which answered, the
work that it asks for; attempts, HTTP's status, bytes of the answer's body, bytes of the request's body; the host that
answered, the method, and the path with its query."""
NO_ANSWER = 0
"""The status of a request to which there was none; NaN = the log does not say what became of it."""
MILLISECOND = 1e-3
SECOND = 1.0
EXAMPLES = 3
LATEST_S = 7.2e9
"""In the year 2198; what is said to be later, or before 1970, is no moment of a request."""


@dataclass
class Batch:
    """Requests of one stretch of a log, in its order; shape (n,) everywhere."""

    stamp_s: np.ndarray
    """Seconds of the Unix clock."""
    is_start: bool
    """Whether the stamp is that of the arrival; else it is that of the end."""
    resolution_s: float
    """What the stamp is rounded down to."""
    columns: dict[str, Any] = field(default_factory=dict)
    """Of `COLUMNS`, those that the format tells: floats, unknown = NaN; texts as Arrow arrays, unknown = "" or "-"."""
    hashes: np.ndarray | None = None
    """Of each one's line, where it has one of its own."""
    broken: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    """Numbers of the lines that do not fit the format."""
    examples: list[tuple[int, bytes]] = field(default_factory=list)
    """Some of them, with their number."""
    left_out: dict[str, int] = field(default_factory=dict)
    """What fits and is no request: why, how often."""
    entries: int | None = None
    """How many entries there were, where they are not lines."""


def is_moment(stamp_s: np.ndarray) -> np.ndarray:
    """Whether each is one at which somebody may have asked, shape (n,)."""
    is_one: np.ndarray = np.isfinite(stamp_s) & (stamp_s >= 0) & (stamp_s < LATEST_S)
    return is_one


def batch_of(
    lines: Lines,
    fitting: np.ndarray,
    stamp_s: np.ndarray,
    columns: dict[str, Any],
    *,
    is_start: bool,
    resolution_s: float,
    left_out: dict[str, np.ndarray] | None = None,
) -> Batch:
    """A batch of lines, each of which is a request, left out, blank, or broken.

    Args:
        lines: all.
        fitting: indices of those that are requests, ascending.
        stamp_s: of these; NaN = no moment that there is, the line is broken.
        columns: of these.
        is_start: as in `Batch`.
        resolution_s: as in `Batch`.
        left_out: why -> indices of such lines.
    """
    good = is_moment(stamp_s)
    if not good.all():
        columns = {name: values.filter(good) if name in TEXTS else values[good] for name, values in columns.items()}
        fitting, stamp_s = fitting[good], stamp_s[good]
    is_told = np.zeros(len(lines), dtype=bool)
    is_told[fitting] = True
    for indices in (left_out or {}).values():
        is_told[indices] = True
    others = np.flatnonzero(~is_told)
    counts = {why: len(indices) for why, indices in (left_out or {}).items() if len(indices)}
    if len(others):
        texts = lines.text.take(others)
        is_blank = pc.match_substring_regex(texts, r"^\s*$").to_numpy(zero_copy_only=False)
        if is_blank.any():
            counts["blank"] = int(is_blank.sum())
        others = others[~is_blank]
    examples = [(lines.first + int(index), lines.text[int(index)].as_py()) for index in others[:EXAMPLES]]
    return Batch(
        stamp_s,
        is_start,
        resolution_s,
        columns,
        hashes=lines.hashes[fitting],
        broken=others + lines.first,
        examples=examples,
        left_out=counts,
    )
