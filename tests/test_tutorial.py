"""docs/tutorial.md: its commands compose, and the simulated figures that it quotes come out again."""

import re
import shlex
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.metrics.verdict import percent
from experiments.plan import store
from experiments.plan.schedule import build_schedule
from experiments.simulator.counterfactual import handling
from experiments.simulator.twin import twin
from experiments.sweep.dry_run import sweep_of
from experiments.sweep.jobs import place
from record.latency import quantile
from record.reading import Run
from record.schedule_hash import schedule_hash
from tests.running import ROOT

TEXT = (ROOT / "docs" / "tutorial.md").read_text()
QUESTIONS = 5


@pytest.fixture(autouse=True)
def schema():
    store.register()


def sections():
    return re.split(r"^## ", TEXT, flags=re.M)[1:]


def commands():
    """Every line of a shell block, continued lines joined."""
    blocks = re.findall(r"```sh\n(.*?)```", TEXT, flags=re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


RUNS = [typed[3:] for typed in commands() if typed[:3] == ["python", "-m", "experiments.run"]]


def folder_of(arguments):
    return next((a.partition("=")[2] for a in arguments if a.startswith(("hydra.run.dir=", "hydra.sweep.dir="))), None)


BY_FOLDER = {folder_of(arguments): arguments for arguments in RUNS}


@cache
def jobs(name):
    return sweep_of(place(BY_FOLDER[f"results/tutorial/{name}"])).jobs


@cache
def played(name, arm):
    """The runs of an arm, in virtual time: `(numbers, numbers, ...)`."""
    of_arm = [
        job
        for job in jobs(name)
        if set(arm.split(", ")) <= {text.replace("true", "True").replace("false", "False") for text in job.overrides}
    ]
    assert len(of_arm) == 5
    return [twin(planned(job.plan)) for job in of_arm]


def planned(plan):
    """As a run's folder would tell of it before anything was measured."""
    config = plan.config
    schedule = build_schedule(config.workload, config.seed)
    manifest: Any = {
        "config": plan.resolved,
        "faults": [fault.as_dict() for fault in plan.faults],
        "schedule_hash": schedule_hash(schedule),
    }
    empty = pd.DataFrame()
    return Run(ROOT, manifest, empty, [], [], schedule["scheduled_s"], schedule["demand_s"])


def row(name, arm):
    """The cells of an arm's row in the question that `name` belongs to."""
    section = next(text for text in sections() if f"results/tutorial/{name}\n" in text)
    line = next(
        line for line in section.splitlines() if line.startswith(f"| `{arm}` |") and name_of(section, line) == name
    )
    return [cell.strip() for cell in line.strip("|").split("|")]


def name_of(section, line):
    """The folder that stands last above a line."""
    return re.findall(r"results/tutorial/([\w-]+)", section[: section.index(line)])[-1]


def test_there_are_five_questions_each_with_a_command_and_what_it_does_not_say():
    asked = [section for section in sections() if section.partition("\n")[0].endswith("?")]
    assert len(asked) == QUESTIONS
    assert all("```sh\npython -m experiments.run " in text and "**Not said:**" in text for text in asked)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", RUNS, ids=lambda arguments: folder_of(arguments) or " ".join(arguments)[:40])
def test_every_command_of_a_run_composes(arguments):
    resumed = next((a.partition("=")[2] for a in arguments if a.startswith("repeat.resume=")), None)
    if resumed is not None:
        assert resumed in BY_FOLDER  # a sweep that the page has made before
        return
    assert sweep_of(place(arguments)).jobs


def test_every_other_command_reads_what_the_page_has_made():
    others = [
        typed for typed in commands() if typed[:3] != ["python", "-m", "experiments.run"] and typed[0] == "python"
    ]
    assert others
    for typed in others:
        assert next(word for word in typed if word.startswith("results/")) in BY_FOLDER


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arm"),
    [
        ("hop-busy", "router=none"),
        ("uneven", "policy=round_robin, replica.weights=[]"),
        ("uneven", "policy=least_request, replica.weights=by_speed"),
        ("trust", "router=default"),
    ],
)
def test_a_simulated_p99_of_the_page_comes_out_again(name, arm):
    _, about, value, *_ = row(name, arm)
    runs = played(name, arm)
    if about == "system":
        found = quantile(np.concatenate([run.run.latencies for run in runs]), 0.99)
    else:
        assert about == "these runs"
        found = float(np.exp(np.mean([np.log(run.metrics["latency_p99_ms"]) for run in runs])))
    assert f"{found:,.1f} ms" == value


@pytest.mark.slow
@pytest.mark.parametrize(
    "arm",
    [
        "router.health.enabled=False, router.retry.max_attempts=1",
        "router.health.enabled=True, router.retry.max_attempts=1",
    ],
)
def test_the_failed_requests_of_the_page_come_out_again(arm):
    counts = [(run.metrics["failed_requests"], run.metrics["offered_requests"]) for run in played("handling", arm)]
    failed, offered = map(sum, zip(*counts, strict=True))
    assert row("handling", arm)[1] == percent(failed / offered)


@pytest.mark.slow
def test_what_the_killed_replica_would_have_cost_comes_out_again():
    [job] = jobs("kill")
    parts = {part.key: part.value for part in handling(job.plan.config.router)}
    found = twin(planned(job.plan), parts).metrics
    said = re.search(r"(\d+) of ([\d,]+) requests would have failed", TEXT)
    assert said is not None
    assert (said[1], said[2]) == (f"{found['failed_requests']}", f"{found['offered_requests']:,}")
