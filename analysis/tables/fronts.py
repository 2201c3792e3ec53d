"""Arms by what they cost and what they break, as a table and in words."""

from analysis.comparison.front import Front, Point
from analysis.comparison.statistics import Interval
from analysis.metrics.verdict import percent
from analysis.tables.export import Sheet

COLUMNS = (
    "arm", "replica-seconds, times hindsight's", "seconds outside the objective", "on the front",
    "elastic speed-up over the first",
)  # fmt: skip


def front_list(front: Front) -> Sheet:
    """A row an arm, and hindsight."""
    rows = [
        (
            point.arm + ("" if point.has_own_hindsight else " (hindsight of the others)"),
            _cell(point.cost, percents=False),
            _cell(point.broken, percents=True),
            "yes" if point.is_on_front else "no",
            "not identified" if point.speed_up is None else f"x {point.speed_up:.2f}",
        )
        for point in front.points
    ]
    rows.append(("hindsight", "1", percent(front.hindsight_broken), "", ""))
    return Sheet("Each arm", COLUMNS, rows)


def in_words(front: Front) -> list[str]:
    """Who is on the front, in a sentence."""
    on, off = ([point for point in front.points if point.is_on_front is wanted] for wanted in (True, False))
    text = f"On the front of cost and broken promises: {_named(on)}"
    if off:
        text += f"; of {_named(off)} another one costs less and breaks no more, or breaks less at no more cost"
    return [f"{text} (by the means that were seen)."]


def _named(points: list[Point]) -> str:
    return ", ".join(point.arm for point in points)


def _cell(interval: Interval, *, percents: bool) -> str:
    def told(value: float | None) -> str:
        return "-" if value is None else percent(value) if percents else f"{value:.3f}"

    return f"{told(interval.mean)} [{told(interval.low)}, {told(interval.high)}]"
