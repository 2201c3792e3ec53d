"""Starts that go on side by side, so many at a time."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable


def give_up(task: asyncio.Task[None]) -> None:
    """Cancel it, once: a second time would interrupt it while it ends what it has begun."""
    if not task.cancelling():
        task.cancel()


async def start_all(start: Callable[[str], Awaitable[object]], ids: Iterable[str], at_once: int) -> float | None:
    """Start every one of `ids`, at most `at_once` at a time, in their order; where one fails, the others are given up.

    Returns:
        How long one took, the median in seconds; None without any.

    Raises:
        StartError, EngineError: of the first that did not come up.
    """
    free = asyncio.Semaphore(at_once)
    took_s: list[float] = []

    async def one(id_: str) -> None:
        async with free:
            began = time.monotonic()
            await start(id_)
            took_s.append(time.monotonic() - began)

    tasks = [asyncio.create_task(one(id_)) for id_ in ids]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            give_up(task)
        await asyncio.gather(*tasks, return_exceptions=True)
    return statistics.median(took_s) if took_s else None
