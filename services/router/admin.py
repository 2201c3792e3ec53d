"""The admin port: who is in the fleet, what was seen, what happened."""

import time

from aiohttp import web

from services import compiled
from services.door.access import admin_token
from services.exposition import exposed
from services.router.discovery import target_groups
from services.router.events import EventLog
from services.router.fleet import Fleet
from services.router.membership import Membership
from services.router.openapi import document
from services.router.proxy import Proxy
from services.router.replica import describe
from services.router.telemetry import Telemetry
from services.router.wire.heartbeat import Heartbeat


class Admin:
    """The handlers of the admin port."""

    def __init__(
        self, fleet: Fleet, proxy: Proxy, events: EventLog, telemetry: Telemetry, heartbeat: Heartbeat, policy: str
    ) -> None:
        """`policy` is its name, for `/stats`."""
        self._fleet = fleet
        self._proxy = proxy
        self._membership = Membership(fleet, events)
        self._telemetry = telemetry
        self._heartbeat = heartbeat
        self._policy = policy
        self._began_at = time.monotonic()

    def app(self) -> web.Application:
        """The application with its routes."""
        app = self._membership.app()
        app.add_routes(
            [
                web.get("/openapi.json", self._describe),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
                web.get("/sd", self._discover),
                web.get("/stats", self._stats),
            ]
        )
        return app

    async def _describe(self, _: web.Request) -> web.Response:
        return web.json_response(document(asks_for_token=admin_token() is not None))

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _readyz(self, _: web.Request) -> web.Response:
        status = "draining" if self._proxy.draining else "ready" if self._fleet.candidates() else "no replica"
        return web.json_response({"status": status}, status=200 if status == "ready" else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        limit = self._proxy.limit
        self._telemetry.in_flight.set(self._proxy.in_flight)
        self._telemetry.waiting.set(self._proxy.waiting)
        self._telemetry.limit.set(float("nan") if limit is None else limit)
        body, content_type = exposed(self._telemetry.registry, request.headers.get("Accept"))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _discover(self, _: web.Request) -> web.Response:
        return web.json_response(target_groups(self._fleet.replicas.values()))

    async def _stats(self, _: web.Request) -> web.Response:
        now = time.monotonic()
        proxy = self._proxy
        return web.json_response(
            {
                "monotonic_s": now,
                "unix_s": time.time(),
                "policy": self._policy,
                "compiled": compiled.state.is_compiled,
                "began_s": self._began_at,
                "in_flight": proxy.in_flight,
                "waiting": proxy.waiting,
                "attempts_limit": proxy.limit,
                "loop_lag_s": round(self._heartbeat.recent_s, 6),
                "loop_lag_worst_s": round(self._heartbeat.worst_s, 6),
                "loop_lag_seconds_total": round(self._heartbeat.total_s, 6),
                "work_seconds_total": round(proxy.work_seconds(now), 6),
                **{f"{name}_total": count for name, count in proxy.totals.items()},
                "responses": proxy.responses,
                "latencies_ms": proxy.latencies.told(),
                "picks": self._fleet.picks,
                "probes_total": 0 if proxy.prober is None else proxy.prober.sent,
                "probes_unanswered_total": 0 if proxy.prober is None else proxy.prober.unanswered,
                "replicas": [describe(replica, now) for replica in self._fleet.replicas.values()],
            }
        )
