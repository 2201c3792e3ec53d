"""The load process and the descriptors of its machine: it takes what there is, and says when that was too little."""

import asyncio
import os
import socket
from resource import RLIMIT_NOFILE, getrlimit, setrlimit

import pytest
from aiohttp import web

from experiments.load.client import Pool
from tests.experiments.sending import Load, answer, schedule, serving


def test_what_the_generator_has_no_descriptor_for_is_dropped_and_named_and_nobody_elses_failure(tmp_path):
    async def slow(_request):
        await asyncio.sleep(2.0)
        return web.Response()

    with serving(slow) as server:
        load = Load(tmp_path, [server.url], schedule(rate_rps=120.0, duration_s=1.0), descriptors=(64, 64))
        load.start()
        rows = load.end()
    dropped = rows[rows["outcome"] == "dropped"]
    about = load.about()
    assert about["descriptors"] == 64 and about["lacked"] == {"EMFILE": len(dropped)} and len(dropped) > 20
    assert set(rows["outcome"]) == {"ok", "dropped"} and dropped["sent_s"].isna().all()
    assert about["sent"] == len(rows) - len(dropped)


def test_the_generator_may_open_as_many_descriptors_as_the_machine_allows(tmp_path):
    hard = min(getrlimit(RLIMIT_NOFILE)[1], 20_000)
    with serving(answer) as server:
        load = Load(tmp_path, [server.url], schedule(rate_rps=20.0, duration_s=0.5), descriptors=(256, hard))
        load.start()
        load.end()
    assert load.about()["descriptors"] == hard and load.about()["lacked"] == {}


def test_connections_are_kept_open_beyond_descriptor_1024():
    pool = Pool("127.0.0.1", 9, "127.0.0.1", 9)
    ours, theirs = socket.socketpair()
    high = 1500
    if getrlimit(RLIMIT_NOFILE)[1] <= high:
        pytest.skip("this machine allows too few descriptors")
    before = getrlimit(RLIMIT_NOFILE)
    setrlimit(RLIMIT_NOFILE, (max(before[0], high + 1), before[1]))
    try:
        os.dup2(ours.fileno(), high)
        with socket.socket(fileno=high) as sock:
            assert pool._is_socket_alive(sock)
            theirs.send(b"HTTP/1.1 200 OK\r\n\r\n")
            assert not pool._is_socket_alive(sock), "what nobody asked for must not be read as the next answer"
    finally:
        setrlimit(RLIMIT_NOFILE, before)
        ours.close()
        theirs.close()
