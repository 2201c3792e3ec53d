"""Services as processes, for tests that speak HTTP to them."""

import asyncio
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import aiohttp

from tests.running import AT_MOST_S, ROOT

JSON = {"AEGIS_LOG_FORMAT": "json"}
TOKEN = "a-token-for-tests-0123456789"
PATIENT = {"manager": ("--startup-timeout", AT_MOST_S)}
"""Before a service's own arguments: replicas start at low priority, and may take as long as whatever a test waits for."""


class Service:
    """`python -m services.<name>` with its ports picked freely; its addresses stand in `url`, `admin` and so on."""

    def __init__(self, name, *arguments, env=None, descriptors=None):
        self.log = tempfile.TemporaryFile("w")  # noqa: SIM115 - lives as long as the process
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"services.{name}", *map(str, (*PATIENT.get(name, ()), *arguments))],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env={**os.environ, **(env or {})},
            preexec_fn=None if descriptors is None else lambda: resource.setrlimit(resource.RLIMIT_NOFILE, descriptors),
        )
        watchdog = threading.Timer(AT_MOST_S, self.process.kill)
        watchdog.start()
        line = self.process.stdout.readline()
        watchdog.cancel()
        if " ready " not in line:
            self.stop()
            raise AssertionError(f"{name} did not come up: {line}{self.said()}")
        self.addresses = dict(word.split("=", 1) for word in line.split() if "=" in word)
        self.url = self.addresses["url"]
        self.admin = self.addresses.get("admin")

    def said(self):
        # The process writes where this file's offset stands, which is its own as well: nobody else may move it.
        number = self.log.fileno()
        return os.pread(number, os.fstat(number).st_size, 0).decode(errors="replace")

    def told(self, event=None):
        """The lines of its log, where it logs as JSON (`JSON`); those of one event."""
        whole, _, _ = self.said().rpartition("\n")  # the last line may be in the middle of being written
        lines = [json.loads(line) for line in whole.splitlines()]
        return [line for line in lines if event in (None, line["event"])]

    def stop(self, timeout_s=AT_MOST_S):
        """SIGTERM; the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(AT_MOST_S)
        finally:
            self.process.stdout.close()


@contextlib.contextmanager
def service(name, *arguments, env=None, descriptors=None):
    started = Service(name, *arguments, env=env, descriptors=descriptors)
    try:
        yield started
    finally:
        started.stop()
        started.log.close()


def router(*arguments, settings=None, env=None, descriptors=None):
    """A router; `settings` is what its --config file holds, `descriptors` its soft and hard limit of open files."""
    if settings is not None:
        path = Path(tempfile.mkdtemp()) / "router.json"
        path.write_text(json.dumps(settings))
        arguments = (*arguments, "--config", path)
    return service("router", "--port", 0, "--admin-port", 0, *arguments, env=env, descriptors=descriptors)


def backend(*arguments, env=None, descriptors=None):
    return service("backend", "--port", 0, "--admin-port", 0, *arguments, env=env, descriptors=descriptors)


async def eventually(condition, what="condition"):
    """The value of an async condition as soon as it is true; `what` names it where it never is."""
    deadline = time.monotonic() + AT_MOST_S
    while time.monotonic() < deadline:
        if value := await condition():
            return value
        await asyncio.sleep(0.02)
    raise AssertionError(f"not within {AT_MOST_S} s: {what}")


async def json_of(session, url):
    async with session.get(url) as response:
        return await response.json()


async def lag_ms(session, started):
    """How long a router's loop has stood still in all: what it charges itself with, however busy the machine is."""
    return (await json_of(session, f"{started.admin}/stats"))["loop_lag_seconds_total"] * 1e3


@contextlib.asynccontextmanager
async def client():
    """One connection a request, so that nothing is left over from another test."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:
        yield session


async def status_of(session, id_, router_admin):
    replicas = (await json_of(session, f"{router_admin}/replicas"))["replicas"]
    return next((replica["state"] for replica in replicas if replica["id"] == id_), None)


async def until(session, router_admin, id_, state):
    """Wait until the router sees a replica in that state (None = gone)."""

    async def there():
        return await status_of(session, id_, router_admin) == state or None

    await eventually(there, f"{id_} is {state}")
