"""Bounds beside fields: what is let pass, what is refused, and with which words."""

from dataclasses import dataclass, field
from typing import Annotated

import pytest

from services.bounds import Bounds, Choices, hold


@dataclass
class Inner:
    share: Annotated[float | None, Bounds(above=0, below=1)] = None
    kind: Annotated[str, Choices("a", "b")] = "a"


@dataclass
class Outer:
    count: Annotated[int, Bounds(1, 100_000)] = 1
    wait_s: Annotated[float, Bounds(least=0)] = 0.0
    inner: Inner = field(default_factory=Inner)
    absent: Inner | None = None


@pytest.mark.parametrize(
    "settings",
    [Outer(), Outer(count=100_000), Outer(wait_s=1e300), Outer(inner=Inner(share=0.999, kind="b"))],
)
def test_what_is_within_its_bounds_is_let_pass(settings):
    hold(settings, "outer")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (Outer(count=0), "outer.count=0: must be between 1 and 100000"),
        (Outer(wait_s=-1.0), "outer.wait_s=-1: must be at least 0"),
        (Outer(wait_s=float("nan")), "outer.wait_s=nan: must be a finite number, at least 0"),
        (Outer(wait_s=float("inf")), "outer.wait_s=inf: must be a finite number, at least 0; for no limit a large one, as outer.wait_s=1e9"),
        (Outer(inner=Inner(share=float("inf"))), "outer.inner.share=inf: must be above 0 and below 1"),
        (Outer(inner=Inner(share=1.0)), "outer.inner.share=1: must be above 0 and below 1"),
        (Outer(inner=Inner(share=0.0)), "outer.inner.share=0: must be above 0 and below 1"),
        (Outer(inner=Inner(kind="c")), "outer.inner.kind=c: must be one of a, b"),
        (Outer(absent=Inner(kind="")), "outer.absent.kind=: must be one of a, b"),
    ],
)
def test_what_is_not_is_refused_by_its_key_with_what_it_may_be(settings, line):
    with pytest.raises(ValueError) as caught:
        hold(settings, "outer")
    assert str(caught.value) == line
    with pytest.raises(ValueError) as caught:
        hold(settings)
    assert str(caught.value) == line.replace("outer.", "")


def test_a_number_just_outside_is_not_rounded_into_its_bounds():
    with pytest.raises(ValueError, match=r"share=1\.0000001: must be between 0 and 1"):
        Bounds(0, 1).check("share", 1.0000001)


@dataclass
class Listed:
    items: list[Inner] = field(default_factory=list)


def test_the_sections_of_a_list_are_held_by_their_number():
    hold(Listed([Inner(), Inner(0.5)]), "list")
    with pytest.raises(ValueError, match=r"list\.items\[1\]\.share=1: must be above 0 and below 1"):
        hold(Listed([Inner(), Inner(1.0)]), "list")
