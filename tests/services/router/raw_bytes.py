"""What a proxy makes of odd bytes, in a word each: `python -m tests.services.router.raw_bytes` measures the proxies that
are installed, and writes docs/raw_bytes.md; the columns of the others stay.
"""

import asyncio
import contextlib
import dataclasses
import re
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from experiments.data_planes import DATA_PLANES, HOST, Front, local
from experiments.router_cost import running
from services.router.settings import RouterSettings
from tests.ports import free_port
from tests.services.router.raw_cases import FAREWELLS, FROM_CLIENTS, FROM_REPLICAS

Found = dict[str, dict[str, str]]
"""By what sends, and by case: what came of it, in a word."""
PAGE = Path(__file__).parents[3] / "docs" / "raw_bytes.md"
TITLES = {"aegis": "Aegis", "nginx": "nginx 1.22", "haproxy": "HAProxy 2.6", "envoy": "Envoy 1.40"}
QUIET = 1 / 6
"""After an answer, for so much of the patience with which one is waited for, nothing more must come."""
STATUS = re.compile(rb"HTTP/1\.[01] (\d+)[^\r\n]*\r\n")
INTRODUCTION = """\
# Odd bytes

    python -m tests.services.router.raw_bytes    # measure the proxies that are installed, and write this page

What a client hears where it, or a replica, sends what is not quite HTTP (RFC 9112). `tests/services/router/` holds
Aegis' column; the cases stand, to the byte, in `raw_cases.py`. One attempt a request, no ejection; the peers are
configured as for [what a request costs](policies.md#what-a-request-costs), and otherwise as they come.

- A number is the status of an answer, two of them two answers. *Closes* and *waits*: there is none within seconds, and
  the connection is closed or open. (Aegis ends half a head with 408 after `router.timeouts.head_s`, 30 s.)
- *Passes n*: as many requests arrived at the replica as there are answers from it, unless another number stands there.
- *Cut off*: the client gets a part of the answer, and can tell that it is no whole. *As it came*: what is no answer is
  passed on. *Stray*: bytes follow that belong to no request.
"""
CLIENTS = "## What clients send\n\n"
REPLICAS = "## What replicas answer\n\n"


class Replica:
    """Answers what stands in the path: `/in/...` in a friendly way, `/out/<number>` with the bytes of that case."""

    def __init__(self) -> None:
        """Nobody has asked."""
        self.seen: dict[bytes, int] = {}
        self.server: asyncio.Server

    async def start(self) -> int:
        """Listen; returns the port."""
        self.server = await asyncio.start_server(self._serve, HOST, 0, limit=1 << 20)
        return int(self.server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ValueError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ", 2)[1]
                if path.startswith(b"/out/"):
                    writer.write(list(FROM_REPLICAS.values())[int(path.split(b"/")[2])])
                    await writer.drain()
                    break
                await self._body(head, reader)
                case = b"/".join(path.split(b"/")[:3]).split(b"#")[0]
                self.seen[case.rstrip(b"\x01\xff")] = self.seen.get(case.rstrip(b"\x01\xff"), 0) + 1
                writer.write(b"HTTP/1.1 200 OK\r\nX-From: replica\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async def _body(self, head: bytes, reader: asyncio.StreamReader) -> None:
        lower = head.lower()
        if b"\r\ntransfer-encoding: chunked\r\n" in lower:
            while (await reader.readuntil(b"\r\n")) != b"0\r\n":
                pass
            while (await reader.readuntil(b"\r\n")) != b"\r\n":
                pass
        elif (found := re.search(rb"\r\ncontent-length: *(\d+)\r\n", lower)) is not None:
            await reader.readexactly(int(found[1]))


async def _heard(port: int, sent: bytes, patience_s: float, *, farewell: bool) -> tuple[bytes, bool]:
    """All that a client hears, and whether the connection was closed."""
    reader, writer = await asyncio.open_connection(HOST, port)
    heard = b""
    try:
        writer.write(sent)
        if farewell:
            writer.write_eof()
        while True:
            wait_s = patience_s * (QUIET if STATUS.search(heard) is not None else 1)
            piece = await asyncio.wait_for(reader.read(1 << 16), wait_s)
            if not piece:
                return heard, True
            heard += piece
    except TimeoutError:
        return heard, False
    except ConnectionError:
        return heard, True
    finally:
        writer.close()


async def from_client(port: int, replica: Replica, number: int, patience_s: float) -> str:
    """What comes of one of `FROM_CLIENTS`, in a word."""
    name, sent = list(FROM_CLIENTS.items())[number]
    path = b"/in/%d" % number
    replica.seen.pop(path, None)
    farewell = name in FAREWELLS
    heard, closed = await _heard(port, sent.replace(b"{path}", path), patience_s, farewell=farewell)
    statuses = [status.decode() for status in STATUS.findall(heard)]
    word = ", ".join(statuses) or ("closes" if closed else "waits")
    seen = replica.seen.get(path, 0)
    return word if seen == heard.lower().count(b"x-from: replica") else f"{word}; passes {seen}"


async def from_replica(port: int, number: int, patience_s: float) -> str:
    """What comes of one of `FROM_REPLICAS`, in a word."""
    sent = b"GET /out/%d HTTP/1.1\r\nHost: x\r\n\r\n" % number
    heard, closed = await _heard(port, sent, patience_s, farewell=False)
    while heard.startswith(b"HTTP/1.1 100 "):
        heard = heard.partition(b"\r\n\r\n")[2]
    found = STATUS.match(heard)
    if found is None:
        return "as it came" if heard else "closes" if closed else "waits"
    status, (head, _, body) = found[1].decode(), heard.partition(b"\r\n\r\n")
    lower = head.lower() + b"\r\n"
    if status in ("101", "204"):
        whole, stray = True, status == "204" and bool(body)
    elif b"transfer-encoding: chunked" in lower:
        whole = body.endswith(b"\r\n\r\n")
        stray = b"stray" in body
    elif (length := re.search(rb"\r\ncontent-length: (\d+)\r\n", lower)) is not None:
        whole, stray = len(body) >= int(length[1]), len(body) > int(length[1])
    else:
        whole, stray = closed, False
    return status + ("" if whole else ", cut off") + (", stray" if stray else "")


async def measured(plane: str, only: dict[str, set[str]] | None = None, patience_s: float = 3.0) -> Found:
    """The words for a proxy, by what sends and by case; `only` some of them."""
    settings = RouterSettings()
    settings = dataclasses.replace(
        settings,
        health=dataclasses.replace(settings.health, interval_s=600),
        ejection=dataclasses.replace(settings.ejection, enabled=False),
        retry=dataclasses.replace(settings.retry, max_attempts=1),
    )
    asking: dict[str, dict[str, Coroutine[Any, Any, str]]] = {CLIENTS: {}, REPLICAS: {}}
    replica = Replica()
    upstream = await replica.start()
    with tempfile.TemporaryDirectory() as folder:
        front = Front(free_port(), local([upstream]), settings, "least_request", Path(folder))
        async with running(DATA_PLANES.create(plane, {}), front, []):
            for number, name in enumerate(FROM_CLIENTS):
                if only is None or name in only[CLIENTS]:
                    asking[CLIENTS][name] = from_client(front.port, replica, number, patience_s)
            for number, name in enumerate(FROM_REPLICAS):
                if only is None or name in only[REPLICAS]:
                    asking[REPLICAS][name] = from_replica(front.port, number, patience_s)
            found = {
                section: dict(zip(cases, await asyncio.gather(*cases.values()), strict=True))
                for section, cases in asking.items()
            }
    replica.server.close()
    return found


def columns(page: str) -> dict[str, Found]:
    """What stands on the page: by proxy's title, by what sends, by case."""
    found: dict[str, Found] = {}
    for section in (CLIENTS, REPLICAS):
        lines = page.partition(section)[2].partition("\n\n")[0].splitlines()
        if not lines:
            continue
        titles = [cell.strip() for cell in lines[0].strip("|").split("|")][1:]
        for line in lines[2:]:
            name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            for title, cell in zip(titles, cells, strict=True):
                found.setdefault(title, {}).setdefault(section, {})[name] = cell
    return found


def written(found: dict[str, Found]) -> str:
    """The page."""
    titles = [title for title in TITLES.values() if title in found]
    parts = [INTRODUCTION]
    for section, cases in ((CLIENTS, FROM_CLIENTS), (REPLICAS, FROM_REPLICAS)):
        rows = [f"| | {' | '.join(titles)} |", f"|---|{'---|' * len(titles)}"]
        rows += [f"| {name} | {' | '.join(found[title][section].get(name, '') for title in titles)} |" for name in cases]
        parts.append(section + "\n".join(rows) + "\n")
    return "\n".join(parts)


async def main() -> None:
    """Measure, and write the page."""
    found = columns(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else {}
    for plane, title in TITLES.items():
        with tempfile.TemporaryDirectory() as folder:
            front = Front(1, local([1]), RouterSettings(), "", Path(folder))
            if DATA_PLANES.create(plane, {}).command(front) is None:
                continue
        found[title] = await measured(plane)
    PAGE.write_text(written(found), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())
