"""What a user meets when things go wrong: nothing is left running, and nothing that was measured is lost."""

import resource
import signal
import subprocess
import sys

import pandas as pd
import pytest

from record.place import claim
from tests.running import (
    AT_MOST_S,
    ROOT,
    SHORT,
    UNREFUSED,
    command,
    command_of,
    descendants,
    events,
    is_alive,
    lost,
    manifest,
    measuring,
    metrics,
    processes_of,
    run,
    run_until,
    start,
    wait_for,
)

LONG = [*SHORT, "workload.duration_s=40"]


def assert_all_gone(processes):
    def alive():
        return [p for p in processes if is_alive(p)]

    wait_for(lambda: not alive(), f"processes ended: {alive()}")


def test_a_run_that_is_told_to_end_keeps_what_it_measured_and_leaves_no_process(tmp_path):
    # Ctrl-C under load: test_untracked.py, test_load_workers.py.
    process = start("+scenario=routed", *LONG, f"hydra.run.dir={tmp_path}")
    wait_for(lambda: measuring(tmp_path), "the load has begun")
    children = descendants(process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=AT_MOST_S)
    assert process.returncode == 143
    assert_all_gone(children)
    assert manifest(tmp_path)["exit_reason"] == "interrupted"
    rows = pd.read_parquet(tmp_path / "requests.parquet")
    assert len(rows) > 20
    assert rows["scheduled_s"].max() < 40
    assert metrics(tmp_path)["valid"] is False


def test_ctrl_c_while_services_start_leaves_no_process(tmp_path):
    process = start("+scenario=routed", *LONG, f"hydra.run.dir={tmp_path}")
    wait_for(lambda: (tmp_path / "logs" / "r1.log").exists(), "the first replica starts")
    children = descendants(process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=AT_MOST_S)
    assert process.returncode == 130
    assert_all_gone(children)
    assert manifest(tmp_path)["exit_reason"] == "interrupted"


def test_a_killed_runner_leaves_no_process_and_its_rows(tmp_path):
    process = start("+scenario=routed", *LONG, f"hydra.run.dir={tmp_path}")
    wait_for(lambda: measuring(tmp_path), "the load has begun")
    children = descendants(process)
    load = [p for p in children if "locust" in command_of(p)]
    replica = next(p for p in children if "services.backend" in command_of(p))
    replica.suspend()  # a stopped process must go, too
    process.kill()
    process.communicate(timeout=AT_MOST_S)
    assert load
    assert_all_gone(load)
    assert_all_gone(children)
    wait_for(lambda: manifest(tmp_path)["exit_reason"] == "killed", "the manifest tells")
    assert len(pd.read_parquet(tmp_path / "requests.parquet")) > 20
    assert processes_of(tmp_path) == []


@pytest.fixture(scope="module")
def outages(tmp_path_factory):
    """A run whose router is killed, comes back, and is killed for good; the moments of all three, seconds."""

    def overrides(duration_s):
        first = "{at_s: 4.5, action: kill, target: router, for_s: 2}"
        return ["+scenario=routed", *SHORT, f"faults=[{first}, {{at_s: {duration_s - 2}, action: kill, target: router}}]"]

    def is_through(told):
        words = [e["event"] for e in told if e["event"] in ("fault_injected", "fault_healed", "readmitted") and e["t_s"] > 4.5]
        return words[:2] == ["fault_injected", "fault_healed"] and words[2:3] == ["readmitted"] and words[-1] == "fault_injected"

    folder, _ = run_until(is_through, tmp_path_factory.mktemp("outages"), overrides, (16, 60))
    told = [(e["event"], e["t_s"]) for e in events(folder) if e["event"].startswith("fault_")]
    assert [word for word, _ in told] == ["fault_injected", "fault_healed", "fault_injected"]
    return folder, *(t_s for _, t_s in told)


def test_a_killed_router_costs_its_outage_and_serves_again_as_soon_as_it_is_back(outages):
    folder, killed_s, started_s, lost_s = outages
    rows = pd.read_parquet(folder / "requests.parquet")
    during = rows[(rows["sent_s"] > killed_s) & (rows["completed_s"] < started_s)]
    assert len(during) and (during["outcome"].isin(["refused", "reset"])).all()
    # The router that was started again tells anew who is in rotation.
    back_s = max(e["t_s"] for e in events(folder) if e["event"] == "readmitted" and e["t_s"] > started_s)
    after = rows[(rows["sent_s"] > back_s) & (rows["completed_s"] < lost_s)]
    assert len(after) and (after["outcome"].isin(["ok", "timeout"])).all()


def test_a_router_that_stays_dead_ends_the_run_in_order(outages):
    folder, _, _, lost_s = outages
    rows = pd.read_parquet(folder / "requests.parquet")
    assert (rows[rows["sent_s"] > lost_s]["outcome"].isin(["refused", "reset"])).all()
    found = metrics(folder)
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
        cwd=ROOT, capture_output=True, text=True, timeout=AT_MOST_S, preexec_fn=small_files_only, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "no room" in done.stderr
    assert "starting" not in done.stdout


def test_a_disk_that_fills_in_mid_run_ends_in_a_line_that_says_how_to_rescue_the_rows(tmp_path):
    if sys.platform != "linux":
        pytest.skip("no limit can be set for another process")
    process = start("+scenario=routed", *SHORT, "workload.duration_s=15", f"hydra.run.dir={tmp_path}")
    wait_for(lambda: measuring(tmp_path), "the load has begun")
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, hard))
    printed, _ = process.communicate(timeout=AT_MOST_S)
    assert process.returncode == 1, printed
    assert "Traceback" not in printed
    assert f"then python -m record.writing {tmp_path}" in printed
    assert manifest(tmp_path)["exit_reason"] == "running"
    close = [sys.executable, "-m", "record.writing", str(tmp_path), "--exit-reason", "failed"]
    done = subprocess.run(close, cwd=ROOT, capture_output=True, text=True, timeout=AT_MOST_S, check=False)
    assert done.returncode == 0, done.stderr
    assert manifest(tmp_path)["exit_reason"] == "failed"
    assert len(pd.read_parquet(tmp_path / "requests.parquet")) > 100
    assert processes_of(tmp_path) == []


def test_two_runs_at_once_do_not_disturb_each_other(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    runs = [
        start("+scenario=routed", *SHORT, UNREFUSED, f"seed={n}", f"hydra.run.dir={folder}")
        for n, folder in enumerate(folders)
    ]
    for process in runs:
        process.communicate(timeout=AT_MOST_S)
        assert process.returncode in (0, 3)
    hashes = {manifest(folder)["schedule_hash"] for folder in folders}
    assert len(hashes) == 2
    for folder in folders:
        assert lost(folder).empty


def test_a_folder_in_use_is_refused(tmp_path):
    mine = claim(tmp_path, may_rename=False)
    done = run("+scenario=routed", *SHORT, f"hydra.run.dir={tmp_path}")
    mine.release()
    assert done.returncode == 1
    assert "another run" in done.stderr


def test_a_restart_that_the_end_of_the_run_overtakes_has_landed(tmp_path):
    late = "faults=[{at_s: 5.9, action: restart, target: r2}]"
    assert run("+scenario=routed", *SHORT, late, f"hydra.run.dir={tmp_path}").returncode in (0, 3)
    (landed,) = [event for event in events(tmp_path) if event["event"].startswith("fault_")]
    assert (landed["event"], landed["target"]) == ("fault_injected", "r2") and landed["t_s"] >= 5.9
    ends = [e["t_s"] for e in events(tmp_path) if e.get("replica") == "r2" and e["event"] in ("draining", "drained", "expired")]
    assert all(landed["t_s"] <= t_s for t_s in ends), "it has landed when it begins"
