"""A run's folder belongs to one living run: real processes, one of them killed."""

import json
import os
import subprocess
import sys

import pytest

from record.files import FolderError, write_json
from record.place import claim, hold, is_held
from tests.running import ROOT

RUNNER = """
import sys
from pathlib import Path
from record.place import claim
claimed = claim(Path(sys.argv[1]), may_rename=False)
print(claimed.folder, flush=True)
sys.stdin.read()
"""


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
    write_json(tmp_path / "run" / "manifest.json", {"exit_reason": "running", "config": {"workload": {"warmup_s": 0}}})
    close = [sys.executable, "-m", "record.writing", str(tmp_path / "run")]
    assert subprocess.run(close, cwd=ROOT, check=False).returncode == 0
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["exit_reason"] == "running"
    runner.kill()
    runner.wait()
    assert subprocess.run(close, cwd=ROOT, check=False).returncode == 0
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["exit_reason"] == "killed"
    assert not (tmp_path / "run" / ".claim").exists()
