"""A proxy in the router's place as a run has it, with real processes: how it begins, how it ends, and what is told of it."""

import asyncio
import contextlib
import dataclasses
import os
import signal
import socket

import aiohttp
import pytest

from experiments.data_planes import HOST
from experiments.live.standing_in import StandIn
from services.processes import StartError
from tests.experiments.test_data_planes import IN_PLACE
from tests.experiments.test_external import configured
from tests.ports import free_port, free_row
from tests.running import AT_MOST_S
from tests.system.test_data_planes import Server, needed, until
from tests.system.test_more_data_planes import FRONTENDS, haproxy

ARMS = ("envoy", "haproxy", "nginx", "traefik", "caddy")
PATIENT = {"router__timeouts__attempt_s": 2 * AT_MOST_S, "router__timeouts__overall_s": 2 * AT_MOST_S}


@dataclasses.dataclass
class Stood:
    """A stand-in, and the servers of this process that are behind it, by their ids."""

    proxy: StandIn
    session: aiohttp.ClientSession
    server: Server
    ports: dict
    events: list
    """What was told of the run: event and details."""

    async def says(self, id_, **about):
        """The registry's answer to a word of replica `id_`, which serves from the first one on: status and text."""
        if id_ not in self.ports:
            self.ports[id_] = free_port()
            await self.server.serve(self.ports[id_])
        body = {"url": f"http://{HOST}:{self.ports[id_]}", **about}
        async with self.session.put(f"{self.proxy.addresses['admin']}/replicas/{id_}", json=body) as answer:
            return answer.status, await answer.text()

    async def ask(self, path="/work"):
        async with self.session.get(self.proxy.addresses["url"] + path) as answer:
            await answer.read()
            return answer.status

    async def stats(self):
        async with self.session.get(f"{self.proxy.addresses['admin']}/stats") as answer:
            return await answer.json()

    async def answers(self):
        return await self.ask() == 200


@contextlib.asynccontextmanager
async def stood_in(name, folder, **keys):
    """The stand-in of a run, which is not started yet; nothing is left of it."""
    if name != "custom":
        needed(name)
    for each in ("logs", "raw"):
        (folder / each).mkdir(parents=True)
    config = configured(**(IN_PLACE | {"router__data_plane": name} | keys))
    events, server = [], Server()

    def sink(source, event, monotonic_s=None, **detail):
        events.append({"source": source, "event": event, **detail})

    proxy = StandIn(config, folder / "logs", folder / "raw", sink)
    connector = aiohttp.TCPConnector(force_close=True)  # each request has a connection of its own
    try:
        async with aiohttp.ClientSession(connector=connector) as session:
            yield Stood(proxy, session, server, {}, events)
    finally:
        await proxy.close()
        await server.close()


@pytest.mark.parametrize("name", ARMS)
async def test_who_was_behind_a_proxy_is_behind_the_one_that_is_started_after_it(tmp_path, name):
    async with stood_in(name, tmp_path) as it:
        await it.proxy.start(AT_MOST_S)
        assert (await it.says("r1"))[0] == 201
        await until(it.answers)
        before = it.proxy.pid
        await it.proxy.stop()
        assert it.proxy.pid is None
        await it.proxy.start(AT_MOST_S)
        assert it.proxy.pid not in (None, before)
        await until(it.answers)


@pytest.mark.parametrize("name", ARMS)
async def test_the_folder_of_a_run_may_have_blanks_and_quotes_in_its_name(tmp_path, name):
    folder = tmp_path / 'my "own" runs'
    async with stood_in(name, folder) as it:
        await it.proxy.start(AT_MOST_S)
        await it.says("r1")
        await until(it.answers)
        if log := {"nginx": "error.log", "caddy": "events.log"}.get(name):
            assert (folder / "logs" / "data_plane" / log).is_file(), "by which it is known who is out"


async def test_nothing_is_under_way_by_a_proxy_that_was_killed(tmp_path):
    """Else a scaler would grow the fleet for load that nobody sends."""
    async with stood_in("haproxy", tmp_path, **PATIENT) as it:
        await it.proxy.start(AT_MOST_S)
        await it.says("r1")
        await until(it.answers)
        asking = asyncio.create_task(it.ask("/hold"))

        async def is_busy():
            return (await it.stats())["in_flight"] == 1

        async def is_idle():
            return (await it.stats())["in_flight"] == 0

        await until(is_busy)
        await it.proxy.send(signal.SIGKILL)
        with pytest.raises(aiohttp.ClientError):
            await asking
        await until(is_idle)
        one, later = await it.stats(), await it.stats()
        assert 0 < one["work_seconds_total"] == later["work_seconds_total"] and one["monotonic_s"] < later["monotonic_s"]


@pytest.mark.parametrize("name", ["envoy", "haproxy", "nginx", "caddy"])
async def test_a_proxy_that_is_to_end_takes_nothing_new_and_answers_what_is_under_way(tmp_path, name):
    """Envoy's SIGTERM alone closes all at once (its issue #1990; `drain_listeners` has to come before)."""
    async with stood_in(name, tmp_path, **PATIENT) as it:
        await it.proxy.start(AT_MOST_S)
        await it.says("r1")
        await until(it.answers)
        before = it.server.asked[it.ports["r1"]]
        asking = asyncio.create_task(it.ask("/hold"))

        async def has_come():
            return it.server.asked[it.ports["r1"]] > before

        async def is_shut():
            try:
                await it.ask()
            except aiohttp.ClientConnectorError:
                return True
            return False

        await until(has_come)
        ending = asyncio.create_task(it.proxy.stop())
        await until(is_shut)
        it.server.go.set()
        assert await asking == 200
        await ending
        assert it.proxy.pid is None


async def test_a_proxy_that_ends_by_itself_is_told_and_one_that_a_fault_or_its_stop_has_ended_is_not(tmp_path):
    async with stood_in("haproxy", tmp_path) as it:

        async def is_gone():
            return it.proxy.pid is None

        async def is_told():
            return bool(it.events)

        await it.proxy.start(AT_MOST_S)
        await it.proxy.send(signal.SIGKILL)
        await until(is_gone)
        for _ in range(2):
            await it.proxy.stop()
            await it.proxy.start(AT_MOST_S)
        assert it.events == []
        os.kill(it.proxy.pid, signal.SIGKILL)  # as a system without memory does
        await until(is_told)
        await it.proxy.stop()
        [event] = it.events
        assert (event["source"], event["event"]) == ("runner", "router_ended")
        assert event["reason"].startswith("haproxy ended by itself (exit status -9)")


async def test_a_drain_that_the_proxy_does_not_hear_is_answered_503_and_told_until_it_has_heard(tmp_path):
    async with stood_in("nginx", tmp_path) as it:
        await it.proxy.start(AT_MOST_S)
        for id_ in ("r1", "r2"):
            assert (await it.says(id_))[0] == 201
        await until(it.answers)
        configuration = tmp_path / "logs" / "data_plane" / "nginx.conf"
        configuration.unlink()
        configuration.mkdir()  # it cannot be written, as where a disk is full
        status, text = await it.says("r1", state="draining")
        assert status == 503 and "nginx has not heard yet that r1 drains" in text
        assert (await it.says("r2"))[0] == 200, "who stays is told nothing of it"

        async def is_told():
            return bool(it.events)

        async def is_heard():
            return (await it.says("r1", state="draining"))[0] == 200

        await until(is_told)
        [event] = it.events
        assert event["event"] == "members_unheard" and event["reason"].startswith("nginx does not hear who is behind it (")
        configuration.rmdir()
        await until(is_heard)
        it.server.asked.clear()
        assert [await it.ask() for _ in range(6)] == [200] * 6
        assert it.server.asked[it.ports["r1"]] == 0 and len(it.events) == 1


async def test_a_program_that_says_nothing_of_its_replicas_is_waited_for_until_a_request_comes_through_it(tmp_path):
    path, port = tmp_path / "haproxy.cfg.j2", free_row(1)
    often = "check inter 50ms fall 1 rise 3"
    path.write_text(FRONTENDS.replace("check inter {{ health.interval_s | ms }}ms", often), encoding="utf-8")
    keys = {"command": f"{haproxy()} -db -f {{config}}", "template": str(path), "replica_port": port}
    own = {f"router__{key}": value for key, value in keys.items()}
    async with stood_in("custom", tmp_path / "run", replicas=1, **own) as it:

        async def is_in_vain():
            return await it.ask() == 503

        await it.proxy.start(AT_MOST_S)
        await until(is_in_vain)
        waiting = asyncio.create_task(it.proxy.passes_on(AT_MOST_S))
        await until(is_in_vain)
        assert not waiting.done()
        await it.server.serve(port)
        await waiting
        assert await it.ask() == 200


async def test_who_has_taken_the_port_of_a_proxy_is_not_taken_for_it(tmp_path):
    async with stood_in("haproxy", tmp_path) as it:
        port = it.proxy._front.port
        with socket.create_server((HOST, port)):
            with pytest.raises(StartError) as caught:
                await it.proxy.start(0.1)
        assert str(caught.value) == f"haproxy: another process has taken port {port}; start the run again"
        await it.proxy.start(AT_MOST_S)
        assert it.proxy.pid is not None
