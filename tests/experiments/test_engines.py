"""A run's engine is one file, found by its name, in the tree or outside of it; who does not choose it does not pay for it."""

import json
import os
import subprocess
import sys

import pytest

from experiments.plan.engines import ENGINES
from experiments.runner.guardian import DONE, MARK
from record.reading import read
from tests.running import AT_MOST_S, run

SLOW = '''
from dataclasses import replace
from typing import ClassVar

from experiments.engines.sim import Sim
from experiments.plan.config import require


class SlowNetwork(Sim):
    """The simulator, with clients twice as far away."""

    name: ClassVar[str] = "slow_network"
    based_on: ClassVar[str] = "sim"
    most_replicas: ClassVar[int] = 8

    @classmethod
    def check(cls, config):
        super().check(config)
        require(config.policy["name"] != "random", "policy", config.policy["name"], "another one, says slow_network")

    @classmethod
    def create(cls, config, faults, recorder, progress):
        delays = config.engine.delays
        client = replace(delays.client, median_ms=2 * delays.client.median_ms)
        engine = replace(config.engine, delays=replace(delays, client=client))
        return super().create(replace(config, engine=engine), faults, recorder, progress)
'''
SHORT = [
    "+scenario=routed", "tracking.enabled=false", "summary=never", "workload.duration_s=8", "workload.warmup_s=2"
]  # fmt: skip
FAR = ["engine.delays.client.median_ms=100", "engine.delays.client.sigma=0"]


@pytest.fixture
def outside(tmp_path, monkeypatch):
    folder = tmp_path / "plugins"
    (folder / "engines").mkdir(parents=True)
    (folder / "engines" / "slow_network.py").write_text(SLOW)
    (folder / "engines" / "torn.py").write_text("x = (")
    (folder / "engines" / "bare.py").write_text("class Bare:\n    name = 'bare'\n    def check(self): ...\n")
    monkeypatch.setenv("AEGIS_PLUGINS", str(folder))
    return folder


def took_ms(folder):
    rows = read(folder).measured
    return float((rows["completed_s"] - rows["sent_s"]).median()) * 1e3


def test_a_run_by_an_engine_of_outside_is_valid_simulated_and_named_with_its_content(outside, tmp_path):
    for engine in ("sim", "slow_network"):
        done = run(*SHORT, *FAR, f"engine={engine}", f"hydra.run.dir={tmp_path / engine}")
        assert done.returncode == 0, done.stderr
        assert "VALID (simulated)" in done.stdout
    manifest = json.loads((tmp_path / "slow_network" / "manifest.json").read_text())
    assert [(entry["key"], entry["name"]) for entry in manifest["plugins"]] == [("engine", "slow_network")]
    assert manifest["virtual_time"] is True and manifest["engine"]["name"] == "slow_network"
    ways_ms = [took_ms(tmp_path / engine) for engine in ("sim", "slow_network")]
    assert ways_ms[1] - ways_ms[0] == pytest.approx(100, rel=0.05)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["engine=slow_network", "replicas=9"], ["replicas=9", "between 1 and 8 (engine=slow_network)"]),
        (["engine=slow_network", "policy=random"], ["policy=random: must be another one, says slow_network"]),
        (["engine=slow_network", "replica.kind=cpu"], ["sleep (engine=slow_network burns no CPU)"]),
        (["engine=torn"], ["engine=torn", "torn.py cannot be imported"]),
        (["engine=bare"], ["engine=bare: Bare in", "lacks check_here, create, is_virtual, most_replicas"]),
        (["engine.name=nowhere"], ["engine=nowhere", "no nowhere.py in experiments/engines/", "local, sim"]),
    ],
)
def test_what_an_engine_refuses_or_lacks_is_one_line(outside, typed, words, tmp_path):
    done = run("+scenario=routed", *typed, f"hydra.run.dir={tmp_path / 'run'}")
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert all(word in done.stderr for word in words), done.stderr


def test_two_simulated_arms_of_an_outside_engine_may_be_launched_at_the_same_time(outside, tmp_path):
    typed = ["-m", *SHORT, "engine=slow_network", "policy=round_robin,peak_ewma", "hydra/launcher=joblib"]
    done = run(*typed, "hydra.launcher.n_jobs=2", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("VALID (simulated)") == 2


HEAVY = ("pandas", "pyarrow", "locust", "aiodocker", "experiments.simulator.stack", "experiments.live.stack")
LOADED = f"""
import sys
from hydra import compose, initialize_config_dir
from experiments.plan import store
from experiments.plan.engines import engine_of
from experiments.plan.installed import CONF
from experiments.plan.resolve import resolve
store.register()
with initialize_config_dir(str(CONF), version_base="1.3"):
    plan = resolve(compose("config", ["+scenario=failover", "engine=" + sys.argv[1]]))
engine_of(plan.config).check_here(plan.config)
print(*[name for name in {HEAVY!r} if name in sys.modules])
"""


@pytest.mark.parametrize("engine", ["local", "compose", "sim"])
def test_choosing_an_engine_and_checking_its_configuration_imports_nothing_heavy(engine):
    done = subprocess.run([sys.executable, "-c", LOADED, engine], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_every_engine_of_the_tree_has_its_entry_in_the_configuration():
    from experiments.plan.installed import CONF

    assert set(ENGINES.usable()) == {path.stem for path in (CONF / "engine").glob("*.yaml")}


@pytest.mark.parametrize(("word", "told"), [("", "aegis-cafe0000"), (f"{DONE}\n", None)])
def test_what_an_engine_leaves_besides_processes_is_removed_where_the_runner_was_killed(word, told, tmp_path):
    (tmp_path / "manifest.json").write_text('{"exit_reason": "running", "config": {}}')
    left = tmp_path / "project"
    (tmp_path / "tidying.py").write_text(f"import pathlib, sys\npathlib.Path({str(left)!r}).write_text(sys.argv[1])\n")
    command = [sys.executable, "-m", "experiments.runner.guardian", str(tmp_path), "tidying"]
    env = os.environ | {MARK: "cafe0000-engines", "PYTHONPATH": str(tmp_path)}
    subprocess.run(command, input=word, env=env, text=True, capture_output=True, timeout=AT_MOST_S, check=True)
    assert (left.read_text() if left.exists() else None) == told
