"""Heads and bodies without end, and changes that are refused: a service answers, keeps nothing, and lives on."""

import asyncio
import json

import pytest
from aiohttp import web

from services.door.gate import MAX_BODY_BYTES, REFUSALS_BURST
from services.door.head_limit import MAX_HEAD_BYTES
from services.router.events import MAX_TEXT_CHARACTERS, EventLog
from tests.services.live import TOKEN, Service, backend, client, eventually, json_of, router, status_of

MUCH_BYTES = 64 << 20
"""More than sockets buffer."""
NAMES = ("router", "backend", "manager")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """All three services with a token: by name, where they are changed and with what."""
    folder = tmp_path_factory.mktemp("guarded")
    env = {"AEGIS_ADMIN_TOKEN": TOKEN}
    (folder / "manager.json").write_text(json.dumps({"scaler": {"name": "none"}, "replicas": 1}))
    arguments = ("--config", folder / "manager.json", "--log-dir", folder)
    with router(env=env) as front, backend(env=env) as replica:
        manager = Service("manager", "--port", 0, "--router", front.admin, *arguments, env=env)
        yield {
            "router": (front, front.admin, "/replicas/x", {"url": "http://127.0.0.1:9"}),
            "backend": (replica, replica.admin, "/faults", {}),
            "manager": (manager, manager.url, "/autoscaler", {"max_replicas": 6}),
        }
        manager.stop()
        manager.log.close()


def port_of(url):
    return int(url.rsplit(":", 1)[1])


async def heard(url, *pieces):
    """What comes back until the service closes, or has answered what was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await asyncio.wait_for(reader.readline(), 30)
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("name", NAMES)
async def test_a_change_has_a_small_body_also_where_its_length_is_not_told(guarded, name):
    _, url, path, body = guarded[name]
    head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n".encode()
    padded = json.dumps(body).encode().ljust(MAX_BODY_BYTES + 1)

    told = head + b"Content-Length: %d\r\n\r\n" % len(padded)
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n"
    assert b" 413 " in await heard(url, told, padded)
    assert b" 413 " in await heard(url, chunked, b"%x\r\n" % len(padded), padded, b"\r\n0\r\n\r\n")
    fits = padded[:-1] if name != "router" else padded[:-2]
    assert (await heard(url, head + b"Content-Length: %d\r\n\r\n" % len(fits), fits)).split()[1] in (b"200", b"201")


@pytest.mark.parametrize("name", NAMES)
async def test_who_has_no_token_is_refused_before_the_body_is_read_and_then_told_to_wait(guarded, name):
    _, url, path, body = guarded[name]
    head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n".encode()

    async def refused():
        return (await heard(url, head + b"\r\n")).split()[1]

    assert await refused() == b"401"
    async with client() as session:

        async def many_at_once():  # ten a second are allowed for ever: one after another may be slower than that
            statuses = set(await asyncio.gather(*(refused() for _ in range(2 * int(REFUSALS_BURST)))))
            assert statuses <= {b"401", b"429"}
            async with session.put(url + path, json=body) as response:
                assert response.status in (401, 429)
                return response.status == 429 and response.headers["Retry-After"] == "1"

        await eventually(many_at_once, "who guesses too often is told to wait")
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with session.put(url + path, json=body, headers=headers) as response:
            assert response.status in (200, 201)


@pytest.mark.parametrize("name", NAMES)
async def test_a_page_from_elsewhere_changes_nothing_where_there_is_no_token(tmp_path, name):
    paths = {"router": "/replicas/x", "backend": "/faults", "manager": "/replicas/r1/restart"}

    arguments = {
        "router": ("--port", 0, "--admin-port", 0),
        "backend": ("--port", 0, "--admin-port", 0),
        "manager": ("--port", 0, "--router", "http://127.0.0.1:9", "--log-dir", tmp_path),
    }[name]
    started = Service(name, *arguments)
    try:
        url = started.admin or started.url
        async with client() as session:
            method = session.post if name == "manager" else session.put
            async with method(url + paths[name], headers={"Origin": "https://evil.example"}) as response:
                assert response.status == 403
    finally:
        started.stop()
        started.log.close()


@pytest.mark.parametrize("piece", [b"X-A: b\r\n" * 2000, b"a" * 16_000], ids=["headers", "one header"])
@pytest.mark.parametrize("name", ["backend", "manager"])
async def test_a_head_without_end_is_cut_off(guarded, name, piece):
    started, url, _, _ = guarded[name]

    _, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: ")
    sent = 0
    try:
        while sent < MUCH_BYTES:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
    except ConnectionError:
        pass
    writer.close()
    assert sent < MUCH_BYTES
    too_long = b"GET /healthz HTTP/1.1\r\nX-Long: ".ljust(MAX_HEAD_BYTES + 1, b"a")
    assert b" 431 " in await heard(url, too_long)
    assert b" 200 " in await heard(url, b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 60_000, b"\r\n\r\n")
    assert started.process.poll() is None


async def test_many_requests_on_one_connection_are_no_long_head(guarded):
    _, url, _, _ = guarded["backend"]

    one = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    count = 3 * MAX_HEAD_BYTES // len(one)
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
    answers = asyncio.create_task(read_all(reader))
    writer.write(one * count + one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert (await asyncio.wait_for(answers, 30)).count(b"200 OK") == count + 1
    writer.close()


async def read_all(reader):
    return await reader.read()


async def test_a_registration_names_a_host_not_a_novel(guarded):
    _, url, _, _ = guarded["router"]

    async with client() as session:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        body = {"url": f"http://{'a' * 400}"}
        async with session.put(f"{url}/replicas/long", json=body, headers=headers) as response:
            answer = await response.json()
            assert response.status == 422 and len(answer["error"]) < 200


def test_an_event_keeps_no_novel():
    log = EventLog()
    log.emit("ejected", "r1", 0.0, reason="x" * 100_000, failures=3)
    (event,) = log.since(0)["events"]
    assert len(event["reason"]) == MAX_TEXT_CHARACTERS and event["failures"] == 3


async def test_a_replica_cannot_send_the_routers_health_check_elsewhere():
    asked = []

    async def elsewhere(request):
        asked.append(request.path)
        return web.Response()

    async def astray(request):
        raise web.HTTPFound(f"http://127.0.0.1:{other.addresses[0][1]}/internal")

    runners = []
    for handler in (elsewhere, astray):
        runner = web.ServerRunner(web.Server(handler))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        runners.append(runner)
    other, replica = runners
    with router(settings={"router": {"health": {"interval_s": 0.1}}}) as front:
        async with client() as session:
            body = {"url": f"http://127.0.0.1:{replica.addresses[0][1]}"}
            async with session.put(f"{front.admin}/replicas/astray", json=body) as response:
                assert response.status == 201

            async def refused():
                events = (await json_of(session, f"{front.admin}/replicas"))["replicas"]
                return events[0]["state"] == "pending" and replica_asked()

            def replica_asked():
                return replica.server.requests_count >= 3

            await eventually(refused, "it was checked")
            assert await status_of(session, "astray", front.admin) == "pending"
            assert asked == []
    for runner in runners:
        await runner.cleanup()


async def test_what_a_router_says_is_told_in_one_short_line():
    async def refuse(request):
        return web.Response(status=403, text="no\n\x1b[31mFAKE: all is well\n" + "x" * 100_000)

    runner = web.ServerRunner(web.Server(refuse))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        started = await asyncio.to_thread(
            Service, "backend", "--port", 0, "--router", f"http://127.0.0.1:{runner.addresses[0][1]}",
            env={"AEGIS_ADMIN_TOKEN": TOKEN, "AEGIS_LOG_LEVEL": "warning"},
        )  # fmt: skip
        try:

            async def told():
                return "refused" in started.said()

            await eventually(told, "the refusal is told")
            said = started.said()
            assert said.count("\n") == 1 and len(said) < 600 and "\x1b" not in said and TOKEN not in said
        finally:
            await asyncio.to_thread(started.stop)
            started.log.close()
    finally:
        await runner.cleanup()
