"""Who reads only the beginning of what a command says costs it nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.processes import ServiceProcess
from tests.running import AT_MOST_S, ROOT, command

SIMULATED = ["+scenario=routed", "engine=sim", "tracking.enabled=false", "summary=never", "workload.duration_s=6"]


COMMANDS = {
    "run": command(*SIMULATED, "hydra.run.dir={place}/run"),
    "sweep": command("-m", *SIMULATED, "seed=1,2", "hydra.sweep.dir={place}/sweep"),
    "help": command("--help"),
    "aegis": [sys.executable, "-m", "experiments.aegis", "--help"],
    "keys": [sys.executable, "-m", "experiments.keys"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_reader_who_leaves_ends_no_command(tmp_path, name):
    reading, writing = os.pipe()
    os.close(reading)
    words = [word.format(place=tmp_path) if "{place}" in word else word for word in COMMANDS[name]]
    done = subprocess.run(words, cwd=ROOT, stdout=writing, stderr=writing, timeout=AT_MOST_S, check=False)
    os.close(writing)
    assert done.returncode == 0
    assert len(list(tmp_path.rglob("metrics.json"))) == {"run": 1, "sweep": 2}.get(name, 0)


def test_a_command_without_a_standard_output_does_what_it_does():
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -m experiments.aegis --version >&-', sys.executable],
        cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=AT_MOST_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_behind_the_standard_output_ends_no_command(tmp_path):
    """/dev/full (full(4)): every write fails with ENOSPC."""
    words = [word.format(place=tmp_path) if "{place}" in word else word for word in COMMANDS["run"]]
    with open("/dev/full", "w") as full:
        done = subprocess.run(words, cwd=ROOT, stdout=full, stderr=full, timeout=AT_MOST_S, check=False)
    assert done.returncode == 0 and len(list(tmp_path.rglob("metrics.json"))) == 1


async def test_a_full_disk_under_its_log_costs_a_process_nothing_but_what_it_says(monkeypatch):
    said = "import signal; print('mine ready url=x'); print('more'); signal.pause()"
    process = ServiceProcess("mine", [sys.executable, "-u", "-c", said], Path("/dev/full"))
    monkeypatch.setattr(process, "tail", lambda: "")  # /dev/full has no end to be read
    await process.spawn()
    assert await process.ready(AT_MOST_S) == {"url": "x"}
    await process.stop()
    assert process.returncode == -signal.SIGTERM
