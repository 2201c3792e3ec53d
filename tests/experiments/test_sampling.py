"""CPU by role, of real processes."""

import os
import subprocess
import sys

from experiments.runner.sampling import CpuMeter

BURN_S = 0.3
WORKER = f"""\
import os, time
os.read(0, 1)
end = time.process_time() + {BURN_S}
while time.process_time() < end:
    pass
"""
MASTER = f"""\
import os, subprocess, sys
worker = subprocess.Popen([sys.executable, "-c", {WORKER!r}])
print(worker.pid, flush=True)
worker.wait()
print("ended", flush=True)
os.read(0, 1)
"""


def start(code):
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def end(process):
    process.kill()
    process.communicate()


def test_what_a_worker_used_until_it_ended_is_its_masters_and_is_counted_once():
    """As that of nginx, whose worker ends with each change of members."""
    master, meter = start(MASTER), CpuMeter()
    try:
        worker = int(master.stdout.readline())
        assert meter.read({"router": [master.pid, worker]}, 0.0) is None
        master.stdin.write(b"x")
        master.stdin.flush()
        assert master.stdout.readline() == b"ended\n"
        assert meter.read({"router": [master.pid]}, 1.0)["router"] >= BURN_S - 0.05
        assert meter.read({"router": [master.pid]}, 2.0)["router"] < BURN_S / 2
    finally:
        end(master)


def test_what_a_child_of_another_role_used_is_not_its_parents():
    child, meter = start(WORKER), CpuMeter()
    try:
        meter.read({"runner": [os.getpid()], "replicas": [child.pid]}, 0.0)
        child.communicate(b"x")
        used = meter.read({"runner": [os.getpid()], "replicas": []}, 1.0)
        assert used["runner"] < BURN_S / 2 and used["replicas"] == 0
    finally:
        end(child)
