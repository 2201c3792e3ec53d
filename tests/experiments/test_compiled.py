"""The compiled simulator: the same results to the last digit, and never of other sources than those that are there."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from experiments.compile import MODULES, file_of, sources
from experiments.simulator import compiled
from tests.running import ROOT

RUNS = """
import hashlib, json
import experiments
from experiments.plan.fault_plan import Fault
from experiments.simulator import compiled
from experiments.simulator.stack import simulate
from experiments.plan.schedule import build_schedule
from experiments.plan.config import DelaysConfig, EngineConfig
from experiments.plan.delays import Delay
from services.router import fleet, policies
from tests.experiments.simulated import configured

FAULTS = [
    Fault(at_s=4.0, action="kill", target="r2", for_s=3.0), Fault(at_s=9.0, action="pause", target="r1", for_s=2.0),
    Fault(at_s=12.0, action="latency", target="r3", for_s=3.0, added_ms=150.0, share=0.5),
    Fault(at_s=17.0, action="hang", target="r1", for_s=2.0, share=0.3), Fault(at_s=21.0, action="restart", target="r3"),
]
ARMS = {name: dict(policy={"name": name}) for name in [*policies.POLICIES.files()]}
ARMS |= {"ps": dict(discipline="ps"), "direct": dict(router=None), "finish": dict(on_hangup="finish", limit=3)}
found = {"is_compiled": compiled.state.is_compiled, "note": compiled.state.note(), "fleet": fleet.__file__}
found["mine"] = policies.POLICIES.find("mine").__module__ + " " + str(policies.POLICIES.find("mine").made_of())
for name, options in ARMS.items():
    config = configured(0.8, replicas=3, slots=2, requests=1500, **options)
    config.engine = EngineConfig("sim", delays=DelaysConfig(Delay(2.0, 0.3), Delay(1.0, 0.3), Delay(2.0, 0.3), Delay(900, 0.2)))
    config.load.timeout_s = 4.0
    if config.router is not None:
        config.router.timeouts.attempt_s, config.workload.demand.replica_noise = 0.5, 0.3
    stack = simulate(config, build_schedule(config.workload, config.seed), FAULTS)
    records = stack.records
    columns = ("completed_s", "queue_s", "service_s", "status", "outcome", "replica", "attempts")
    found[name] = {c: hashlib.sha256(getattr(records, c).tobytes()).hexdigest() for c in columns}
    found[name] |= {"events": stack.agenda.done, "failed": records.failed, "ended": records.ended, "now": repr(stack.agenda.now)}
print(json.dumps(found))
"""
MINE = '''
"""Of a user, outside the tree: the emptiest replica."""

from services.router.policies import Pick


class Mine:
    name = "mine"

    @staticmethod
    def made_of():
        return type(Mine.pick).__name__

    def pick(self, candidates, request, now):
        return Pick(min(candidates, key=lambda c: (c.in_flight, c.id)), "least")

    def on_start(self, replica, now):
        pass

    def on_finish(self, replica, outcome, latency, now):
        pass
'''


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the sources, compiled by the command that `make fast` calls."""
    place = tmp_path_factory.mktemp("compiled")
    ignored = shutil.ignore_patterns("__pycache__", "binaries")
    for package in ("services", "record", "experiments", "analysis", "conf", "tests"):
        shutil.copytree(ROOT / package, place / package, ignore=ignored)
    (place / "plugins" / "policies").mkdir(parents=True)
    (place / "plugins" / "policies" / "mine.py").write_text(MINE)
    done = python(place, "-m", "experiments.compile")
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def python(tree, *arguments, interpreted=False):
    environment = {k: v for k, v in os.environ.items() if k != compiled.INTERPRETED and k != "PYTHONPATH"}
    environment |= {compiled.INTERPRETED: "1"} if interpreted else {}
    environment |= {"AEGIS_PLUGINS": str(tree / "plugins")}
    return subprocess.run(
        [sys.executable, *arguments], cwd=tree, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


def results(tree, **how):
    done = python(tree, "-c", RUNS, **how)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.timeout(900)
def test_both_forms_give_the_same_results_to_the_last_digit_whatever_the_policy_and_the_faults(tree):
    fast, slow = results(tree), results(tree, interpreted=True)
    assert fast.pop("is_compiled") and fast.pop("fleet").endswith(".so")
    assert not slow.pop("is_compiled") and slow.pop("fleet").endswith("fleet.py")
    assert fast == slow
    assert fast["mine"]["failed"] > 0 and fast["note"] is None


@pytest.mark.timeout(900)
def test_a_run_says_in_its_manifest_which_form_it_was_and_in_one_line_where_the_compiled_one_does_not_fit(tree):
    command = ["-m", "experiments.run", "+scenario=routed", "engine=sim", "workload.duration_s=8", "tracking.enabled=false"]

    def run(name):
        done = python(tree, *command, f"hydra.run.dir={tree / name}")
        assert done.returncode == 0, done.stderr
        return json.loads((tree / name / "manifest.json").read_text())["engine"]["compiled"], done.stderr

    is_compiled, said = run("before")
    assert is_compiled and "compiled" not in said
    changed = tree / "services/router/fleet.py"
    original = changed.read_text()
    changed.write_text(original + "\n")
    is_compiled, said = run("changed")
    assert not is_compiled and said.count("the compiled simulator is not used") == 1
    assert "services/router/fleet.py has changed since; `make fast`" in said
    changed.write_text(original)
    assert run("again")[0]


@pytest.mark.timeout(900)
def test_binaries_that_are_not_those_that_were_compiled_are_not_used(tree):
    folder = tree / "experiments/simulator/binaries" / compiled.ABI
    assert compiled.reason_against(folder, tree) is None or "imported before" in compiled.reason_against(folder, tree)
    binary = next(folder.rglob("fleet*.so"))
    content = binary.read_bytes()
    binary.write_bytes(content[:-1])
    assert "not the files that were compiled" in compiled.reason_against(folder, tree)
    binary.write_bytes(content)
    folder.rename(folder.with_name("cpython-399-other"))
    found = results(tree)
    assert not found["is_compiled"] and "it is for cpython-399-other" in found["note"]
    folder.with_name("cpython-399-other").rename(folder)


@pytest.mark.timeout(900)
def test_modules_that_were_imported_before_are_not_mixed_with_compiled_ones(tree):
    done = python(tree, "-c", "import services.router.fleet\n" + RUNS)
    assert done.returncode == 0, done.stderr
    assert "services.router.fleet had been imported before" in json.loads(done.stdout)["note"]


@pytest.mark.timeout(900)
def test_a_live_router_is_the_python_that_one_reads(tree):
    code = "import sys, services.router.__main__\nprint(sys.modules['services.router.fleet'].__file__)"
    assert python(tree, "-c", code).stdout.strip().endswith("fleet.py")


def test_what_the_compiled_modules_import_of_ours_makes_them_stale_too_and_other_plugins_do_not():
    known = sources(ROOT)
    assert {file_of(module) for module in MODULES} < set(known)
    assert {"services/router/settings.py", "services/router/policies/__init__.py", "services/backend/faults.py"} < set(known)
    assert not [name for name in known if name.startswith(("analysis/", "services/manager/"))]
