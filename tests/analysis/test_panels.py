"""A run's page is made of panels that are found by their files' names; a broken one costs nothing but itself."""

import pytest
from PIL import Image

from analysis.metrics import table, timeline
from analysis.pages import run_page
from analysis.pages.panels import find
from analysis.pages.style import save
from record.reading import read
from tests.analysis import synthetic

pytestmark = pytest.mark.slow  # a page is drawn for each
TREE = ["Latency", "Replicas in rotation and faults", "Rates", "Replicas", "CPU", "Requests that took longer"]
TREE += ["Requests per replica", "In numbers"]
OF_SOME_RUNS = {"counterfactual", "counterfactual_numbers", "scaling"}
"""Panels that this page has nothing for (tests/experiments/test_counterfactual.py, test_scaling_pages.py)."""
ATTEMPTS = '''
from analysis.pages.panels import Source
from analysis.pages.style import BLUE, dress

class Attempts:
    name = "{name}"
    place = {place}
    columns = {columns}

    def height_px(self, source):
        return {height}

    def draw(self, axes, source):
        dress(axes, "Attempts", "attempts", "requests")
        counts = source.run.requests["attempts"].value_counts().sort_index()
        axes.bar(counts.index, counts, color=BLUE)
        {more}
'''


def attempts(name, place=(5, 1), columns=4, height=250, more=""):
    return ATTEMPTS.format(name=name, place=place, columns=columns, height=height, more=more)


@pytest.fixture
def drawn(tmp_path, monkeypatch, capsys):
    """Draws the page of a run with a fault beside further panels; (figure, picture, lines on stderr)."""
    folder = synthetic.realistic(
        tmp_path / "run", "failover", duration_s=8, rate=30, faults=((4.0, "kill", "r2", 2.0),)
    )
    run = read(folder)
    seconds = timeline.build(run)
    found = table.compute(run, seconds)
    figures = []

    def keep(fig, path):
        figures.append(fig)
        save(fig, path)

    monkeypatch.setattr(run_page, "save", keep)

    def page(**files):
        room = tmp_path / "plugins" / "panels"
        room.mkdir(parents=True)
        for name, text in files.items():
            (room / f"{name}.py").write_text(text)
        monkeypatch.setenv("AEGIS_PLUGINS", str(room.parent))
        run_page.draw(run, seconds, found, tmp_path / "page.png")
        return figures[-1], Image.open(tmp_path / "page.png"), capsys.readouterr().err.splitlines()

    return page


def titles(fig):
    return [axes._left_title.get_text() for axes in fig.axes]


def are_those_of_the_tree(found):
    return len(found) == len(TREE) and all(text.startswith(start) for text, start in zip(found, TREE, strict=True))


def test_a_panel_of_a_folder_outside_is_drawn_below_those_of_the_tree(drawn):
    fig, picture, told = drawn(attempts_of_each=attempts("attempts_of_each"))
    assert told == []
    assert are_those_of_the_tree(titles(fig)[:-1]) and titles(fig)[-1] == "Attempts"
    shares, own = fig.axes[-3].get_position(), fig.axes[-1].get_position()
    assert own.y1 < shares.y0 and 0.2 < own.width < 1 / 3
    assert fig.axes[-1].patches[0].get_height() > 100
    below = picture.convert("L").crop((0, picture.height - 250, 500, picture.height))
    assert len(below.getcolors(256)) > 20  # not blank


def test_a_panel_that_does_not_fit_into_its_row_stands_on_a_line_below(drawn):
    fig, _, told = drawn(beside_the_lanes=attempts("beside_the_lanes", place=(2, 2)))
    assert told == []
    lanes, own, rates = (axes.get_position() for axes in fig.axes[1:4])
    assert lanes.y0 > own.y1 and own.y0 > rates.y1


def test_a_panel_with_nothing_to_show_takes_no_room(drawn):
    fig, picture, told = drawn(nothing_of_it=attempts("nothing_of_it", height=0))
    assert told == [] and are_those_of_the_tree(titles(fig))
    assert picture.height == fig.get_figheight() * 100


TICK = "axes.xaxis.set_major_formatter(lambda value, at: 1 / 0)"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("torn", "x = (\n", "torn.py cannot be imported (SyntaxError"),
        ("needs_more", "import nowhere_at_all\n", "needs_more.py cannot be imported (ModuleNotFoundError"),
        ("unnamed", "class Other:\n    name = 'other'\n", 'unnamed.py has no class with `name = "unnamed"`'),
        ("half", "class Half:\n    name = 'half'\n    place = (5, 1)\n", "lacks columns, height_px, draw"),
        ("nowhere", attempts("nowhere", place=5), "its place is no pair"),
        ("misplaced", attempts("misplaced", place=("a", "b")), "needs place = (row, position)"),
        ("too_wide", attempts("too_wide", columns=13), "columns from 1 to 12"),
        ("too_high", attempts("too_high", height=70_000), "must be 0 or between 40 and 1000"),
        ("dividing", attempts("dividing", more="axes.twinx(); 1 / 0"), "cannot be drawn (ZeroDivisionError"),
        ("dividing_later", attempts("dividing_later", more=TICK), "cannot be drawn (ZeroDivisionError"),
        ("latency", attempts("latency"), "latency.py have this name; rename one"),
    ],
)
def test_a_broken_panel_is_named_in_one_line_and_the_page_is_there_all_the_same(drawn, name, text, words):
    fig, picture, told = drawn(**{name: text})
    assert len(told) == 1 and f"page.png: without the panel {name}: " in told[0] and words in told[0]
    assert are_those_of_the_tree(titles(fig))
    note = " ".join(text.get_text() for text in fig.texts)
    assert f"Note: without the panel {name}: " in note
    assert picture.width == 1600 and picture.height > 1100


def test_a_folder_of_panels_that_is_none_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("AEGIS_PLUGINS", str(tmp_path / "misspelt"))
    panels, wrong = find()
    assert len(panels) == len(TREE) + len(OF_SOME_RUNS) and {panel.name for panel in panels} > OF_SOME_RUNS
    assert [str(error) for error in wrong] == [f"without panels of {tmp_path / 'misspelt'}: AEGIS_PLUGINS must name folders"]
