"""A run's folder may come from anywhere: what is written into it stays in it, and what is damaged stops nobody else."""

import json
import os
import subprocess
import sys

import pytest

from analysis import summary
from analysis.comparison.gathering import compare_runs, read_runs
from experiments.tracking.values import artifacts, read_entry
from record.files import FolderError, read_manifest, write_json
from record.place import claim, reserve_space
from record.reading import read
from tests.analysis import synthetic
from tests.analysis.synthetic import healed, injected, router
from tests.running import AT_MOST_S, ROOT

FOREIGN = "not to be touched\n"


@pytest.fixture
def elsewhere(tmp_path):
    """A file outside the run's folder that nothing may write to."""
    path = tmp_path / "elsewhere.txt"
    path.write_text(FOREIGN)
    return path


@pytest.mark.parametrize("name", ["metrics.json.part", "metrics.json", "timeline.parquet.part", "summary.png.part"])
def test_a_link_in_a_folder_that_is_summarised_lets_nobody_overwrite_another_file(tmp_path, elsewhere, name, capsys):
    odd = "a$\\bad$b"  # which is no formula
    folder = synthetic.write(tmp_path / odd, synthetic.even_requests(), about=synthetic.manifest(run_id=odd))
    (folder / name).symlink_to(elsewhere)
    assert summary.main([str(folder)]) == 0
    assert capsys.readouterr().err == ""
    assert elsewhere.read_text() == FOREIGN
    assert not (folder / "metrics.json").is_symlink()
    assert not (folder / "metrics.json.part").is_symlink()


def test_a_run_that_takes_a_folder_follows_none_of_the_links_in_it(tmp_path, elsewhere):
    outside = tmp_path / "outside"
    (outside / "kept").mkdir(parents=True)
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("raw", "logs", "locust", ".hydra"):
        (folder / name).symlink_to(outside, target_is_directory=True)
    for name in ("events.jsonl", "samples.jsonl", "schedule.parquet", "manifest.json.part", ".space"):
        (folder / name).symlink_to(elsewhere)
    claimed = claim(folder, may_rename=False)
    reserve_space(folder, 1)
    write_json(folder / "manifest.json", {})
    claimed.release()
    assert {path.name for path in folder.iterdir()} == {"manifest.json"}
    assert elsewhere.read_text() == FOREIGN
    assert [path.name for path in outside.iterdir()] == ["kept"]


def test_what_a_link_leads_to_is_not_sent_to_mlflow(tmp_path, elsewhere):
    folder = synthetic.write(tmp_path / "run", synthetic.even_requests())
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "key.txt").write_text("secret")
    (folder / "notes.txt").symlink_to(elsewhere)
    (folder / ".hydra").symlink_to(secrets, target_is_directory=True)
    (folder / "logs" / "deep").mkdir(parents=True)
    (folder / "logs" / "router.log").write_text("ready\n")
    (folder / "logs" / "r1.log").symlink_to(elsewhere)
    (folder / "logs" / "deep" / "more").symlink_to(secrets, target_is_directory=True)
    sent = {path.relative_to(folder).as_posix() for path in artifacts(folder)}
    assert sent == {
        "manifest.json", "schedule.parquet", "requests.parquet", "events.jsonl", "samples.jsonl", "logs/router.log",
    }  # fmt: skip


FAULT = {"at_s": 5.0, "action": "kill", "target": "r2", "for_s": 1.0}
EVENTS = (injected(0, 5.0), router("ejected", 5.2), healed(0, 6.0))
BEYOND_FLOAT = 10**400


def in_manifest(*keys, value):
    def damage(folder):
        path = folder / "manifest.json"
        content = inner = json.loads(path.read_text())
        for key in keys[:-1]:
            inner = inner.setdefault(key, {})
        inner[keys[-1]] = value
        path.write_text(json.dumps(content))

    return damage


def in_lines(name, key, value):
    def damage(folder):
        path = folder / name
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps({**line, key: value}) + "\n" for line in lines))

    return damage


DAMAGE = {
    "seed=text": in_manifest("seed", value="one"),
    "seed=null": in_manifest("seed", value=None),
    "faults=text": in_manifest("faults", value="kill"),
    "faults=numbers": in_manifest("faults", value=[1]),
    "generator=null": in_manifest("generator", value=[None]),
    "generator=text": in_manifest("generator", value="r1"),
    "clocks=text": in_manifest("clocks", value=["wall"]),
    "clocks=empty": in_manifest("clocks", value=[{}]),
    "plugins=empty": in_manifest("plugins", value=[{}]),
    "git=text": in_manifest("git", value="main"),
    "t0=beyond": in_manifest("t0_unix", value=BEYOND_FLOAT),
    "policy=text": in_manifest("config", "policy", value="p2c"),
    "router=list": in_manifest("config", "router", value=[1]),
    "load=number": in_manifest("config", "load", value=3),
    "workload=null": in_manifest("config", "workload", value=None),
    "duration=text": in_manifest("config", "workload", "duration_s", value="long"),
    "duration=NaN": in_manifest("config", "workload", "duration_s", value=float("nan")),
    "duration=1e300": in_manifest("config", "workload", "duration_s", value=1e300),
    "warmup=list": in_manifest("config", "workload", "warmup_s", value=[2]),
    "slo=text": in_manifest("config", "slo", value={"p99_ms": "fast"}),
    "validity=beyond": in_manifest("config", "validity", value={"max_steal_cores": BEYOND_FLOAT}),
    "event=list": in_lines("events.jsonl", "event", ["ejected"]),
    "event at NaN": in_lines("events.jsonl", "t_s", float("nan")),
    "event's replica": in_lines("events.jsonl", "replica", {"id": 1}),
    "fault=text": in_lines("events.jsonl", "fault", "first"),
    "sample at 1e400": in_lines("samples.jsonl", "t_s", BEYOND_FLOAT),
    "sample's cpu": in_lines("samples.jsonl", "cpu", "much"),
    "sample's replicas": in_lines("samples.jsonl", "replicas_ready", "all"),
}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Two pairs of runs."""
    place = tmp_path_factory.mktemp("sweep")
    for number, (policy, seed) in enumerate((("a", 1), ("b", 1), ("a", 2), ("b", 2))):
        about = synthetic.manifest(seed=seed, faults=[FAULT], config={"seed": seed, "policy": {"name": policy}})
        synthetic.write(place / str(number), synthetic.even_requests(), about=about, events=EVENTS)
    return place


@pytest.fixture
def damaged(sweep, request):
    """The sweep, with a value of its last run's files replaced."""
    folder = sweep / "3"
    before = {path: path.read_bytes() for path in folder.glob("*.json*")}
    request.param(folder)
    yield sweep
    for path, content in before.items():
        path.write_bytes(content)


@pytest.mark.parametrize("damaged", DAMAGE.values(), ids=DAMAGE, indirect=True)
def test_a_damaged_value_costs_its_own_folder_only(damaged, capsys, monkeypatch):
    runs = read_runs([damaged])
    told = capsys.readouterr().err
    assert [run.folder.name for run, _ in runs] == ["0", "1", "2"]
    assert told.count("\n") == 1 and told.startswith("left out: ") and str(damaged / "3") in told
    assert compare_runs(runs)[0].rows
    monkeypatch.setattr("analysis.pages.run_page.draw", lambda *_: None)
    with pytest.raises(FolderError, match=str(damaged / "3")):
        summary.summarise(damaged / "3")
    done, broken = summary._each([damaged / str(number) for number in range(4)])
    assert ([run.folder.name for run, _ in done], broken) == (["0", "1", "2"], 1)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3"])
def test_damaged_metrics_are_a_line_to_who_logs_them(tmp_path, text):
    folder = synthetic.write(tmp_path, synthetic.even_requests())
    (folder / "metrics.json").write_text(text)
    with pytest.raises(FolderError, match=r"metrics\.json: "):
        read_entry(folder)


def test_a_folder_that_is_whole_is_read_as_before(sweep):
    assert read_manifest(sweep / "3")["seed"] == 2
    assert len(read(sweep / "3").events) == 3


@pytest.mark.slow
@pytest.mark.parametrize("module", ["experiments.run", "analysis.summary", "services.router"])
def test_a_module_run_by_a_python_without_its_packages_says_so_in_a_line(module):
    command = [sys.executable, "-S", "-E", "-m", module, "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=AT_MOST_S, check=False)
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1 and ".venv/bin/python" in done.stderr


@pytest.mark.slow
def test_without_docstrings_and_assertions_commands_have_their_help_and_a_run_is_refused_in_a_line():
    without = os.environ | {"PYTHONOPTIMIZE": "2", "PYTHONDONTWRITEBYTECODE": "1"}

    def done(*command):
        return subprocess.run(
            [sys.executable, "-m", *command], cwd=ROOT, env=without, capture_output=True, text=True, timeout=AT_MOST_S, check=False
        )

    for module in ("analysis.compare", "experiments.replay"):
        helped = done(module, "--help")
        assert (helped.returncode, helped.stderr) == (0, ""), module
        assert "usage: " in helped.stdout
    refused = done("experiments.run", "+scenario=routed", "faults=[{at_s: 1, action: kill, target: r1}]")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1 and "PYTHONOPTIMIZE=2" in refused.stderr
