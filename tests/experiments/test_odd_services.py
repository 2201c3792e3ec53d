"""Services as people have them: each answer, or its absence, is an outcome of a request, or one line before the run."""

import asyncio
import contextlib
import os
import threading

import pytest

from experiments.live.outside import Outside, listeners
from experiments.plan.check import check
from services.processes import StartError
from tests.experiments.sending import Load, schedule
from tests.experiments.test_external import configured
from tests.running import AT_MOST_S

pytestmark = pytest.mark.slow

LENGTH = b"Content-Length: 2\r\n\r\nok"
ANSWERS = {
    "plain": b"HTTP/1.1 200 OK\r\nServer: tiny/1\r\n" + LENGTH,
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "old": b"HTTP/1.0 200 OK\r\n\r\nuntil it is closed",
    "moved": b"HTTP/1.1 302 Found\r\nLocation: //me:pass@shop/login?token=s3cret#s3cret\r\n" + LENGTH,
    "empty": b"HTTP/1.1 204 No Content\r\n\r\n",
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n" + LENGTH,
    "who": b"HTTP/1.1 401 Unauthorized\r\n" + LENGTH,
    "nowhere": b"HTTP/1.1 404 Not Found\r\n" + LENGTH,
    "broken": b"HTTP/1.1 503 Service Unavailable\r\n" + LENGTH,
    "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nok",
    "none": b"220 mail.example ESMTP\r\n",
    "silent": b"",
}
OUTCOMES = {
    **dict.fromkeys(("plain", "chunked", "old", "moved", "empty", "interim"), "ok"),
    **dict.fromkeys(("who", "nowhere", "broken"), "http_error"),
    **dict.fromkeys(("cut", "none"), "reset"),
    "silent": "timeout",
}
KEPT = ("plain", "chunked", "empty", "interim", "moved", "who", "nowhere", "broken")
"""Answers after which the connection stays open."""


class Odd:
    """A server in a thread: the answer is named by the path, `/<name>`."""

    def __init__(self):
        self.heads = []
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait(AT_MOST_S)

    def _run(self, ready):
        async def begin():
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.port = self._server.sockets[0].getsockname()[1]
            self.url = f"http://127.0.0.1:{self.port}"

        self._loop.run_until_complete(begin())
        ready.set()
        self._loop.run_forever()
        self._server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, reader, writer):
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                name = head.split()[1].lstrip("/").partition("?")[0]
                if name == "silent":
                    await asyncio.sleep(3600)
                writer.write(ANSWERS[name])
                await writer.drain()
                if name not in KEPT:
                    break
        writer.close()

    def close(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(AT_MOST_S)


@pytest.fixture(scope="module")
def odd():
    server = Odd()
    yield server
    server.close()


def test_every_answer_of_a_service_is_an_outcome(odd, tmp_path):
    planned = schedule(rate_rps=30.0, duration_s=1.0).head(len(ANSWERS))
    names = list(ANSWERS)
    planned["key"] = names
    headers = tmp_path / "headers"
    headers.write_text("Authorization: Bearer s3cret\nHost: shop.example\n", encoding="utf-8")
    odd.heads.clear()
    load = Load(
        tmp_path, [odd.url], planned, timeout_s=3.0, asking={"path": "/{key}?n={id}", "headers_file": str(headers)}
    )
    load.start()
    rows = load.end()
    assert dict(zip(names, rows["outcome"], strict=True)) == OUTCOMES
    assert rows["status"].tolist()[:6] == [200, 200, 200, 302, 204, 200]
    assert rows[["replica", "attempts", "queue_s", "service_s", "router_s"]].isna().all(axis=None)
    asked = {int(head.split()[1].partition("n=")[2]): head for head in odd.heads}
    assert len(odd.heads) == len(asked) == len(ANSWERS)  # nothing is asked twice unasked
    for head in odd.heads:
        assert head.count("Host: ") == 1 and "\r\nHost: shop.example\r\n" in head
        assert "\r\nAuthorization: Bearer s3cret\r\n" in head and "\r\nX-Request-Id: " in head
    assert "s3cret" not in (tmp_path / "load-0.config").read_text()


async def looked_at(url, path, within_s=AT_MOST_S, **keys):
    """What a run says of a service before it begins: what goes to the manifest, and the lines."""
    config = configured(router__url=url, load__path=path, **keys)
    check(config)
    outside, said = Outside(config), []
    await outside.listens(AT_MOST_S)
    return await outside.ready(within_s, said.append), said


@pytest.mark.parametrize("name", ["plain", "chunked", "old", "empty", "interim"])
async def test_a_service_that_answers_is_measured(odd, name):
    about, said = await looked_at(odd.url, f"/{name}")
    assert said == [] and about == ({"server": "tiny/1"} if name == "plain" else {})


async def test_a_redirect_is_said_before_the_run(odd):
    _, (said,) = await looked_at(odd.url, "/moved")
    assert said.startswith(f"note: GET {odd.url}/moved is answered 302 (to //shop/login): not followed")
    assert "s3cret" not in said and "pass" not in said


async def test_a_proxy_that_is_not_before_the_runs_replicas_is_said(odd):
    _, (said,) = await looked_at(odd.url, "/plain", replicas=2, router__replica_port=9001)
    assert "names no replica of ours (X-Aegis-Replica): is it in front of router.replica_port?" in said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("who", "is answered 401: load.headers_file says who asks; give a file of lines"),
        ("nowhere", "is answered 404: load.path says what is asked for"),
        ("broken", "is answered 503: every request would fail"),
        ("none", "no answer of HTTP comes from there ("),
        ("cut", "no answer of HTTP comes from there ("),
        ("silent", "no answer within load.timeout_s=0.3 s"),
    ],
)
async def test_a_service_that_would_fail_every_request_is_refused_in_one_line(odd, name, words):
    within_s = {"silent": 0.3, "broken": 2.0}.get(name, AT_MOST_S)  # these two are asked for so long
    with pytest.raises(StartError) as caught:
        await looked_at(odd.url, f"/{name}", within_s, load__timeout_s=0.3)
    assert words in str(caught.value) and "\n" not in str(caught.value), str(caught.value)


async def test_nobody_there_and_no_such_host_are_refused_in_one_line(odd):
    for url in ("http://127.0.0.1:1", "http://nobody.localhost:1"):
        with pytest.raises(StartError) as caught:
            await looked_at(url, "/", load__allow_external=True)
        assert f"router.url={url}: nobody listens there (" in str(caught.value) and "\n" not in str(caught.value)


async def test_who_listens_is_found_by_its_ports(odd):
    outside = Outside(configured(router__url=odd.url, load__path="/plain"))
    await outside.ready(1.0, print)
    assert outside.pids() == []  # it is this process, which measures: nothing is counted twice
    assert listeners([odd.port]) == [os.getpid()] and listeners([]) == []
