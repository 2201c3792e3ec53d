"""A machine that others use."""

import contextlib
import subprocess
import sys

import psutil

from tests.running import metrics, run

BUSY = "import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass"


@contextlib.contextmanager
def busy_cores():
    loops = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(psutil.cpu_count() or 1)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def test_a_busy_loop_on_every_core_makes_the_run_invalid_and_is_named(tmp_path):
    with busy_cores():
        done = run(
            "+scenario=routed", "tracking.enabled=false", "workload.duration_s=8", "workload.warmup_s=2",
            f"hydra.run.dir={tmp_path}",
        )  # fmt: skip
    assert done.returncode == 3, done.stdout + done.stderr
    assert "INVALID" in done.stdout
    assert any("foreign processes" in reason for reason in metrics(tmp_path)["invalid_reasons"])
