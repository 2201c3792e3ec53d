"""What a setting may be, said beside its field: `Annotated[float, Bounds(0, 1)]`, `Annotated[str, Choices("a", "b")]`.

    @dataclass
    class Settings:
        share: Annotated[float, Bounds(0, 1)] = 0.5

    hold(Settings(share=2), "section")  # ValueError: section.share=2: must be between 0 and 1
"""

import dataclasses
import math
from functools import cache
from typing import TYPE_CHECKING, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class Bounds:
    """Numbers from `least` to `most`, or between the exclusive `above` and `below`; None = no bound on that side.

    Within none of them are NaN and the infinities: JSON has no such number, and a limit that is none is a large one.
    """

    def __init__(
        self,
        least: float | None = None,
        most: float | None = None,
        *,
        above: float | None = None,
        below: float | None = None,
    ) -> None:
        """At least one of them."""
        self.least, self.most, self.above, self.below = least, most, above, below

    def __str__(self) -> str:
        """As the error says it."""
        if self.least is not None and self.most is not None:
            return f"between {written(self.least)} and {written(self.most)}"
        sides = (("at least", self.least), ("above", self.above), ("at most", self.most), ("below", self.below))
        return " and ".join(f"{word} {written(bound)}" for word, bound in sides if bound is not None)

    def holds(self, value: float) -> bool:
        """Whether a number is within them."""
        return (
            -math.inf < value < math.inf
            and (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )

    def check(self, key: str, value: float) -> None:
        """Refuse what is not within them.

        Raises:
            ValueError: `key=value: must be between least and most`.
        """
        if self.holds(value):
            return
        has_no_end = self.most is None and self.below is None
        if value == math.inf and has_no_end:
            raise ValueError(f"{key}=inf: must be a finite number, {self}; for no limit a large one, as {key}=1e9")
        finite = "a finite number, " if has_no_end and not math.isfinite(value) else ""
        raise ValueError(f"{key}={written(value)}: must be {finite}{self}")


class Choices:
    """One of some words."""

    def __init__(self, *words: str) -> None:
        """In the order in which the error lists them."""
        self.words = words

    def check(self, key: str, value: str) -> None:
        """Refuse any other.

        Raises:
            ValueError: `key=value: must be one of a, b`.
        """
        if value not in self.words:
            raise ValueError(f"{key}={value}: must be one of {', '.join(self.words)}")


def written(value: float) -> str:
    """A number as one types it: no `.0` behind a whole one."""
    return str(value).removesuffix(".0")


@cache
def _rules(settings: "type[DataclassInstance]") -> dict[str, tuple[Bounds | Choices, ...]]:
    """The rules of each field of a dataclass."""
    hints = get_type_hints(settings, include_extras=True)
    return {
        field.name: tuple(
            rule for rule in getattr(hints[field.name], "__metadata__", ()) if isinstance(rule, Bounds | Choices)
        )
        for field in dataclasses.fields(settings)
    }


def hold(settings: "DataclassInstance", section: str = "") -> None:
    """Hold every field of a dataclass, and of those within it and in its lists, against what its annotation allows.
    None is let pass.

    Args:
        settings: an instance.
        section: what its keys begin with in the errors; empty = nothing.

    Raises:
        ValueError: with the first key that is wrong, its value, and what it may be.
    """
    for name, rules in _rules(type(settings)).items():
        key, value = f"{section}.{name}" if section else name, getattr(settings, name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            hold(value, key)
        elif isinstance(value, list) and value and dataclasses.is_dataclass(value[0]):
            for number, each in enumerate(value):
                hold(each, f"{key}[{number}]")
        elif value is not None:
            for rule in rules:
                rule.check(key, value)
