"""Arms as points with intervals: what they cost, what they break, and the front that none is better than."""

import math

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from analysis.comparison.front import Front, Point, names_of
from analysis.comparison.statistics import Interval
from analysis.pages.style import BLUE, GREEN, GREY, INK, MUTED, ORANGE, PURPLE, RED, dress, goes_on

HEIGHT_PX = 420
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED, INK, GREY)
SHAPES = "os^Dvphd"
TITLE = "What it cost, and how much of the time the objective was broken"
APART = 30.0
"""Where one arm breaks so many times as much as another one that breaks anything, shares stand on an axis of decades:
all but the worst would lie on each other."""
COST, BROKEN = "replica-seconds, times hindsight's", "seconds outside the objective"


def draw_front(axes: Axes, front: Front) -> None:
    """A point an arm with the intervals of both, hindsight's point, and the front as a line of steps."""
    dress(axes, TITLE, COST, BROKEN)
    names = names_of(front)
    for number, point in enumerate(front.points):
        _draw(axes, point, names[point.arm], COLOURS[number % len(COLOURS)], SHAPES[number % len(SHAPES)])
    axes.plot(1, front.hindsight_broken, "*", color=INK, markersize=15, label="hindsight", linestyle="none", zorder=5)
    best = sorted((middle(point.cost), middle(point.broken)) for point in front.points if point.is_on_front)
    left, right = reach(front, cost=True)
    low, high = reach(front, cost=False)
    along = [*((best[0][0], high) for _ in best[:1]), *best, (right, best[-1][1])]
    axes.step(*zip(*along, strict=True), where="post", color=MUTED, linewidth=1.2, linestyle="--", zorder=1)
    axes.set_xlim(left, right)
    if linear := linear_below(front):
        axes.set_yscale("symlog", linthresh=linear, linscale=0.5)
        axes.set_yticks(shares(front))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylim(low, high)
    for number, point in enumerate(front.points):
        _arrows(axes, point, COLOURS[number % len(COLOURS)])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:g} %" if value >= 0 else ""))
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=10, frameon=False)


def _draw(axes: Axes, point: Point, name: str, colour: str, shape: str) -> None:
    x, y = middle(point.cost), middle(point.broken)
    axes.plot(ends(point.cost), [y, y], color=colour, linewidth=1.6, alpha=0.75)
    axes.plot([x, x], ends(point.broken), color=colour, linewidth=1.6, alpha=0.75)
    label = f"{name}, on the front" if point.is_on_front else name
    filled = colour if point.is_on_front else "white"
    axes.plot(
        x, y, shape, color=colour, markerfacecolor=filled, markersize=10, markeredgewidth=1.8, label=label,
        linestyle="none", zorder=4,
    )  # fmt: skip


def _arrows(axes: Axes, point: Point, colour: str) -> None:
    """An arrow where an interval leaves the panel."""
    x, y = middle(point.cost), middle(point.broken)
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    (from_x, to_x), (from_y, to_y) = ends(point.cost), ends(point.broken)
    for is_cut, place, shape in (
        (from_x < left, (left, y), "<"), (to_x > right, (right, y), ">"),
        (from_y < low, (x, low), "v"), (to_y > high, (x, high), "^"),
    ):  # fmt: skip
        if is_cut:
            goes_on(axes, *place, shape, colour)


def middle(interval: Interval) -> float:
    """Its mean."""
    assert interval.mean is not None  # of what has a point
    return interval.mean


def ends(interval: Interval) -> list[float]:
    """Its ends; of one run, which has none, the mean."""
    return [middle(interval) if end is None else end for end in (interval.low, interval.high)]


def reach(front: Front, *, cost: bool) -> tuple[float, float]:
    """From where to where an axis goes: all means with some room, into which intervals reach as far as they do."""
    values = [1.0] if cost else [0.0, front.hindsight_broken]
    intervals = [point.cost if cost else point.broken for point in front.points]
    values += [middle(each) for each in intervals]
    low, high = min(values), max(values)
    room = max(high - low, 0.05)
    low = max(min([low, *(ends(each)[0] for each in intervals)]), low - room)
    high = min(max([high, *(ends(each)[1] for each in intervals)]), high + room)
    if not cost and (linear := linear_below(front)):
        return -0.4 * linear, min(1.3 * high, 1.06)
    space = 0.06 * (high - low or 1.0)
    return (low - space, high + space) if cost else (low - space, min(high + space, 1.06))


def linear_below(front: Front) -> float | None:
    """The share below which the axis of shares is linear, to have a place for 0, and above which it goes by decades;
    None = it is linear throughout."""
    some = [share for point in front.points if (share := middle(point.broken)) > 0]
    if not some or max(some) < APART * min(some):
        return None
    return float(10.0 ** math.floor(math.log10(min(some))))


def shares(front: Front) -> list[float]:
    """What is marked on an axis of decades: 0, and each of them."""
    linear, (_, high) = linear_below(front), reach(front, cost=False)
    assert linear is not None  # of such an axis
    return [0.0, *(10.0**decade for decade in range(round(math.log10(linear)), 1) if 10.0**decade <= high)]
