"""Runs a session so that a signal ends it in order."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal ended the run; carries its number."""


def status_of(error: BaseException) -> int:
    """The exit status of what a signal has ended: 128 and its number, as shells say it."""
    return 128 + int(error.args[0] if isinstance(error, Interrupted) else signal.SIGINT)


def say(text: str) -> None:
    """A line for the user beside the results."""
    print(text, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Something that costs the run nothing."""
    say(f"warning: {text}")


def _heard() -> list[int]:
    """Those that end something: SIGHUP not where it is ignored, as under nohup."""
    return [number for number in ENDING if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Within it SIGTERM and SIGHUP raise `Interrupted`, as SIGINT raises KeyboardInterrupt; a run that is supervised
    takes them itself.
    """

    def interrupt(number: int, _: object) -> None:
        raise Interrupted(number)

    before = {number: signal.signal(number, interrupt) for number in _heard() if number != signal.SIGINT}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def supervise(session: Any) -> int:  # noqa: ANN401
    """Run the session; the first SIGINT, SIGTERM or SIGHUP ends it in order, further ones change nothing.

    Returns:
        The session's status.

    Raises:
        Interrupted: a signal came, and it was a measurement.
    """

    async def supervised() -> int:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(session.run())
        caught: list[int] = []

        def interrupt(number: int) -> None:
            caught.append(number)
            if len(caught) == 1:
                say("\nstopping ..." if session.config.load.ui else "\nstopping: what was measured is being kept ...")
                task.cancel()

        for number in _heard():
            loop.add_signal_handler(number, interrupt, number)
        with contextlib.suppress(asyncio.CancelledError):
            status = await task
            if not caught or session.config.load.ui:
                return int(status)
        raise Interrupted(caught[0])

    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in ENDING}
    try:
        return asyncio.run(supervised())
    finally:  # the loop leaves the system's own in their place
        for number, handler in before.items():
            signal.signal(number, handler)
