"""The compiled form: the same results to the last digit, and never of other sources than those that are there."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from experiments.compile import MODULES, file_of, sources
from services import compiled
from tests.running import ROOT

RUNS = """
import hashlib, json, sys
import experiments
from experiments.plan.fault_plan import Fault
from services import compiled
from experiments.simulator.stack import simulate
from experiments.plan.schedule import build_schedule
from experiments.plan.client_retries import ClientRetrySettings
from experiments.plan.config import DelaysConfig, EngineConfig
from experiments.plan.delays import Delay
from services.router import fleet, policies
from tests.experiments.simulated import configured

FAULTS = [
    Fault(at_s=4.0, action="kill", target="r2", for_s=3.0), Fault(at_s=9.0, action="pause", target="r1", for_s=2.0),
    Fault(at_s=12.0, action="latency", target="r3", for_s=3.0, added_ms=150.0, share=0.5),
    Fault(at_s=17.0, action="hang", target="r1", for_s=2.0, share=0.3), Fault(at_s=21.0, action="restart", target="r3"),
]
NETWORK = [
    Fault(at_s=3.0, action="delay", target="r1", for_s=5.0, added_ms=20.0, sigma=0.5),
    Fault(at_s=6.0, action="partition", target="r3", for_s=2.0),
    Fault(at_s=10.0, action="half_open", target="r2", for_s=5.0, idle_s=0.2),
    Fault(at_s=20.0, action="late_membership", target="r3", for_s=5.0),
]
ARMS = {name: dict(policy={"name": name}) for name in policies.POLICIES.files() if name != "extends"}
ARMS |= {"ps": dict(discipline="ps"), "direct": dict(router=None), "finish": dict(on_hangup="finish", limit=3), "network": {}}
try:
    policies.create("extends", {}, None)
except ValueError as error:
    print(str(error), file=sys.stderr)
found = {"is_compiled": compiled.state.is_compiled, "note": compiled.state.note(), "fleet": fleet.__file__}
found["mine"] = policies.POLICIES.find("mine").__module__ + " " + str(policies.POLICIES.find("mine").made_of())
for name, options in ARMS.items():
    config = configured(0.8, replicas=3, slots=2, requests=1500, **options)
    config.engine = EngineConfig("sim", delays=DelaysConfig(Delay(2.0, 0.3), Delay(1.0, 0.3), Delay(2.0, 0.3), Delay(900, 0.2)))
    config.load.timeout_s = 4.0
    if name == "finish":
        config.load.retries = ClientRetrySettings(max_attempts=3, attempt_s=1.0, budget=0.5)
    config.ledger, config.workload.post_share = ("always", 0.3) if name in ("finish", "adaptive") else ("never", 0.0)
    if config.router is not None:
        config.router.timeouts.attempt_s, config.workload.demand.replica_noise = 0.5, 0.3
    stack = simulate(config, build_schedule(config.workload, config.seed), sorted([*FAULTS, *(NETWORK if name == "network" else [])], key=lambda fault: fault.at_s))
    records = stack.records
    columns = ("completed_s", "queue_s", "service_s", "status", "outcome", "replica", "attempts")
    found[name] = {c: hashlib.sha256(getattr(records, c).tobytes()).hexdigest() for c in columns}
    found[name]["work"] = hashlib.sha256(repr(stack.work).encode()).hexdigest()
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
EXTENDS = """
from services.router.policies.least_request import LeastRequest


class Extends(LeastRequest):
    name = "extends"
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the sources, compiled by the command that `make fast` calls."""
    place = tmp_path_factory.mktemp("compiled")
    ignored = shutil.ignore_patterns("__pycache__", "binaries")
    for package in ("services", "record", "experiments", "analysis", "conf", "tests"):
        shutil.copytree(ROOT / package, place / package, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", place)
    (place / "plugins" / "policies").mkdir(parents=True)
    (place / "plugins" / "policies" / "mine.py").write_text(MINE)
    (place / "plugins" / "policies" / "extends.py").write_text(EXTENDS)
    done = python(place, "-m", "experiments.compile")
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def python(tree, *arguments, interpreted=False):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {compiled.INTERPRETED: "1" if interpreted else "", "AEGIS_PLUGINS": str(tree / "plugins")}
    return subprocess.run(
        [sys.executable, *arguments], cwd=tree, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


def results(tree, **how):
    done = python(tree, "-c", RUNS, **how)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) | {"said": done.stderr}


@pytest.mark.timeout(900)
def test_both_forms_give_the_same_results_to_the_last_digit_whatever_the_policy_and_the_faults(tree):
    fast, slow = results(tree), results(tree, interpreted=True)
    assert fast.pop("is_compiled") and fast.pop("fleet").endswith(".so")
    assert "AEGIS_INTERPRETED=1 in the environment has it extend" in fast.pop("said") and slow.pop("said") == ""
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
    assert not is_compiled and said.count("the compiled form is not used") == 1
    assert "services/router/fleet.py has changed since; `make fast`" in said
    changed.write_text(original)
    assert run("again")[0]


FORM = """
import json, urllib.request
from tests.services.live import Service
with_router = Service("router", "--port", 0, "--admin-port", 0)
print(json.load(urllib.request.urlopen(with_router.admin + "/stats"))["compiled"])
with_router.stop()
"""
LIVE = ("test_odd_bytes", "test_odd_traffic", "test_early_answers", "test_hedging_live", "test_waiting_live")


@pytest.mark.timeout(900)
def test_a_compiled_router_treats_bytes_bodies_hedges_and_its_line_as_the_other_form_does(tree):
    assert python(tree, "-c", FORM).stdout == "True\n"
    assert python(tree, "-c", FORM, interpreted=True).stdout == "False\n"
    files = [f"tests/services/router/{name}.py" for name in LIVE]
    done = python(tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr


@pytest.mark.timeout(900)
def test_binaries_that_are_not_those_that_were_compiled_are_not_used(tree):
    folder = tree / "services/binaries" / compiled.ABI
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
    done = python(tree, "-c", "import services.backoff\n" + RUNS)
    assert done.returncode == 0, done.stderr
    assert "services.backoff had been imported before" in json.loads(done.stdout)["note"]


@pytest.mark.timeout(900)
def test_a_live_replica_is_the_python_that_one_reads(tree):
    code = "import sys, services.backend.__main__\nprint(sys.modules['services.backend.work_queue'].__file__)"
    assert python(tree, "-c", code).stdout.strip().endswith("work_queue.py")


def test_what_the_compiled_modules_import_of_ours_makes_them_stale_too_and_other_plugins_do_not():
    known = sources(ROOT)
    assert {file_of(module) for module in MODULES} < set(known)
    assert {"services/router/settings.py", "services/router/policies/__init__.py", "services/backend/faults.py"} < set(known)
    assert not [name for name in known if name.startswith(("analysis/", "services/manager/"))]
