"""Who reads only the beginning of what a command says costs it nothing."""

import os
import subprocess
import sys

import pytest

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
