"""A replica's word to the router: here I am (renewed), I am draining, I am gone."""

import asyncio
import contextlib
import sys
from typing import Any

import aiohttp

from services.access import auth_headers

LEASE_S = 3.0
RENEW_S = 1.0
"""A third of the lease: two renewals may be lost."""
CREATED = 201
"""The router's answer about a replica that it did not know."""


class Registration:
    """Keeps a replica registered at a router's admin URL."""

    def __init__(self, router: str, id_: str, about: dict[str, Any]) -> None:
        """`about` holds url, weight, concurrency, admin_url."""
        self._url = f"{router.rstrip('/')}/replicas/{id_}"
        self._about = about
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1.0), headers=auth_headers())
        self._task: asyncio.Task[None] | None = None
        self._complained: set[int] = set()

    async def _put(self, lease_s: float, **more: object) -> int | None:
        """The status of the router's answer; None where there was none."""
        body = {"url": self._about["url"], "lease_s": lease_s, **more}
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with self._session.put(self._url, json=body) as response:
                if response.status >= 400 and response.status not in self._complained:
                    self._complained.add(response.status)
                    sys.stderr.write(f"the router refuses {self._url}: {response.status} {await response.text()}\n")
                return response.status
        return None

    def start(self) -> None:
        """Register, and renew from now on; a router that is away is asked again."""
        self._task = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        """A renewal says nothing of weight and state, which the router's operator may have changed."""
        known = False
        while True:
            about = {} if known else {**self._about, "state": "ready"}
            status = await self._put(LEASE_S, **about)
            if known and status == CREATED:  # the router began anew
                known = False
                continue
            known = known or (status is not None and status < 300)
            await asyncio.sleep(RENEW_S if known else RENEW_S / 4)

    async def drain(self, longest_s: float) -> None:
        """Ask the router to send nothing more; what is in flight may take `longest_s` seconds."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._put(longest_s + LEASE_S, state="draining")

    async def leave(self) -> None:
        """Deregister."""
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with self._session.delete(self._url, params={"url": self._about["url"]}):
                pass
        await self._session.close()
