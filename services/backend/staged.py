"""How a replica's life is staged, where it is to be: a long start, a crash, and standing by until it is let in."""

import argparse
import asyncio
import logging
import math
import os
import time
from typing import NoReturn

from services.backend.settings import PARENT_S
from services.journal import tell

CRASHED = 70
"""Exit status of a crash that was asked for (sysexits.h: an internal software error)."""
LONGEST_S = 1e9
"""A timer of the event loop takes no more than some of these."""
JOINS = ("at_once", "on_signal")
"""A replica registers when it is ready, or when it has had SIGUSR1 after that."""


def seconds(text: str) -> float:
    """A time, 0 or more; infinity = never over. Raises ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (0 <= value <= LONGEST_S or value == math.inf):
        raise argparse.ArgumentTypeError(f"{text}: must be seconds between 0 and {LONGEST_S:g}, or inf")
    return value


async def wait(seconds: float, *, with_parent: bool) -> None:
    """Let so many seconds of a start pass; infinity = all. Nothing listens yet, and SIGTERM ends the process at once.

    Where its starter is gone meanwhile the process ends, if it is to end with that.
    """
    parent, until = os.getppid(), time.monotonic() + seconds
    while (left_s := until - time.monotonic()) > 0:
        await asyncio.sleep(min(left_s, PARENT_S))
        if with_parent and os.getppid() != parent:
            raise SystemExit(0)


def crash() -> NoReturn:
    """End as a process does that breaks: without a word to anybody, and without finishing anything."""
    tell("crashed", logging.ERROR, cause="--crash-after-s")
    os._exit(CRASHED)
