"""When a run may begin: as soon as the router routes to those replicas that it has at first."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

POLL_S = 0.05


async def until_ready(
    look: Callable[[], Awaitable[Mapping[str, Any]]], first: int, timeout_s: float, logs: Path
) -> None:
    """Wait for `first` replicas in rotation, or fewer where the manager, who decides already, wants fewer by now.

    Args:
        look: finds out `replicas_ready` and `replicas_desired`; None in it = no answer.
        first: replicas that the run begins with.
        timeout_s: seconds that they may take.
        logs: the folder that says why they are not there.

    Raises:
        TimeoutError: they take longer.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while True:
        seen = await look()
        ready, wanted = seen["replicas_ready"], min(first, seen["replicas_desired"] or first)
        if ready is not None and ready >= wanted:
            return
        if loop.time() > deadline:
            raise TimeoutError(
                f"the router sees {ready} of {wanted} replicas ready after {timeout_s:g} s: {logs} says why; where "
                "they only need longer, raise engine.startup_timeout_s"
            )
        await asyncio.sleep(POLL_S)
