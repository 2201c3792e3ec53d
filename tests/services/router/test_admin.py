"""The router's admin port, and how it starts and ends, as a process."""

import asyncio
import signal
import subprocess
import sys

import pytest
from aiohttp import web

from tests.ports import free_port
from tests.running import AT_MOST_S, ROOT
from tests.services.live import TOKEN, Service, client, eventually, json_of, router, until


@pytest.fixture(scope="module")
def started():
    with router(settings={"router": {"health": {"interval_s": 0.1}}}) as process:
        yield process


async def put(session, started, id_, **body):
    async with session.put(f"{started.admin}/replicas/{id_}", json=body) as response:
        return response.status, await response.json()


async def test_a_replica_is_registered_changed_read_and_forgotten(started):
    async with client() as session:
        status, made = await put(session, started, "r1", url="http://127.0.0.1:9/", weight=2, concurrency=4)
        assert status == 201
        assert (made["url"], made["weight"], made["state"], made["concurrency"]) == (
            "http://127.0.0.1:9",
            2,
            "pending",
            4,
        )
        assert made["lease_remaining_s"] is None
        status, changed = await put(session, started, "r1", weight=0.5, lease_s=3000)
        assert (status, changed["weight"], changed["url"]) == (200, 0.5, "http://127.0.0.1:9")
        assert 2900 < changed["lease_remaining_s"] <= 3000
        assert await json_of(session, f"{started.admin}/replicas/r1") == (
            await json_of(session, f"{started.admin}/replicas")
        )["replicas"][0] | {"lease_remaining_s": pytest.approx(3000, abs=100)}
        for expected in (204, 404):
            async with session.delete(f"{started.admin}/replicas/r1") as response:
                assert response.status == expected
        async with session.get(f"{started.admin}/replicas/r1") as response:
            assert response.status == 404


@pytest.mark.parametrize(
    ("id_", "body", "words"),
    [
        ("r1", {"weight": 1}, ["url", "r1"]),
        ("r1", {"url": "127.0.0.1:9001"}, ["url", "http://host:port"]),
        ("r1", {"url": "ftp://127.0.0.1"}, ["url", "http://host:port"]),
        ("r1", {"url": "http://127.0.0.1:1/path"}, ["url", "http://host:port"]),
        ("r1", {"url": "http://a..b:80"}, ["url", "http://host:port"]),
        ("r1", {"url": f"http://{'a' * 64}.test:80"}, ["url", "http://host:port"]),
        ("r1", {"url": "http://127.0.0.1:1", "wieght": 1}, ["wieght", "weight"]),
        ("r1", {"url": "http://127.0.0.1:1", "weight": 0}, ["weight=0", "0.001"]),
        ("r1", {"url": "http://127.0.0.1:1", "weight": "2"}, ["weight=2", "number"]),
        ("r1", {"url": "http://127.0.0.1:1", "lease_s": -1}, ["lease_s=-1"]),
        ("r1", {"url": "http://127.0.0.1:1", "state": "gone"}, ["state=gone", "draining"]),
        ("-r", {"url": "http://127.0.0.1:1"}, ["id"]),
        ("r1", ["url"], ["object"]),
    ],
)
async def test_a_wrong_registration_is_refused_in_one_line_with_the_choices(started, id_, body, words):
    async with client() as session:
        async with session.put(f"{started.admin}/replicas/{id_}", json=body) as response:
            assert response.status == 422
            error = (await response.json())["error"]
            assert all(word in error for word in words), error
        assert (await json_of(session, f"{started.admin}/replicas"))["replicas"] == []


async def test_events_are_numbered_and_can_be_read_on_from_where_one_was(started):
    async with client() as session:
        begin = (await json_of(session, f"{started.admin}/events"))["next"]
        await put(session, started, "e1", url="http://127.0.0.1:9")
        await session.delete(f"{started.admin}/replicas/e1")
        page = await json_of(session, f"{started.admin}/events?since={begin}")
        assert [(event["event"], event["replica"]) for event in page["events"]] == [
            ("registered", "e1"),
            ("removed", "e1"),
        ]
        assert page["next"] == page["events"][-1]["seq"] == begin + 2
        assert (await json_of(session, f"{started.admin}/events?since={page['next']}"))["events"] == []
        async with session.get(f"{started.admin}/events?since=x") as response:
            assert response.status == 422


async def test_readiness_stats_and_metrics_tell_of_the_replicas(started):
    async def handle(request):
        return web.Response(status=200)

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with client() as session:
            async with session.get(f"{started.admin}/readyz") as response:
                assert response.status == 503
            await put(session, started, "m1", url=f"http://127.0.0.1:{runner.addresses[0][1]}")
            await until(session, started.admin, "m1", "ready")
            async with session.get(f"{started.admin}/readyz") as response:
                assert response.status == 200
            before = await json_of(session, f"{started.admin}/stats")
            for _ in range(3):
                async with session.get(started.url) as response:
                    assert response.status == 200
            stats = await json_of(session, f"{started.admin}/stats")
            assert stats["requests_total"] - before["requests_total"] == 3
            replica = next(entry for entry in stats["replicas"] if entry["id"] == "m1")
            assert replica["requests_total"] == 3 and replica["in_flight"] == 0
            assert 0 < replica["in_flight_seconds_total"] < 3
            async with session.get(f"{started.admin}/metrics") as response:
                text = await response.text()
            assert 'aegis_router_replicas{state="ready"} 1.0' in text
            assert 'aegis_router_requests_total{outcome="2xx"}' in text
            await session.delete(f"{started.admin}/replicas/m1")
    finally:
        await runner.cleanup()


async def test_a_dead_replica_leaves_the_rotation_and_comes_back(started):
    async def handle(_request):
        return web.Response()

    async def serve(port):
        runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
        return runner

    port = free_port()
    runner = await serve(port)
    async with client() as session:
        await put(session, started, "d1", url=f"http://127.0.0.1:{port}")
        await until(session, started.admin, "d1", "ready")
        await runner.cleanup()
        await until(session, started.admin, "d1", "ejected")
        runner = await serve(port)
        await until(session, started.admin, "d1", "ready")
        await session.delete(f"{started.admin}/replicas/d1")
        await runner.cleanup()


async def test_what_changes_state_needs_the_token_where_there_is_one():
    with router(env={"AEGIS_ADMIN_TOKEN": TOKEN}) as started:
        async with client() as session:
            body = {"url": "http://127.0.0.1:9"}
            for headers, status in (
                ({}, 401),
                ({"Authorization": "Bearer wrong"}, 401),
                ({"Authorization": f"Bearer {TOKEN}"}, 201),
            ):
                async with session.put(f"{started.admin}/replicas/r1", json=body, headers=headers) as response:
                    assert response.status == status
            async with session.delete(f"{started.admin}/replicas/r1") as response:
                assert response.status == 401
            assert len((await json_of(session, f"{started.admin}/replicas"))["replicas"]) == 1


def module(name, *arguments, env=None):
    command = [sys.executable, "-m", f"services.{name}", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=AT_MOST_S, check=False, env=env)


@pytest.mark.parametrize(
    ("name", "extra"),
    [("router", ["--admin-port", 0]), ("backend", []), ("manager", ["--router", "http://127.0.0.1:9"])],
)
def test_a_service_refuses_to_listen_beyond_loopback_without_a_token(name, extra):
    done = module(name, "--host", "0.0.0.0", "--port", 0, *extra)
    assert done.returncode != 0
    assert "AEGIS_ADMIN_TOKEN" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("router", ["--policy", "nope"], ["nope", "peak_ewma"]),
        ("router", ["--config", "no-such-file"], ["no-such-file"]),
        ("backend", ["--speed", "0"], ["speed=0", "0.01"]),
        ("backend", ["--kind", "x"], ["kind=x", "sleep"]),
        ("manager", ["--scaler", "x"], ["x", "target_tracking"]),
        ("manager", ["--replicas", "0"], ["replicas=0"]),
    ],
)
def test_a_wrong_option_is_refused_with_status_2_and_the_choices(name, arguments, words):
    done = module(name, *arguments)
    assert done.returncode == 2
    assert all(word in done.stderr for word in words) and "Traceback" not in done.stderr


def test_a_taken_port_is_named():
    with router() as first:
        done = module("router", "--port", first.url.rsplit(":", 1)[1], "--admin-port", 0)
        assert done.returncode == 1
        assert "choose another port" in done.stderr and "Traceback" not in done.stderr


async def test_the_router_is_ready_in_a_panic_where_it_serves(started):
    """Its only replica fails its checks and works: what they say is ignored."""
    checked = 200

    async def handle(request):
        return web.Response(status=checked if request.path == "/readyz" else 200)

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with client() as session:
            await put(session, started, "p1", url=f"http://127.0.0.1:{runner.addresses[0][1]}")
            await until(session, started.admin, "p1", "ready")
            checked = 503
            await until(session, started.admin, "p1", "ejected")
            for url in (started.url, f"{started.admin}/readyz"):
                async with session.get(url) as response:
                    assert response.status == 200
            await session.delete(f"{started.admin}/replicas/p1")
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_router_finishes_what_is_in_flight_before_it_ends(number):
    begun = asyncio.Event()

    async def slow(request):
        if request.path != "/readyz":
            begun.set()
            await asyncio.sleep(1.0)
        return web.Response(text="done")

    runner = web.ServerRunner(web.Server(slow))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    started = Service("router", "--port", 0, "--admin-port", 0)
    try:
        async with client() as session:
            await put(session, started, "s1", url=f"http://127.0.0.1:{runner.addresses[0][1]}")
            await until(session, started.admin, "s1", "ready")

            async def get():
                async with session.get(started.url) as response:
                    return await response.text()

            asked = asyncio.create_task(get())
            await begun.wait()
            started.process.send_signal(number)
            assert await asked == "done"

            async def ended():
                return started.process.poll() is not None

            await eventually(ended, "the router has ended")
            assert started.process.returncode == 0
    finally:
        started.stop()
        await runner.cleanup()


WRONG = {
    "an unknown charset": {"data": b"{}", "headers": {"Content-Type": "application/json; charset=foo"}},
    "endless nesting": {"data": b"[" * 16_000},
    "no gzip": {"data": b"{}", "headers": {"Content-Encoding": "gzip"}},
    "no json": {"data": b"{"},
    **{
        f"url {url}": {"json": {"url": url}}
        for url in (
            "http://[", "http://[zz]:80", "http://h:99999", "http://h:abc", "http://a b:1", "http://h:1#x", "http://h:1?",
            "http://h:1/path", "http://u:p@h:1", "https://h:1", "ftp://h", "h:1", "http://\ud800:80", "", 5,
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("body", WRONG.values(), ids=[ascii(name) for name in WRONG])
async def test_wrong_input_is_the_callers_fault_and_registers_nothing(started, body):
    async with client() as session:
        async with session.put(f"{started.admin}/replicas/wrong", **body) as response:
            assert 400 <= response.status < 500
        async with session.get(f"{started.admin}/replicas/wrong") as response:
            assert response.status == 404


async def test_an_event_number_without_end_is_refused(started):
    async with client() as session, session.get(f"{started.admin}/events?since={'9' * 5000}") as response:
        assert response.status == 422


async def test_the_token_is_asked_for_whatever_bytes_are_sent_and_the_scheme_in_any_case():
    with router(env={"AEGIS_ADMIN_TOKEN": TOKEN}) as guarded:
        port = int(guarded.admin.rsplit(":", 1)[1])
        for given, status in (
            (b"Bearer \xff", b"401"),
            (b"Basic " + TOKEN.encode(), b"401"),
            (b"bearer " + TOKEN.encode(), b"404"),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"DELETE /replicas/x HTTP/1.1\r\nHost: x\r\nAuthorization: " + given + b"\r\n\r\n")
            assert status in await asyncio.wait_for(reader.readline(), 30)
            writer.close()
