"""Bytes that a proxy meets in the wild: they arrive as they were sent, or are refused in a word; nothing hangs."""

import psutil
import pytest

from services.router.wire.heads import origin_form
from tests.services.live import client, eventually, json_of, router
from tests.services.router.raw import raw_client, raw_replica

SETTINGS = {
    "router": {"health": {"interval_s": 0.1}, "ejection": {"consecutive_failures": 1000}, "retry": {"max_attempts": 1}}
}
REASON = b'"reason": "%b"'


@pytest.fixture(scope="module")
def started():
    with router("--log-level", "error", settings=SETTINGS) as process:
        yield process


async def fine(_head, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")


async def counts(session, started):
    stats = await json_of(session, f"{started.admin}/stats")
    return stats["responses"].copy(), stats["replicas"][0]["failures_total"]


@pytest.mark.parametrize(
    ("line", "passes"),
    [
        (b"X-A: a\x01b", False),
        (b"X-A: a\x7fb", False),
        (b"X-A: caf\xe9", True),
        (b"X-A: caf\xc3\xa9", True),
        (b"X-A: a\tb", True),
    ],
    ids=["control", "delete", "latin-1", "utf-8", "tab"],
)
async def test_a_replicas_header_is_passed_on_to_the_byte_or_the_attempt_has_failed(started, line, passes):
    async def answer(_head, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n%b\r\nContent-Length: 4\r\n\r\nfine" % line)

    async with client() as session, raw_replica(started, session, answer):
        before, failed = await counts(session, started)
        async with raw_client(started) as one:
            await one.send(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
            status, headers, body = await one.answer()
        after, failed_now = await counts(session, started)
        if passes:
            assert (status, headers["x-a"], body) == (200, line.removeprefix(b"X-A: "), b"fine")
        else:
            assert status == 502 and REASON % b"bad_answer" in body
        kind = f"{status // 100}xx"
        assert (after[kind] - before.get(kind, 0), failed_now - failed) == (1, 0 if passes else 1)
        assert sum(after.values()) - sum(before.values()) == 1


@pytest.mark.parametrize(("first", "status"), [(b"HTTP/1.1 200 O\x01K", 502), (b"HTTP/1.1 200 caf\xe9", 200)])
async def test_a_replicas_first_line_is_held_to_the_same(started, first, status):
    async def answer(_head, writer):
        writer.write(first + b"\r\nContent-Length: 4\r\n\r\nfine")

    async with client() as session, raw_replica(started, session, answer), raw_client(started) as one:
        await one.send(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await one.answer())[0] == status


@pytest.mark.parametrize("value", [b"caf\xe9", b"\xff\xfe", b"caf\xc3\xa9", b"a\x01b"])
async def test_a_clients_header_arrives_to_the_byte_or_is_refused(started, value):
    async with client() as session, raw_replica(started, session, fine) as replica, raw_client(started) as one:
        await one.send(b"GET /x HTTP/1.1\r\nHost: x\r\nX-A: " + value + b"\r\n\r\n")
        status, _, body = await one.answer()
        if status == 200:
            assert b"X-A: " + value + b"\r\n" in replica.seen[0][0]
        else:
            assert status == 400 and REASON % b"malformed" in body and replica.seen == []
        assert (status == 200) == (b"\x01" not in value)


@pytest.mark.parametrize("size", [4, 70_000], ids=["kept", "streamed"])
async def test_a_chunked_body_that_goes_wrong_after_its_first_piece_is_400_at_once(started, size):
    async with client() as session, raw_replica(started, session, fine) as replica:
        _, failed = await counts(session, started)
        async with raw_client(started) as one:
            await one.send(b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            await one.send(b"%x\r\n%b\r\n" % (size, b"a" * size))

            async def is_on_its_way():
                return (await json_of(session, f"{started.admin}/stats"))["in_flight"] == 1

            await eventually(is_on_its_way, "the body is being read")
            await one.send(b"nonsense\r\n")
            status, headers, body = await one.answer()
            assert status == 400 and REASON % b"malformed" in body  # 408 had it waited
            assert headers["connection"] == b"close" and await one.rest() == b""
        assert replica.seen == [], "no replica has a whole request"
        assert (await counts(session, started))[1] == failed
        assert (await json_of(session, f"{started.admin}/stats"))["in_flight"] == 0


@pytest.mark.parametrize(
    "nonsense",
    [b"GET /x HTTP\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET /x HTTP/1.1\r\nX A: b\r\n\r\n", b"GET /x HTTP/9.9\r\n\r\n"],
)
async def test_what_is_no_request_is_answered_and_counted_and_not_logged(started, nonsense):
    async with client() as session:
        before = await json_of(session, f"{started.admin}/stats")
        for url in (started, type("Admin", (), {"url": started.admin})):
            async with raw_client(url) as one:
                await one.send(nonsense)
                assert b" 400 " in (await one.rest()).split(b"\r\n")[0]
        after = await json_of(session, f"{started.admin}/stats")
        assert after["requests_total"] - before["requests_total"] == 1
        assert sum(after["responses"].values()) - sum(before["responses"].values()) == 1
        assert started.said() == ""


@pytest.mark.parametrize("target", ["/a?", "/?", "/a??", "/a?b=?", "/a", "//a?", "/%2F?"])
async def test_a_target_arrives_to_the_byte(started, target):
    async with client() as session, raw_replica(started, session, fine) as replica:
        for asked in (target, f"http://other.example{target}"):
            async with raw_client(started) as one:
                await one.send(f"GET {asked} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                assert (await one.answer())[0] == 200
        assert [head.split()[1].decode() for head, _ in replica.seen] == [target] * 2


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        ("http://h", "/"),
        ("http://h?q", "/?q"),
        ("HTTP://user@h:80/a?", "/a?"),
        ("https://[::1]:9/a//b", "/a//b"),
        ("ftp://h/a", None),
        ("h:80", None),
        ("*", None),
    ],
)
def test_the_origin_form_of_a_target(target, asked):
    assert origin_form(target.encode()) == (None if asked is None else asked.encode())


async def test_a_router_that_is_its_own_replica_is_never_in_rotation_and_costs_nothing(started):
    process = psutil.Process(started.process.pid)
    async with client() as session, raw_replica(started, session, fine) as replica:
        async with session.put(f"{started.admin}/replicas/self", json={"url": started.url}) as response:
            assert response.status == 201
        refused = (await json_of(session, f"{started.admin}/stats"))["rejected_total"]

        async def checked():
            return (await json_of(session, f"{started.admin}/stats"))["rejected_total"] >= refused + 3

        await eventually(checked, "it was asked for its health, and refused")
        before = process.num_fds()
        assert {r["id"]: r["state"] for r in (await json_of(session, f"{started.admin}/replicas"))["replicas"]} == {
            "raw": "ready",
            "self": "pending",
        }
        for _ in range(5):
            async with raw_client(started) as one:
                await one.send(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await one.answer())[0] == 200
        assert len(replica.seen) == 5 and process.num_fds() <= before + 10
        await session.delete(f"{started.admin}/replicas/self")


async def test_a_request_that_comes_back_is_refused_by_via(started):
    vias = []

    async def keep(head, writer):
        vias.append(next(line for line in head.split(b"\r\n") if line.startswith(b"Via: ")))
        await fine(head, writer)

    async with client() as session, raw_replica(started, session, keep):
        async with raw_client(started) as one:
            await one.send(b"GET /x HTTP/1.1\r\nHost: x\r\nVia: 1.1 aegis\r\n\r\n")
            assert (await one.answer())[0] == 200
        async with raw_client(started) as one:
            await one.send(b"GET /x HTTP/1.1\r\nHost: x\r\n" + vias[0] + b"\r\n\r\n")
            status, _, body = await one.answer()
        assert status == 508 and REASON % b"loop" in body and len(vias) == 1


async def test_two_routers_in_a_row_are_no_loop(started):
    with router(settings=SETTINGS) as outer:
        async with client() as session, raw_replica(started, session, fine):
            async with session.put(f"{outer.admin}/replicas/inner", json={"url": started.url}) as response:
                assert response.status == 201

            async def served():
                async with session.get(f"{outer.url}/x") as response:
                    return response.status == 200

            await eventually(served, "the inner router serves the outer one's requests")
