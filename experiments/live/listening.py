"""What the services of a run tell: their events, each handed on once, and what time it is by their clocks."""

import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp

from experiments.live.launching import Service
from experiments.runner.clocks import EXCHANGES, Offset, estimate
from record.schema import TIER

EventSink = Callable[..., None]
"""Called as `sink(source, event, monotonic_s=None, **detail)`."""
Get = Callable[[Service, str, str], Awaitable[dict[str, Any] | None]]
"""Called as `get(service, "admin", path)`: the answer; None = there is none."""
WHERE = {
    "router": [("router", "admin", "/events", "events")],
    "manager": [("manager", "url", "/decisions", "decisions"), ("manager", "url", "/events", "events")],
    "tier_router": [(TIER, "admin", "/events", "events")],
}
"""Of each service: the source that its events have in the run's folder, where it is asked, and what it is asked for."""
OF_TRANSPORT = ("seq", "monotonic_s", "unix_s", "event")


async def asked(session: aiohttp.ClientSession, service: Service, where: str, path: str) -> dict[str, Any] | None:
    """What a service answers at its address `where`; None = it does not."""
    if service.pid is None or session.closed:
        return None
    with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
        async with session.get(service.addresses[where] + path) as response:
            if response.status == 200:
                answer: dict[str, Any] = await response.json()
                return answer
    return None


class LoopLag:
    """How much a router's event loop has stood still since it was last asked."""

    def __init__(self) -> None:
        """It was not."""
        self._at: tuple[float, float] | None = None
        """When the router began that was last asked, and all its lag until then, seconds."""

    def of(self, stats: dict[str, Any]) -> float | None:
        """By its `/stats`, milliseconds; None = that was another one, or it has no such loop."""
        if "loop_lag_seconds_total" not in stats:
            return None
        before, self._at = self._at, (float(stats["began_s"]), float(stats["loop_lag_seconds_total"]))
        if before is None or before[0] != self._at[0]:
            return None
        return round((self._at[1] - before[1]) * 1e3, 3)


class Events:
    """Knows what has been fetched."""

    def __init__(self, get: Get, sink: EventSink) -> None:
        """Nothing has."""
        self._get = get
        self._sink = sink
        self._seen = {(name, path): 0 for name, asked in WHERE.items() for _, _, path, _ in asked}

    def began_anew(self, name: str) -> None:
        """That service is a new process, which counts from the beginning."""
        self._seen.update({each: 0 for each in self._seen if each[0] == name})

    async def collect(self, services: Mapping[str, Service | None]) -> None:
        """Hand the events since the last call to the sink."""
        for name, service in services.items():
            if service is None or service.pid is None:
                continue
            for source, where, path, key in WHERE[name]:
                answer = await self._get(service, where, f"{path}?since={self._seen[name, path]}")
                if not answer:
                    continue
                self._seen[name, path] = answer["next"]
                for entry in answer[key]:
                    detail = {k: v for k, v in entry.items() if k not in OF_TRANSPORT}
                    if entry.get("changed", True):
                        word = entry.get("event", "scaling_decision")
                        self._sink(source, word, monotonic_s=entry["monotonic_s"], **detail)


async def clock_offsets(get: Get, services: Mapping[str, Service | None]) -> dict[str, Offset | None]:
    """How far the clocks of router and manager are from the runner's, by service; None = no answer."""
    offsets: dict[str, Offset | None] = {}
    for name, where, path in (("router", "admin", "/stats"), ("manager", "url", "/status")):
        service = services[name]
        if service is None:
            continue
        exchanges = []
        for _ in range(EXCHANGES):
            asked = time.monotonic()
            answer = await get(service, where, path)
            if answer is None:
                break
            exchanges.append((asked, float(answer["monotonic_s"]), time.monotonic()))
        offsets[name] = estimate(exchanges) if exchanges else None
    return offsets
