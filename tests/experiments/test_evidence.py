"""What is typed for an evidence pack: arms, suites, times, sizes, grids; and packs from the command line, simulated."""

import contextlib
import io
import json
import math
import signal
import subprocess
import sys
import time
from typing import NamedTuple

import pytest
import yaml

from analysis.standings import series
from analysis.standings.protocol import RUNS, SAME, read_protocol
from analysis.tables.export import escaped
from experiments import evidence
from experiments.plan.choices import choices
from experiments.plan.config import Config, ConfigError
from experiments.plan.fault_plan import Fault
from experiments.plan.tiers import ReplicaConfig
from experiments.plan.workload import WorkloadSettings
from experiments.trials.arms import parse_arms
from experiments.trials.grids import grid_of, read_grids, settings_of
from experiments.trials.planning import planned
from experiments.trials.suites import scenarios_of, sized
from experiments.trials.times import fitted
from experiments.trials.tuning import Outcome, choose, gained
from record.files import FolderError
from tests.analysis.boards import protocol
from tests.running import AT_MOST_S, ROOT


def named(*texts):
    return {arm.name: arm.overrides for arm in parse_arms(texts)}


def test_arms_are_typed_as_overrides_are():
    assert named("router=aegis,router=envoy") == {"aegis": ("router=aegis",), "envoy": ("router=envoy",)}
    assert named("policy=adaptive,peak_ewma") == {"adaptive": ("policy=adaptive",), "peak_ewma": ("policy=peak_ewma",)}
    assert named("router=aegis policy=adaptive,router=envoy") == {
        "router=aegis policy=adaptive": ("router=aegis", "policy=adaptive"), "envoy": ("router=envoy",),
    }  # fmt: skip
    assert named("old: router=custom router.command=[/opt/envoy,-c,x]", "router=custom") == {
        "old": ("router=custom", "router.command=[/opt/envoy,-c,x]"), "custom": ("router=custom",),
    }  # fmt: skip
    assert named("replica.speeds=[1,0.5],policy=random") == {"[1,0.5]": ("replica.speeds=[1,0.5]",), "random": ("policy=random",)}


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["adaptive"], "is no key=value"),
        (["policy=adaptive,policy=adaptive"], "is there twice"),
        (["policy=adaptive", "seed=3"], "must be the same for all arms"),
        (["workload.rate_rps=5"], "must be the same for all arms"),
        (["load.timeout_s=5"], "load.timeout_s must be the same for all arms"),
        (["x: policy=adaptive", "x: policy=random"], "two arms are called x"),
        ([f"router=custom router.command={'x' * 250}"], "characters, 235 are most for a folder; give it a short name, NAME: "),
    ],
)
def test_what_is_no_arm_is_refused_in_a_line(texts, why):
    with pytest.raises(ConfigError, match=why):
        parse_arms(texts)


def test_a_suite_is_the_pathologies_names_or_a_file(tmp_path):
    expecting = [choice.name for choice in choices("scenario") if choice.sets.get("expect")]
    assert [choice.name for choice in scenarios_of("pathologies")] == expecting and len(expecting) >= 20
    assert [choice.name for choice in scenarios_of("hang,routed")] == ["hang", "routed"]
    (tmp_path / "mine.yaml").write_text("[hang, fast_fail]")
    assert [choice.name for choice in scenarios_of(str(tmp_path / "mine.yaml"))] == ["hang", "fast_fail"]
    for wrong in ("hangs", "hang,hang", str(tmp_path / "none.yaml")):
        with pytest.raises(ConfigError, match="--suite"):
            scenarios_of(wrong)


def config_of(*faults, replicas=4, warmup_s=3.0, duration_s=26.0, speeds=()):
    workload = WorkloadSettings(rate_rps=90, duration_s=duration_s, warmup_s=warmup_s)
    return Config(replicas=replicas, workload=workload, faults=list(faults), replica=ReplicaConfig(speeds=list(speeds)))


def test_a_fault_that_fits_keeps_its_length_and_comes_after_a_steady_phase():
    slow = Fault(at_s=8, action="slow", target="r2", for_s=10)
    assert fitted(config_of(slow), 20) == [
        "workload.warmup_s=2", "workload.duration_s=20", "faults.0.at_s=5", "faults.0.for_s=10",
    ]  # fmt: skip


def test_faults_that_do_not_fit_shrink_by_one_factor_and_leave_time_to_recover():
    restarts = [Fault(at_s=at, action="restart", target=f"r{n}") for n, at in enumerate((8, 12, 16, 20), 1)]
    moments = [float(text.partition("=")[2]) for text in fitted(config_of(*restarts), 20) if ".at_s=" in text]
    assert moments == [5, 8, 11, 14]  # the last is back at 17, and 3 s are left
    long = [Fault(at_s=6, action="half_open", target="all", for_s=18), Fault(at_s=8, action="kill", target="r1", for_s=2)]
    values = dict(text.split("=") for text in fitted(config_of(*long), 20))
    assert [float(values[f"faults.{n}.{key}"]) for n in (0, 1) for key in ("at_s", "for_s")] == [5, 12, 6.333, 1.333]
    with pytest.raises(ConfigError, match="--duration=10"):
        fitted(config_of(*long), 10)


def test_every_pathology_of_the_library_fits_twenty_seconds():
    for choice in scenarios_of("pathologies"):
        faults = [Fault(**{k: v for k, v in fault.items() if k in ("at_s", "for_s", "action", "target")})
                  for fault in choice.sets.get("faults") or []]  # fmt: skip
        values = dict(text.split("=") for text in fitted(config_of(*faults), 20))
        for number in range(len(faults)):
            end = float(values[f"faults.{number}.at_s"]) + float(values.get(f"faults.{number}.for_s", 0))
            assert end <= 17.001, choice.name


def test_a_larger_fleet_is_loaded_and_hurt_as_much():
    slow = Fault(at_s=8, action="slow", target="r2", for_s=10)
    values = dict(text.split("=") for text in sized(config_of(slow, speeds=(1, 1, 0.5, 0.25)), 8))
    assert values["replicas"] == "8" and values["workload.rate_rps"] == "180"
    assert values["faults.0.target"] == "[r3,r4]" and values["replica.speeds"] == "[1,1,1,1,0.5,0.5,0.25,0.25]"
    two = Fault(at_s=8, action="kill", target=["r2", "r5"], for_s=8)
    odd = dict(text.split("=") for text in sized(config_of(two, replicas=6), 8))
    assert odd["faults.0.target"] == "[r3,r7]" and odd["workload.rate_rps"] == "120"
    assert not any("target" in text for text in sized(config_of(Fault(at_s=8, action="slow", target="all")), 64))
    with pytest.raises(ConfigError, match="at least the scenario's 4"):
        sized(config_of(slow), 2)


def test_the_published_grid_gives_every_arm_as_many_tries_its_own_first():
    content = read_grids(ROOT / "conf" / "tuning.yaml")
    for name in ("adaptive", "round_robin", "prequal"):
        arm = parse_arms([f"policy={name}"])[0]
        grid = grid_of(content, arm, Config(policy={"name": name}))
        settings, count = settings_of(grid, arm.name, 8)
        assert len(settings) == len(set(settings)) == 8 and settings[0] == ()
        assert count == 1 + math.prod(len(values) for values in grid.values())
        assert settings == settings_of(grid, arm.name, 8)[0]
    typed = parse_arms(["x: policy=peak_ewma policy.decay_s=5"])[0]
    assert "policy.decay_s" not in grid_of(content, typed, Config(policy={"name": "peak_ewma"}))


@pytest.mark.parametrize(
    ("text", "why"),
    [("[1]", "must have the sections"), ("mine: {}", "must have the sections"), ("all: {a: 3}", "must be a list of values"),
     ("policy: {x: {policy.y: []}}", "must be a list of values"), ("policy: [x]", "must be sections by name")],
)  # fmt: skip
def test_a_grid_is_data_and_checked(tmp_path, text, why):
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=why):
        read_grids(path)


def outcome(values, lost=0):
    return Outcome({("hang", seed): v for seed, v in enumerate(values)}, {("hang", 0): (lost, 1000)})


def test_of_the_tries_the_one_is_chosen_that_loses_least_then_the_one_that_ranks_best():
    assert choose([outcome([2, 2, 2]), outcome([1, 1, 9]), outcome([1.5, 3, 1.5])]) == 1
    assert choose([outcome([2, 2], lost=0), outcome([1, 1], lost=5)]) == 0  # faster, and loses half a percent
    assert choose([outcome([2, 2]), outcome([2, 2])]) == 0
    assert choose([outcome([2, math.inf]), outcome([2, 5])]) == 1
    # HAProxy's own, maxconn 4 and 2, measured: the latter two share the best mean rank.
    assert choose([outcome([3.80, 1.48, 2.07]), outcome([3.76, 1.40, 2.01]), outcome([2.98, 1.37, 2.12])]) == 2
    assert gained(outcome([2, 4]), outcome([1, 2])) == pytest.approx(0.5)
    assert gained(outcome([math.inf]), outcome([1])) is None
    assert gained(outcome([2, 4]), outcome([1, math.inf])) is None, "what is not served any more is no gain"


def test_of_the_tries_one_is_not_chosen_for_what_it_failed_to_measure():
    own, failing = outcome([2, 2, 9]), outcome([1, 1])
    assert choose([own, failing]) == 0 and choose([failing, own]) == 1
    assert choose([Outcome({("hang", 0): 2.0}, {}), Outcome({("hang", 1): 1.0}, {})]) == 0
    assert choose([outcome([]), outcome([])]) == 0


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def pack(*words, output):
    """In this process, which has imported already what takes seconds."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = evidence.main([*words, "engine=sim", "--output", str(output)])
    return Done(status, out.getvalue(), err.getvalue())


SMALL = ("--suite", "gray_failure", "--arms", "policy=adaptive,round_robin", "--seeds", "2", "--duration", "14",
         "--processes", "1")  # fmt: skip


def test_a_pack_leaves_a_board_a_page_and_a_text_for_a_pull_request_and_is_not_measured_twice(tmp_path):
    words = (*SMALL, "--arms", "none: router=none", "--aa", "1")
    done = pack(*words, output=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads((tmp_path / "leaderboard.json").read_text())
    assert [arm["name"] for arm in content["protocol"]["arms"]] == ["adaptive", "round_robin", "none"]
    assert content["verdict"] in done.stdout and escaped(content["verdict"]) in (tmp_path / "evidence.md").read_text()
    row = content["rows"][0]
    assert row["cells"][0]["seeds"] == [1, 2] and all((tmp_path / each).is_dir() for each in row["cells"][0]["folders"])
    assert [each["trials"] for each in content["same"]] == [1, 1, 1]
    for name in ("leaderboard.png", "leaderboard.md"):
        assert (tmp_path / name).stat().st_size > 500, name
    page = (tmp_path / "evidence.html").read_text()
    assert "data:image/png;base64," in page
    assert 'href="#cell-1-gray_failure-adaptive"' in page and 'id="cell-1-gray_failure-adaptive"' in page
    moments = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("manifest.json")}
    again = pack(*words, output=tmp_path)
    assert again.returncode == 0 and "18 of 18 runs are there" in again.stdout
    assert moments == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("manifest.json")}
    other = pack(*SMALL, output=tmp_path)
    assert other.returncode == 2 and "was begun with another arms" in other.stderr


def test_live_both_runs_of_an_arm_against_itself_stand_among_those_of_their_seed_and_pathology():
    words = ["--suite", "gray_failure,hang", "--arms", "policy=adaptive,round_robin,random", "--seeds", "3", "--aa", "1"]
    chosen = evidence._parser().parse_intermixed_args(words)
    asked, _ = evidence._asked(chosen)
    first = planned(asked)
    trials = evidence._trials(evidence._protocol(chosen, asked, first, words), first)
    blocks = [trials[at : at + 6] for at in range(0, len(trials), 6)]
    assert [(block[0].seed, block[0].row) for block in blocks] == [(s, r) for s in (1, 2, 3) for r in ("gray_failure", "hang")]
    for block in blocks:
        assert len({(trial.seed, trial.row) for trial in block}) == 1
        assert {(trial.arm, trial.kind) for trial in block} == {(a, k) for a in ("adaptive", "round_robin", "random") for k in (RUNS, SAME)}
    assert len({tuple((trial.arm, trial.kind) for trial in block) for block in blocks}) == len(blocks)


def test_an_earlier_pack_of_a_faster_policy_makes_the_exit_status_4(tmp_path):
    then, now = tmp_path / "then", tmp_path / "now"
    common = ("--suite", "gray_failure", "--seeds", "3", "--duration", "14", "--processes", "1")
    assert pack(*common, "--arms", "mine: policy=adaptive", "--arms", "policy=random", output=then).returncode == 0
    again = ("--arms", "mine: policy=round_robin", "--arms", "policy=random", "--against", str(then))
    done = pack(*common, *again, "--series", str(tmp_path / "nightly.csv"), output=now)
    assert done.returncode == 4 and "worse: mine, gray_failure" in done.stdout, done.stdout + done.stderr
    assert "worse: random" not in done.stdout
    assert len((tmp_path / "nightly.csv").read_text().splitlines()) == 2

    spoil(now / "runs" / "gray_failure" / "random,seed=3")
    content = json.loads((now / "evidence.json").read_text())
    (now / "evidence.json").write_text(json.dumps(content | {"ended": []}))
    done = pack(*common, *again, output=now)
    assert done.returncode == 4, "a run that is missing hides nothing"
    assert "Provisional: 5 of 6 runs. Of 1 pathology" in done.stdout
    assert json.loads((now / "evidence.json").read_text())["ended"] == [3], "it was shown"
    first = now / "runs" / "gray_failure" / "random,seed=2"
    first.rename(first.with_name(f"{first.name},try=2"))
    first.mkdir()
    manifest = json.loads((first.with_name(f"{first.name},try=2") / "manifest.json").read_text())
    (first / "manifest.json").write_text(json.dumps(manifest | {"exit_reason": "failed", "error": "no room"}))
    done = pack(*common, *again[:-2], output=now)
    assert done.returncode == 3 and "that failed (random 1), as" in done.stdout, "that was mended by its second try"


def spoil(folder):
    """Make a run one whose instrument did not work."""
    path = folder / "metrics.json"
    spoilt = {"valid": False, "invalid_reasons": ["requests left 41.6 ms late (p99; limit 25 ms)"]}
    path.write_text(json.dumps(json.loads(path.read_text()) | spoilt))


def test_a_pack_that_was_killed_goes_on_where_it_was(tmp_path):
    words = ("--suite", "hang", "--arms", "policy=adaptive,round_robin", "--seeds", "4", "--duration", "14",
             "--processes", "1")  # fmt: skip
    command = [sys.executable, "-m", "experiments.evidence", *words, "engine=sim", "--output", str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + AT_MOST_S
    while len(list(tmp_path.rglob("metrics.json"))) < 3 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path: path.read_text() for path in tmp_path.rglob("manifest.json") if json.loads(path.read_text())["exit_reason"] == "complete"}
    assert 2 <= len(kept) < 8
    done = pack(*words, output=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(kept)} of 8 runs are there" in done.stdout
    assert all(path.read_text() == text for path, text in kept.items())
    rows = json.loads((tmp_path / "leaderboard.json").read_text())["rows"]
    assert all(cell["seeds"] == [1, 2, 3, 4] for row in rows for cell in row["cells"])


def test_a_pack_without_a_valid_run_says_why_and_what_tries_again_and_ends_with_3(tmp_path):
    assert pack(*SMALL, output=tmp_path).returncode == 0
    for path in tmp_path.rglob("metrics.json"):
        spoil(path.parent)
    done = pack(*SMALL, output=tmp_path)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "no valid run yet" in done.stderr and "41.6 ms late" in done.stderr and "with a larger --tries" in done.stderr


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--arms", "policy=adaptiv"], "adaptiv"),
        (["--arms", "policy=adaptive", "--suite", "hangs"], "hangs"),
        (["--arms", "policy=adaptive", "--seeds", "1"], "--seeds=1: must be at least 2"),
        (["--arms", "policy=adaptive", "--replicas", "8,x"], "--replicas=8,x"),
        (["--arms", "policy=adaptive", "--replicas", "8,08"], "--replicas=8,08: must be different"),
        (["--arms", "policy=adaptive", "--tries", "21"], "--tries=21: must be at most 20"),
        (["--arms", "policy=adaptive", "--tune-seeds", "3"], "--tune-seeds=3: goes with --tune"),
        (["--arms", "policy=adaptive", "--tune-suite", "hang"], "--tune-suite=hang: goes with --tune"),
        (["--arms", "policy=adaptive", "--tune", "conf/tuning.yaml", "--tune-suite", "hangs"], "--tune-suite: hangs: must be one"),
        (["--arms", "policy=adaptive", "seed=3"], "seed=3"),
        (["--arms", "policy=adaptive", "--arms", "other: policy=random policy.choices=2"], "other: cannot be asked"),
    ],
)
def test_what_is_typed_wrong_is_one_line_and_nothing_is_left(tmp_path, words, why):
    done = pack("--suite", "hang", *words, output=tmp_path / "none")
    assert done.returncode == 2 and why in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not (tmp_path / "none").exists()


def test_what_the_board_is_to_end_with_is_looked_at_before_the_first_run(tmp_path):
    output = tmp_path / "none"
    other = tmp_path / "other.csv"
    other.write_text("time,commit,hang__x__times_floor_p99_fault\n")
    earlier = protocol(["adaptive", "round_robin"], ["gray_failure"])
    with pytest.raises(FolderError, match="choose another --series"):
        series.check(earlier, other)
    with pytest.raises(FolderError, match="no evidence pack"):
        read_protocol(tmp_path)
    earlier.write(tmp_path)
    done = pack(*SMALL, "--against", str(tmp_path), output=output)
    assert done.returncode == 2 and "another protocol, which must be the same" in done.stderr and not output.exists()


def test_a_pack_that_was_begun_without_tuning_is_not_tuned_for_nothing(tmp_path):
    protocol(["adaptive", "round_robin"], ["gray_failure"]).write(tmp_path)
    grid = tmp_path / "grid.yaml"
    grid.write_text("all: {router.timeouts.attempt_s: [1]}")
    done = pack(*SMALL, "--tune", str(grid), output=tmp_path)
    assert done.returncode == 2 and "was begun without --tune" in done.stderr, done.stderr
    assert not (tmp_path / "tuning").exists()


def test_arms_are_tuned_under_another_suite_where_one_is_named(tmp_path):
    grid = tmp_path / "grid.yaml"
    grid.write_text(yaml.safe_dump({"policy": {"least_request": {"policy.choices": [2]}}}))
    words = ("--suite", "hang", "--arms", "policy=least_request,random", "--seeds", "2", "--duration", "14", "--processes", "1",
             "--tune", str(grid), "--tune-tries", "2", "--tune-seeds", "1", "--tune-suite", "heterogeneous")  # fmt: skip
    done = pack(*words, output=tmp_path / "pack")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in (tmp_path / "pack" / "runs").iterdir()} == {"hang"}
    assert {path.name for path in (tmp_path / "pack" / "tuning" / "least_request").iterdir()} == {"heterogeneous"}
    about = json.loads((tmp_path / "pack" / "tuning.json").read_text())["about"]
    assert [row[0] for row in about["rows"]] == ["heterogeneous"]
    other = pack(*words[:-1], "gray_failure", output=tmp_path / "pack")
    assert other.returncode == 2 and "was tuned otherwise" in other.stderr, other.stderr


def test_tuning_tries_as_many_settings_for_each_arm_and_says_what_it_bought(tmp_path):
    grid = tmp_path / "grid.yaml"
    grid.write_text(yaml.safe_dump({"all": {"router.timeouts.attempt_s": [1, 5]}, "policy": {"least_request": {"policy.choices": [0, 2]}}}))
    words = ("--suite", "hang", "--arms", "policy=least_request,round_robin", "--seeds", "2", "--duration", "14", "--processes", "1",
             "--tune", str(grid), "--tune-tries", "3", "--tune-seeds", "1")  # fmt: skip
    done = pack(*words, output=tmp_path / "pack")
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads((tmp_path / "pack" / "tuning.json").read_text())["arms"]
    assert [(each["tries"], each["grid"]) for each in content] == [(3, 5), (3, 3)]
    for arm, each in zip(json.loads((tmp_path / "pack" / "evidence.json").read_text())["arms"], content, strict=True):
        assert arm["tuned"] == each["chosen"] and not (each["chosen"] and each["rejected"])
        if each["rejected"]:
            assert each["gain"] >= 1 or each["lost"][1] > each["lost"][0]
        assert not each["chosen"] or each["gain"] is not None
    assert "of 5 settings tried" in (tmp_path / "pack" / "leaderboard.md").read_text()
    again = pack(*words, output=tmp_path / "pack")
    assert again.returncode == 0 and "tuning least_request" not in again.stdout
    other = pack(*words, "--tune-seeds", "2", output=tmp_path / "pack")
    assert other.returncode == 2 and "was tuned otherwise" in other.stderr, other.stderr
