"""Which column, or key, means what: `arrived=TIMESTAMP,taken=latency:ms,status=code`, as a user types it.

Durations are seconds unless `:ms`, `:us` or `:ns` stands behind the name.
"""

from dataclasses import dataclass

from experiments.importing.errors import WrongImport

MOMENTS = ("arrived", "ended")
TAKES = {
    "taken": "taken_s", "upstream_taken": "upstream_s", "demand": "demand_s", "upstream": "upstream",
    "attempts": "attempts", "status": "status", "method": "method", "size": "size", "received": "received",
    "path": "path",
}  # fmt: skip
"""Word -> column of a batch."""
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


@dataclass(frozen=True)
class Named:
    """One of them."""

    column: str
    """Of a batch; of the moment its word."""
    name: str
    """As the file calls it."""
    scale: float
    """Of a number: seconds, or 1."""


@dataclass(frozen=True)
class Columns:
    """All of them."""

    moment: Named
    others: tuple[Named, ...]

    @property
    def is_start(self) -> bool:
        """Whether the moment is that of the arrival."""
        return self.moment.column == MOMENTS[0]

    @property
    def names(self) -> list[str]:
        """What the file must have, each once."""
        return sorted({self.moment.name, *(each.name for each in self.others)})


def parsed(text: str | None, format_: str) -> Columns:
    """What the user named.

    Raises:
        WrongImport: it is no such list, or nothing was named.
    """
    if text is None:
        raise WrongImport(f"--format {format_}: say what means what: --columns arrived=NAME[,taken=NAME:ms,...]")
    found: dict[str, Named] = {}
    for part in text.split(","):
        word, _, rest = part.strip().partition("=")
        name, colon, unit = rest.rpartition(":")
        if not colon or unit not in UNITS:
            name, unit = rest, "s"
        if word not in (*MOMENTS, *TAKES) or not name:
            raise WrongImport(f"--columns {part.strip()}: must be WORD=NAME, a word of {', '.join((*MOMENTS, *TAKES))}")
        found[word] = Named(TAKES.get(word, word), name, UNITS[unit])
    moments = [found.pop(word) for word in MOMENTS if word in found]
    if len(moments) != 1:
        raise WrongImport(f"--columns {text}: needs arrived=NAME or ended=NAME, one of them")
    return Columns(moments[0], tuple(found.values()))
