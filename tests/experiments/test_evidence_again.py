"""Packs that are gone on with, ended by a signal, or held against what they cannot be held against: told beforehand."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import yaml

from analysis.comparison.arms import ComparisonError
from analysis.standings import against
from analysis.standings.protocol import ArmPlan
from experiments.plan.config import ConfigError
from experiments.trials.arms import parse_arms
from experiments.trials.made_with import made_with
from experiments.trials.planning import Asked, planned
from experiments.trials.suites import scenarios_of
from experiments.trials.times import fitted
from tests.experiments.test_evidence import SMALL, config_of, pack
from tests.running import AT_MOST_S, ROOT


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--arms", "policy=adaptive", "router.retry.max_attempts=1,2"], "router.retry.max_attempts=1,2: is more than one value"),
        (["--arms", "x: policy=adaptive,random"], "policy=adaptive,random: is more than one value; several arms are --arms"),
        (["--arms", "policy=adaptive", "replicas=range(4,6)"], "is more than one value"),
        (["--arms", "policy=adaptive", "router=null"], "router=null: must be one of"),
        (["--arms", "policy=adaptive", "--duration", "0"], "--duration=0: must be at least"),
        (["--arms", "policy=adaptive", "--duration", "nan"], "--duration=nan: must be at least"),
        (["--arms", "policy=adaptive", "--series", "none/nightly.csv"], "none/nightly.csv: cannot be written"),
    ],
)
def test_what_would_be_dropped_or_cost_the_board_its_end_is_refused_in_a_line(tmp_path, words, why):
    done = pack("--suite", "hang", *words, output=tmp_path / "none")
    assert done.returncode == 2 and why in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not (tmp_path / "none").exists()
    with pytest.raises(ConfigError, match="--duration=inf"):
        fitted(config_of(), float("inf"))


def test_a_file_in_the_place_of_the_pack_or_a_suite_that_is_no_text_is_wrong_input(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "suite.yaml").write_bytes(b"\xff\xfe[hang]")
    done = pack(*SMALL, output=tmp_path / "file")
    assert done.returncode == 2 and "is a file" in done.stderr and (tmp_path / "file").read_text() == "mine"
    done = pack("--arms", "policy=random", "--suite", str(tmp_path / "suite.yaml"), output=tmp_path / "none")
    assert done.returncode == 2 and "cannot be read" in done.stderr


def test_an_earlier_pack_that_cannot_be_compared_is_told_before_the_first_run(tmp_path):
    then, now = tmp_path / "then", tmp_path / "now"
    assert pack(*SMALL, output=then).returncode == 0
    for words, why in (
        (("--suite", "hang", "--arms", "policy=adaptive"), "no arm has a pathology in common with it: it has adaptive, gray_failure"),
        (("--suite", "gray_failure", "--arms", "new: policy=adaptive"), "no arm has a pathology in common"),
    ):
        done = pack(*words, "--seeds", "2", "--duration", "14", "--against", str(then), output=now)
        assert done.returncode == 2 and why in done.stderr and not now.exists(), done.stderr
    for path in then.glob("runs/*/*,seed=1/metrics.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"valid": False, "invalid_reasons": ["late"]}))
    done = pack(*SMALL, "--against", str(then), output=now)
    assert done.returncode == 2 and "of no arm under a pathology it has 2 valid runs" in done.stderr, done.stderr


def test_an_arm_that_was_asked_otherwise_then_is_not_called_worse():
    arm = ArmPlan("a", ("policy=adaptive", "replica.weights=by_speed"))
    then = {"workload": {"rate_rps": 70.0}, "faults": [{"at_s": 8, "factor": 10.0}], "replica": {"weights": "equal"}}
    against.check_asked(("gray_failure", "a"), then, {**then, "replica": {"weights": "by_speed"}, "load": {}}, [arm])
    with pytest.raises(ComparisonError, match=r"gray_failure: faults.0.factor was 10.0 then and is 20 now"):
        against.check_asked(("gray_failure", "a"), then, {**then, "faults": [{"at_s": 8, "factor": 20}]}, [arm])
    one, other = ({"workload": {"trace": f"/{place}/requests.csv"}} for place in ("here", "there"))
    against.check_asked(("gray_failure", "a"), one, other, [arm])


def test_an_edited_template_or_another_build_behind_a_wrapper_is_another_program(tmp_path):
    template, build = tmp_path / "proxy.cfg.j2", tmp_path / "proxy"
    template.write_text("listen {{ port }}")
    build.write_text("#!/bin/sh\n")
    build.chmod(0o755)
    arm = f"mine: router=custom router.template={template} router.command='env -i {build} {{config}}'"
    asked = Asked(scenarios_of("hang"), parse_arms([arm]), (), 14)
    first = planned(asked)
    before = made_with(first)
    assert "mine's program proxy" in before and "mine's router.template=proxy.cfg.j2" in before
    template.write_text("listen {{ port }} # mine")
    build.write_text("#!/bin/sh\nexit 1\n")
    os.utime(build, ns=(1, 1))
    now = made_with(first)
    assert {key for key, value in before.items() if now[key] != value} == {
        "mine's program proxy", "mine's router.template=proxy.cfg.j2",
    }  # fmt: skip


def test_what_is_left_of_a_pack_is_what_a_dry_run_times(tmp_path):
    grid = tmp_path / "grid.yaml"
    grid.write_text(yaml.safe_dump({"policy": {"adaptive": {"policy.slow_start_s": [0, 2]}, "round_robin": {}}}))
    tuned = ("--tune", str(grid), "--tune-tries", "3", "--tune-seeds", "1")
    done = pack(*SMALL, *tuned, "--dry-run", output=tmp_path / "pack")
    assert done.returncode == 0 and not (tmp_path / "pack").exists()
    assert "tuning first: at most 5 runs" in done.stdout and re.search(r"^4 runs, about", done.stdout, re.MULTILINE)
    assert pack(*SMALL, *tuned, output=tmp_path / "pack").returncode == 0
    done = pack(*SMALL, *tuned, "--seeds", "3", "--dry-run", output=tmp_path / "pack")
    assert done.returncode == 0 and "tuning first" not in done.stdout
    assert re.search(r"^2 runs, about", done.stdout, re.MULTILINE), done.stdout
    done = pack(*SMALL, *tuned, "--dry-run", output=tmp_path / "pack")
    assert "no run is missing" in done.stdout
    done = pack(*SMALL, "--dry-run", output=tmp_path / "pack")
    assert done.returncode == 2 and "was begun with --tune; add it" in done.stderr
    moved = tmp_path / "as_well.yaml"
    moved.write_bytes(grid.read_bytes())
    done = pack(*SMALL, *tuned[:1], str(moved), *tuned[2:], output=tmp_path / "pack")
    assert done.returncode == 0, done.stderr


def test_a_pack_of_several_processes_that_is_told_to_end_says_how_to_go_on(tmp_path):
    words = ("--suite", "hang,gray_failure", "--arms", "policy=adaptive,round_robin", "--seeds", "40", "--processes", "2")
    command = [sys.executable, "-m", "experiments.evidence", *words, "engine=sim", "--output", str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + AT_MOST_S
    while not list(tmp_path.rglob("metrics.json")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=AT_MOST_S)
    assert process.returncode == 143, told
    assert "interrupted; what is measured is kept" in told and "Traceback" not in told
