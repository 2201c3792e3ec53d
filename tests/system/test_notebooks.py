"""The notebooks of docs/notebooks/ work, and what they show is what their cells give."""

import ast
import contextlib
import io
import json
import os
import pprint

import pytest

from tests.running import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def executed(source, names):
    """What a cell prints, or the text of its last expression, as Jupyter shows it."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(tree, "cell", "exec"), names)
        value = None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    shown = pprint.pformat(value, sort_dicts=False) if isinstance(value, dict) else repr(value)
    return out.getvalue() if value is None else shown


def stored(cell):
    """The text that the notebook holds of a cell."""
    return "".join("".join(output.get("text") or output["data"]["text/plain"]) for output in cell["outputs"])


def headed(text):
    """The names of a table's columns, or the first word of a sentence: numbers may change with the simulator."""
    line = next((line for line in text.splitlines() if line.strip()), "")
    return line.split(".")[0] if line[:1].isupper() else line.split()


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_its_first_cell_to_its_last_and_shows_what_it_held(path, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1)), "not executed from the top"
    names = {}
    for number, cell in enumerate(cells, 1):
        given = executed("".join(cell["source"]), names)
        assert headed(given) == headed(stored(cell)), f"cell {number}: run the notebook again and keep its output"
    assert os.listdir(tmp_path), "it made no runs"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_holds_nothing_of_the_machine_that_ran_it(path):
    text = path.read_text()
    assert len(text) < 100_000
    assert not [word for word in ("/home/", "/tmp/", "/root/", str(ROOT)) if word in text]


def test_there_is_one():
    assert NOTEBOOKS
