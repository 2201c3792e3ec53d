"""A run takes policies, profiles and faults from outside the tree, and its manifest says which content they had."""

import asyncio
import hashlib
import json
import signal
import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from analysis.comparison.arms import identify
from experiments.live.injection import Timeline
from experiments.plan.fault_plan import Fault
from experiments.process_faults import PROCESS_FAULTS, Step
from tests.analysis.test_panels import attempts
from tests.running import run
from tests.services.test_plugins import LAST

SAWTOOTH = '''
from dataclasses import dataclass
from typing import Annotated, ClassVar
from experiments.plan.profiles import corners
from services.bounds import Bounds

@dataclass
class TwoSteps:
    """rate(t) = R, then R factor, then R factor^2."""
    name: ClassVar[str] = "two_steps"
    factor: Annotated[float, Bounds(0, 10)] = 1.5

    def peak(self): return max(1.0, self.factor**2)
    def knots(self, rate_rps, duration_s):
        times = [0.0, duration_s / 3, 2 * duration_s / 3, duration_s]
        return corners(times, [rate_rps, rate_rps * self.factor, rate_rps * self.factor**2])
    def check(self): ...
'''
STOP_AND_GO = '''
import itertools
from dataclasses import dataclass
from typing import Annotated, ClassVar
from experiments.process_faults import Step
from services.bounds import Bounds

@dataclass
class StopAndGo:
    """Paused in the first half of every period."""
    name: ClassVar[str] = "stop_and_go"
    ended_by: ClassVar[str | None] = "resume"
    lasts: ClassVar[bool] = True
    every_s: Annotated[float, Bounds(0.1, 60)] = 1.0

    def steps(self):
        for turn in itertools.count():
            yield Step(turn * self.every_s, "pause")
            yield Step((turn + 0.5) * self.every_s, "resume")

    def heal(self): return "resume"
    def strength(self, rng): return {"every_s": round(rng.uniform(0.5, 2.0), 1)}
'''


@pytest.fixture
def outside(tmp_path, monkeypatch):
    folder = tmp_path / "plugins"
    for room, name, text in (
        ("policies", "mine", LAST.format(name="mine")),
        ("profiles", "two_steps", SAWTOOTH),
        ("process_faults", "stop_and_go", STOP_AND_GO),
        ("process_faults", "torn", "x = ("),
    ):
        (folder / room).mkdir(parents=True, exist_ok=True)
        (folder / room / f"{name}.py").write_text(text)
    monkeypatch.setenv("AEGIS_PLUGINS", str(folder))
    return folder


FAULT = "faults=[{at_s: 2, action: stop_and_go, target: r1, for_s: 3, every_s: 0.5}]"
ALL = ["policy=mine", "policy.back=2", "workload.profile=two_steps", "workload.two_steps.factor=2", FAULT]
SHORT = ["+scenario=routed", "engine=sim", "tracking.enabled=false", "workload.duration_s=9", "workload.warmup_s=1"]


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def test_a_run_takes_plugins_of_outside_and_says_which_content_they_had(outside, tmp_path):
    done = run(*SHORT, *ALL, "summary=never", f"hydra.run.dir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    about = {entry["name"]: entry for entry in manifest(tmp_path / "run")["plugins"]}
    assert set(about) == {"mine", "two_steps", "stop_and_go"}
    file = outside / "policies" / "mine.py"
    assert about["mine"]["file"] == str(file)
    assert about["mine"]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    assert [(e["event"], e["t_s"]) for e in events if "fault" in e] == [("fault_injected", 2), ("fault_healed", 5)]

    file.write_text(file.read_text() + "\n# other\n")
    assert run(*SHORT, *ALL, "summary=never", f"hydra.run.dir={tmp_path / 'other'}").returncode == 0
    one, other = (SimpleNamespace(manifest=manifest(tmp_path / name)) for name in ("run", "other"))
    runs: list[Any] = [one, other]
    assert identify(runs[0]) != identify(runs[1])


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["policy=mine", "engine=compose"], ["policy=mine", "mine.py is not in the image of engine=compose"]),
        (["faults=[{at_s: 2, action: torn, target: r1}]"], ["faults.action=torn", "torn.py cannot be imported"]),
        ([FAULT.replace("every_s: 0.5", "every_s: 99")], ["faults[0].every_s=99", "between 0.1 and 60"]),
        ([FAULT.replace("every_s", "factor")], ["faults[0].factor", "stop_and_go takes every_s"]),
    ],
)
def test_what_is_wrong_with_a_plugin_is_one_line(outside, typed, words, tmp_path):
    done = run("+scenario=routed", *typed, f"hydra.run.dir={tmp_path / 'run'}")
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert all(word in done.stderr for word in words), done.stderr


def test_a_runs_page_takes_panels_of_a_folder_with_nothing_else_and_a_broken_one_does_not_cost_it(tmp_path):
    room = tmp_path / "mine" / "panels"
    room.mkdir(parents=True)
    (room / "attempts.py").write_text(attempts("attempts"))
    (room / "torn.py").write_text("x = (")
    without = run(*SHORT, f"hydra.run.dir={tmp_path / 'without'}")
    done = run(*SHORT, f"hydra.run.dir={tmp_path / 'run'}", env={"AEGIS_PLUGINS": str(room.parent)})
    assert (without.returncode, done.returncode) == (0, 0), done.stderr
    told = [line for line in done.stderr.splitlines() if "panel" in line]
    assert len(told) == 1 and "summary.png: without the panel torn: " in told[0] and "panel" not in without.stderr
    heights = [Image.open(tmp_path / name / "summary.png").height for name in ("without", "run")]
    assert heights[1] - heights[0] in (250 + 25, 250 + 50)  # the panel, and a note of one line or two


def test_random_faults_may_draw_a_fault_of_outside(outside, tmp_path):
    typed = ["random_faults.count=2", "random_faults.modes=[stop_and_go]", "random_faults.start_s=2"]
    typed += ["random_faults.duration_s=2", "random_faults.gap_s=0.5"]
    done = run(*SHORT, *typed, "summary=never", f"hydra.run.dir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    drawn = manifest(tmp_path / "run")["faults"]
    assert [fault["action"] for fault in drawn] == ["stop_and_go"] * 2
    assert all(0.5 <= fault["every_s"] <= 2.0 for fault in drawn)


@dataclass
class Rhythm:
    name = "rhythm"
    ended_by = None
    lasts = True

    def steps(self):
        yield Step(0.0, "pause")
        yield Step(0.02, "resume")
        yield Step(0.04, "kill")
        yield Step(60.0, "restart")

    def heal(self):
        return "restart"


@pytest.mark.anyio
async def test_a_live_process_is_done_to_what_the_fault_says_until_it_is_healed(monkeypatch):
    done, told = [], []
    killed, restarted = asyncio.Event(), asyncio.Event()

    class Stack:
        manager = None

        async def signal(self, target, number):
            done.append((target, signal.Signals(number).name))
            if number == signal.SIGKILL:
                killed.set()
            return time.monotonic()

        def pid_of(self, target):
            return 1

        async def restart(self, target):
            done.append((target, "restart"))
            restarted.set()

    monkeypatch.setattr(type(PROCESS_FAULTS), "find", lambda self, name: Rhythm)
    stack: Any = Stack()
    timeline = Timeline([Fault(0.0, "rhythm", "r1", for_s=0.5)], stack, lambda *a, **d: told.append(a[1]))
    running = asyncio.create_task(timeline.run(time.monotonic()))
    await asyncio.wait_for(restarted.wait(), 30)
    running.cancel()
    assert killed.is_set()
    assert done == [("r1", "SIGSTOP"), ("r1", "SIGCONT"), ("r1", "SIGKILL"), ("r1", "restart")]
    assert told == ["fault_injected", "fault_healed"]
