"""Signals: what they end in order, and what they do not break off."""

import asyncio
import os
import signal
from types import SimpleNamespace

import pytest

from experiments.live.measurement import _to_its_end
from experiments.runner.supervision import Interrupted, ended_by_signals, status_of, supervise


async def test_a_clean_up_that_is_interrupted_goes_on_to_its_end_and_the_interruption_follows():
    began, may_end, steps = asyncio.Event(), asyncio.Event(), []

    async def heal():
        began.set()
        await may_end.wait()
        steps.append("healed")

    outer = asyncio.create_task(_to_its_end(asyncio.create_task(heal())))
    await began.wait()
    for _ in range(2):
        outer.cancel()
        await asyncio.sleep(0)
        assert not outer.done() and not steps
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await outer
    assert steps == ["healed"]


async def test_a_clean_up_that_fails_says_so():
    async def fails():
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        await _to_its_end(asyncio.create_task(fails()))


def test_outside_of_a_run_sigterm_and_sighup_end_a_command_in_order_also_after_a_run():
    """As shells say it: 128 and the signal's number."""
    before = signal.getsignal(signal.SIGTERM)

    async def played():
        return 0

    session = SimpleNamespace(run=played, config=SimpleNamespace(load=SimpleNamespace(ui=False)))
    for number, status in ((signal.SIGTERM, 143), (signal.SIGHUP, 129)):
        with pytest.raises(Interrupted) as caught, ended_by_signals():
            assert supervise(session) == 0
            os.kill(os.getpid(), number)
            signal.pause()
        assert status_of(caught.value) == status
    assert status_of(KeyboardInterrupt()) == 130
    assert signal.getsignal(signal.SIGTERM) == before


def test_who_ignores_sighup_as_nohup_does_goes_on_after_it():
    async def played():
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0)
        return 3

    session = SimpleNamespace(run=played, config=SimpleNamespace(load=SimpleNamespace(ui=False)))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            assert supervise(session) == 3
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
