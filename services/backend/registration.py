"""A replica's word to the router: here I am (renewed), I am draining, I am gone."""

import asyncio
import contextlib
from typing import Any

import aiohttp

from services.access import auth_headers

LEASE_S = 3.0
RENEW_S = 1.0
"""A third of the lease: two renewals may be lost."""


class Registration:
    """Keeps a replica registered at a router's admin URL."""

    def __init__(self, router: str, id_: str, about: dict[str, Any]) -> None:
        """`about` holds url, weight, concurrency, admin_url."""
        self._url = f"{router.rstrip('/')}/replicas/{id_}"
        self._about = about
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1.0), headers=auth_headers())
        self._task: asyncio.Task[None] | None = None

    async def _put(self, state: str) -> bool:
        body = {**self._about, "state": state, "lease_s": LEASE_S}
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with self._session.put(self._url, json=body) as response:
                return response.status < 300
        return False

    def start(self) -> None:
        """Register, and renew from now on; a router that is away is asked again."""
        self._task = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        while True:
            registered = await self._put("ready")
            await asyncio.sleep(RENEW_S if registered else RENEW_S / 4)

    async def drain(self) -> None:
        """Ask the router to send nothing more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._put("draining")

    async def leave(self) -> None:
        """Deregister."""
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with self._session.delete(self._url):
                pass
        await self._session.close()
