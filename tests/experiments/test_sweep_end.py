"""What the end of a sweep leaves and says, on runs whose outcome is known."""

import json
import re
from types import SimpleNamespace

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from analysis.comparison.comparison import Row
from experiments.runner.supervision import Interrupted
from experiments.sweep import ending
from experiments.sweep.end import finish
from experiments.sweep.jobs import ONE_BY_ONE
from experiments.tracking.sweep import effects, verdict
from tests.analysis import synthetic

pytestmark = pytest.mark.slow  # each is compared and drawn


def sweep(folder, policies):
    """Jobs as Hydra numbers them: two seeds, the first policy first; the second is twice as fast."""
    for job in range(2 * len(policies)):
        seed, arm = divmod(job, len(policies))
        synthetic.write(
            folder / str(job),
            synthetic.even_requests(latency_s=(0.1 + 0.01 * seed) / (1 + arm)),
            about=synthetic.manifest(
                seed=seed,
                overrides=["+scenario=routed", f"seed={seed}", f"policy={policies[arm]}"],
                config={"seed": seed, "policy": {"name": policies[arm]}},
            ),
        )
    return folder


def test_a_sweep_of_two_arms_is_compared_drawn_and_told(tmp_path, capsys):
    finish(sweep(tmp_path, ["round_robin", "peak_ewma"]), 0, is_whole=True)
    rows = {row["metric"]: row for row in json.loads((tmp_path / "comparison.json").read_text())}
    assert (rows["latency_p99_ms"]["ratio"], rows["latency_p99_ms"]["verdict"]) == (pytest.approx(0.5), "better")
    for name in ("comparison.png", "summary.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    out, err = capsys.readouterr()
    assert "BETTER. policy=peak_ewma is better than policy=round_robin: latency p99 x 0.500" in out
    assert "latency p50" in out
    assert f"python -m analysis.compare {tmp_path}" in out
    assert err == ""


def test_a_sweep_of_one_arm_says_in_a_line_that_there_is_nothing_to_compare(tmp_path, capsys):
    finish(sweep(tmp_path, ["peak_ewma"]), 0, is_whole=True)
    out, err = capsys.readouterr()
    assert (out.count("not compared: one arm only"), err) == (1, "")
    assert (tmp_path / "summary.png").exists()
    assert not (tmp_path / "comparison.json").exists()


def test_without_what_the_report_is_made_with_a_sweep_says_in_a_line_how_to_get_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("experiments.sweep.end.missing", {"report": "needs it: pip install it"}.get)
    finish(sweep(tmp_path, ["peak_ewma"]), 0, is_whole=True)
    out, err = capsys.readouterr()
    assert (out.count("no HTML report: needs it: pip install it\n"), err) == (1, "")
    assert not (tmp_path / "report.html").exists()


def test_a_sweep_of_one_arm_has_a_report_and_one_that_cannot_be_written_costs_nothing_else(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("experiments.sweep.end.missing", lambda extra: None)
    monkeypatch.setattr("analysis.pages.html.document.NEEDED", ())
    monkeypatch.setattr("analysis.pages.html.document.bundle", lambda: "window.vegaEmbed = () => Promise.resolve()")
    folder = sweep(tmp_path, ["peak_ewma"])
    finish(folder, 0, is_whole=True)
    assert f"report: {folder / 'report.html'}\n" in capsys.readouterr().out
    assert "Not compared: one arm only" in (folder / "report.html").read_text()
    monkeypatch.setattr("analysis.pages.html.document.bundle", lambda: 1 / 0)
    finish(folder, 0, is_whole=True)
    assert capsys.readouterr().err == (
        f"warning: the report is not written (division by zero); later: python -m analysis.report {folder}\n"
    )
    assert {"summary.png"} == {path.name for path in folder.iterdir() if path.is_file()}


def test_an_interrupted_sweep_is_not_compared_nor_leaves_the_comparison_of_an_earlier_one(tmp_path, capsys):
    sweep(tmp_path, ["round_robin", "peak_ewma"])
    (tmp_path / "comparison.json").write_text("[]")
    finish(tmp_path, 130, is_whole=False)
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1", "2", "3"}
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt(), 130), (Interrupted(15), 143)])
def test_who_interrupts_the_logging_of_a_sweep_keeps_what_was_found(tmp_path, capsys, monkeypatch, error, status):
    def interrupted(*_):
        raise error

    monkeypatch.setattr("experiments.sweep.end.finish_sweep", interrupted)
    folder = sweep(tmp_path / "sweep", ["round_robin", "peak_ewma"])
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(folder)}, "launcher": {"_target_": ONE_BY_ONE}}})
    assert ending.end(config, 0, is_whole=True) == status
    assert f"later: python -m experiments.tracking {folder}" in capsys.readouterr().err
    monkeypatch.setattr(HydraConfig, "initialized", lambda: True)
    monkeypatch.setattr(HydraConfig, "get", lambda: OmegaConf.create({"mode": RunMode.MULTIRUN}))
    monkeypatch.setattr(HydraConfig, "instance", lambda: SimpleNamespace(cfg=config))
    ending.end_interrupted(status)
    assert {"comparison.json", "comparison.png", "summary.png"} <= {path.name for path in folder.iterdir()}


def test_what_goes_wrong_at_the_end_is_a_warning_with_the_command_for_later(tmp_path, capsys):
    finish(tmp_path, 0, is_whole=True)
    assert capsys.readouterr().err == (
        f"warning: the sweep is not compared ({tmp_path}: no run's folder here (no manifest.json)); "
        f"later: python -m analysis.compare {tmp_path}\n"
    )


def row(arm, metric="latency_p99_ms", **changes):
    values = {name: None for name in Row.__dataclass_fields__} | {
        "metric": metric, "reference": "a=1", "arm": arm, "reference_value": 100.0, "arm_value": 50.0, "ratio": 0.5,
        "low": 0.4, "high": 0.6, "verdict": "better", "is_primary": True, "n": 2, "alpha": 0.05, "level": 0.05,
    }  # fmt: skip
    return Row(**(values | changes))


def test_effects_carry_their_bounds_under_keys_that_mlflow_takes():
    share = {"ratio": None, "difference": -0.01, "low": None, "high": None, "is_primary": False}
    found = effects([row("policy=p2c"), row("policy=p2c", "error_rate", **share)])
    assert found == {
        "vs/p2c/latency_p99_ms": 0.5,
        "vs/p2c/latency_p99_ms_low": 0.4,
        "vs/p2c/latency_p99_ms_high": 0.6,
        "vs/p2c/error_rate_difference": -0.01,
    }
    arms = ["replica.speeds=[1, 0.3], x=a/b", "replica.speeds=[1, 0.3], x=a:b", "faults=" + 40 * "{at_s: 1}, "]
    keys = list(effects([row(arm) for arm in arms]))
    assert len(set(keys)) == 9
    assert [key for key in keys if not re.fullmatch(r"[\w./ -]{1,250}", key)] == []


def test_the_verdict_is_a_sentence_an_arm_and_which_are_best_and_there_is_one_without_a_pair():
    best = "Best: a=2; a=1 equivalent to it (every pair of arms, together at 5 %)."
    rows = [row("a=2", sentence="BETTER. a=2 is.", best=best), row("a=2", "error_rate", is_primary=False)]
    text = verdict([*rows, row("a=3", sentence="WORSE. a=3 is.", best=best)])
    assert text == f"{best} BETTER. a=2 is. WORSE. a=3 is."
    assert verdict([]).startswith("INCONCLUSIVE.")
