"""Runs a session so that a signal ends it in order."""

import asyncio
import contextlib
import signal
import sys
from typing import Any


class Interrupted(BaseException):
    """A signal ended the run; carries its number."""


def say(text: str) -> None:
    """A line for the user beside the results."""
    print(text, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Something that costs the run nothing."""
    say(f"warning: {text}")


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

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, interrupt, number)
        with contextlib.suppress(asyncio.CancelledError):
            status = await task
            if not caught or session.config.load.ui:
                return int(status)
        raise Interrupted(caught[0])

    return asyncio.run(supervised())
