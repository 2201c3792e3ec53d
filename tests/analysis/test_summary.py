import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis.comparison.compared import PRIMARY
from analysis.metrics import timeline
from analysis.metrics.table import compute
from analysis.pages.joint_data import metrics_table
from analysis.pages.rows import arrange
from analysis.summary import main, summarise
from record.metrics import Metrics
from record.reading import Run, read
from tests.analysis import synthetic
from tests.running import AT_MOST_S

ROOT = Path(__file__).resolve().parents[2]
KILL = ((6.0, "kill", "r2", 3.0),)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    for repeat in ("1", "2"):
        seed = int(repeat)
        synthetic.realistic(root / "baseline" / repeat, "baseline", seed=seed, duration_s=12, policy="none")
        synthetic.realistic(root / "failover" / repeat, "failover", seed=seed, duration_s=14, faults=KILL)
    manifest = root / "failover" / "2" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"exit_reason": "complete"', '"exit_reason": "killed"'))
    return root


def test_many_runs_give_a_page_metrics_and_plot_data(results, tmp_path, capsys):
    output, metrics, plots = tmp_path / "a" / "summary.png", tmp_path / "m" / "metrics.json", tmp_path / "plots"
    means = tmp_path / "means"
    arguments = [str(results), "--output", str(output), "--metrics", str(metrics)]
    arguments += ["--means", str(means), "--plots", str(plots)]
    assert main(arguments) == 0
    assert Image.open(output).width == 1600
    content = json.loads(metrics.read_text())
    assert list(content) == ["baseline", "failover"]
    assert list(content["failover"]) == ["1", "2", "intervals"]
    assert content["failover"]["1"]["valid"] is True
    assert content["failover"]["2"]["valid"] is False
    assert content["failover"]["1"] == {
        key: value
        for key, value in json.loads((results / "failover/1/metrics.json").read_text()).items()
        if key not in ("invalid_reasons", "warnings")
    }
    assert sorted(path.name for path in plots.iterdir()) == ["baseline.csv", "failover.csv"]
    rows = list(csv.DictReader((plots / "failover.csv").open()))
    assert {row["run"] for row in rows} == {"1", "2"}
    assert {row["quantile"] for row in rows} == {"0.5", "0.9", "0.99"}
    assert {row["valid"] for row in rows if row["run"] == "2"} == {"false"}
    few = json.loads((means / "failover.json").read_text())
    assert few["valid"] == 1
    assert few["p50_ms"] == pytest.approx(content["failover"]["1"]["latency_p50_ms"], rel=1e-3)
    assert few["p99_ms"] is None  # among the requests that were not served
    assert few["failed"] == pytest.approx(content["failover"]["1"]["error_rate"], rel=1e-3)
    out = capsys.readouterr().out
    assert out.count("VALID. ") == 4
    assert out.count("INVALID. ") == 1
    made = [output, metrics, *means.iterdir(), *plots.iterdir()]
    before = [path.read_bytes() for path in made]
    assert main(arguments) == 0
    assert [path.read_bytes() for path in made] == before


def runs_of(path, scenario):
    return [name for name in json.loads(path.read_text())[scenario] if name != "intervals"]


def repeats(root, latencies_s, *, invalid=(), config=None):
    """The intervals of a run a latency, seeds from 1 on; `config` by seed."""
    runs = []
    for seed, latency_s in enumerate(latencies_s, 1):
        about = synthetic.manifest(
            seed=seed,
            exit_reason="killed" if seed in invalid else "complete",
            config={"seed": seed, **(config or {}).get(seed, {})},
        )
        run = read(synthetic.write(root / str(seed), synthetic.even_requests(latency_s=latency_s), about=about))
        runs.append((run, compute(run, timeline.build(run))))
    return metrics_table(arrange(runs))["routed"]["intervals"]


def test_the_intervals_are_of_the_valid_runs_and_one_that_is_invalid_moves_nothing(tmp_path):
    found = repeats(tmp_path / "three", [0.1, 0.2, 0.4])
    p99 = found["latency_p99_ms"]
    half = 4.302653 * np.log(2) / np.sqrt(3)
    assert p99["mean"] == pytest.approx(200)
    assert (p99["low"], p99["high"], p99["n"]) == (
        pytest.approx(200 / np.exp(half)),
        pytest.approx(200 * np.exp(half)),
        3,
    )
    assert repeats(tmp_path / "four", [0.1, 0.2, 0.4, 9.0], invalid={4}) == found


def test_without_a_failure_the_interval_of_failures_reaches_four_in_all_requests(tmp_path):
    found = repeats(tmp_path, [0.1, 0.1, 0.1])["error_rate"]
    assert found == {"mean": 0.0, "low": 0.0, "high": pytest.approx(1 - 0.025 ** (1 / 240), abs=1e-6), "n": 3}


def test_one_valid_run_has_a_mean_but_no_interval_and_none_has_neither(tmp_path):
    one = repeats(tmp_path / "one", [0.1, 0.2], invalid={2})["latency_p50_ms"]
    assert one == {"mean": pytest.approx(100), "low": None, "high": None, "n": 1}
    none = repeats(tmp_path / "none", [0.1, 0.2], invalid={1, 2})
    assert none.keys() == set(PRIMARY)
    assert none["latency_p50_ms"] == none["error_rate"] == {"mean": None, "low": None, "high": None, "n": 0}


def test_runs_of_different_configurations_have_no_common_mean(tmp_path):
    found = repeats(tmp_path, [0.1, 0.2], config={2: {"replicas": 2}})
    assert found["latency_p99_ms"] == {"mean": None, "low": None, "high": None, "n": 2}


def labels(*runs):
    """The labels of runs of one scenario, given as (folder, overrides, more of the configuration)."""
    made = []
    for folder, overrides, config in runs:
        about = synthetic.manifest(overrides=overrides, config=config)
        made.append((Run(Path(folder), about, pd.DataFrame(), [], [], pd.Series(), pd.Series()), Metrics(valid=True)))
    return {entry.name: entry.label for entry in arrange(made)[0][1]}


def test_runs_of_a_sweep_are_labelled_by_what_was_typed_for_them():
    scenario = "+scenario=routed"
    assert labels(
        ("s/0", [scenario, "seed=1", "load.loop=open"], {"seed": 1, "load": {"loop": "open"}}),
        ("s/1", [scenario, "seed=1", "load.loop=closed"], {"seed": 1, "load": {"loop": "closed"}}),
    ) == {"0": "load.loop=open", "1": "load.loop=closed"}
    assert labels(
        ("s/0", [scenario], {"seed": 1, "workload": {"rate_rps": 60.0}}),
        ("s/1", [scenario, "seed=2", "workload.rate_rps=60"], {"seed": 2, "workload": {"rate_rps": 60.0}}),
    ) == {"0": "seed=1", "1": "seed=2"}
    assert labels(
        ("s/0", [scenario, "workload=spike"], {"scaler": {"name": "none"}}),
        ("s/1", [scenario, "++scaler=target_tracking"], {"scaler": {"name": "target_tracking"}}),
    ) == {"0": "workload=spike, scaler=none", "1": "workload=default, scaler=target_tracking"}


def test_runs_that_no_override_tells_apart_keep_their_folders_names():
    assert labels(("a/0", ["seed=1"], {}), ("a/1", ["seed=1"], {})) == {"0": "0", "1": "1"}
    assert labels(
        ("a/0", ["seed=1"], {"seed": 1}), ("a/1", ["seed=1"], {"seed": 1}), ("a/2", ["seed=2"], {"seed": 2})
    ) == {"0": "seed=1 (0)", "1": "seed=1 (1)", "2": "seed=2"}
    assert labels(("results/runs/1-routed", None, {})) == {"1": "1"}


def test_one_run_gets_its_three_files_and_a_table(results, capsys):
    folder = results / "failover" / "1"
    assert main([str(folder)]) == 0
    assert Image.open(folder / "summary.png").width == 1600
    assert pd.read_parquet(folder / "timeline.parquet")["second"].tolist() == list(range(14))
    out = capsys.readouterr().out
    assert "VALID. r2 was out of rotation 0.8 s after it was killed" in out
    assert "latency p50 / p90 / p99" in out


def test_a_damaged_run_does_not_keep_the_others_from_their_summary(results, tmp_path, capsys):
    shutil.copytree(results / "failover", tmp_path / "failover")
    (tmp_path / "failover" / "2" / "requests.parquet").write_bytes(b"")
    assert main([str(tmp_path), "--metrics", str(tmp_path / "m.json")]) == 1
    assert "failover/2/requests.parquet" in capsys.readouterr().err
    assert runs_of(tmp_path / "m.json", "failover") == ["1"]
    assert not list(tmp_path.rglob("*.part"))


def test_runs_of_one_name_do_not_hide_each_other(results, tmp_path):
    for sweep in ("a", "b"):
        shutil.copytree(results / "failover" / "1", tmp_path / sweep / "0")
    assert main([str(tmp_path), "--metrics", str(tmp_path / "m.json")]) == 0
    assert runs_of(tmp_path / "m.json", "failover") == ["a/0", "b/0"]


def test_policies_of_one_scenario_stand_in_rows_of_their_own(tmp_path):
    for policy in ("round_robin", "peak_ewma"):
        synthetic.realistic(tmp_path / policy, "routed", duration_s=4, rate=20, policy=policy)
    assert main([str(tmp_path), "--metrics", str(tmp_path / "m.json")]) == 0
    assert list(json.loads((tmp_path / "m.json").read_text())) == ["routed, peak_ewma", "routed, round_robin"]


def test_a_session_of_the_web_ui_is_passed_over(tmp_path, capsys):
    about = synthetic.manifest(mode="ui", exit_reason="interrupted")
    synthetic.write(tmp_path / "ui", None, about=about, samples=[])
    assert main([str(tmp_path)]) == 0
    assert "nothing measured" in capsys.readouterr().out


def test_summarise_returns_what_it_writes(results):
    folder = results / "baseline" / "1"
    assert summarise(folder) == json.loads((folder / "metrics.json").read_text())


def test_a_folder_that_cannot_be_written_is_one_line(results, tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert main([str(results / "baseline" / "1"), "--output", str(blocked / "x.png")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_run_of_100_000_requests_takes_less_than_10_s_of_cpu_and_1_gib(tmp_path):
    requests = synthetic.even_requests(200, 500, 5)
    rng = np.random.default_rng(0)
    requests["completed_s"] = requests["scheduled_s"] + rng.exponential(0.06, len(requests))
    requests["outcome"] = np.where(rng.random(len(requests)) < 0.2, "http_error", "ok")
    about = synthetic.manifest(config={"workload": {"duration_s": 200.0, "warmup_s": 5.0}})
    folder = synthetic.write(tmp_path, requests, about=about)
    program = (
        "import resource, sys; from analysis.summary import main; status = main(sys.argv[1:]);"
        "used = resource.getrusage(resource.RUSAGE_SELF);"
        "print(status, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)"
    )
    # Through a shell: on Linux a process that another forks begins with the other's peak, and this one's may be a GiB.
    command = ["sh", "-c", '"$@"; exit', "sh", sys.executable, "-c", program, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=AT_MOST_S, check=True)
    status, cpu_s, rss_mib = done.stdout.splitlines()[-1].split()
    assert status == "0"
    assert float(cpu_s) < 10
    assert 0 < float(rss_mib) < 1024


def test_the_pipelines_parameters_name_its_runs(results, tmp_path, monkeypatch, capsys):
    shutil.copytree(results / "failover", tmp_path / "results" / "failover")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("scenarios: [failover]\nrepeats: [1]\n")
    assert main(["--params", "params.yaml", "--metrics", "m.json"]) == 0
    assert runs_of(tmp_path / "m.json", "failover") == ["1"]
    (tmp_path / "params.yaml").write_text("scenarios: 3")
    capsys.readouterr()
    assert main(["--params", "params.yaml"]) == 1
    assert capsys.readouterr().err == "params.yaml: needs the lists `scenarios` and `repeats`\n"


def test_a_folder_without_a_run_does_not_keep_the_others_from_their_summary(tmp_path, capsys):
    run = synthetic.write(tmp_path / "run", synthetic.even_requests())
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty"), str(run)]) == 1
    assert (run / "summary.png").exists()
    assert "empty: no run's folder here" in capsys.readouterr().err
