"""What a user meets when things go wrong: nothing is left running, and nothing that was measured is lost."""

import resource
import signal
import subprocess
import sys

import pandas as pd
import psutil
import pytest

from record.place import claim
from tests.running import ROOT, SHORT, command, events, manifest, measuring, metrics, processes_of, run, start, wait_for

LONG = [*SHORT, "workload.duration_s=40"]


def descendants(process):
    return psutil.Process(process.pid).children(recursive=True)


def assert_all_gone(processes, timeout_s):
    def alive():
        return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]

    wait_for(lambda: not alive(), timeout_s, f"processes ended: {alive()}")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_keeps_what_it_measured_and_leaves_no_process(tmp_path, number, status):
    process = start("+scenario=routed", *LONG, f"hydra.run.dir={tmp_path}")
    wait_for(lambda: measuring(tmp_path), 40, "the load has begun")
    children = descendants(process)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == status
    assert_all_gone(children, 2)
    assert manifest(tmp_path)["exit_reason"] == "interrupted"
    rows = pd.read_parquet(tmp_path / "requests.parquet")
    assert len(rows) > 20
    assert rows["scheduled_s"].max() < 40
    assert metrics(tmp_path)["valid"] is False


def test_ctrl_c_while_services_start_leaves_no_process(tmp_path):
    process = start("+scenario=routed", *LONG, f"hydra.run.dir={tmp_path}")
    wait_for(lambda: (tmp_path / "logs" / "r1.log").exists(), 40, "the first replica starts")
    children = descendants(process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert_all_gone(children, 2)
    assert manifest(tmp_path)["exit_reason"] == "interrupted"


def test_a_killed_runner_leaves_no_process_and_its_rows(tmp_path):
    process = start("+scenario=routed", *LONG, f"hydra.run.dir={tmp_path}")
    wait_for(lambda: measuring(tmp_path), 40, "the load has begun")
    children = descendants(process)
    load = [p for p in children if "locust" in " ".join(p.cmdline())]
    replica = next(p for p in children if "services.backend" in " ".join(p.cmdline()))
    replica.suspend()  # a stopped process must go, too
    process.kill()
    process.communicate(timeout=10)
    assert load
    assert_all_gone(load, 3.5)
    assert_all_gone(children, 10)
    wait_for(lambda: manifest(tmp_path)["exit_reason"] == "killed", 10, "the manifest tells")
    assert len(pd.read_parquet(tmp_path / "requests.parquet")) > 20
    assert processes_of(tmp_path) == []


def test_a_killed_router_ends_the_run_in_order_with_the_outage_in_the_data(tmp_path):
    done = run(
        "+scenario=routed", *SHORT, "workload.duration_s=10", f"hydra.run.dir={tmp_path}",
        "faults=[{at_s: 3, action: kill, target: router, for_s: 3}]",
    )  # fmt: skip
    assert done.returncode in (0, 3), done.stderr
    rows = pd.read_parquet(tmp_path / "requests.parquet")
    during = rows[(rows["scheduled_s"] > 3.2) & (rows["scheduled_s"] < 5.8)]
    assert (during["outcome"].isin(["refused", "reset"])).all()
    after = rows[rows["scheduled_s"] > 8.5]
    assert (after["outcome"] == "ok").mean() > 0.9
    assert {"fault_injected", "fault_healed"} <= {event["event"] for event in events(tmp_path)}


def test_a_router_that_stays_dead_ends_the_run_in_order(tmp_path):
    done = run(
        "+scenario=routed", *SHORT, f"hydra.run.dir={tmp_path}", "faults=[{at_s: 4, action: kill, target: router}]"
    )
    assert done.returncode in (0, 3), done.stderr
    found = metrics(tmp_path)
    assert (found["fault_harm"], found["recovered"]) == (True, False)


def test_a_service_that_does_not_come_up_fails_with_the_tail_of_its_log(tmp_path):
    # A replica that cannot import uvloop is as broken as one can be.
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "uvloop.py").write_text("raise ImportError('uvloop is broken here')\n")
    done = run(
        "+scenario=routed", *SHORT, f"hydra.run.dir={tmp_path / 'run'}", env={"PYTHONPATH": str(tmp_path / "broken")}
    )
    assert done.returncode == 1
    assert "uvloop is broken here" in done.stderr
    assert manifest(tmp_path / "run")["exit_reason"] == "failed"


def test_a_results_folder_that_cannot_be_written_is_an_error_before_anything_starts(tmp_path):
    (tmp_path / "file").write_text("")
    done = run("+scenario=routed", *SHORT, f"hydra.run.dir={tmp_path / 'file' / 'run'}")
    assert done.returncode != 0
    assert "starting" not in done.stdout


def test_a_full_disk_is_an_error_before_the_load_starts(tmp_path):
    def small_files_only():
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = subprocess.run(
        command("+scenario=routed", *SHORT, f"hydra.run.dir={tmp_path}"),
        cwd=ROOT, capture_output=True, text=True, timeout=60, preexec_fn=small_files_only, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "no room" in done.stderr
    assert "starting" not in done.stdout


def test_a_disk_that_fills_in_mid_run_ends_in_a_line_that_says_how_to_rescue_the_rows(tmp_path):
    if sys.platform != "linux":
        pytest.skip("no limit can be set for another process")
    process = start("+scenario=routed", *SHORT, f"hydra.run.dir={tmp_path}")
    wait_for(lambda: measuring(tmp_path), 60, "the load has begun")
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, hard))
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 1, printed
    assert "Traceback" not in printed
    assert f"then python -m record.writing {tmp_path}" in printed
    assert manifest(tmp_path)["exit_reason"] == "running"
    close = [sys.executable, "-m", "record.writing", str(tmp_path), "--exit-reason", "failed"]
    done = subprocess.run(close, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert manifest(tmp_path)["exit_reason"] == "failed"
    assert len(pd.read_parquet(tmp_path / "requests.parquet")) > 100
    assert processes_of(tmp_path) == []


def test_two_runs_at_once_do_not_disturb_each_other(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    runs = [
        start("+scenario=routed", *SHORT, f"seed={n}", f"hydra.run.dir={folder}") for n, folder in enumerate(folders)
    ]
    for process in runs:
        process.communicate(timeout=90)
        assert process.returncode in (0, 3)
    hashes = {manifest(folder)["schedule_hash"] for folder in folders}
    assert len(hashes) == 2
    for folder in folders:
        assert metrics(folder)["failed_requests"] == 0


def test_a_folder_in_use_is_refused(tmp_path):
    mine = claim(tmp_path, may_rename=False)
    done = run("+scenario=routed", *SHORT, f"hydra.run.dir={tmp_path}")
    mine.release()
    assert done.returncode == 1
    assert "another run" in done.stderr
