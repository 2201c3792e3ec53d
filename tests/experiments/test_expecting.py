"""`expect`: how it is typed, what is refused before anything starts, and the exit status of runs and sweeps."""

import json
import re
import shlex

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from analysis.expectations.grammar import parse_all
from experiments.plan import store
from experiments.plan.config import ConfigError
from experiments.plan.expecting import quoted
from experiments.runner.exit_status import ExitStatus
from experiments.sweep.dry_run import sweep_of
from experiments.sweep.end import finish
from tests.analysis import synthetic
from tests.running import ROOT, job_of, run

TYPED = "expect=[latency_p99_ms < 300, failed_requests == 0]"
QUICK = ["engine=sim", "tracking.enabled=false", "summary=never", "workload.duration_s=8", "workload.warmup_s=1"]


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    for name in ("comparison_page.draw_comparison", "joint_page.draw_many"):
        monkeypatch.setattr(f"analysis.pages.{name}", lambda *anything: None)


@pytest.mark.parametrize(
    "typed",
    [
        TYPED,
        "+" + TYPED,
        "expect=['latency_p99_ms < 300',\"failed_requests == 0\"]",
        "expect=[ latency_p99_ms < 300 ,failed_requests == 0 ]",
    ],
)
def test_what_is_typed_reaches_hydra_whose_own_grammar_has_no_less_than(typed):
    (text,) = quoted([typed])
    override = OverridesParser.create().parse_override(text)
    assert override.value() == ["latency_p99_ms < 300", "failed_requests == 0"]
    assert not override.is_sweep_override()
    assert quoted(["seed=1", "policy.expect=2"]) == ["seed=1", "policy.expect=2"]
    assert quoted(["expect=[]"]) == ["expect=[]"]


@pytest.mark.parametrize("typed", ["expect=latency_p99_ms < 300", "expect=[dropped == 0],[dropped == 1]", "expect="])
def test_what_is_no_list_is_answered_with_the_form_that_works(typed):
    with pytest.raises(ConfigError) as error:
        quoted([typed])
    assert "expect='[latency_p99_ms < 300, failed_requests == 0]'" in str(error.value)


ARMS = ["-m", "policy=round_robin,peak_ewma"]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["expect=[latency_p9_ms < 3]"], ["latency_p9_ms", "latency_p99_ms"]),
        (["expect=[latency_p99_ms <= 1.05 x reference]"], ["there is no reference", "-m policy=", "--baseline NAME"]),
        (["-m", "seed=1,2", "expect=[latency_p99_ms <= 1.05 x reference]"], ["there is no reference"]),
        ([*ARMS, "expect=[dropped == 0, dropped==0]"], ["twice"]),
        (["expect=[share_r9 > 0.1]"], ["share_r9", "no such replica", "r1 to r4"]),
        (["load.ui=true", "expect=[dropped == 0]"], ["load.ui=true", "nothing is measured"]),
    ],
)
def test_what_cannot_be_held_against_anything_is_refused_before_anything_starts(overrides, said):
    store.register()
    with pytest.raises(ConfigError) as error:
        sweep_of(quoted(["+scenario=routed", *overrides]))
    assert all(word in str(error.value) for word in said), error.value


def test_arms_of_a_sweep_have_a_reference_and_expect_the_same():
    store.register()
    asked = [*ARMS, "expect=[latency_p99_ms <= 1.05 x reference]"]
    assert len(sweep_of(quoted(["+scenario=routed", *asked])).jobs) == 2


@pytest.mark.slow
def test_a_run_ends_with_4_where_it_does_not_show_what_is_expected_and_the_files_say_what(tmp_path):
    expect = "expect=[failed_requests == 0, latency_p50_ms < 0.001]"
    done = run("+scenario=routed", *QUICK, expect, f"hydra.run.dir={tmp_path}/run")
    assert done.returncode == ExitStatus.UNMET == 4, done.stderr
    found = json.loads((tmp_path / "run" / "expectations.json").read_text())
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert [(one["outcome"], one["value"]) for one in found] == [("met", 0.0), ("not met", metrics["latency_p50_ms"])]
    assert "EXPECTED: 1 of 2 met, 1 not met." in done.stdout
    assert '<testsuites name="aegis" tests="2" failures="1" errors="0">' in (tmp_path / "run" / "junit.xml").read_text()


@pytest.mark.slow
def test_a_sweep_ends_with_4_by_the_interval_of_its_comparison_and_its_runs_are_not_judged_one_by_one(tmp_path):
    expect = "expect=[failed_requests == 0, latency_p99_ms <= 0.01 x reference]"
    sweep = ["seed=1,2", "policy=round_robin,peak_ewma", f"hydra.sweep.dir={tmp_path}/sweep"]
    done = run("-m", "+scenario=routed", *QUICK, expect, *sweep)
    assert done.returncode == ExitStatus.UNMET, done.stderr
    found = json.loads((tmp_path / "sweep" / "expectations.json").read_text())
    assert [one["outcome"] == "met" for one in found] == [True, True, False]
    assert not (job_of(tmp_path / "sweep", 0) / "expectations.json").exists()


def made(folder, *, expect, valid=True):
    """A sweep of two arms and two seeds, 100 and 50 ms."""
    for job in range(4):
        seed, arm = divmod(job, 2)
        synthetic.write(
            folder / str(job),
            synthetic.even_requests(latency_s=0.1 / (1 + arm)),
            about=synthetic.manifest(
                seed=seed,
                config={"policy": {"name": ["round_robin", "peak_ewma"][arm]}, "expect": expect},
                generator=[{"stopped": "complete" if valid else "interrupted"}],
            ),
        )
    return folder


@pytest.mark.parametrize(
    ("expect", "jobs", "status"),
    [
        ([], 0, 0),
        (["latency_p99_ms < 101"], 0, 0),
        (["latency_p99_ms < 99"], 0, 4),
        (["latency_p99_ms < 99"], 3, 3),
        (["latency_p99_ms < 99"], 1, 1),
        (["latency_p99_ms <= 0.6 x reference"], 0, 0),
        (["latency_p99_ms <= 0.4 x reference"], 0, 4),
    ],
)
def test_what_failed_or_is_not_valid_comes_before_what_is_not_met(tmp_path, expect, jobs, status):
    assert finish(made(tmp_path, expect=expect), jobs, is_whole=True) == status
    assert (tmp_path / "junit.xml").exists() == bool(expect)


def test_a_sweep_without_a_valid_run_meets_nothing(tmp_path, capsys):
    made(tmp_path, expect=["failed_requests == 0"], valid=False)
    assert finish(tmp_path, 3, is_whole=True) == 3
    assert {one["outcome"] for one in json.loads((tmp_path / "expectations.json").read_text())} == {"not met"}
    assert "all runs are not valid" in capsys.readouterr().out


def test_a_gate_that_cannot_be_looked_at_does_not_stand_open(tmp_path):
    made(tmp_path, expect=["failed_requests == 0"])
    (tmp_path / "1" / "manifest.json").write_text((tmp_path / "1" / "manifest.json").read_text().replace("0.05", '"x"'))
    (tmp_path / "0" / "manifest.json").write_text((tmp_path / "0" / "manifest.json").read_text().replace("0.05", '"x"'))
    assert finish(tmp_path, 0, is_whole=True) == 4
    assert finish(tmp_path, 130, is_whole=False) == 130


def test_a_damaged_first_run_does_not_open_the_gate_nor_does_any_other(tmp_path):
    made(tmp_path, expect=["latency_p99_ms < 99"])
    (tmp_path / "0" / "manifest.json").write_text("{")
    assert finish(tmp_path, 0, is_whole=True) == 4
    outcomes = json.loads((tmp_path / "expectations.json").read_text())
    assert "1 folder cannot be read" in [one["reason"] for one in outcomes]


def breaking(error):
    def draw(*anything):
        raise error

    return draw


@pytest.mark.parametrize("name", ["comparison_page.draw_comparison", "joint_page.draw_many"])
@pytest.mark.parametrize(("error", "status"), [(ValueError("no colour"), 0), (KeyboardInterrupt(), 130)])
def test_a_picture_that_fails_costs_no_gate_and_what_is_known_is_written_before(
    tmp_path, monkeypatch, capsys, name, error, status
):
    made(tmp_path, expect=["latency_p99_ms < 101"])
    monkeypatch.setattr(f"analysis.pages.{name}", breaking(error))
    assert finish(tmp_path, 0, is_whole=True) == status
    assert {one["outcome"] for one in json.loads((tmp_path / "expectations.json").read_text())} == {"met"}
    assert (tmp_path / "junit.xml").exists() and (tmp_path / "comparison.json").exists()
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and ("no colour" in err if status == 0 else "interrupted" in err)


def test_the_pipeline_of_the_documentation_is_made_of_what_there_is():
    text = (ROOT / "docs" / "thresholds.md").read_text()
    (job,) = [block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if block.startswith("benchmark:")]
    job = yaml.safe_load(job)["benchmark"]
    commands = [shlex.split(line) for line in job["script"]]
    assert [words[:2] for words in commands] == [["pip", "install"], ["aegis", "sweep"], ["aegis", "compare"]]
    store.register()
    task = [word for word in commands[1][2:] if not word.startswith("hydra.")]
    sweep = sweep_of(quoted(["-m", *task]))
    assert [job.config.seed for job in sweep.jobs] == [1, 2, 3, 4, 5]
    assert len(sweep.jobs[0].config.expect) == 2
    assert [one.has_reference for one in parse_all([commands[2][-1]])] == [True, True]
    assert job["artifacts"]["reports"]["junit"].startswith(job["artifacts"]["paths"][0])
