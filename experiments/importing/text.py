"""The fields of lines of text, by a regular expression over all of them at once (RE2, in Arrow)."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from experiments.importing.source import Lines

NUMBER = r"^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$"
QUOTED = r'(?:[^"\\]|\\.)*'
"""What may stand in quotes, those in it being escaped."""
REQUEST = rf'"(?:(?P<method>[A-Z-]+) (?P<path>(?:[^"\\ ]|\\.)*){QUOTED}|{QUOTED})"'
"""A request line in quotes; what is none, as of a client that spoke TLS, has neither method nor path."""


@dataclass(frozen=True)
class Found:
    """The named groups of those lines that fit."""

    index: np.ndarray
    """Which these are, ascending, shape (n,)."""
    fields: dict[str, pa.Array]
    """Group -> binary, shape (n,); a group that took no part is empty."""

    def number(self, name: str, scale: float = 1.0) -> np.ndarray:
        """A group as numbers times `scale`, shape (n,); NaN where it is none, as `-`."""
        return number(self.fields[name], scale)


@dataclass(frozen=True)
class Pattern:
    """A regular expression whose groups all have names."""

    expression: str

    def find(self, texts: pa.Array) -> Found:
        """The groups in each of the texts that it fits."""
        found = pc.extract_regex(texts, pattern=self.expression)
        is_found = found.is_valid()
        groups = found.filter(is_found)
        names = [groups.type.field(place).name for place in range(groups.type.num_fields)]
        fields = dict(zip(names, groups.flatten(), strict=True))
        return Found(np.flatnonzero(is_found.to_numpy(zero_copy_only=False)), fields)

    def share(self, lines: Lines) -> float:
        """The share of the lines that it fits."""
        return float(pc.mean(pc.match_substring_regex(lines.text, self.expression)).as_py())


def number(texts: pa.Array, scale: float = 1.0) -> np.ndarray:
    """Texts as numbers times `scale`, shape (n,); NaN where one is none."""
    is_number = pc.match_substring_regex(texts, NUMBER)
    kept = pc.if_else(is_number, texts, pa.scalar(None, texts.type)).cast(pa.string())
    values: np.ndarray = pc.utf8_ltrim(kept, "+").cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values * scale if scale != 1.0 else values
