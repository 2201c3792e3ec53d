"""A replica's word to the router: here I am (renewed), I am draining, I am gone."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

import aiohttp

from services.backend.renewal import RENEW_S, Renewal
from services.door.access import auth_headers
from services.journal import tell

LONGEST_REASON_BYTES = 300
"""So much of a refusal is told."""


class Registration:
    """Keeps a replica registered at a router's admin URL."""

    def __init__(self, router: str, id_: str, about: Callable[[], dict[str, Any] | None]) -> None:
        """`about` returns url, weight, concurrency, admin_url; None as long as they cannot be known."""
        self._url = f"{router.rstrip('/')}/replicas/{id_}"
        self._about = about
        self._renewal: Renewal | None = None
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1.0), headers=auth_headers())
        self._task: asyncio.Task[None] | None = None
        self._last_status: int | None = 0
        """Of the last renewal; None = no answer, 0 = there was none yet."""

    async def _put(self, body: dict[str, Any]) -> int | None:
        """The status of the router's answer; None where there was none."""
        status, said = None, ""
        try:
            async with self._session.put(self._url, json=body) as response:
                status = response.status
                if status >= 400:
                    said = (await response.content.read(LONGEST_REASON_BYTES)).decode(errors="replace")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            said = str(error) or type(error).__name__
        self._told(status, said)
        return status

    def _told(self, status: int | None, said: str) -> None:
        """Say what has changed in what the router answers; renewals that go on as before are no news."""
        last, self._last_status = self._last_status, status
        if status is None:
            if last is not None:
                tell("router_away", logging.WARNING, router=self._url, error=said)
        elif status >= 400:
            if status != last:
                tell("refused", logging.ERROR, router=self._url, status=status, answer=said)
        elif last is None or last == 0 or last >= 400:
            tell("registered", router=self._url)

    def start(self) -> None:
        """Register, and renew from now on, once; a router that is away is asked again."""
        self._task = self._task or asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        while (about := await asyncio.to_thread(self._about)) is None:  # noqa: ASYNC110 - a name is asked for again
            await asyncio.sleep(RENEW_S / 4)
        self._renewal = Renewal(about)
        while True:
            status = await self._put({**self._renewal.body(), "cpu_s": time.process_time()})
            await asyncio.sleep(self._renewal.pause_s(status))

    async def drain(self, longest_s: float) -> None:
        """Ask the router to send nothing more; what is in flight may take `longest_s` seconds."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._renewal is not None:
            await self._put(self._renewal.farewell(longest_s))

    async def coming(self) -> int | None:
        """Requests that the router counts as under way here; None where it cannot tell."""
        if self._renewal is None:
            return None
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError, ValueError):
            async with self._session.get(self._url) as response:
                seen = await response.json()
                if response.status == 200 and seen["url"] == self._renewal.url:
                    return int(seen["in_flight"])
        return None

    async def leave(self) -> None:
        """Deregister."""
        if self._renewal is not None:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with self._session.delete(self._url, params={"url": self._renewal.url}):
                    pass
        await self._session.close()
