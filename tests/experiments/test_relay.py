"""The relay between a router and a replica: what each end of a connection hears of what happens to the path."""

import asyncio
import contextlib
import random
import socket
import time

import pytest

from experiments.relay.connections import Path
from experiments.relay.faults import FAIR, Weather, parse
from tests.ports import free_port
from tests.running import AT_MOST_S
from tests.services.live import eventually

SHORT_S = 0.15
"""So long nothing must come."""


class Server:
    """Answers each line with the same in capitals, and keeps what it has heard."""

    def __init__(self):
        self.heard, self.ends, self.writers = [], [], []

    async def __call__(self, reader, writer):
        self.writers.append(writer)
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                self.heard.append(line)
                writer.write(line.upper())
            self.ends.append("in order")
            writer.close()
            return
        self.ends.append("reset")


@contextlib.asynccontextmanager
async def relayed():
    server = Server()
    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    path = Path("127.0.0.1", listening.sockets[0].getsockname()[1], random.Random(1))
    try:
        yield path, server
    finally:
        path.close()
        listening.close()
        for writer in server.writers:
            writer.transport.abort()
        await asyncio.sleep(0)


async def connected(path, timeout_s=AT_MOST_S):
    return await asyncio.wait_for(asyncio.open_connection("127.0.0.1", path.port), timeout_s)


async def ask(stream, line):
    stream[1].write(line)
    return await asyncio.wait_for(stream[0].readline(), AT_MOST_S)


async def hears_nothing(reader):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), SHORT_S)


async def has(values, count=1):
    async def enough():
        return len(values) >= count

    await eventually(enough, f"{count} of {values}")


def weather(**active):
    return Weather(parse(active))


async def test_bytes_and_the_ends_of_connections_pass_as_they_are():
    async with relayed() as (path, server):
        one, other = await connected(path), await connected(path)
        assert await ask(one, b"first\n") == b"FIRST\n"
        assert await ask(one, b"x" * 60_000 + b"\n") == b"X" * 60_000 + b"\n"
        one[1].close()
        await has(server.ends)
        assert server.ends == ["in order"]
        assert await ask(other, b"second\n") == b"SECOND\n"
        server.writers[1].get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        server.writers[1].transport.abort()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(other[0].readline(), AT_MOST_S)
        other[1].close()


async def test_no_piece_of_an_answer_waits_for_an_acknowledgement():
    async with relayed() as (path, _):
        one = await connected(path)
        await ask(one, b"first\n")
        [link] = path._links
        ends = [end.transport.get_extra_info("socket") for end in (link.near, link.far)]
        assert all(end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for end in ends)
        one[1].close()


async def test_a_partition_holds_back_what_is_sent_and_lets_nobody_connect_until_it_is_healed():
    async with relayed() as (path, server):
        stream = await connected(path)
        assert await ask(stream, b"before\n") == b"BEFORE\n"
        path.change(weather(partition={}))
        stream[1].write(b"during\n")
        await hears_nothing(stream[0])
        assert server.heard == [b"before\n"]
        with pytest.raises(TimeoutError):
            await connected(path, SHORT_S)
        late = asyncio.create_task(connected(path))
        await asyncio.sleep(SHORT_S)
        path.change(FAIR)
        assert await asyncio.wait_for(stream[0].readline(), AT_MOST_S) == b"DURING\n"
        stream[1].close()
        again = await late  # its kernel asks again after a second
        assert await ask(again, b"after\n") == b"AFTER\n"
        again[1].close()


async def test_what_was_given_up_during_a_partition_never_reaches_the_replica():
    async with relayed() as (path, server):
        stream = await connected(path)
        assert await ask(stream, b"before\n") == b"BEFORE\n"
        path.change(weather(partition={}))
        stream[1].write(b"given up\n")
        await stream[1].drain()
        stream[1].transport.abort()
        await asyncio.sleep(SHORT_S)
        assert server.ends == []
        path.change(FAIR)
        await has(server.ends)
        assert server.heard == [b"before\n"]


async def test_where_only_answers_are_lost_the_replica_does_what_nobody_hears_of():
    async with relayed() as (path, server):
        stream = await connected(path)
        await ask(stream, b"before\n")
        path.change(weather(lost_answers={}))
        stream[1].write(b"during\n")
        await has(server.heard, 2)
        await hears_nothing(stream[0])
        with pytest.raises(TimeoutError):  # the handshake goes both ways
            await connected(path, SHORT_S)
        stream[1].close()


async def test_where_only_requests_are_lost_an_answer_on_its_way_arrives():
    async with relayed() as (path, server):
        stream = await connected(path)
        await ask(stream, b"before\n")
        path.change(weather(lost_requests={}))
        server.writers[0].write(b"an answer\n")
        assert await asyncio.wait_for(stream[0].readline(), AT_MOST_S) == b"an answer\n"
        stream[1].write(b"a request\n")
        await hears_nothing(stream[0])
        assert server.heard == [b"before\n"]
        stream[1].close()


async def test_a_delay_is_added_each_way_and_keeps_the_order():
    async with relayed() as (path, _):
        stream = await connected(path)
        path.change(weather(delay={"added_ms": 60, "sigma": 1.0}))
        began, lines = time.monotonic(), [b"%d\n" % number for number in range(20)]
        for line in lines:
            stream[1].write(line)
            await asyncio.sleep(0)
        assert [await asyncio.wait_for(stream[0].readline(), AT_MOST_S) for _ in lines] == lines
        path.change(weather(delay={"added_ms": 60}))
        began = time.monotonic()
        assert await ask(stream, b"x\n") == b"X\n"
        assert time.monotonic() - began >= 0.12
        stream[1].close()


async def test_a_forgotten_connection_is_dead_without_a_word_and_a_new_one_works():
    async with relayed() as (path, server):
        old, busy = await connected(path), await connected(path)
        await ask(old, b"old\n")
        await ask(busy, b"busy\n")
        path.change(weather(half_open={}))
        new = await connected(path)
        assert await ask(new, b"new\n") == b"NEW\n"
        old[1].write(b"lost\n")
        server.writers[1].close()
        await hears_nothing(old[0])
        await hears_nothing(busy[0])
        path.change(FAIR)  # what is forgotten stays so
        old[1].close()
        assert await ask(new, b"still\n") == b"STILL\n"
        assert server.heard == [b"old\n", b"busy\n", b"new\n", b"still\n"]
        assert server.ends == ["in order"]  # what it has closed itself
        new[1].close()
        busy[1].close()


async def test_a_firewall_forgets_what_was_idle_for_longer_than_it_remembers():
    async with relayed() as (path, server):
        path.change(weather(half_open={"idle_s": 1.0}))
        used, idle = await connected(path), await connected(path)
        await ask(idle, b"idle\n")
        until = time.monotonic() + 2.0
        while time.monotonic() < until:
            assert await ask(used, b"used\n") == b"USED\n"
            await asyncio.sleep(0.02)
        idle[1].write(b"lost\n")
        await hears_nothing(idle[0])
        assert b"lost\n" not in server.heard
        used[1].close()
        idle[1].close()


async def test_a_dead_replica_refuses_connections_behind_the_relay_too_until_it_is_back():
    server = Server()
    port = free_port()
    listening = await asyncio.start_server(server, "127.0.0.1", port)
    path = Path("127.0.0.1", port, random.Random(1))
    listening.close()
    await listening.wait_closed()
    try:
        first = await connected(path)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(first[0].read(1), AT_MOST_S)

        with pytest.raises(ConnectionRefusedError):
            await connected(path)
        listening = await asyncio.start_server(server, "127.0.0.1", port)
        path.serve()
        stream = await connected(path)
        assert await ask(stream, b"back\n") == b"BACK\n"
        stream[1].close()
    finally:
        path.close()
        listening.close()
