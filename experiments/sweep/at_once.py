"""Jobs that are played at the same time, by a few processes."""

import multiprocessing
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from itertools import islice
from multiprocessing.connection import Connection, wait
from typing import TypeVar

from experiments.runner.supervision import Interrupted

T = TypeVar("T")
"""A job."""
Play = Callable[[T], int]
"""Plays it; returns its exit status."""
# One that is forked has all that was imported before, which takes longer than to play some runs. On macOS a forked
# process may not use what the system's own libraries have begun with.
if sys.platform == "linux":
    processes = multiprocessing.get_context("fork")
else:
    processes = multiprocessing.get_context("spawn")


LOST = "a process that played simulated runs has died"


class LostError(RuntimeError):
    """A process that played jobs has ended by itself."""


def play_at_once(play: Play[T], jobs: Sequence[T], count: int) -> Generator[tuple[T, int], None, None]:
    """Play jobs in `count` processes; yields each with its exit status, in the order in which they end.

    Closed before its end, also by an exception, it interrupts the jobs under way, and waits for them.

    Raises:
        Interrupted: a signal has ended a job.
        LostError: a process has died.
        Exception: a job has raised it.
    """
    left = iter(range(len(jobs)))
    players = {}
    try:
        for number in islice(left, count):
            here, there = processes.Pipe()
            player = processes.Process(target=_play_told, args=(play, jobs, here, there), daemon=True)
            player.start()
            there.close()
            players[here] = player
            _tell(here, number)
        while players:
            for end in wait(list(players)):
                assert isinstance(end, Connection)
                number, status = _answer(end)
                following = next(left, None)
                _tell(end, following)
                if following is None:
                    players.pop(end).join()
                yield jobs[number], status
    finally:
        for end, player in players.items():
            if player.pid is not None and player.is_alive():
                with suppress(BrokenPipeError):
                    end.send(None)
                os.kill(player.pid, signal.SIGINT)
        for player in players.values():
            player.join()


def _tell(end: Connection, number: int | None) -> None:
    try:
        end.send(number)
    except ConnectionError as error:
        raise LostError(LOST) from error


def _answer(end: Connection) -> tuple[int, int]:
    """The number of a job, and its exit status."""
    try:
        number, status = end.recv()
    except (EOFError, ConnectionError) as error:
        raise LostError(LOST) from error
    if isinstance(status, BaseException):
        raise status
    return number, status


def _play_told(play: Play[T], jobs: Sequence[T], others: Connection, end: Connection) -> None:
    """Play the jobs whose numbers are told, until none is, or the process that tells them has died."""
    others.close()  # or its death would not be seen
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.SIG_DFL)
    while True:
        # Ctrl-C reaches this process, too, whose parent says what follows; a run hears it meanwhile.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            number = end.recv()
            if number is None:
                return
            end.send((number, _played(play, jobs[number])))
        except (EOFError, BrokenPipeError):
            return


def _played(play: Play[T], job: T) -> int | BaseException:
    try:
        return play(job)
    except Interrupted as interrupted:
        return interrupted
    except Exception as error:
        error.add_note(traceback.format_exc())  # which is not sent
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            return RuntimeError("".join(traceback.format_exception(error)))
        return error
