"""The calls that a live replica makes of a second tier."""

import asyncio
import contextlib
import time

import aiohttp

from services.backend.calls import ENOUGH, FAILED, LATE, Gathering, Wanted, wanted
from services.backend.faults import FaultSet
from services.backend.settings import ReplicaSettings


class CallsFailedError(Exception):
    """The second tier did not give what a request needs of it; `status` is what the request is answered."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the second tier failed (status {status})")
        self.status = status


class Asking:
    """Calls through the router of the second tier."""

    def __init__(self, url: str, settings: ReplicaSettings) -> None:
        """`url` is the router's, of its data port. Needs a running event loop."""
        self._url = f"{url.rstrip('/')}/work"
        self._settings = settings
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )
        self._session._retry_connection = False  # aiohttp would send a GET twice, and nobody would count it

    async def ask(self, request_id: str, attempt: str, key: str | None, expires: float, active: FaultSet) -> None:
        """Make the calls of a request, all at once, and wait for as many answers as it needs.

        Args:
            request_id: the request's, as are the next two.
            attempt: from "1" on.
            key: None = it has none.
            expires: when its client waits no longer, on the monotonic clock; infinite = nobody has said so.
            active: the replica's faults.

        Raises:
            CallsFailedError: there are not enough.
        """
        calls, needed = wanted(self._settings, request_id, attempt, key, active)
        if not calls:
            return
        gathering = Gathering(needed, len(calls))
        tasks = [asyncio.create_task(self._call(call, expires)) for call in calls]
        try:
            for answer in asyncio.as_completed(tasks):
                if gathering.answered(await answer):
                    break
        finally:
            for task in tasks:
                task.cancel()
        if gathering.status is not None and gathering.status != ENOUGH:
            raise CallsFailedError(gathering.status)

    async def _call(self, call: Wanted, expires: float) -> int:
        """The status of its answer, or what stands for one."""
        headers = {"X-Request-Id": call.id, "X-Aegis-Demand-Ms": f"{call.demand_ms:.3f}"}
        if call.key is not None:
            headers["X-Aegis-Key"] = call.key
        left_s = expires - time.monotonic()
        if left_s < float("inf"):
            headers["X-Aegis-Deadline-Ms"] = f"{max(0.0, left_s) * 1e3:.3f}"
        timeout = aiohttp.ClientTimeout(total=self._settings.call_timeout_s)
        with contextlib.suppress(aiohttp.ClientError, OSError):
            try:
                async with self._session.get(self._url, headers=headers, timeout=timeout) as response:
                    await response.read()
                    return response.status
            except TimeoutError:
                return LATE
        return FAILED

    async def close(self) -> None:
        """Drop the connections."""
        await self._session.close()
