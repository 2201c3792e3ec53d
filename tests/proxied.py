"""Real proxies that keep a log, before small servers of this process, and a client that measures for itself."""

import asyncio
import contextlib
import dataclasses
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import yaml
from aiohttp import web

from experiments.data_planes import DATA_PLANES, HOST, Front, local
from services.router.settings import RouterSettings
from tests.ports import free_ports
from tests.running import AT_MOST_S

PROXIES = ("nginx", "haproxy", "envoy")
TIMED = (
    "log_format timed '$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent "
    "\"$http_referer\" \"$http_user_agent\" $msec $request_time $upstream_response_time $upstream_addr'; "
    "access_log {log} timed;"
)
GENTLE = {"nginx": signal.SIGQUIT, "haproxy": signal.SIGUSR1, "envoy": signal.SIGTERM}
"""After which each ends what is under way, its log too: an answer may be with the client before its line is written."""


@dataclass(frozen=True)
class Asked:
    """One request: when, for how long a server is to think, and how it is to answer."""

    at_s: float
    demand_s: float
    status: int = 200


@dataclass(frozen=True)
class Seen:
    """What the client saw of one."""

    sent_s: float
    taken_s: float
    status: int


def command(name, front, log, edit=None, words_of=list):
    """The proxy's command with a log at `log`; without the program the test is skipped, in CI it fails.

    `edit` makes another configuration of the one that is written: its text of it; `words_of` likewise the command.
    """
    plane = DATA_PLANES.create(name, {})
    words = plane.command(front)
    if words is None:
        unavailable(name, plane)
    if name == "envoy":
        front.configured(name)  # looks at all servers: the two that it draws otherwise may be one and the same
    [path] = [path for path in front.folder.iterdir() if path.suffix in (".conf", ".cfg", ".yaml")]
    text = path.read_text()
    if name == "nginx":
        text = text.replace("access_log off;", TIMED.replace("{log}", str(log)))
    elif name == "haproxy":
        text = text.replace("global\n", "global\n  log stdout format raw local0\n")
        text = text.replace("defaults\n", "defaults\n  log global\n  option httplog\n  option dontlognull\n")
    else:
        whole = yaml.safe_load(text)
        [listener] = whole["static_resources"]["listeners"]
        kind = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        manager["access_log"] = [{"name": "file", "typed_config": {"@type": kind, "path": str(log)}}]
        text = yaml.safe_dump(whole)
    path.write_text(text if edit is None else edit(text))
    return words_of(words)


def unavailable(name, plane):
    """Without the program the test is skipped, in CI it fails."""
    reason = f"{name} is not installed ({plane.package})"
    (pytest.fail if os.environ.get("AEGIS_CI") == "1" else pytest.skip)(reason)


@contextlib.contextmanager
def logging(name, folder, port, ports, edit=None, words_of=list):
    """The proxy at `port` before servers at `ports`: its log, which is whole in the end, and its process."""
    folder.mkdir()
    settings = RouterSettings()
    settings = dataclasses.replace(settings, health=dataclasses.replace(settings.health, enabled=False))
    log = folder / "access.log"
    words = command(name, Front(port, local(ports), settings, "", folder), log, edit, words_of)
    with (folder / "out").open("wb") as out:
        stdout = log.open("wb") if name == "haproxy" else out
        process = subprocess.Popen(words, stdout=stdout, stderr=out)
    try:
        yield log, process
    finally:
        process.send_signal(GENTLE[name])
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(AT_MOST_S)
        process.kill()
        process.wait(AT_MOST_S)


def traffic(name, folder, asked, *, refusing=0):
    """The proxy's log of these requests, and what the client saw of each; two servers answer, `refusing` do not."""
    port, *ports = free_ports(3 + refusing)
    with logging(name, folder, port, ports) as (log, process):
        seen = asyncio.run(_play(port, ports[:2], asked, process))
    return log, seen


async def _answer(request):
    await asyncio.sleep(float(request.headers.get("X-Think-S", "0")))
    return web.Response(text="ok", status=int(request.headers.get("X-Status", "200")))


async def _play(port, ports, asked, process):
    app = web.Application()
    app.router.add_get("/{any:.*}", _answer)
    runner = web.AppRunner(app)
    await runner.setup()
    for each in ports:
        await web.TCPSite(runner, HOST, each).start()
    connector = aiohttp.TCPConnector(limit=0)
    try:
        async with aiohttp.ClientSession(connector=connector) as session:
            await listens(port, process)
            began = time.monotonic() + 0.1
            return await asyncio.gather(*(_one(session, f"http://{HOST}:{port}/work", each, began) for each in asked))
    finally:
        await runner.cleanup()


async def listens(port, process):
    """Connects, and asks nothing, so that nothing is logged of it."""
    deadline = time.monotonic() + AT_MOST_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise AssertionError("the proxy does not listen")


async def _one(session, url, asked, began):
    await asyncio.sleep(max(0.0, began + asked.at_s - time.monotonic()))
    headers = {"X-Think-S": str(asked.demand_s), "X-Status": str(asked.status)}
    sent = time.monotonic()
    async with session.get(url, headers=headers) as answer:
        await answer.read()
        return Seen(sent - began, time.monotonic() - sent, answer.status)


def log_of(folder: Path) -> str:
    """What the proxy itself said, for a failed assertion."""
    return (folder / "out").read_text(errors="replace")
