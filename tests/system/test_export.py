"""Exported configurations at work: the programs themselves before small servers, of which one fails."""

import asyncio
import collections
import contextlib
import dataclasses
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web

from experiments.data_planes import DATA_PLANES, HOST, Front, local
from experiments.exporting import EXPORTERS, Deployment, Upstream
from services.router.settings import RouterSettings
from tests.ports import free_ports
from tests.proxied import PROXIES as LOGGING
from tests.proxied import listens, unavailable
from tests.running import AT_MOST_S
from tests.services.live import eventually

PROXIES = (*LOGGING, "traefik", "caddy")
COUNT = 12
LARGE = 2_000_000


@dataclass(frozen=True)
class Exported(Front):
    """A proxy as the exporter configures it of a run."""

    deployment: Deployment | None = None

    def configured(self, name, lines=(), **_):
        exporter = EXPORTERS.create(name, {})
        path = self.folder / exporter.file
        wanted = dataclasses.replace(self.deployment, lines=tuple(lines))
        path.write_text(exporter.render(wanted).text, encoding="utf-8")
        return path


async def well(_server):
    """What a server says to a check: nothing is wrong."""
    return 200


class Checks:
    """Those of the first server, of which some fail: neither the last of these nor the next is answered before its time."""

    def __init__(self, fail):
        """`fail`: numbers of those that do, from 1."""
        self.fail, self.number = fail, 0
        self.may_fail, self.may_pass = asyncio.Event(), asyncio.Event()

    async def ready(self, server):
        if server != 0:
            return 200
        self.number += 1
        number = self.number
        if number >= self.fail[-1]:
            await self.may_fail.wait()
        if number > self.fail[-1]:
            await self.may_pass.wait()
        return 503 if number in self.fail else 200

    async def come(self, number, ask):
        """Ask until check `number` has come."""
        while self.number < number:
            await ask()

    async def seen_after(self, ask, seen):
        """The servers of two dozen requests that come once the proxy knows of the last failure, and of nothing after it."""
        self.may_fail.set()
        await self.come(self.fail[-1] + 1, ask)
        seen.asked.clear()
        for _ in range(2 * COUNT):
            await ask()
        self.may_pass.set()
        return "".join(str(server) for server, *_ in seen.asked)


@dataclass
class Seen:
    """What the servers saw."""

    asked: list = field(default_factory=list)
    """(server, method, path, Host)."""
    under_way: collections.Counter = field(default_factory=collections.Counter)
    most: int = 0
    """Under way at one server."""
    go: asyncio.Event = field(default_factory=asyncio.Event)
    """Set: who is to wait is answered."""
    ready: Callable[[int], Awaitable[int]] = well
    """What a server says to a check."""
    runners: list = field(default_factory=list)

    async def stop(self, server):
        """Nobody listens there any more."""
        await self.runners[server].cleanup()

    def app(self, server):
        async def answer(request):
            if request.path == "/readyz":
                return web.Response(status=await self.ready(server))
            self.asked.append((server, request.method, request.path, request.headers["Host"]))
            await request.read()
            self.under_way[server] += 1
            self.most = max(self.most, self.under_way[server])
            try:
                await asyncio.sleep(float(request.headers.get("X-Think-S", "0")))
                if "X-Waits" in request.headers:
                    await self.go.wait()
            finally:
                self.under_way[server] -= 1
            if server == 0 and "X-First-Cuts" in request.headers:
                request.transport.abort()
            return web.Response(status=int(request.headers.get("X-First-Says", "200")) if server == 0 else 200)

        app = web.Application(client_max_size=2 * LARGE)
        app.router.add_route("*", "/{any:.*}", answer)
        return app


def behind(name, tmp_path, play, *, policy="round_robin", weights=(1.0, 1.0), slots=2, **sections):
    """What `play(ask, seen)` does with the program `name` before servers, of which the first can be made to fail."""
    defaults = RouterSettings()
    sections = {"health": {"enabled": False}, **sections}
    changed = {key: dataclasses.replace(getattr(defaults, key), **values) for key, values in sections.items()}
    port, *ports = free_ports(1 + len(weights))
    upstreams = tuple(Upstream(f"r{n}", HOST, *each) for n, each in enumerate(zip(ports, weights, strict=True), 1))
    options = {"name": policy, "limit": 100, "order": "fifo"} if policy == "late_binding" else {"name": policy}
    wanted = Deployment(HOST, port, upstreams, dataclasses.replace(defaults, **changed), options, slots=slots)
    front = Exported(port, local(ports), wanted.settings, policy, tmp_path, deployment=wanted)
    plane = DATA_PLANES.create(name, {})
    words = plane.command(front)
    if words is None:
        unavailable(name, plane)
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen(words, stdout=out, stderr=out)
    try:
        asyncio.run(_with_servers(ports, port, process, play))
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()
        process.wait(AT_MOST_S)


async def _with_servers(ports, port, process, play):
    seen = Seen()
    for number, each in enumerate(ports):
        seen.runners.append(web.AppRunner(seen.app(number)))
        await seen.runners[-1].setup()
        await web.TCPSite(seen.runners[-1], HOST, each).start()
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            await listens(port, process)

            async def ask(method="GET", path="/work", *, says=200, think_s=0.0, waits=False, cuts=False, body=None):
                headers = {"X-First-Says": str(says), "X-Think-S": str(think_s)}
                headers |= {name: "" for name, is_so in (("X-Waits", waits), ("X-First-Cuts", cuts)) if is_so}
                url = f"http://{HOST}:{port}{path}"
                async with session.request(method, url, data=body, headers=headers) as answer:
                    return answer.status


            async def routed():
                return await ask(path="/first") != 404

            await eventually(routed, "it has routes, before which Traefik listens already")
            seen.asked.clear()
            await play(ask, seen)
            assert {host for *_, host in seen.asked} == {f"{HOST}:{port}"}, "servers see whom the client asked"
    finally:
        for runner in seen.runners:
            await runner.cleanup()


NO_EJECTION = {"ejection": {"enabled": False}}


METHODS = (("GET", None), ("PUT", b"x" * 9_000), ("DELETE", None), ("POST", b"x"), ("PATCH", b"x"))
BY_STATUS = tuple(name for name in PROXIES if name != "caddy")
ANY_METHOD = ("nginx", "traefik")
"""Send what is none of HTTP's own methods twice, as the head of their files says."""


@pytest.mark.parametrize("name", PROXIES)
def test_what_may_be_sent_twice_goes_elsewhere_and_a_post_never(tmp_path, name):
    async def play(ask, seen):
        for method, body in METHODS:
            for says in (500, 503):
                seen.asked.clear()
                answers = [await ask(method, f"/{n}", says=says, body=body) for n in range(COUNT)]
                sent = collections.Counter(path for _, _, path, _ in seen.asked)
                if method in ("POST", "PATCH") or name not in BY_STATUS:
                    assert set(sent.values()) == {1} and collections.Counter(answers) == {200: 6, says: 6}, method
                else:
                    assert set(answers) == {200} and max(sent.values()) == 2, method
        seen.asked.clear()
        assert 501 in [await ask(path=f"/{n}", says=501) for n in range(COUNT)]
        assert len(seen.asked) == COUNT, "what a server cannot do at all is not asked of another one"
        seen.asked.clear()
        for n in range(COUNT):
            await ask("REPORT", f"/{n}", says=500)
        sent = collections.Counter(path for _, _, path, _ in seen.asked)
        assert max(sent.values()) == (2 if name in ANY_METHOD else 1), "as the head of the file says"
        assert [await ask("POST", body=b"x" * LARGE) for _ in range(2)] == [200, 200]

    behind(name, tmp_path, play, **NO_EJECTION, retry={"budget_min_concurrent": 10})


@pytest.mark.parametrize("name", PROXIES)
def test_weights_are_followed(tmp_path, name):
    async def play(ask, seen):
        for _ in range(100):
            await ask()
        counts = collections.Counter(server for server, *_ in seen.asked)
        assert counts[0] == pytest.approx(80, abs=2) and counts[1] == pytest.approx(20, abs=2)

    behind(name, tmp_path, play, weights=(1.0, 0.25), **NO_EJECTION)


def test_with_late_binding_who_finds_no_slot_waits_at_haproxy(tmp_path):
    async def play(ask, seen):
        answers = await asyncio.gather(*(ask(think_s=0.1) for _ in range(10)))
        assert set(answers) == {200} and seen.most == 2

    behind("haproxy", tmp_path, play, policy="late_binding", **NO_EJECTION)


def test_envoy_refuses_what_is_over_the_limit_of_all_replicas(tmp_path):
    async def play(ask, seen):
        asked = [asyncio.ensure_future(ask("POST", waits=True)) for _ in range(10)]

        async def refused():
            return sum(each.done() for each in asked) == 6

        await eventually(refused, "six are answered while the others wait")
        seen.go.set()
        answers = await asyncio.gather(*asked)
        assert collections.Counter(answers) == {200: 4, 503: 6} and len(seen.asked) == 4

    behind("envoy", tmp_path, play, limits={"replica_requests": 2}, **NO_EJECTION)


@pytest.mark.parametrize("name", ["nginx", "envoy", "traefik", "caddy"])
def test_one_replica_may_always_be_taken_out(tmp_path, name):
    async def play(ask, seen):
        deadline = time.monotonic() + AT_MOST_S
        while time.monotonic() < deadline:
            seen.asked.clear()
            answers = [await ask(says=500) for _ in range(COUNT)]
            if 0 not in {server for server, *_ in seen.asked}:
                break
        assert set(answers) == {200} and 0 not in {server for server, *_ in seen.asked}

    behind(name, tmp_path, play, weights=(1.0, 1.0, 1.0), ejection={"max_share": 0.1, "base_s": 20.0})
