"""Charts of effects with the intervals that the verdicts were given by, and of what each run measured."""

from collections.abc import Sequence

from analysis.comparison.compared import BY_KEY
from analysis.comparison.comparison import Comparison, Row
from analysis.comparison.text import effect, verdict_words
from analysis.pages.comparison_page import COLOURS, Ends, has_ratio, ratio_ticks, reach, scaled
from analysis.pages.html.charts import HEIGHT_PX, Chart, Spec, chart, known
from analysis.pages.style import BLUE, GREY, MUTED
from record.metrics import value_of

ROW_PX = 30
SHAPES = {
    "better": "triangle-up",
    "worse": "triangle-down",
    "equivalent": "square",
    "inconclusive": "circle",
    "not identified": "cross",
}


def of_metrics(comparison: Comparison, arm: str) -> list[Chart]:
    """Every metric of an arm: the ratios, and the differences in units of the smallest effect of interest."""
    rows = [row for row in comparison.rows if row.arm == arm]
    labels = {row.metric: BY_KEY[row.metric].label + (" *" if row.is_primary else "") for row in rows}
    charts = []
    for is_ratio, title in ((True, "Ratios"), (False, "Differences")):
        of_kind = [(labels[row.metric], row) for row in rows if has_ratio(row) == is_ratio]
        if any(scaled(row, comparison)[1] is not None for _, row in of_kind):
            charts.append(Chart(title, _forest(of_kind, comparison), f"* the primary metric. {_about(is_ratio)}"))
    return charts


def of_primary(comparison: Comparison, names: dict[str, str]) -> list[Chart]:
    """The primary metric of every arm against the reference."""
    rows = [(names[row.arm], row) for row in comparison.rows if row.is_primary]
    if not any(scaled(row, comparison)[1] is not None for _, row in rows):
        return []
    reference = names[rows[0][1].reference]
    title = f"{BY_KEY[comparison.primary].label.capitalize()} of every arm against {reference}"
    return [Chart(title, _forest(rows, comparison), _about(has_ratio(rows[0][1])))]


def of_runs(comparison: Comparison, names: dict[str, str]) -> list[Chart]:
    """The primary metric of every run that was compared; a line joins the runs of one seed."""
    compared = BY_KEY[comparison.primary]
    scale, unit = (100.0, "%") if compared.is_percent else (1.0, compared.unit)
    members = comparison.arms
    values = [
        {"arm": names[label], "place": place, "seed": str(one.run.manifest.get("seed")), "value": scale * value}
        for place, (label, runs) in enumerate(members.items())
        for one in runs
        if (value := value_of(one.metrics, comparison.primary)) is not None
    ]
    if not values:
        return []
    x: Spec = {"field": "value", "type": "quantitative", "title": f"{compared.label} ({unit})"}
    x |= {"scale": {"zero": False}, "axis": {"tickCount": 5, "format": ",.4~g", "labelOverlap": "greedy"}}
    y = {"field": "arm", "type": "nominal", "sort": None, "title": None, "axis": {"labelLimit": 150}}
    tips = [{"field": "arm", "type": "nominal"}, {"field": "seed", "type": "nominal"}]
    tips += [{"field": "value", "type": "quantitative", "title": x["title"], "format": ",.5~g"}]
    joined = {"mark": {"type": "line", "color": GREY, "opacity": 0.5, "strokeWidth": 1}}
    joined |= {"encoding": {"x": x, "y": y, "detail": {"field": "seed"}, "order": {"field": "place"}}}
    points = {"mark": {"type": "point", "filled": True, "size": 70, "color": BLUE, "opacity": 0.8}}
    points |= {"encoding": {"x": x, "y": y, "tooltip": tips}}
    height_px = max(HEIGHT_PX // 2, ROW_PX * len(members))
    drawn = chart([joined, points], height_px=height_px, data={"values": values})
    known_of = len(values) == sum(map(len, members.values()))
    about = "A line joins the runs of one seed." + ("" if known_of else " Runs without a number are not drawn.")
    return [Chart(f"{compared.label.capitalize()} of every run", drawn, about)]


def _about(is_ratio: bool) -> str:
    what = "1 = the same" if is_ratio else "In units of the smallest effect of interest"
    return f"{what}; the band is too small to matter; an arrow: the interval goes on."


def _forest(rows: Sequence[tuple[str, Row]], comparison: Comparison) -> Spec:
    """A line an effect."""
    is_ratio = has_ratio(rows[0][1])
    ends: list[Ends] = [scaled(row, comparison) for _, row in rows]
    start, stop = reach(ends, is_ratio=is_ratio)
    middle, edge = (1.0, 1 + comparison.smallest.effect) if is_ratio else (0.0, 1.0)
    values: list[Spec] = []
    for (name, row), (low, value, high) in zip(rows, ends, strict=True):
        about: Spec = {"name": name, "effect": effect(row), "word": row.verdict}
        about["verdict"] = verdict_words(row, comparison)
        left, right = (value if end is None else end for end in (low, high))
        if value is None or left is None or right is None:
            values.append({**about, "value": None})
            continue
        inside = {"low": max(start, min(left, stop)), "high": max(start, min(right, stop))}
        # Of an interval without bound both ends are cut.
        cut = [edge_of for edge_of, is_cut in (("<", left < start), (">", right > stop)) if is_cut]
        values.append({**about, **inside, "value": known(value) if start <= value <= stop else None, "cut": cut})
    x: Spec = {"type": "quantitative", "title": "ratio" if is_ratio else "difference", "axis": {"format": "~g"}}
    x["scale"] = {"type": "log" if is_ratio else "linear", "domain": [start, stop], "nice": False}
    x["axis"] |= {"values": ratio_ticks(start, stop)} if is_ratio else {"tickCount": 6}
    x["axis"] |= {"labelOverlap": "greedy"}
    y = {"field": "name", "type": "nominal", "sort": None, "title": None, "axis": {"labelLimit": 150}}
    words = list(dict.fromkeys(value["word"] for value in values if value["value"] is not None or "cut" in value))
    colour = {"field": "word", "type": "nominal", "scale": {"domain": words, "range": [COLOURS[w] for w in words]}}
    shape = {"field": "word", "type": "nominal", "scale": {"domain": words, "range": [SHAPES[w] for w in words]}}
    tips = [{"field": name, "type": "nominal"} for name in ("name", "effect", "verdict")]
    marked = {"y": y, "color": colour, "tooltip": tips}
    band = [{"a": 1 / edge if is_ratio else -edge, "b": edge}]
    arrows = [
        {**value, "edge": stop if mark == ">" else start, "mark": mark}
        for value in values
        for mark in value.get("cut", ())
    ]
    layers: list[Spec] = [
        {
            "data": {"values": band},
            "mark": {"type": "rect", "color": BLUE, "opacity": 0.13},
            "encoding": {"x": {**x, "field": "a"}, "x2": {"field": "b"}},
        },
        {"mark": {"type": "rule", "color": MUTED}, "encoding": {"x": {**x, "datum": middle}}},
        {
            "data": {"values": values},
            "mark": {"type": "rule", "strokeWidth": 2.5},
            "encoding": {**marked, "x": {**x, "field": "low"}, "x2": {"field": "high"}},
        },
        {
            "data": {"values": values},
            "mark": {"type": "point", "filled": True, "size": 110, "opacity": 1},
            "encoding": {**marked, "x": {**x, "field": "value"}, "shape": shape},
        },
    ]
    if arrows:
        layers.append(
            {
                "data": {"values": arrows},
                "mark": {"type": "text", "fontWeight": "bold", "fontSize": 15},
                "encoding": {"y": y, "x": {**x, "field": "edge"}, "text": {"field": "mark"}, "color": colour},
            }
        )
    return chart(layers, height_px=ROW_PX * max(3, len(rows)))
