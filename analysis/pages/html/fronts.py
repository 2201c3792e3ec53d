"""Arms on two axes, what they cost and what they break, with the front that none is better than."""

from analysis.comparison.front import Front, names_of
from analysis.pages.front_panel import BROKEN, COST, TITLE, ends, linear_below, middle, reach, shares
from analysis.pages.html.charts import ARMS, Chart, Spec, chart
from analysis.pages.style import INK, MUTED

SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
STAR = (
    "M0,-1L0.22,-0.31L0.95,-0.31L0.36,0.12L0.59,0.81L0,0.38L-0.59,0.81L-0.36,0.12L-0.95,-0.31L-0.22,-0.31Z"
)
"""An SVG path."""
HEIGHT_PX = 340
HINDSIGHT = "hindsight"


def of_front(front: Front) -> Chart:
    """A point an arm, filled where it is on the front, with the intervals of both; hindsight's point; the front."""
    names = names_of(front)
    values: list[Spec] = []
    for point in front.points:
        left, right = ends(point.cost)
        low, high = ends(point.broken)
        values.append(
            {
                "name": names[point.arm],
                "cost": middle(point.cost),
                "broken": middle(point.broken),
                "left": left,
                "right": right,
                "low": low,
                "high": high,
                "front": "on the front" if point.is_on_front else "another one is better, and in nothing worse",
                "fill": 1 if point.is_on_front else 0,
            }
        )
    hindsight = {"name": HINDSIGHT, "cost": 1.0, "broken": front.hindsight_broken, "front": "knows the whole course"}
    order = [value["name"] for value in values] + [HINDSIGHT]
    colours = [ARMS[number % len(ARMS)] for number in range(len(values))] + [INK]
    shapes = [SHAPES[number % len(SHAPES)] for number in range(len(values))] + [STAR]
    domains = [list(reach(front, cost=is_cost)) for is_cost in (True, False)]
    x: Spec = {"type": "quantitative", "title": COST, "scale": {"domain": domains[0], "nice": False}}
    x["axis"] = {"tickCount": 6, "labelOverlap": "greedy"}
    y: Spec = {"type": "quantitative", "title": BROKEN, "scale": {"domain": domains[1], "nice": False}}
    y["axis"] = {"tickCount": 6, "format": "~%", "labelOverlap": "greedy"}
    if linear := linear_below(front):
        y["scale"] |= {"type": "symlog", "constant": linear}
        y["axis"]["values"] = shares(front)
    colour = {"field": "name", "type": "nominal", "sort": None, "scale": {"domain": order, "range": colours}}
    shape = {"field": "name", "type": "nominal", "sort": None, "scale": {"domain": order, "range": shapes}}
    tips: list[Spec] = [{"field": "name", "type": "nominal", "title": "arm"}]
    tips += [{"field": "cost", "type": "quantitative", "title": COST, "format": ".3f"}]
    tips += [{"field": "broken", "type": "quantitative", "title": BROKEN, "format": ".2%"}]
    tips += [{"field": "front", "type": "nominal", "title": "place"}]
    best = sorted((value["cost"], value["broken"]) for value in values if value["fill"])
    along = [(best[0][0], domains[1][1]), *best, (domains[0][1], best[-1][1])]
    bars: Spec = {"type": "rule", "strokeWidth": 1.6, "opacity": 0.7, "clip": True}
    steps = [{"cost": at, "broken": share, "order": place} for place, (at, share) in enumerate(along)]
    across, up = {**x, "field": "cost"}, {**y, "field": "broken"}
    layers: list[Spec] = [
        {
            "data": {"values": steps},
            "mark": {"type": "line", "interpolate": "step-after", "color": MUTED, "strokeDash": [5, 4], "clip": True},
            "encoding": {"x": across, "y": up, "order": {"field": "order"}},
        },
        {
            "data": {"values": values},
            "mark": bars,
            "encoding": {"x": {**x, "field": "left"}, "x2": {"field": "right"}, "y": up, "color": colour},
        },
        {
            "data": {"values": values},
            "mark": bars,
            "encoding": {"x": across, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": colour},
        },
        {
            "data": {"values": [*values, {**hindsight, "fill": 1}]},
            "mark": {"type": "point", "size": 130, "opacity": 1, "strokeWidth": 2},
            "encoding": {
                "x": across,
                "y": up,
                "stroke": colour,
                "fill": colour,
                "shape": shape,
                "fillOpacity": {"field": "fill", "type": "quantitative", "scale": None, "legend": None},
                "tooltip": tips,
            },
        },
    ]
    about = (
        "Filled: on the front, where no other arm costs less without breaking more, by the means that were seen. "
        "Lines: 95 % intervals over the runs; one that leaves the picture goes on. Hindsight knows the whole course of "
        "the demand and how long a start takes."
    )
    return Chart(TITLE, chart(layers, height_px=HEIGHT_PX), about, is_wide=True)
