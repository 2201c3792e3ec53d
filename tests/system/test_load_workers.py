"""A run whose load comes from workers as other machines start them: real processes, on this one."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys

import pandas as pd
import pytest

from experiments.load.remote import RemoteLoad
from services.processes import StartError
from tests.experiments.sending import answer, schedule, serving
from tests.ports import free_port
from tests.running import AT_MOST_S, BUSY, ROOT, SHORT, manifest, measuring, metrics, processes_of, run, start, wait_for


class Worker:
    """A `load_worker` process, with its temporary files below `folder`."""

    def __init__(self, folder, port, *arguments, cwd=ROOT, env=None, within=()):
        folder.mkdir()
        self.folder = folder
        self.log = folder / "said"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*within, sys.executable, "-m", "experiments.load_worker", "--master", f"127.0.0.1:{port}", *arguments],
                cwd=cwd, stdout=log, stderr=log, env={**os.environ, "TMPDIR": str(folder), **(env or {})},
            )  # fmt: skip

    def said(self):
        return self.log.read_text()

    def generators(self):
        return [process for process in processes_of(self.folder) if process.pid != self.process.pid]

    def left(self):
        """Temporary files."""
        return [path.name for path in self.folder.iterdir() if path != self.log]


@contextlib.contextmanager
def workers(tmp_path, port, count=2, *arguments):
    started = [Worker(tmp_path / f"worker-{number}", port, *arguments) for number in range(count)]
    try:
        yield started
    finally:
        for worker in started:
            worker.process.terminate()
        for worker in started:
            worker.process.wait(AT_MOST_S)
            wait_for(lambda worker=worker: not worker.generators(), "no generator is left")


def remote(port, *more):
    return [*SHORT, *BUSY, "load.remote_workers=2", f"load.master_port={port}", *more]


def prepared(folder, planned, targets, count):
    """A load of `count` workers, what measures with it, and two lists: what it says, and its lines of progress."""
    said, progress = [], []
    planned.to_parquet(folder / "schedule.parquet", index=False)
    load = RemoteLoad(
        folder / "schedule.parquet", targets, folder, folder, count, 30.0, 2000,
        on_line=lambda shard, line: progress.append((shard, json.loads(line))),
        port=free_port(), wait_s=90.0, say=said.append,
    )  # fmt: skip

    async def measure():
        await load.spawn()
        try:
            await load.ready(90.0)
            load.begin()
            await load.end(float(planned["scheduled_s"].max()))
        finally:
            await load.stop()

    return load, measure, said, progress


async def test_what_workers_send_together_is_the_schedule_of_one_process(tmp_path):
    planned = schedule(rate_rps=60.0, duration_s=2.5)
    folder = tmp_path / "run"
    folder.mkdir()
    with serving(answer) as server:
        load, measure, said, progress = prepared(folder, planned, ["http://127.0.0.1:9"], 3)
        # The run knows the target by an address that leads nowhere: the workers have their own.
        known = Worker(tmp_path / "env", load.port, "--once", env={"AEGIS_LOAD_TARGET": server.url})
        with workers(tmp_path, load.port, 2, "--once", "--target", server.url) as others:
            await measure()
            assert [worker.process.wait(AT_MOST_S) for worker in (known, *others)] == [0, 0, 0]
            assert not any(worker.left() for worker in (known, *others))
        seen = sorted(
            (int(h["X-Request-Id"]), float(h["X-Aegis-Demand-Ms"]), h["X-Aegis-Key"]) for _, _, h in server.seen
        )
    expected = zip(planned["request_id"], (planned["demand_s"] * 1e3).round(3), planned["key"], strict=True)
    assert seen == [(i, pytest.approx(demand, abs=1e-3), key) for i, demand, key in expected]
    parts = [pd.read_parquet(folder / f"load-{shard}.parquet") for shard in range(3)]
    for shard, part in enumerate(parts):
        assert set(part["request_id"] % 3) == {shard}
        assert shard in {number for number, _ in progress}
        about = json.loads((folder / f"load-{shard}.json").read_text())
        assert (about["shard"], about["stopped"], about["shares_kernel"]) == (shard, "complete", True)
        # One kernel, one clock: whatever is measured must be within its bound.
        assert abs(about["clock_offset_ms"]) <= about["clock_uncertainty_ms"]
        assert abs(about["clock_drift_ms"]) <= about["clock_drift_uncertainty_ms"]
    rows = pd.concat(parts).sort_values("request_id").reset_index(drop=True)
    assert rows["request_id"].tolist() == planned["request_id"].tolist()
    assert (rows["scheduled_s"] == planned["scheduled_s"]).all() and (rows["outcome"] == "ok").all()
    assert (rows["sent_s"] >= rows["scheduled_s"]).all()
    assert any("3 of 3 load workers" in text for text in said)


AHEAD = ("unshare", "--time", "--monotonic", "3600", "--fork", "--kill-child")
"""Runs a command whose monotonic clock is an hour ahead, as another machine's would be (time_namespaces(7))."""


def can_be_ahead():
    with contextlib.suppress(OSError):
        return subprocess.run([*AHEAD, "true"], capture_output=True, check=False).returncode == 0
    return False


@pytest.mark.skipif(not can_be_ahead(), reason="needs time namespaces, and the right to make one")
async def test_a_worker_whose_clock_is_an_hour_ahead_sends_at_the_same_moments(tmp_path):
    planned = schedule(rate_rps=60.0, duration_s=2.5)
    folder = tmp_path / "run"
    folder.mkdir()
    with serving(answer) as server:
        load, measure, _, _ = prepared(folder, planned, [server.url], 2)
        ahead = Worker(tmp_path / "ahead", load.port, "--once", within=AHEAD)
        with workers(tmp_path, load.port, 1, "--once"):
            await measure()
        assert ahead.process.wait(AT_MOST_S) == 0
    t0 = json.loads((folder / "start.json").read_text())["t0"]
    abouts = [json.loads((folder / f"load-{shard}.json").read_text()) for shard in range(2)]
    offsets = {about["shard"]: about["clock_offset_ms"] for about in abouts}
    by_clock = sorted(offsets, key=lambda shard: offsets[shard])
    for shard, offset_ms in zip(by_clock, (0.0, 3.6e6), strict=True):
        bound_ms = abouts[shard]["clock_uncertainty_ms"]
        assert offsets[shard] == pytest.approx(offset_ms, abs=bound_ms + 0.1)
        came = {int(h["X-Request-Id"]): moment - t0 for moment, _, h in server.seen}
        late = [came[i] - planned["scheduled_s"][i] for i in planned["request_id"] if i % 2 == shard]
        assert min(late) >= -bound_ms / 1e3
        assert sorted(late)[len(late) // 2] < 60, "an hour, had it gone by its own clock"
    rows = pd.concat([pd.read_parquet(folder / f"load-{shard}.parquet") for shard in range(2)])
    assert (rows["sent_s"] >= rows["scheduled_s"]).all()


def test_two_workers_make_a_valid_run_and_wait_for_the_next(tmp_path):
    port = free_port()
    with workers(tmp_path, port) as started:
        done = run("+scenario=routed", *remote(port), f"hydra.run.dir={tmp_path / 'run'}")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "2 of 2 load workers" in done.stdout
        about = manifest(tmp_path / "run")["generator"]
        assert [entry["shard"] for entry in about] == [0, 1] and len({entry["worker"] for entry in about}) == 2
        found = metrics(tmp_path / "run")
        assert found["valid"] and found["dropped"] == 0
        rows = pd.read_parquet(tmp_path / "run" / "requests.parquet").query("phase != 'warmup'")
        late_ms = (rows["sent_s"] - rows["scheduled_s"]) * 1e3
        for shard in (0, 1):
            its = late_ms[rows["request_id"] % 2 == shard]
            assert found[f"lateness_p99_ms_worker_{shard}"] == pytest.approx(its.quantile(0.99), abs=1e-5)
        assert found["cpu_generator_cores"] > 0
        for worker in started:
            wait_for(lambda worker=worker: worker.said().count("waits for a master") == 2, "it waits again")
            assert "the run is complete" in worker.said()
            assert worker.left() == [] and worker.generators() == []


def test_a_worker_that_is_killed_makes_the_run_invalid_and_is_named(tmp_path):
    port, folder = free_port(), tmp_path / "run"
    with workers(tmp_path, port) as started:
        runner = start("+scenario=routed", *remote(port, "workload.duration_s=8"), f"hydra.run.dir={folder}")
        wait_for(lambda: measuring(folder), "the load goes on")
        started[0].process.kill()
        said, _ = runner.communicate(timeout=AT_MOST_S)
        assert runner.returncode == 3, said
        wait_for(lambda: not started[0].generators(), "its generator does not outlive it")
        lost = next(entry for entry in manifest(folder)["generator"] if entry["stopped"] == "lost")
        reasons = " ".join(metrics(folder)["invalid_reasons"])
        assert f"worker {lost['worker']} was lost" in reasons and f"worker {lost['worker']} was lost" in said
        rows, planned = (pd.read_parquet(folder / name) for name in ("requests.parquet", "schedule.parquet"))
        assert rows["request_id"].tolist() == planned["request_id"].tolist()
        shares = rows["request_id"] % 2 == lost["shard"]
        assert (rows.loc[shares, "outcome"] == "dropped").all() and (rows.loc[~shares, "outcome"] != "dropped").all()
        wait_for(lambda: started[1].said().count("waits for a master") == 2, "the other waits for the next run")
        assert started[1].process.poll() is None


def test_a_worker_of_another_version_is_refused_and_too_few_fail_the_run_in_one_line(tmp_path):
    port, other = free_port(), tmp_path / "other"
    for package in ("experiments", "services", "record", "analysis"):
        shutil.copytree(ROOT / package, other / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (other / "experiments" / "load" / "sender.py").open("a") as file:
        file.write("# other code\n")
    worker = Worker(tmp_path / "worker", port, cwd=other)
    wait_for(lambda: "waits for a master" in worker.said(), "it waits")
    for wait_s in (4, 60):  # the longer one where the worker comes too late to be refused
        arguments = remote(port, f"load.remote_wait_s={wait_s}")
        done = run("+scenario=routed", *arguments, f"hydra.run.dir={tmp_path / str(wait_s)}")
        assert done.returncode == 1, done.stdout + done.stderr
        if "refused" in done.stderr:
            break
    assert done.stderr.count("\n") == 1 and f"load.remote_workers=2: 0 came within {wait_s} s" in done.stderr, done.stderr
    assert "refused" in done.stderr and "code" in done.stderr and "experiments.load_worker --master" in done.stderr
    assert worker.process.wait(AT_MOST_S) == 2
    assert "refused by" in worker.said() and "instead of" in worker.said()


async def test_a_port_that_is_taken_is_said_in_one_line(tmp_path):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        load, measure, _, _ = prepared(tmp_path, schedule(), ["http://127.0.0.1:9"], 1)
        load.port = sock.getsockname()[1]
        with pytest.raises(StartError, match=rf"load.master_port={load.port}: cannot listen there") as error:
            await measure()
    assert "\n" not in str(error.value)


async def test_a_worker_that_does_not_know_the_targets_fails_the_run_before_it_begins(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    load, measure, _, _ = prepared(folder, schedule(), ["http://127.0.0.1:9"], 1)
    two = ["--target", "http://127.0.0.1:1", "--target", "http://127.0.0.1:2"]
    with workers(tmp_path, load.port, 1, "--once", *two) as (worker,):
        with pytest.raises(StartError, match=r"worker \S+ failed: 2 target\(s\) given, but the run has 1"):
            await measure()
        assert worker.process.wait(AT_MOST_S) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_runner_that_is_ended_leaves_nothing_behind_but_what_was_measured(tmp_path, number):
    port, folder = free_port(), tmp_path / "run"
    with workers(tmp_path, port) as started:
        runner = start("+scenario=routed", *remote(port, "workload.duration_s=60"), f"hydra.run.dir={folder}")
        wait_for(lambda: measuring(folder), "the load goes on")
        runner.send_signal(number)
        runner.communicate(timeout=AT_MOST_S)
        assert runner.returncode == (130 if number == signal.SIGINT else -number)
        wait_for(lambda: manifest(folder)["exit_reason"] in ("interrupted", "killed"), "the folder is closed")
        wait_for(lambda: not processes_of(folder), "no process of the run is left")
        for worker in started:
            wait_for(lambda worker=worker: worker.said().count("waits for a master") == 2, "it waits again")
            assert "broke off" in worker.said() and worker.left() == [] and worker.generators() == []
        assert len(pd.read_parquet(folder / "requests.parquet")) > 10
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", port))
