"""A manager as a process with a configuration of the test's own, and a load of so many requests in flight."""

import asyncio
import contextlib
import json
import tempfile
from pathlib import Path

import aiohttp

from tests.services.live import JSON, Service, eventually, json_of

PATIENT = {
    "router": {
        "timeouts": {"connect_s": 20.0, "attempt_s": 600.0, "overall_s": 600.0}, "limits": {"standing_share": 0.0},
    }
}  # fmt: skip
"""Settings of a router that gives no request up and refuses none, however slow the machine."""
SLOWLY = {"speeds": [0.01] * 6}
"""Replicas at which `HELD_MS` lasts longer than any test."""
HELD_MS = 60_000

@contextlib.asynccontextmanager
async def managed(router, *arguments, replicas=1, scaler=None, replica=None, **scaling):
    """A manager that looks at the admin URL `router` three times a second; it logs as JSON."""
    folder = Path(tempfile.mkdtemp())
    content = {
        "replicas": replicas,
        "scaler": scaler or {"name": "none"},
        "scaling": {"interval_s": 0.3, **scaling},
        "replica": {"concurrency": 1, **(replica or {})},
    }
    (folder / "manager.json").write_text(json.dumps(content), encoding="utf-8")
    options = ("--port", 0, "--router", router, "--config", folder / "manager.json", "--log-dir", folder)
    manager = await asyncio.to_thread(lambda: Service("manager", *options, *arguments, env=JSON))
    try:
        yield manager
    finally:
        await asyncio.to_thread(manager.stop)
        manager.log.close()


class Clients:
    """So many that ask again as soon as they were answered: as many are in flight, however slow the machine is."""

    def __init__(self, front, count, demand_ms=500):
        self.front = front
        self.demand_ms = demand_ms
        self.statuses = []
        """Of every answer; None = there was none."""
        self.tasks = [asyncio.create_task(self.ask()) for _ in range(count)]

    async def ask(self):
        headers = {"X-Aegis-Demand-Ms": str(self.demand_ms)}
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
            while True:
                try:
                    async with session.get(f"{self.front.url}/work", headers=headers) as response:
                        self.statuses.append(response.status)
                except aiohttp.ClientError:
                    self.statuses.append(None)
                    await asyncio.sleep(0.1)

    async def end(self):
        """Ask nothing more, and wait for no answer."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.end()


async def decisions(session, manager, since=0):
    return (await json_of(session, f"{manager.url}/decisions?since={since}"))["decisions"]


async def decided(session, manager, count, since=0, *, seen=None):
    """At least so many decisions after number `since`; `seen` = those with (or without) numbers alone."""

    async def there():
        found = await decisions(session, manager, since)
        fitting = [d for d in found if seen is None or (d["observation"]["in_flight"] is not None) == seen]
        return fitting if len(fitting) >= count else None

    return await eventually(there, f"{count} decisions after {since}")


def outages(manager):
    """How often it has lost sight of the router and found it again, each of which it has said once."""
    words = [line["event"] for line in manager.told() if line["event"] in ("router_away", "router_back")]
    assert words == ["router_away", "router_back"] * (len(words) // 2), words
    return len(words) // 2


async def last_seq(session, manager):
    return (await json_of(session, f"{manager.url}/decisions"))["next"]


async def replicas_of(session, manager):
    """By id: pid and state."""
    found = (await json_of(session, f"{manager.url}/status"))["replicas"]
    return {replica["id"]: (replica["pid"], replica["state"]) for replica in found}


async def started(session, manager, count):
    """Wait until it has seen as many come up: the router may know of one before, whose start would then be given up."""

    async def there():
        found = await replicas_of(session, manager)
        return len(found) == count and {state for _, state in found.values()} == {"running"}

    await eventually(there, f"{count} replicas are started")


async def held(session, front, manager, count):
    """Wait until so many requests are under way, for which as many replicas are wanted; the number of the last decision."""

    async def there():
        for last in (await decisions(session, manager))[-1:]:
            seen, ready = last["observation"]["in_flight"], last["observation"]["ready"]
            return seen is not None and abs(seen - count) < 0.1 and last["desired"] == ready == count

    await eventually(there, f"{count} requests are held")
    await in_rotation(session, front, count)
    return await last_seq(session, manager)


async def in_rotation(session, front, count):
    """Wait until the router routes to exactly so many, and knows no others; their addresses by id."""

    async def there():
        replicas = (await json_of(session, f"{front.admin}/replicas"))["replicas"]
        is_so = len(replicas) == count and all(replica["state"] == "ready" for replica in replicas)
        return {replica["id"]: replica["url"] for replica in replicas} if is_so else None

    return await eventually(there, f"{count} replicas are in rotation")
