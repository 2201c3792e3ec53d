"""Who is behind a proxy that is not Aegis': what replicas say of themselves, and what the proxy says of them.

To replicas and manager it is the router's admin port: registration, leases and draining are those of Aegis' router, by
the same objects. Who is in rotation is the proxy's word alone.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from experiments.data_planes import HOST, Member, Standing
from services.router.events import EventLog
from services.router.fleet import Fleet
from services.router.membership import Membership
from services.router.replica import Replica, describe
from services.router.settings import EjectionSettings, HealthCheckSettings
from services.startup import listen, url_of

AS_SAID = HealthCheckSettings(unhealthy_threshold=1, healthy_threshold=1, panic_threshold=0)
"""The proxy has thresholds of its own: each of its words counts at once."""
CHECKED = "health_check"


class Registry:
    """Those of one run."""

    def __init__(self, changed: Callable[[], Awaitable[bool]], proxy: str) -> None:
        """`changed` is awaited when somebody has said something new, and says whether the proxy has heard it.

        `proxy` is its name, for the events.
        """
        self._changed = changed
        self._proxy = proxy
        self._cause = CHECKED
        """Why the proxy has taken out, or takes back, the one that is looked at."""
        self._out_for: dict[str, str] = {}
        self._counted: dict[str, int] = {}
        self._requests = 0
        self._busy: list[Replica] = []
        """Who had something under way when the proxy was last asked."""
        self._knows_in_flight = False
        """Whether the proxy has ever said what is under way."""
        self._began_at = time.monotonic()
        self.events = EventLog(lambda *_, **__: None)
        self.fleet = Fleet(AS_SAID, EjectionSettings(enabled=False), self._emit)
        self._runner: web.AppRunner | None = None

    def _emit(self, event: str, replica: str, now: float, **detail: object) -> None:
        """As the fleet says it, but for why: that is the proxy's."""
        if event == "registered":
            self._out_for.pop(replica, None)
        elif event == "ejected":
            self._out_for[replica] = self._cause
            detail = {"cause": self._cause, "reason": f"as {self._proxy} says"}
        elif event == "readmitted" and self._out_for.pop(replica, CHECKED) != CHECKED:
            detail = {"cause": "ejection_over"}
        self.events.emit(event, replica, now, **detail)

    @property
    def members(self) -> tuple[Member, ...]:
        """Whom the proxy is to know."""
        return tuple(
            Member(each.id, *_place(each.url), weight=each.weight, draining=each.draining)
            for each in self.fleet.replicas.values()
        )

    def of_now(self, told: Iterable[Member], standings: Mapping[str, Standing]) -> dict[str, Standing]:
        """Of what the proxy says of those that it was told of, that of replicas still at the same place.

        Who came back elsewhere while it was asked is another process, of which it knows nothing yet.
        """
        now = {(each.name, each.host, each.port) for each in self.members}
        same = {each.name for each in told if (each.name, each.host, each.port) in now}
        return {name: standing for name, standing in standings.items() if name in same}

    def see(self, standings: Mapping[str, Standing], now: float) -> None:
        """What the proxy says, by replica.

        Who has left, or drains and is known to it no more, has nothing under way by it.
        """
        for replica in self._busy:
            is_there = self.fleet.replicas.get(replica.id) is replica
            if not is_there or (replica.draining and replica.id not in standings):
                _holds(replica, 0, now)
        for id_, standing in standings.items():
            if id_ not in self.fleet.replicas:
                continue
            replica = self.fleet.replicas[id_]
            self._cause = standing.cause or CHECKED
            self.fleet.on_check(id_, standing.in_rotation, now)
            if standing.in_flight is not None:
                self._knows_in_flight = True
                _holds(replica, standing.in_flight, now)
            if standing.requests is not None:
                before = self._counted.get(id_, 0)
                new = standing.requests - (before if standing.requests >= before else 0)  # else it began anew
                self._counted[id_] = standing.requests
                replica.requests_total += new
                self._requests += new
        self._busy = [each for each in self.fleet.replicas.values() if each.in_flight]

    def rest(self, now: float) -> None:
        """The proxy has ended, and with it all that was under way."""
        for replica in self._busy:
            _holds(replica, 0, now)
        self._busy = []

    async def serve(self) -> str:
        """Listen on loopback; returns where."""
        app = Membership(self.fleet, self.events).app()
        app.middlewares.append(self._after)
        app.add_routes([web.get("/stats", self._stats)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        sock = listen(HOST, 0)
        await web.SockSite(self._runner, sock).start()
        return url_of(sock)

    @web.middleware
    async def _after(self, request: web.Request, handler: Any) -> web.StreamResponse:  # noqa: ANN401
        """Who drains is answered when the proxy knows it and sends nothing more; 503 where it has not heard it."""
        response: web.StreamResponse = await handler(request)
        if request.method not in ("PUT", "DELETE") or await self._changed():
            return response
        replica = self.fleet.replicas.get(request.match_info.get("id", ""))
        if response.status >= 300 or replica is None or not replica.draining:
            return response
        error = f"{self._proxy} has not heard yet that {replica.id} drains"
        return web.json_response({"error": error}, status=503)

    async def _stats(self, _: web.Request) -> web.Response:
        """What of the router's `/stats` is known; requests are attempts, and nobody knows how long they took."""
        now = time.monotonic()
        replicas = self.fleet.replicas.values()
        return web.json_response(
            {
                "monotonic_s": now,
                "unix_s": time.time(),
                "began_s": self._began_at,
                "in_flight": sum(each.in_flight for each in replicas) if self._knows_in_flight else None,
                "work_seconds_total": round(self.fleet.work_seconds(now), 6),
                "requests_total": self._requests,
                "latencies_ms": {},
                "replicas": [describe(each, now) for each in replicas],
            }
        )

    async def close(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or HOST, parts.port or 80


def _holds(replica: Replica, in_flight: int, now: float) -> None:
    """So much is under way there from now on."""
    replica.pass_time(now)
    replica.in_flight = in_flight
