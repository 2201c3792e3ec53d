"""What a killed runner owes the user's system: nothing goes on hurting it behind what heals it, and it is told."""

import json
import os
import subprocess
import threading

import psutil
import pytest

from experiments.runner.healing import going, heal_owed, owe, told_by_itself
from record.files import write_json
from record.schema import EVENTS, LOGS, MANIFEST, RAW, VERSION
from tests.running import AT_MOST_S, is_alive, wait_for


@pytest.fixture
def folder(tmp_path):
    """Of a run that has begun and is killed."""
    for name in (LOGS, RAW):
        (tmp_path / name).mkdir()
    write_json(tmp_path / MANIFEST, {"schema_version": VERSION, "config": {"workload": {}}, "t0_monotonic": 1.0})
    (tmp_path / EVENTS).write_text('{"t_s": 0, "event"')  # it was writing
    return tmp_path


def told(folder):
    return json.loads((folder / EVENTS).read_text().splitlines()[1])


def test_a_command_that_still_hurts_is_ended_before_it_is_healed(folder):
    hurting = subprocess.Popen(["/bin/sh", "-c", "sleep 300; true"], start_new_session=True)
    reaper = threading.Thread(target=hurting.wait)  # as init does for the dead runner
    reaper.start()
    with going(folder / RAW, "command-0", hurting.pid):
        owe(folder / RAW, 0, f"! kill -0 {hurting.pid}", 60.0)
        heal_owed(folder, os.environ)
    reaper.join(AT_MOST_S)
    assert hurting.returncode == -9
    event = told(folder)
    assert event["event"] == "fault_healed" and event["fault"] == 0 and event["t_s"] > 0


def test_a_process_that_has_the_number_of_one_that_has_ended_is_left_alone(folder):
    stranger = subprocess.Popen(["/bin/sh", "-c", "sleep 300; true"], start_new_session=True)
    try:
        path = folder / RAW / "command-0.going"
        path.write_text(f"{stranger.pid}\n")
        os.utime(path, (1.0, 1.0))
        heal_owed(folder, os.environ)
        assert stranger.poll() is None
    finally:
        os.killpg(stranger.pid, 9)
        stranger.wait(AT_MOST_S)


def test_what_a_leader_has_started_is_ended_also_where_the_leader_has_gone(folder):
    """nginx' workers outlive a master that is killed, and keep none of the environment by which they would be found."""
    words = told_by_itself(folder / RAW, "data_plane", ["/bin/sh", "-c", "sleep 300 & echo $!"])
    leader = subprocess.Popen(words, start_new_session=True, stdout=subprocess.PIPE, text=True)
    orphan = psutil.Process(int(leader.stdout.readline()))
    leader.wait(AT_MOST_S)
    assert orphan.is_running() and os.getpgid(orphan.pid) == leader.pid
    heal_owed(folder, os.environ)
    wait_for(lambda: not is_alive(orphan), "the orphan has gone")
    leader.stdout.close()


@pytest.mark.parametrize(
    ("line", "within_s", "why"),
    [
        ("echo gone; exit 7", 60.0, "exit status 7 of: echo gone; exit 7"),
        ("sleep 300; true", 0.05, "not done within 0.05 s: sleep 300; true"),
    ],
)
def test_a_line_that_does_not_heal_is_told_and_takes_no_longer_than_it_may(line, within_s, why, folder):
    owe(folder / RAW, 3, line, within_s)
    heal_owed(folder, os.environ)
    event = told(folder)
    assert event["event"] == "fault_failed" and event["reason"] == why and event["fault"] == 3
    assert line in (folder / LOGS / "command-3.log").read_text() and not list((folder / RAW).iterdir())
