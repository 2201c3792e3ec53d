"""What must not let a pipeline pass: invalid runs, damaged folders, and the answers of an earlier command."""

import json

import pytest

from analysis.compare import main
from tests.analysis.test_expectations import NAMES, run, sweep


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    monkeypatch.setattr("analysis.pages.comparison_page.draw_comparison", lambda comparison, path: None)


def test_an_arm_with_an_invalid_run_is_not_valid_and_every_value_of_it_says_so(tmp_path, capsys):
    for seed in range(3):
        run(tmp_path / f"{seed}a", 0.1, seed=seed, config=NAMES)
        run(tmp_path / f"{seed}b", 0.1, seed=seed, generator=[{"stopped": "interrupted" if seed == 1 else "complete"}])
    asked = "[valid == true, latency_p99_ms < 200, latency_p99_ms <= 1.05 x reference]"
    assert main([str(tmp_path), "--expect", asked]) == 4
    found = json.loads((tmp_path / "expectations.json").read_text())
    told = {(one["arm"].partition("=")[2], one["metric"], one["reference"] is None): one for one in found}
    assert [told["round_robin", *one]["outcome"] for one in (("valid", True), ("latency_p99_ms", True))] == ["met"] * 2
    valid = told["peak_ewma", "valid", True]
    assert (valid["outcome"], valid["value"]) == ("not met", pytest.approx(2 / 3))
    value, ratio = told["peak_ewma", "latency_p99_ms", True], told["peak_ewma", "latency_p99_ms", False]
    assert (value["outcome"], ratio["outcome"]) == ("met", "met")
    assert "1 of 3 runs is not valid: " in valid["reason"] and "1 of 3 runs is not valid: " in value["reason"]
    assert ratio["reason"] == "1 of 3 pairs left out, as runs are not valid"
    assert told["round_robin", "valid", True]["reason"] == ""
    out, xml = capsys.readouterr().out, (tmp_path / "junit.xml").read_text()
    for text in ("1 of 3 runs is not valid: ", "1 of 3 pairs left out"):
        assert text in out and text in xml


def test_a_folder_that_cannot_be_read_lets_no_gate_pass(tmp_path):
    sweep(tmp_path, [0.1, 0.11], [0.1, 0.11])
    asked = [str(tmp_path), "--expect", "failed_requests == 0"]
    assert main(asked) == 0
    (tmp_path / "3" / "requests.parquet").write_bytes(b"PAR1")
    assert main(asked[:1]) == 0
    assert main(asked) == 4
    found = json.loads((tmp_path / "expectations.json").read_text())
    assert [(one["outcome"], one["reason"]) for one in found if one["outcome"] != "met"] == [
        ("cannot be said", "1 folder cannot be read")
    ]
    assert "1 folder cannot be read" in (tmp_path / "junit.xml").read_text()


def test_no_answer_of_an_earlier_comparison_passes_for_that_of_a_later_one(tmp_path):
    sweep(tmp_path, [0.1, 0.11], [0.1, 0.11])
    asked, files = [str(tmp_path), "--expect", "failed_requests == 0"], ("expectations.json", "junit.xml")
    assert main(asked) == 0 and all((tmp_path / name).exists() for name in files)
    assert main(asked[:1]) == 0
    assert not any((tmp_path / name).exists() for name in files)
    assert main(asked) == 0
    assert main([str(tmp_path), "--expect", "latency_p9_ms < 1"]) == 2
    assert not any((tmp_path / name).exists() for name in (*files, "comparison.json"))
    (tmp_path / "junit.xml").write_text("of another tool")
    assert main(asked[:1]) == 0 and (tmp_path / "junit.xml").exists()


def test_what_a_run_itself_expected_is_not_overwritten(tmp_path, capsys):
    folder = run(tmp_path / "run")
    for name in ("expectations.json", "junit.xml"):
        (folder / name).write_text("its own")
    assert main([str(folder), "--expect", "failed_requests == 1"]) == 4
    assert (folder / "junit.xml").read_text() == (folder / "expectations.json").read_text() == "its own"
    assert "failed_requests == 1" in (folder / "expected" / "junit.xml").read_text()
    capsys.readouterr()
    assert main([str(folder), "--output", str(folder), "--expect", "failed_requests == 0"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"--output={folder}: ") and err.count("\n") == 1
    assert (folder / "junit.xml").read_text() == "its own"
