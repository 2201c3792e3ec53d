"""Going on with a sweep: what is missing comes first, then more pairs; nothing else may be different."""

import json
import os

import pytest
import yaml
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from experiments.plan import store
from experiments.plan.config import ConfigError
from experiments.plan.installed import CONF
from experiments.sweep.dry_run import sweep_of
from experiments.sweep.jobs import planned
from experiments.sweep.resuming import resumed
from experiments.sweep.sweep import NAME
from record.place import hold
from tests.running import job_of, manifest, run

SIM = [
    "+scenario=routed", "engine=sim", "workload.duration_s=3", "workload.warmup_s=0", "tracking.enabled=false",
    "summary=never",
]  # fmt: skip
SWEEP = [*SIM, "seed=1,2,3", "policy=round_robin,peak_ewma"]


def left(folder, typed=SWEEP, reasons=("complete",) * 6, *, params=None):
    """A sweep's folder whose jobs ended so; None = one that was not begun."""
    store.register()
    asked = {"overrides": {"task": typed, "hydra": []}, "sweeper": {"_target_": NAME, "params": params}}
    (folder / "multirun.yaml").write_text(yaml.safe_dump({"hydra": asked}, sort_keys=False))
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        jobs = planned(loader, [*(f"{key}={value}" for key, value in (params or {}).items()), *typed])
    for job, reason in zip(jobs, reasons, strict=False):
        if reason is not None:
            write(folder, job, reason)
    return jobs


def write(folder, job, reason="complete", is_of_before=False, **changes):
    place = folder / (str(job.number) if is_of_before else job.folder)
    place.mkdir(exist_ok=True)
    about = {
        "exit_reason": reason, "pid": 0, "overrides": list(job.overrides), "seed": job.config.seed,
        "config": job.plan.resolved, "looks": list(job.looks), "order": job.order, "git": {"commit": "0" * 40},
    }  # fmt: skip
    (place / "manifest.json").write_text(json.dumps(about | changes))


def go_on(folder, *typed):
    return sweep_of(resumed([f"repeat.resume={folder}", *typed]))


def told(sweep):
    return [(job.number, job.config.seed, job.config.policy["name"], job.looks) for job in sweep.jobs]


def test_added_pairs_count_their_seeds_and_folders_on_and_say_where_the_sweep_had_ended(tmp_path):
    left(tmp_path)
    assert told(go_on(tmp_path, "repeat.max=5")) == [
        (6, 4, "round_robin", (3,)), (7, 4, "peak_ewma", (3,)), (8, 5, "round_robin", (3,)), (9, 5, "peak_ewma", (3,)),
    ]  # fmt: skip
    for job in go_on(tmp_path, "repeat.max=5").jobs:
        write(tmp_path, job)
    assert told(go_on(tmp_path, "repeat.max=6")) == [(10, 6, "round_robin", (3, 5)), (11, 6, "peak_ewma", (3, 5))]


@pytest.mark.parametrize("reason", ["interrupted", "killed", "failed", "running", None])
def test_what_the_plan_lacks_is_measured_into_its_own_folders_and_is_no_further_look(tmp_path, reason):
    left(tmp_path, reasons=("complete", "complete", "complete", reason, None, None))
    sweep = go_on(tmp_path)
    assert told(sweep) == [(3, 2, "peak_ewma", ()), (4, 3, "round_robin", ()), (5, 3, "peak_ewma", ())]
    assert [job.number for job in sweep.earlier] == [0, 1, 2]
    more = go_on(tmp_path, "repeat.max=4")
    assert told(more)[3:] == [(6, 4, "round_robin", ()), (7, 4, "peak_ewma", ())]


def test_a_sweep_of_before_whose_folders_are_numbers_is_gone_on_with(tmp_path):
    jobs = left(tmp_path, reasons=(None,) * 6)
    for job, reason in zip(jobs, ("complete", "complete", "complete", "interrupted"), strict=False):
        write(tmp_path, job, reason, is_of_before=True)
    sweep = go_on(tmp_path, "repeat.max=4")
    assert told(sweep)[:2] == [(3, 2, "peak_ewma", ()), (4, 3, "round_robin", ())]
    assert [job.number for job in sweep.earlier] == [0, 1, 2]
    sweep.take_folders()  # the interrupted run's is emptied when its job is run
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {
        "0", "1", "2", "policy=peak_ewma,seed=2,job=3",
    }  # fmt: skip
    assert [job.folder for job in sweep.jobs][-2:] == ["policy=round_robin,seed=4,job=6", "policy=peak_ewma,seed=4,job=7"]


def test_a_sweep_that_failed_and_was_compared_has_been_looked_at(tmp_path):
    left(tmp_path, reasons=(*("complete",) * 5, "failed"))
    (tmp_path / "comparison.json").write_text("[]")
    assert told(go_on(tmp_path, "repeat.max=4")) == [
        (5, 3, "peak_ewma", ()), (6, 4, "round_robin", (2,)), (7, 4, "peak_ewma", (2,)),
    ]  # fmt: skip


def test_pairs_that_were_added_and_not_finished_are_finished_first(tmp_path):
    left(tmp_path)
    added = go_on(tmp_path, "repeat.max=5").jobs
    write(tmp_path, added[1])
    write(tmp_path, added[0], "interrupted")
    assert told(go_on(tmp_path)) == [(6, 4, "round_robin", (3,))]
    assert told(go_on(tmp_path, "repeat.max=5"))[1:] == [(8, 5, "round_robin", (3,)), (9, 5, "peak_ewma", (3,))]


def test_a_job_runs_in_its_drawn_place_and_with_the_settings_of_before(tmp_path):
    jobs = left(tmp_path, reasons=("complete", "complete", None, None, None, None))
    again = {job.number: job for job in go_on(tmp_path, "repeat.max=4").jobs}
    assert all(again[job.number] == job for job in jobs[2:])
    assert again[6].plan.resolved == jobs[0].plan.resolved | {"seed": 4}
    assert {again[6].order, again[7].order} == {0, 1}


def test_a_sequential_sweep_that_was_broken_off_goes_on_by_its_own_rule(tmp_path):
    typed = [*SIM, "seed=5", "policy=round_robin,peak_ewma", "repeat.until_ratio_ci=0.1", "repeat.max=4"]
    left(tmp_path, typed, ("complete", "complete", "complete", "interrupted"))
    sweep = go_on(tmp_path)
    assert [job.number for job in sweep.jobs] == [3, 4, 5, 6, 7] and sweep.repetition.most == 4
    assert all(job.plan.resolved["repeat"]["max"] == 4 for job in sweep.jobs)
    more = go_on(tmp_path, "repeat.max=5")
    assert told(more)[-3:] == [(7, 8, "peak_ewma", ()), (8, 9, "round_robin", (4,)), (9, 9, "peak_ewma", (4,))]


def test_a_sequential_sweep_whose_budget_is_spent_gets_more_pairs_of_the_same_settings(tmp_path):
    typed = [*SIM, "seed=5", "policy=round_robin,peak_ewma", "repeat.until_ratio_ci=0.1", "repeat.max=3"]
    left(tmp_path, typed)
    with pytest.raises(ConfigError, match=r"nothing is missing, it has 3 pairs an arm.*repeat\.max=N"):
        go_on(tmp_path)
    sweep = go_on(tmp_path, "repeat.max=4")
    assert told(sweep) == [(6, 8, "round_robin", (3,)), (7, 8, "peak_ewma", (3,))]
    assert sweep.repetition is None and sweep.jobs[0].plan.resolved["repeat"]["max"] == 3


def test_a_scenario_that_is_a_sweep_by_itself_goes_on(tmp_path):
    left(tmp_path, ["+scenario=aa", "engine=sim"], ("complete",) * 10, params={"seed": "range(1,6)", "arm": "a,b"})
    assert [(job.number, job.config.seed, job.config.arm) for job in go_on(tmp_path, "repeat.max=6").jobs] == [
        (10, 6, "a"), (11, 6, "b"),
    ]  # fmt: skip


def test_a_changed_tree_is_said(tmp_path, capsys):
    left(tmp_path)
    go_on(tmp_path, "repeat.max=4")
    said = capsys.readouterr().err
    assert said.startswith("warning: the tree has changed") and "0000000000" in said and said.count("\n") == 1


def test_mlflow_finds_the_sweep_by_the_name_it_had(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    for job in left(tmp_path / "there"):
        write(tmp_path / "there", job, sweep_dir=str(tmp_path / "there"))
    arguments = resumed([f"repeat.resume={tmp_path / 'link'}", "repeat.max=4"])
    assert f"hydra.sweep.dir='{tmp_path / 'there'}'" in arguments


def nothing(folder):
    folder.rmdir()


def no_plan(folder):
    (folder / "multirun.yaml").unlink()


def torn_plan(folder):
    (folder / "multirun.yaml").write_text("hydra: {overrides: [")


def other_plan(folder):
    (folder / "multirun.yaml").write_text("a: 1\n")


def other_sweeper(folder):
    text = (folder / "multirun.yaml").read_text()
    (folder / "multirun.yaml").write_text(text.replace(NAME, "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"))


def changed(folder, **changes):
    path = job_of(folder, 4) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def going_on(folder):
    changed(folder, exit_reason="running", pid=os.getpid())
    return hold(job_of(folder, 4))


def other_run(folder):
    changed(folder, overrides=["+scenario=failover"])


def other_settings(folder):
    config = json.loads((job_of(folder, 4) / "manifest.json").read_text())["config"]
    changed(folder, config=config | {"slo": {"p99_ms": 250.0, "error_rate": 0.01}})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (no_plan, "multirun.yaml is missing"),
        (torn_plan, "not what a sweep leaves"),
        (other_plan, "not what a sweep leaves"),
        (other_sweeper, "seed_by_seed"),
        (going_on, "still going on"),
        (other_run, "not a run of the sweep"),
        (other_settings, r"slo.p99_ms=250.0, this tree has 1000.0; check out 0000000000"),
    ],
)
def test_a_folder_that_cannot_be_gone_on_with_is_refused_in_a_line(tmp_path, spoil, words):
    left(tmp_path)
    living = spoil(tmp_path)
    with pytest.raises(ConfigError, match=words) as refusal:
        go_on(tmp_path, "repeat.max=5")
    assert "\n" not in str(refusal.value)
    if living is not None:
        living.release()


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["policy=random"], "policy=random: .*takes all settings"),
        (["+scenario=routed"], "takes all settings"),
        (["repeat.max=3"], "nothing is missing.*N above 3"),
        (["repeat.max=x"], "repeat.max=x"),
        (["tracking.enabled=perhaps"], "tracking.enabled=perhaps"),
        ([], "nothing is missing.*repeat.max=N"),
    ],
)
def test_what_goes_beside_it_is_checked(tmp_path, typed, words):
    left(tmp_path)
    with pytest.raises(ConfigError, match=words):
        go_on(tmp_path, *typed)


def test_what_a_folder_would_have_a_shell_do_is_not_done_unasked(tmp_path):
    commands = "faults=[{at_s: 1, action: command, inject: 'echo hurt'}]"
    outside = ["router=external", "router.url=http://127.0.0.1:9", "load.path=/"]
    live = [text for text in SIM if text != "engine=sim"]
    left(tmp_path, [*live, *outside, commands, "seed=1,2", "load.timeout_s=1,2"], ("complete",) * 3)
    with pytest.raises(ConfigError, match=r"its faults run commands \('echo hurt', \.\.\.\); read them, then add --commands"):
        go_on(tmp_path)
    assert [job.number for job in go_on(tmp_path, "--commands").jobs] == [3]


def test_a_sweep_goes_on_as_it_is_typed_and_is_compared_anew(tmp_path):
    folder = tmp_path / "a sweep's folder"
    first = run("-m", *SIM, "seed=1", "replicas=3,4", f"hydra.sweep.dir='{str(folder).replace(chr(39), chr(92) + chr(39))}'")
    assert first.returncode == 0, first.stderr
    before = (folder / "multirun.yaml").read_text()
    done = run(f"repeat.resume={folder}", "repeat.max=2")
    assert done.returncode == 0, done.stderr
    runs = [manifest(job_of(folder, number)) for number in range(4)]
    assert [found["looks"] for found in runs] == [[], [], [1], [1]]
    assert [found["config"]["replicas"] for found in runs] == [3, 4, 3, 4]
    for old, new in zip(runs[:2], runs[2:], strict=True):
        assert old["config"] | {"seed": 2} == new["config"]
    assert {row["n"] for row in json.loads((folder / "comparison.json").read_text()) if row["is_primary"]} == {2}
    assert (folder / "multirun.yaml").read_text() == before


def test_a_missing_folder_is_status_2_in_one_line(tmp_path):
    done = run(f"repeat.resume={tmp_path / 'none'}")
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, "")
