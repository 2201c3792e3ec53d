"""The proxy or service at `router.url`, started by somebody else: whether it answers, and which processes it is."""

import asyncio
import contextlib
import os
import re
from collections.abc import Callable, Collection, Mapping

import aiohttp
import psutil
from multidict import CIMultiDict
from yarl import URL

from experiments.load.asking import Asking
from experiments.plan.config import Config, LoadConfig
from experiments.plan.external import address_of
from services.door.access import is_loopback
from services.processes import StartError

AGAIN_S = 0.25
"""Between two questions to one that is not ready yet."""
NOT_YET = frozenset({408, 425, 429})
"""Answers below 500 that may be other ones a moment later; of the rest the request itself is the cause."""
MOST_CHARACTERS = 80
"""Of a text of the other side that is shown."""


class Outside:
    """One of them."""

    def __init__(self, config: Config) -> None:
        """`config.router.url` is set."""
        assert config.router is not None and config.router.url is not None
        self.url = config.router.url.rstrip("/")
        self._load = config.load
        self._method = "POST" if config.workload.post_share == 1 else "GET"
        self._body_bytes = config.workload.body_bytes
        self._replicas = config.replicas
        self._host, port = address_of(self.url)
        self._ports = {port, *config.router.ports} if is_loopback(self._host) else set(config.router.ports)
        self._port = port
        self._processes: list[psutil.Process] = []

    async def listens(self, timeout_s: float) -> None:
        """Whether anybody takes a connection there; before anything is started for it.

        Raises:
            StartError: nobody does; one line.
        """
        try:
            async with asyncio.timeout(timeout_s):
                _, writer = await asyncio.open_connection(self._host, self._port)
                writer.close()
        except TimeoutError as error:
            raise StartError(f"router.url={self.url}: takes no connection within {timeout_s:g} s") from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise StartError(f"router.url={self.url}: nobody listens there ({reason}); start it first") from error

    async def ready(self, timeout_s: float, say: Callable[[str], None]) -> dict[str, str]:
        """Ask for what the load will ask for, until it is answered well; returns what the manifest is to say of it.

        Raises:
            StartError: it is not, within `timeout_s` or at all; one line with the way out.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            status, headers = await self._ask()
            is_good = 200 <= status < 400
            if is_good or (status < 500 and status not in NOT_YET) or loop.time() > deadline:
                break
            await asyncio.sleep(AGAIN_S)
        asked = f"{self._method} {self.url}{self._load.path}"
        if not is_good:
            raise StartError(f"{asked} is answered {status}{_location(headers)}: {_way_out(status, self._load)}")
        if status >= 300:
            say(f"note: {asked} is answered {status}{_location(headers)}: not followed, and counted as an answer")
        if self._replicas and "X-Aegis-Replica" not in headers:
            say(f"note: {asked} names no replica of ours (X-Aegis-Replica): is it in front of router.replica_port?")
        self._look()
        server = headers.get("Server")
        return {} if not server else {"server": _shown(server)}

    async def _ask(self) -> tuple[int, Mapping[str, str]]:
        """The status and the headers of one answer.

        Raises:
            StartError: there is none.
        """
        # What a generator says, but for the number and the demand: this one is no request of the schedule.
        asking = Asking.of(vars(self._load), self._body_bytes)
        ours = [("User-Agent", "aegis"), ("X-Request-Id", "preflight"), ("X-Aegis-Demand-Ms", "0")]
        headers = CIMultiDict(asking.headers)
        headers.extend([each for each in ours if each[0] not in headers])
        timeout_s = self._load.timeout_s
        try:
            async with (
                aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(total=timeout_s),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    auto_decompress=False,
                ) as session,
                session.request(
                    self._method,
                    URL(self.url + asking.path_of(0, "k0"), encoded=True),
                    headers=headers,
                    data=asking.body if self._method == "POST" else None,
                    allow_redirects=False,
                ) as response,
            ):
                await response.read()
                return response.status, response.headers
        except TimeoutError as error:
            raise StartError(f"router.url={self.url}: no answer within load.timeout_s={timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            text = _shown(str(error) or type(error).__name__)
            raise StartError(f"router.url={self.url}: no answer of HTTP comes from there ({text})") from error

    def pids(self) -> list[int]:
        """The process ids of who listens there, and of those whom they have started; empty = not known."""
        if self._processes and not all(process.is_running() for process in self._processes):
            self._look()
        return [process.pid for process in self._processes if process.is_running()]

    def _look(self) -> None:
        """See which processes they are; of others' no system tells everybody."""
        known: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            runner = psutil.Process(os.getpid())
            ours = {runner, *runner.children(recursive=True)}
            for pid in listeners(self._ports):
                with contextlib.suppress(psutil.Error):
                    process = psutil.Process(pid)
                    known += [each for each in (process, *process.children(recursive=True)) if each not in ours]
        self._processes = list(dict.fromkeys(known)) or self._processes


def listeners(ports: Collection[int]) -> list[int]:
    """The process ids of those who listen at one of `ports`, as far as the system tells."""
    if not ports:
        return []
    found = psutil.net_connections("tcp")
    pids = {each.pid for each in found if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr[1] in ports}
    return sorted(pid for pid in pids if pid)


def _shown(text: str) -> str:
    """A text of the other side in one line, without what a terminal would obey."""
    plain = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return plain if len(plain) <= MOST_CHARACTERS else f"{plain[: MOST_CHARACTERS - 3]}..."


def _location(headers: Mapping[str, str]) -> str:
    """Where a redirect leads, without what may be a secret: its query and fragment, and a name with a password."""
    where = headers.get("Location")
    if where is None:
        return ""
    place = re.sub(r"^((?:[a-z+.-]+:)?//)[^/]*@", r"\1", re.split(r"[?#]", where, maxsplit=1)[0], flags=re.IGNORECASE)
    return f" (to {_shown(place)})"


def _way_out(status: int, load: LoadConfig) -> str:
    if status in (401, 403, 407):
        has = "others" if load.headers_file is not None else "a file of lines as `Authorization: Bearer ...`"
        return f"load.headers_file says who asks; give {has}"
    if status in (404, 405, 410, 501):
        return "load.path says what is asked for, workload.post_share how"
    return "every request would fail; see its own log"
