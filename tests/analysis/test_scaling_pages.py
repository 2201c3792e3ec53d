"""Pictures of scalers: the panel of a run, and the front of a comparison, on PNG and in HTML."""

import json
from dataclasses import replace

import pytest
from matplotlib.figure import Figure
from PIL import Image

from analysis.comparison.comparison import compare
from analysis.comparison.front import front_of
from analysis.metrics.measured import in_numbers
from analysis.pages import comparison_page, run_page
from analysis.pages.comparison_page import draw_comparison
from analysis.pages.front_panel import TITLE, draw_front, reach
from analysis.pages.html.fronts import HINDSIGHT, of_front
from analysis.pages.style import save
from tests.analysis.test_scaling_metrics import ALWAYS, LATE, LATE_AND_DEAR, NEVER, scaled, swept

pytestmark = pytest.mark.slow  # a page is drawn for each


def drawn(monkeypatch, module, draw):
    """The figure that is saved."""
    figures = []

    def keep(figure, path):
        figures.append(figure)
        save(figure, path)

    monkeypatch.setattr(module, "save", keep)
    draw()
    return figures[-1]


def titled(figure, text):
    return next((axes for axes in figure.axes if text in axes.get_title(loc="left")), None)


@pytest.mark.parametrize("has_demand", [True, False])
def test_a_run_with_a_demand_has_its_panel(tmp_path, monkeypatch, has_demand):
    folder = scaled(tmp_path / "run", failing=(4, 5), **({} if has_demand else {"needed": None}))
    measured = in_numbers(folder)
    figure = drawn(monkeypatch, run_page, lambda: run_page.draw(*measured, tmp_path / "summary.png"))
    axes = titled(figure, "Replicas needed (by Erlang's formula)")
    assert (axes is not None) == has_demand
    if axes is not None:
        labels = [text.get_text() for text in axes.get_legend().get_texts()]
        assert labels[:4] == ["needed", "wanted", "ready", "hindsight"]
        assert any("not within" in label for label in labels)
    assert Image.open(tmp_path / "summary.png").width == 1600


def test_a_comparison_of_scalers_has_the_front(tmp_path, monkeypatch):
    arms = swept(tmp_path, always=ALWAYS, never=NEVER, late=LATE, dear=LATE_AND_DEAR)
    path = tmp_path / "comparison.png"
    figure = drawn(monkeypatch, comparison_page, lambda: draw_comparison(compare(arms), path))
    labels = [text.get_text() for text in titled(figure, TITLE).get_legend().get_texts()]
    assert labels == [
        "always, on the front", "never, on the front", "late, on the front", "dear", "hindsight",
    ]  # fmt: skip


def test_the_reports_chart_has_every_arm_its_intervals_and_hindsight(tmp_path):
    comparison = compare(swept(tmp_path, always=ALWAYS, never=NEVER, dear=LATE_AND_DEAR))
    front = front_of(comparison.arms)
    spec = of_front(front).spec
    points = spec["layer"][-1]["data"]["values"]
    assert [point["name"] for point in points] == ["always", "never", "dear", HINDSIGHT]
    json.dumps(spec, allow_nan=False)
    (left, right), (low, high) = reach(front, cost=True), reach(front, cost=False)
    assert all(left < point["cost"] < right and low < point["broken"] < high for point in points)


@pytest.mark.parametrize(("worst", "marks"), [(0.3, ["0 %", "0.1 %", "1 %", "10 %"]), (0.02, None)])
def test_shares_that_lie_decades_apart_are_told_apart(tmp_path, worst, marks):
    """A fixed fleet that breaks a third of a day beside scalers that break a thousandth."""
    front = front_of(compare(swept(tmp_path, always=ALWAYS, never=NEVER, late=LATE)).arms)
    of_each = zip(front.points, (0.0, worst, 0.002), strict=True)
    points = tuple(replace(p, broken=replace(p.broken, low=m, mean=m, high=m)) for p, m in of_each)
    front = replace(front, points=points)
    axes = Figure().add_subplot()
    draw_front(axes, front)
    heights = axes.transAxes.inverted().transform(axes.transData.transform([(1.0, m) for m in (0.0, worst, 0.002)]))[:, 1]
    assert 0 < heights[0] < heights[2] < heights[1] < 1 and min(heights[2] - heights[0], heights[1] - heights[2]) > 0.08
    y = of_front(front).spec["layer"][-1]["encoding"]["y"]
    assert (y["scale"].get("type") == "symlog") == (marks is not None)
    if marks is not None:
        assert [axes.yaxis.get_major_formatter()(at) for at in axes.get_yticks()] == marks
        assert y["axis"]["values"] == pytest.approx(axes.get_yticks())


def test_an_interval_that_leaves_the_panel_ends_in_an_arrow_at_its_edge(tmp_path):
    front = front_of(compare(swept(tmp_path, always=ALWAYS, never=NEVER, late=LATE)).arms)
    never = replace(front.points[1], broken=replace(front.points[1].broken, low=0.3, high=1.0))
    figure = Figure(dpi=100)
    for points, many in ((front.points, 0), ((front.points[0], never, front.points[2]), 1)):
        axes = figure.add_subplot()
        draw_front(axes, replace(front, points=points))
        arrows = [line for line in axes.lines if line.get_marker() == "^" and line.get_transform() != axes.transData]
        assert len(arrows) == many
        for arrow in arrows:
            ((_, high),) = arrow.get_transform().transform(arrow.get_xydata())
            assert high + 5.0 * 100 / 72 == pytest.approx(axes.bbox.y1), "its tip"
