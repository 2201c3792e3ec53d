"""A run's folder belongs to one living run: real processes, one of them killed."""

import io
import json
import os
import resource
import signal
import subprocess
import sys
import threading

import pytest

from experiments.runner import guardian
from experiments.runner.guardian import MARK
from record import schema
from record.files import FolderError, write_json
from record.place import PATIENCE_S, claim, hold, is_held, reserve_space
from record.shapes import Manifest
from record.writing import Recorder
from tests.running import AT_MOST_S, ROOT

RUNNER = """
import sys
from pathlib import Path
from record.place import claim
claimed = claim(Path(sys.argv[1]), may_rename=False)
print(claimed.folder, flush=True)
sys.stdin.read()
"""
OPEN: Manifest = {"schema_version": schema.VERSION, "exit_reason": "running", "config": {"workload": {"warmup_s": 0}}}


@pytest.fixture
def runner(tmp_path):
    """A process that has claimed `run` and goes on."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(tmp_path / "run")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline().strip() == str(tmp_path / "run")
        yield process
        process.kill()


def test_a_second_run_does_not_get_the_folder_of_one_that_lives(tmp_path, runner):
    write_json(tmp_path / "run" / "manifest.json", {"pid": runner.pid, "exit_reason": "running"})
    with pytest.raises(FolderError, match=rf"another run \(pid {runner.pid}\) writes here"):
        claim(tmp_path / "run", may_rename=False)
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["pid"] == runner.pid
    assert is_held(tmp_path / "run")
    beside = claim(tmp_path / "run", may_rename=True)
    assert beside.folder == tmp_path / "run-2"
    beside.release()


def test_the_folder_of_a_killed_run_is_known_as_dead_and_can_be_taken(tmp_path, runner):
    write_json(tmp_path / "run" / "manifest.json", OPEN)
    (tmp_path / "run" / "events.jsonl").write_text("of the dead\n")
    runner.kill()
    runner.wait()
    assert (tmp_path / "run" / ".claim").exists()
    assert not is_held(tmp_path / "run")
    taken = claim(tmp_path / "run", may_rename=False)
    assert taken.folder == tmp_path / "run"
    assert not (tmp_path / "run" / "events.jsonl").exists()
    taken.release()


def test_a_note_with_the_id_of_a_process_that_lives_but_holds_nothing_keeps_nobody_out(tmp_path):
    (tmp_path / ".claim").write_text(str(os.getppid()))
    assert not is_held(tmp_path)
    claim(tmp_path, may_rename=False).release()


@pytest.mark.parametrize("note", ["", "12", "a torn no", "\x00\x00"])
def test_a_claim_that_was_torn_when_the_machine_went_down_keeps_nobody_out(tmp_path, note):
    (tmp_path / ".claim").write_text(note)
    assert not is_held(tmp_path)
    claim(tmp_path, may_rename=False).release()


def test_the_next_run_waits_while_the_folder_of_a_killed_one_is_cleared_up(tmp_path, runner):
    write_json(tmp_path / "run" / "manifest.json", {**OPEN, "pid": runner.pid})
    runner.kill()
    runner.wait()
    cleaner = hold(tmp_path / "run")
    assert cleaner is not None
    clearing = threading.Timer(2 * PATIENCE_S, cleaner.release)
    clearing.start()
    claim(tmp_path / "run", may_rename=False).release()
    clearing.join()


@pytest.mark.parametrize("is_taken", [True, False])
def test_what_a_killed_run_still_writes_does_not_come_among_the_next_run_s_files(tmp_path, monkeypatch, is_taken):
    """The guardian lets the load write only where the folder is still that of the killed run."""
    write_json(tmp_path / "manifest.json", OPEN)
    mark, awaited = "cafe0000-folders", []
    command = [sys.executable, "-c", "input()"]
    load = subprocess.Popen(command, stdin=subprocess.PIPE, env=os.environ | {MARK: mark})
    following = hold(tmp_path) if is_taken else None
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    monkeypatch.setattr(guardian, "_is_writing", lambda process: awaited.append(process.pid))
    with load:
        guardian.main(tmp_path, mark)
        assert load.wait(AT_MOST_S) is not None
    assert awaited == ([] if is_taken else [load.pid])
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["exit_reason"] == ("running" if is_taken else "killed")
    if following is not None:
        following.release()


def test_a_disk_that_is_full_for_a_while_costs_a_run_neither_its_end_nor_a_line(tmp_path):
    recorder = Recorder(tmp_path, OPEN.copy())
    reserve_space(tmp_path, 1)
    recorder.begin(None)
    recorder.event("router", "ejected", 1.0, replica="r1")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (90, limits[1]))  # as a disk that takes no more
    try:
        for second in range(1, 4):
            recorder.event("router", "readmitted", float(second), replica="r1")
            recorder.sample({"t_s": float(second)})
        recorder.clocks([])
        assert len((tmp_path / "events.jsonl").read_bytes()) == 90
        with pytest.raises(OSError, match="too large"):
            recorder.close("complete")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert json.loads((tmp_path / "manifest.json").read_text())["exit_reason"] == "running"


def test_what_a_full_disk_did_not_take_is_written_when_there_is_room_again(tmp_path):
    recorder = Recorder(tmp_path, OPEN.copy())
    recorder.begin(None)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        for second in range(1, 4):
            recorder.event("router", "readmitted", float(second), replica="r1")
            recorder.sample({"t_s": float(second)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    recorder.close("complete")
    for name in ("events.jsonl", "samples.jsonl"):
        assert [json.loads(line)["t_s"] for line in (tmp_path / name).read_text().splitlines()] == [1.0, 2.0, 3.0]
    assert json.loads((tmp_path / "manifest.json").read_text())["exit_reason"] == "complete"
    assert not (tmp_path / ".space").exists()


def test_a_run_that_has_ended_leaves_its_folder_to_others_without_a_trace(tmp_path):
    first = claim(tmp_path / "run", may_rename=False)
    assert hold(tmp_path / "run") is None, "one process plays many runs, and does not share a folder with itself"
    first.release()
    assert list((tmp_path / "run").iterdir()) == []
    claim(tmp_path / "run", may_rename=False).release()


def test_a_complete_run_is_not_overwritten_by_one_that_chose_its_name_by_the_clock(tmp_path):
    (tmp_path / "run").mkdir()
    write_json(tmp_path / "run" / "manifest.json", {"exit_reason": "complete"})
    beside = claim(tmp_path / "run", may_rename=True)
    assert beside.folder == tmp_path / "run-2"
    beside.release()
    named = claim(tmp_path / "run", may_rename=False)
    assert not (tmp_path / "run" / "manifest.json").exists()
    named.release()


def test_closing_a_dead_run_leaves_alone_who_has_its_folder_by_now(tmp_path, runner):
    write_json(tmp_path / "run" / "manifest.json", OPEN)
    close = [sys.executable, "-m", "record.writing", str(tmp_path / "run")]
    assert subprocess.run(close, cwd=ROOT, check=False).returncode == 0
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["exit_reason"] == "running"
    runner.kill()
    runner.wait()
    assert subprocess.run(close, cwd=ROOT, check=False).returncode == 0
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["exit_reason"] == "killed"
    assert not (tmp_path / "run" / ".claim").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [("raw/takes.csv", "1,2"), ("logs/mine.log", "x"), ("manifest.json", '{"name": "a web app", "icons": []}'), ("metrics.json", "[]")],
)
def test_a_folder_of_somebody_s_own_files_is_refused_and_left_as_it_is(tmp_path, name, text):
    """`hydra.run.dir=.` in a project: a web app's manifest, a data set's `raw/`."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    with pytest.raises(FolderError, match=rf"{name.split('/')[0]} there is of no run"):
        claim(tmp_path, may_rename=False)
    assert path.read_text() == text and not (tmp_path / ".claim").exists()


def test_what_is_left_of_a_run_whose_outputs_were_taken_away_can_be_taken(tmp_path):
    """As DVC does before it runs a stage again, here of one that failed."""
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text("seed: 1\nworkload:\n  rate_rps: 60\n")
    (tmp_path / "logs").mkdir()
    claim(tmp_path, may_rename=False).release()
    assert [path.name for path in tmp_path.iterdir()] == [".hydra"]


@pytest.mark.parametrize("left", [".claim", "schedule.parquet", "timeline.parquet"])
def test_what_a_run_left_that_was_killed_before_its_manifest_can_be_taken(tmp_path, left):
    (tmp_path / left).write_text("")
    (tmp_path / "raw").mkdir()
    claim(tmp_path, may_rename=False).release()
    assert list(tmp_path.iterdir()) == []
