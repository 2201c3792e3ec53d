"""What all charts share: a chart with its caption, and Vega-Lite's pieces that they are made of."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from analysis.pages.style import BLUE, GREEN, GREY, INK, MUTED, ORANGE, PURPLE, RED
from record.reading import Run

Spec = dict[str, Any]
"""A chart, or a part of one, in Vega-Lite's JSON."""
ARMS = (BLUE, ORANGE, GREEN, PURPLE, RED, INK, GREY)
"""Colours of what lies side by side."""
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
"""Strokes and gaps, pixels: told apart without colours, too."""
HEIGHT_PX = 230


@dataclass(frozen=True)
class Chart:
    """A chart of a page."""

    title: str
    spec: Spec
    about: str = ""
    """A sentence or two below it."""
    is_wide: bool = False
    """Whether it takes the page's whole width on a wide screen."""


class Series(NamedTuple):
    """A line of a chart: the name in its legend, and its points (None = a gap)."""

    name: str
    points: Sequence[tuple[float, float | None]]
    colour: str
    dash: Sequence[int] = (1, 0)


def chart(layers: Sequence[Spec], *, height_px: int = HEIGHT_PX, **more: Any) -> Spec:  # noqa: ANN401
    """A chart as wide as the page leaves room for."""
    return {
        "width": "container",
        "height": height_px,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "layer": list(layers),
        "config": {
            "font": "system-ui, sans-serif",
            "view": {"stroke": None},
            "axis": {"labelColor": MUTED, "titleColor": MUTED, "titleFontWeight": "normal", "gridOpacity": 0.5},
            "legend": {
                "orient": "bottom",
                "columns": {"expr": "width < 400 ? 1 : 2"},
                "labelLimit": 150,
                "title": None,
                "labelColor": INK,
                "symbolSize": 250,
                "symbolStrokeWidth": 2.5,
            },
        },
        **more,
    }


def known(value: object) -> float | None:
    """A number as JSON has it: None where it is undefined or without bound."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def numbers(values: Iterable[Any]) -> list[float | None]:
    """The same of each, from NumPy's and pandas' too."""
    return [known(float(value)) for value in values]


def coloured(series: Sequence[Series]) -> Spec:
    """The colour of each name, in this order."""
    return {
        "field": "name",
        "type": "nominal",
        "scale": {"domain": [one.name for one in series], "range": [one.colour for one in series]},
        "sort": None,
        "legend": {"symbolType": "stroke"} if len(series) > 1 else None,
    }


def dashed(series: Sequence[Series]) -> Spec:
    """The stroke of each name."""
    scale = {"domain": [one.name for one in series], "range": [list(one.dash) for one in series]}
    legend = {"symbolType": "stroke"} if len(series) > 1 else None
    return {"field": "name", "type": "nominal", "scale": scale, "sort": None, "legend": legend}


def lines(
    series: Sequence[Series], x: Spec, y: Spec, *, interpolate: str = "linear", together: bool = True
) -> list[Spec]:
    """Lines that a click on the legend sets off from each other, and at the pointer what all of them are.

    Args:
        series: in the order of the legend.
        x: the axis of `x`, with its `title`; likewise
        y: of `y`.
        interpolate: Vega-Lite's.
        together: whether the points of all series have the same x, so that all can be told at once.
    """
    x, y = {"field": "x", "type": "quantitative", **x}, {"field": "y", "type": "quantitative", **y}
    values = [
        {"x": at, "y": value, "name": one.name, "id": f"s{number}"}
        for number, one in enumerate(series)
        for at, value in one.points
    ]
    drawn: Spec = {
        "data": {"values": values},
        "mark": {"type": "line", "interpolate": interpolate, "strokeWidth": 2, "clip": True},
        "encoding": {"x": x, "y": y, "color": coloured(series), "strokeDash": dashed(series)},
    }
    if len(series) > 1:
        drawn["params"] = [{"name": "picked", "select": {"type": "point", "fields": ["name"]}, "bind": "legend"}]
        drawn["encoding"]["opacity"] = {"condition": {"param": "picked", "value": 1}, "value": 0.12}
    return [drawn, _all_at(series, values, x) if together else _nearest(series, values, x, y)]


def _tip(field: str, title: str) -> Spec:
    return {"field": field, "type": "quantitative", "title": title, "format": ",.4~g"}


def _pointed(at: Sequence[str]) -> list[Spec]:
    """What the pointer is nearest to, as the parameter `at`."""
    select = {"type": "point", "fields": list(at), "nearest": True, "on": "pointerover", "clear": "pointerout"}
    return [{"name": "at", "select": select}]


SEEN = {"condition": {"param": "at", "value": 0.6, "empty": False}, "value": 0}
"""How much of a mark is seen that the pointer alone brings out."""


def _all_at(series: Sequence[Series], values: Sequence[Spec], x: Spec) -> Spec:
    """A line at the pointer, with what all series are there."""
    tips = [_tip("x", x["title"]), *(_tip(f"s{number}", one.name) for number, one in enumerate(series))]
    return {
        "data": {"values": [value for value in values if value["y"] is not None]},
        "transform": [{"pivot": "id", "value": "y", "groupby": ["x"]}],
        "mark": {"type": "rule", "strokeWidth": 1, "color": MUTED, "clip": True},
        "encoding": {"x": x, "opacity": SEEN, "tooltip": tips},
        "params": _pointed(["x"]),
    }


def _nearest(series: Sequence[Series], values: Sequence[Spec], x: Spec, y: Spec) -> Spec:
    """A point at the pointer, with what it is."""
    tips = [{"field": "name", "type": "nominal", "title": "of"}, _tip("x", x["title"]), _tip("y", y["title"])]
    return {
        "data": {"values": [value for value in values if value["y"] is not None]},
        "mark": {"type": "point", "filled": True, "size": 70, "clip": True},
        "encoding": {"x": x, "y": y, "color": coloured(series), "opacity": SEEN, "tooltip": tips},
        "params": _pointed(["x", "id"]),
    }


def bands(spans: Sequence[tuple[float, float]], colour: str) -> list[Spec]:
    """Spans of time as bands from bottom to top; those that are over at once as lines."""
    long = [{"start": start, "end": end} for start, end in spans if end > start]
    short = [{"start": start} for start, end in spans if end <= start]
    shades = [
        {
            "data": {"values": long},
            "mark": {"type": "rect", "color": colour, "opacity": 0.13},
            "encoding": {"x": {"field": "start", "type": "quantitative"}, "x2": {"field": "end"}},
        },
        {
            "data": {"values": short},
            "mark": {"type": "rule", "color": colour, "opacity": 0.6},
            "encoding": {"x": {"field": "start", "type": "quantitative"}},
        },
    ]
    return [shade for shade, values in zip(shades, (long, short), strict=True) if values]


def log_axis(title: str, low: float, high: float, *, percent: bool = False) -> Spec:
    """A logarithmic axis; its `title` also heads the tooltip."""
    axis = {"format": ".3~%" if percent else ",~g", "labelOverlap": "greedy", "tickCount": 6}
    return {"title": title, "scale": {"type": "log", "domain": [low, high], "nice": False}, "axis": axis}


def warmup_of(run: Run) -> list[tuple[float, float]]:
    """The span that counts in no metric."""
    return [(0.0, min(run.warmup_s, run.end_s))] if run.warmup_s else []
