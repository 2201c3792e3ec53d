"""Runs and comparisons as tables: for notebooks, and as Markdown and CSV."""

import csv
import importlib
import io
import subprocess
import sys

import pandas as pd
import pytest

import analysis
from analysis import compare, load, load_sweep
from analysis.compare import main as compare_main
from analysis.summary import main as summary_main
from analysis.tables.export import Sheet, text_of
from analysis.tables.units import unit_of
from record.metrics import Metrics
from record.schema import CPU_ROLES
from tests.analysis import synthetic
from tests.running import ROOT

POLICIES = ("round_robin", "peak_ewma")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Three pairs, of which the last has an invalid run."""
    folder = tmp_path_factory.mktemp("sweep")
    for job in range(6):
        seed, arm = divmod(job, 2)
        about = synthetic.manifest(
            seed=seed, config={"policy": {"name": POLICIES[arm]}},
            generator=[{"stopped": "interrupted" if job == 5 else "complete"}],
        )  # fmt: skip
        synthetic.write(folder / str(job), synthetic.even_requests(latency_s=(0.1 + 0.01 * seed) / (1 + arm)), about=about)
    return folder


def test_to_import_the_package_costs_neither_pandas_nor_scipy_nor_a_picture():
    heavy = "{'pandas', 'scipy', 'numpy', 'matplotlib', 'pyarrow'} & set(sys.modules)"
    code = f"import sys, analysis; print(sorted({heavy}), sorted(analysis.__all__))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[] ['compare', 'load', 'load_sweep']\n"


def test_compare_is_the_function_whatever_was_imported_before_and_a_command_beside_it():
    command = importlib.import_module("analysis.compare")
    importlib.reload(command)
    assert analysis.compare is compare and compare is importlib.import_module("analysis.tables.loading").compare
    assert command.main is importlib.import_module("analysis.compare").main
    with pytest.raises(ImportError, match="cannot import name 'compute'"):
        exec("from analysis import compute")


def test_a_run_is_tables_whose_columns_have_units(sweep):
    run = load(str(sweep / "1"))
    assert run.requests["latency_ms"].to_numpy() == pytest.approx(50.0)
    assert run.requests.attrs["units"]["latency_ms"] == "ms"
    assert (len(run.timeline), run.timeline.attrs["units"]["goodput_rps"]) == (10, "requests/s")
    assert (run.metrics["value"]["latency_p99_ms"], run.metrics["unit"]["latency_p99_ms"]) == (pytest.approx(50.0), "ms")
    assert "VALID" in run.verdict and str(sweep / "1") in repr(run)
    assert list(run.events.columns) == ["t_s", "source", "event"]


def test_every_number_of_a_run_has_a_unit_but_counts_of_versions():
    words = {"schema_version", "valid", "recovered", "fault_harm", "steady", "invalid_reasons", "warnings", "detected_by", "scaling_not_judged"}
    assert {key for key in Metrics.__annotations__ if not unit_of(key)} == words
    named = {"p50_ms": "ms", "offered_rps": "requests/s", **{f"cpu_{role}_cores": "cores" for role in CPU_ROLES}}
    assert {name: unit_of(name) for name in named} == named
    assert [unit_of(name) for name in ("error_rate_timeout", "lateness_p99_ms_worker_1", "share_r1")] == ["share", "ms", "share"]


def test_a_sweep_is_a_table_with_a_row_a_run_and_its_arm(sweep):
    runs = load_sweep(sweep)
    assert list(runs["arm"]) == [f"policy={name}" for name in POLICIES] * 3
    assert list(runs["seed"]) == [0, 0, 1, 1, 2, 2]
    assert list(runs["valid"]) == [True] * 5 + [False]
    assert runs.attrs["units"]["latency_p99_ms"] == "ms"
    one = load_sweep(sweep / "0", sweep / "2")
    assert list(one["arm"]) == ["routed", "routed"]


def test_a_comparison_is_a_table_and_sentences(sweep):
    compared = compare(sweep)
    row = compared.table.set_index("metric").loc["latency_p99_ms"]
    assert (row["ratio"], row["n"], row["unit"]) == (pytest.approx(0.5), 2, "ms")
    assert "Left out whole: 1 pair(s)" in compared.sentences[0]
    assert "policy=peak_ewma is better than policy=round_robin" in repr(compared)
    assert not (sweep / "comparison.json").exists()
    shown = compared._repr_markdown_()
    assert r"| metric | about | policy=round\_robin | policy=peak\_ewma |" in shown and "- BETTER" in shown


def test_compare_prints_csv_that_holds_the_numbers_and_nothing_else(sweep, tmp_path, capsys):
    assert compare_main([str(sweep), "--output", str(tmp_path), "--format", "csv"]) == 0
    out, err = capsys.readouterr()
    rows = {row["metric"]: row for row in csv.DictReader(io.StringIO(out))}
    assert float(rows["latency_p99_ms"]["ratio"]) == pytest.approx(0.5)
    assert rows["latency_p99_ms"]["difference"] == ""
    assert "written: " in err


def test_compare_prints_markdown_with_the_headline(sweep, tmp_path, capsys):
    assert compare_main([str(sweep), "--output", str(tmp_path), "--format", "md"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(r"### policy=peak\_ewma against policy=round\_robin")
    assert "- BETTER" in out and "written" not in out


@pytest.mark.parametrize("places", [["0"], ["0", "1", "5"]], ids=["one run", "several"])
def test_summary_prints_a_table_of_what_it_summarised(sweep, places, tmp_path, capsys):
    arguments = [*(str(sweep / name) for name in places), "--output", str(tmp_path / "page.png")]
    assert summary_main([*arguments, "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    if len(places) == 1:
        assert {row["metric"]: row["unit"] for row in rows}["latency_p99_ms"] == "ms"
    else:
        assert [(row["arm"], row["valid"]) for row in rows] == [
            ("policy=round_robin", "true"), ("policy=peak_ewma", "true"), ("policy=peak_ewma", "false"),
        ]  # fmt: skip
    assert summary_main([*arguments, "--format", "md"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("### ") and "picture" not in out


def test_no_cell_breaks_out_of_its_table():
    sheet = Sheet("a|b", ("x", "y"), [("1|2\n3", None), ("<script>", 1.5)])
    assert text_of([sheet], "md") == "### a\\|b\n\n| x | y |\n|---|---|\n| 1\\|2 3 | - |\n| \\<script\\> | 1.5 |\n"
    assert pd.read_csv(io.StringIO(text_of([sheet], "csv"))).to_numpy()[0, 0] == "1|2\n3"
