"""`python -m experiments.relay --router http://127.0.0.1:8081`: registers replicas at addresses of its own.

To replicas and manager it is the router's admin port: it passes on what they say, with its own address in the place of
a replica's, and gives them back the answers. `PUT /paths/{id}` holds what the path to a replica does, as
`PUT /faults` of a replica: the whole set. On loopback only.
"""

import argparse
import asyncio
import contextlib
import random
import signal
from collections import defaultdict
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from experiments.relay.connections import Path
from experiments.relay.faults import FAIR, Weather, parse
from experiments.relay.propagation import Propagation, Word
from services.startup import announce, listen, url_of

HOP = frozenset({"connection", "content-length", "host", "keep-alive", "transfer-encoding"})
"""Headers that belong to one connection (RFC 9110, section 7.6.1), and those that are made anew."""
TIMEOUT_S = 2.0


class Relay:
    """All paths of one router, and what is said to it of their replicas."""

    def __init__(self, router: str, session: aiohttp.ClientSession, seed: int) -> None:
        """`router` is its admin URL."""
        self._router = router.rstrip("/")
        self._session = session
        self._seed = seed
        self._weather: dict[str, Weather] = {}
        self._paths: dict[tuple[str, str], Path] = {}
        """By the replica's id and its own address."""
        self._news: dict[str, Propagation] = {}
        self._headers: dict[str, dict[str, str]] = {}
        """Of a replica's last word: its token."""
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._orders: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """Words of one replica arrive one after another."""
        self._telling: set[asyncio.Task[None]] = set()

    # -- paths

    async def put_path(self, request: web.Request) -> web.Response:
        """Make the body the path's whole set."""
        id_ = request.match_info["id"]
        try:
            weather = Weather(parse(await request.json()))
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=422)
        self._weather[id_] = weather
        for (owner, _), path in self._paths.items():
            if owner == id_:
                path.change(weather)
        if weather.late_s == 0 and id_ in self._news:
            self._tell(id_, self._news[id_].hurry())
        return web.json_response({"active": weather.active})

    def _near(self, id_: str, url: str) -> str:
        """The relay's address for a replica at `url`, where somebody listens from now on."""
        path = self._paths.get((id_, url))
        if path is None:
            parts = urlsplit(url)
            rng = random.Random(f"{self._seed}-{id_}")
            path = self._paths[id_, url] = Path(parts.hostname or "", parts.port or 80, rng)
            path.change(self._weather.get(id_, FAIR))
        path.serve()
        return f"http://127.0.0.1:{path.port}"

    # -- membership

    async def put_replica(self, request: web.Request) -> web.Response:
        """A replica says that it comes, is there, or drains."""
        id_, body = request.match_info["id"], await request.json()
        if "url" not in body:  # an operator's word
            return await self.forward(request)
        self._near(id_, body["url"])
        return await self._said(id_, Word(body["url"], body), request)

    async def delete_replica(self, request: web.Request) -> web.Response:
        """A replica has gone."""
        id_, url = request.match_info["id"], request.query.get("url")
        if url is None:
            return await self.forward(request)
        if (path := self._paths.get((id_, url))) is not None:
            path.refuse()
        return await self._said(id_, Word(url, None), request)

    async def _said(self, id_: str, word: Word, request: web.Request) -> web.Response:
        """Answered by the router where it hears it at once, else that it is known."""
        self._headers[id_] = _passed(request.headers)
        now = asyncio.get_running_loop().time()
        news = self._news.setdefault(id_, Propagation())
        heard = news.say(word, self._weather.get(id_, FAIR).late_s, now)
        if heard == [word]:
            return await self._ask(id_, word)
        self._tell(id_, heard)
        self._arm(id_)
        return web.json_response({})

    def _arm(self, id_: str) -> None:
        if id_ not in self._timers and (at := self._news[id_].next_at) is not None:
            self._timers[id_] = asyncio.get_running_loop().call_at(at, self._arrived, id_)

    def _arrived(self, id_: str) -> None:
        self._timers.pop(id_, None)
        self._tell(id_, self._news[id_].arrived(asyncio.get_running_loop().time()))
        self._arm(id_)

    def _tell(self, id_: str, words: list[Word]) -> None:
        """Pass words on, one after another; their replica has its answer."""

        async def tell() -> None:
            for word in words:
                await self._ask(id_, word)

        if words:
            task = asyncio.get_running_loop().create_task(tell())
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def _ask(self, id_: str, word: Word) -> web.Response:
        path = self._paths.get((id_, word.url))
        near = word.url if path is None else f"http://127.0.0.1:{path.port}"
        where, headers = f"/replicas/{id_}", self._headers[id_]
        async with self._orders[id_]:
            if word.body is None:
                return await self._send("DELETE", where, headers, params={"url": near})
            return await self._send("PUT", where, headers, json={**word.body, "url": near})

    # -- the rest

    async def forward(self, request: web.Request) -> web.Response:
        """Anything else goes to the router as it is."""
        return await self._send(request.method, request.path_qs, _passed(request.headers), data=await request.read())

    async def _send(self, method: str, where: str, headers: dict[str, str], **what: Any) -> web.Response:  # noqa: ANN401
        try:
            async with self._session.request(method, self._router + where, headers=headers, **what) as response:
                text, status, kind = await response.text(), response.status, response.content_type
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return web.json_response({"error": f"the router gives no answer: {error}"}, status=502)
        for (_, url), path in self._paths.items():
            text = text.replace(f'"http://127.0.0.1:{path.port}"', f'"{url}"')
        return web.Response(text=text, status=status, content_type=kind)

    async def close(self) -> None:
        """Leave nothing behind."""
        for timer in self._timers.values():
            timer.cancel()
        for path in self._paths.values():
            path.close()
        await asyncio.gather(*self._telling, return_exceptions=True)


def _passed(headers: Any) -> dict[str, str]:  # noqa: ANN401 - aiohttp's own
    return {name: value for name, value in headers.items() if name.lower() not in HOP}


async def serve(router: str, port: int, seed: int) -> None:
    """Serve until SIGTERM."""
    sock = listen("127.0.0.1", port)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session:
        relay = Relay(router, session, seed)
        app = web.Application()
        app.router.add_put("/paths/{id}", relay.put_path)
        app.router.add_put("/replicas/{id}", relay.put_replica)
        app.router.add_delete("/replicas/{id}", relay.delete_replica)
        app.router.add_route("*", "/{rest:.*}", relay.forward)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.SockSite(runner, sock, shutdown_timeout=1.0).start()
        announce("relay", url=url_of(sock))
        await stopping.wait()
        await relay.close()
        await runner.cleanup()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m experiments.relay", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--router", required=True, help="its admin URL")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--seed", type=int, default=0, help="of the delays")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(arguments.router, arguments.port, arguments.seed))


if __name__ == "__main__":
    main()
