"""`dvc repro` in a copy of the repository: real DVC, short runs."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.running import ROOT, wait_for
from tests.system.browsing import open_browser

SHORT = "engine=sim tracking.enabled=false replicas=2 workload.rate_rps=30 workload.duration_s=4 workload.warmup_s=1"
"""What is looked at is the pipeline: to it, a run that is simulated is as good as one that is measured."""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The files that git knows, with two scenarios in a short form."""
    folder = tmp_path_factory.mktemp("pipeline") / "copy"
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        if (ROOT / name).exists() and not name.startswith("tests/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    params = {"scenarios": ["baseline", "routed"], "repeats": [3, 4], "overrides": SHORT}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    return folder


def dvc(folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def reproduced(copy):
    dvc(copy, "repro")
    return copy


def test_repro_measures_every_scenario_and_draws_one_picture_of_all(reproduced):
    assert (reproduced / "analysis/summary.png").read_bytes().startswith(b"\x89PNG")
    metrics = json.loads((reproduced / "analysis/metrics.json").read_text())
    assert set(metrics) == {"baseline", "routed"}
    assert metrics["routed"].keys() == {"3", "4", "intervals"}
    assert metrics["routed"]["3"]["offered_requests"] > 50
    valid = [metrics["routed"][repeat] for repeat in ("3", "4") if metrics["routed"][repeat]["valid"]]
    together = metrics["routed"]["intervals"]["latency_p99_ms"]
    assert together["n"] == len(valid)
    if len(valid) == 2:
        assert together["low"] < min(run["latency_p99_ms"] for run in valid) <= together["mean"] < together["high"]


def test_the_repository_measures_every_scenario_three_times():
    assert len(set(yaml.safe_load((ROOT / "params.yaml").read_text())["repeats"])) == 3


def test_a_change_of_any_file_that_draws_the_summary_draws_it_anew():
    pages = "analysis.pages.run_page, analysis.pages.joint_page, analysis.pages.joint_data"
    used = f"import sys, analysis.summary, {pages}; print(*sys.modules)"
    names = subprocess.check_output([sys.executable, "-c", used], cwd=ROOT, text=True).split()
    used_here = {name.replace(".", "/") for name in names if name.startswith(("analysis.", "record."))}
    deps = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["summarise"]["deps"]
    assert all(any(f"{name}.py" == dep or f"{name}/".startswith(f"{dep}/") for dep in deps) for name in used_here)


def test_both_scenarios_were_asked_the_same(reproduced):
    hashes = {
        json.loads((reproduced / f"results/{name}/3/manifest.json").read_text())["schedule_hash"]
        for name in ("baseline", "routed")
    }
    assert len(hashes) == 1


def test_a_second_repro_measures_nothing(reproduced):
    before = (reproduced / "results/routed/3/manifest.json").stat().st_mtime_ns
    assert "Data and pipelines are up to date" in dvc(reproduced, "repro")
    assert (reproduced / "results/routed/3/manifest.json").stat().st_mtime_ns == before


def test_a_run_beside_the_pipeline_does_not_make_it_measure_again(reproduced):
    (reproduced / "results/runs/by-hand").mkdir(parents=True)
    (reproduced / "results/runs/by-hand/manifest.json").write_text("{}")
    assert "up to date" in dvc(reproduced, "status")


def test_metrics_are_a_few_a_scenario_and_fit_a_terminal(reproduced):
    lines = dvc(reproduced, "metrics", "show").splitlines()
    assert len(lines) == 3, lines
    assert {"valid", "p99_ms", "failed", "good_rps"} <= set(lines[0].split())
    assert max(map(len, lines)) <= 80


@pytest.fixture(scope="module")
def committed_twice(reproduced):
    """Two commits; the second one has a seed less, so that only the summary is made anew."""

    def commit(words):
        git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
        subprocess.run([*git, "add", "--all"], cwd=reproduced, check=True)
        subprocess.run([*git, "commit", "--quiet", "--message", words], cwd=reproduced, check=True)

    commit("Measure")
    params = yaml.safe_load((reproduced / "params.yaml").read_text())
    (reproduced / "params.yaml").write_text(yaml.safe_dump({**params, "repeats": [3]}))
    dvc(reproduced, "repro")
    commit("Measure one seed")
    return reproduced


def test_two_commits_can_be_compared_by_their_metrics(committed_twice):
    found = json.loads(dvc(committed_twice, "metrics", "diff", "--json", "--all", "HEAD~1", "HEAD"))
    assert set(found) == {"analysis/means/baseline.json", "analysis/means/routed.json"}
    before, after = (found["analysis/means/routed.json"]["valid"][side] for side in ("old", "new"))
    metrics = json.loads((committed_twice / "analysis/metrics.json").read_text())
    assert (before - after, after) in ((0, 0), (1, 0), (0, 1), (1, 1))
    assert after == metrics["routed"]["3"]["valid"]


def test_the_experiments_of_dvc_show_params_and_metrics_of_both_commits(committed_twice):
    table = dvc(committed_twice, "exp", "show", "--all-commits", "--csv")
    rows = list(csv.DictReader(table.splitlines()))
    repeats = [row["repeats"] for row in rows]
    assert repeats[0] == "[3]" and "[3, 4]" in repeats
    assert all(row["analysis/means/routed.json:valid"] for row in rows)


def test_plots_of_two_commits_stand_on_one_page_that_asks_no_other_machine(committed_twice, tmp_path):
    dvc(committed_twice, "plots", "diff", "HEAD~1", "HEAD")
    page = committed_twice / "dvc_plots/index.html"
    assert not re.findall(r'(?:src|href) *= *"(?:https?:)?//[^"]+', page.read_text())
    assert len(list((committed_twice / "dvc_plots").rglob("*summary.png"))) == 2
    browser = open_browser(tmp_path / "profile", "host-resolver-rules=MAP * ~NOTFOUND")
    try:
        browser.get(page.as_uri())
        # A drawing a scenario, and the picture of each commit.
        wait_for(lambda: len(browser.find_elements("css selector", ".vega-embed canvas, .vega-embed svg.marks")) == 2)
        images = "return [...document.images].filter(image => image.naturalWidth > 1000).length"
        wait_for(lambda: browser.execute_script(images) == 2)
    finally:
        browser.quit()
