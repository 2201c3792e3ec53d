"""A simulated sweep on several cores: each job once, and nobody waits for a process that is gone."""

import os
import signal
import traceback
from multiprocessing import active_children

import pytest

from experiments.runner.supervision import Interrupted
from experiments.sweep.at_once import LostError, play_at_once
from tests.running import wait_for

pytestmark = pytest.mark.slow  # processes


def test_jobs_are_played_at_the_same_time_and_each_once(tmp_path):
    def play(job):
        (tmp_path / f"{job}").touch(exist_ok=False)
        if job < 2:  # each waits for the other
            wait_for(lambda: (tmp_path / f"{1 - job}").exists(), "the other one")
        return job + 10

    assert sorted(play_at_once(play, range(5), 2)) == [(job, job + 10) for job in range(5)]


def test_a_process_that_dies_ends_the_sweep_with_an_error_instead_of_keeping_it_waiting():
    def play(job):
        if job == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    with pytest.raises(LostError):
        list(play_at_once(play, range(4), 2))


def test_a_process_that_dies_between_two_jobs_ends_the_sweep_with_the_same_error(tmp_path, monkeypatch):
    told = signal.signal

    def dies(*args):  # as it turns to its next job
        if (tmp_path / "1").exists() and (tmp_path / "1").read_text() == str(os.getpid()):
            os.kill(os.getpid(), signal.SIGKILL)
        return told(*args)

    def play(job):
        if job == 1:
            wait_for(lambda: (tmp_path / "0").exists(), "the first has ended")
            (tmp_path / "1").write_text(str(os.getpid()))
        return 0

    monkeypatch.setattr(signal, "signal", dies)
    playing = play_at_once(play, range(4), 2)
    assert next(playing) == (0, 0)
    (tmp_path / "0").touch()
    wait_for(lambda: len(active_children()) == 1, "the second has answered and died")
    with pytest.raises(LostError):
        list(playing)


class Odd(Exception):
    """Cannot be made from its text alone."""

    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [(OSError(28, "No space left on device"), OSError, "No space left"), (Odd("no", "room"), RuntimeError, "no room")],
)
def test_what_goes_wrong_in_a_job_is_said_as_it_is_and_where(error, kind, text):
    def play(job):
        raise error

    with pytest.raises(kind, match=text) as raised:
        list(play_at_once(play, range(4), 2))
    assert "in play" in "".join(traceback.format_exception(raised.value))


def test_a_sweep_that_is_interrupted_ends_the_runs_under_way_in_order_and_begins_no_others(tmp_path):
    def play(job):
        if job == 0:
            return 0
        heard = []
        signal.signal(signal.SIGINT, lambda *_: heard.append(True))
        (tmp_path / f"{job} began").touch()
        wait_for(lambda: heard, "the interruption")
        (tmp_path / f"{job} ended").touch()
        raise Interrupted(signal.SIGINT)

    playing = play_at_once(play, range(9), 2)
    assert next(playing) == (0, 0)
    wait_for(lambda: len(list(tmp_path.glob("* began"))) == 2, "both are under way")
    playing.close()
    assert {path.name for path in tmp_path.iterdir()} == {"1 began", "1 ended", "2 began", "2 ended"}


def test_a_signal_to_one_of_the_processes_alone_is_no_result_of_its_job():
    def play(job):
        raise Interrupted(signal.SIGTERM)

    with pytest.raises(Interrupted):
        list(play_at_once(play, range(4), 2))
