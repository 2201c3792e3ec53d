"""The replica: serves work, plays its faults, and knows whether it is ready."""

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from prometheus_client import CollectorRegistry
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from services.backend import faults
from services.backend.asking import Asking, CallsFailedError
from services.backend.draws import attempt_demand_ms
from services.backend.faults import Effects, FaultSet
from services.backend.ledger import Entry, Ledger
from services.backend.listener import Listener, cut
from services.backend.load import Load
from services.backend.settings import MAX_DEADLINE_MS, MAX_DEMAND_MS, ReplicaSettings
from services.backend.telemetry import Telemetry
from services.backend.work import CpuWork, HeldWork, Served, SleepWork, Then, Work
from services.backend.work_queue import NEVER, QueueFullError
from services.draws import uniform
from services.journal import tell

GONE = 499
"""Status of an answer that nobody reads any more (nginx's)."""


class Replica:
    """State and behaviour behind the HTTP routes."""

    def __init__(
        self, settings: ReplicaSettings, ledger: Ledger | None = None, downstream: str | None = None
    ) -> None:
        """Needs a running event loop; `downstream` is the URL of the router whose replicas it calls."""
        self.settings = settings
        self._ledger = ledger
        self._telemetry = Telemetry(settings.concurrency)
        self.in_flight = 0
        self.draining = False
        self.data: Listener | None = None
        self.has_admin = False
        self.faults: FaultSet = {}
        self._faults_since = 0.0
        size = (settings.concurrency, settings.queue_limit, settings.speed)
        self.calls = None if downstream is None or not settings.fanout else Asking(downstream, settings)
        if self.calls is not None and settings.slot == "held":
            self._work: Work = HeldWork(*size)
        else:
            self._work = SleepWork(*size, settings.discipline) if settings.kind == "sleep" else CpuWork(*size)
        self._load = Load(settings.concurrency)
        self._numbers = itertools.count(1)

    # -- faults

    async def set_faults(self, active: FaultSet) -> None:
        """Make `active` the whole set.

        Raises:
            ValueError: `refuse` could never be healed without a second port, or cannot be while its port is taken.
        """
        if "refuse" in active and not self.has_admin:
            raise ValueError("refuse: needs --admin-port, on which it can be healed")
        if self.data is not None and ("refuse" in active) != self.data.refusing:
            if self.data.refusing:
                await self.data.accept_again()
            else:
                self.data.refuse()
        if active:
            tell("faults_set", logging.WARNING, faults=active)
        elif self.faults:
            tell("faults_cleared", faults=self.faults, after_s=time.monotonic() - self._faults_since)
        self.faults = active
        self._faults_since = time.monotonic()
        self._work.set_speed(faults.speed_under(active, self.settings.speed))

    def _effects(self, request: Request, request_id: str, attempt: str, *, check: bool) -> Effects:
        """What the faults do to this request; nothing on the admin port."""
        if not self.faults or (self.has_admin and not self._is_data(request)):
            return faults.NONE
        settings = self.settings
        return faults.effects(
            self.faults,
            lambda purpose: uniform(settings.seed, request_id, settings.id, attempt, purpose),
            time.monotonic() - self._faults_since,
            check=check,
        )

    def _is_data(self, request: Request) -> bool:
        server = request.scope.get("server")
        return self.data is not None and server is not None and server[1] == self.data.address[1]

    async def _play(self, effects: Effects, request: Request) -> Response | None:
        """Delay, hang, cut or fail; None where the request goes on."""
        if effects.added_s:
            await asyncio.sleep(effects.added_s)
        if effects.hang:
            await asyncio.get_running_loop().create_future()
        if effects.reset:
            cut(request.scope["aegis.transport"])
            await asyncio.get_running_loop().create_future()
        if effects.status is not None:
            return self._answer(effects.status, {"error": "injected fault"})
        return None

    # -- answers

    def _answer(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
        return JSONResponse(
            {"replica": self.settings.id, **body},
            status,
            {"X-Aegis-Replica": self.settings.id, "X-Aegis-In-Flight": str(self.in_flight), **(headers or {})},
        )

    def _metrics(self) -> dict[str, str]:
        """What routers are told of its load with an answer to work: ORCA's header in its text form."""
        busy, per_s, errors = self._load.rates(time.monotonic())
        told = f"TEXT application_utilization={busy:.4g},rps_fractional={per_s:.5g},eps={errors:.4g}"
        return {"Endpoint-Load-Metrics": told}

    async def work(self, request: Request) -> Response:
        """Serve one request of work."""
        headers = request.headers
        request_id = headers.get("x-request-id") or f"own-{next(self._numbers)}"
        attempt = headers.get("x-aegis-attempt", "1")
        if (send := headers.get("x-aegis-send")) is not None:  # its client has asked before
            attempt = f"{send}.{attempt}"
        try:
            demand = self._demand_ms(headers.get("x-aegis-demand-ms"), request_id, attempt)
            expires = time.monotonic() + _within_s(headers.get("x-aegis-deadline-ms"))
        except ValueError as error:
            self._telemetry.ended("invalid", "422")
            return self._answer(422, {"error": str(error)})
        self.in_flight += 1  # from its head on: who drains waits for the body, too
        try:
            async for _ in request.stream():
                continue  # the body is work's input; nothing is kept of it
            answer = await self._unless_gone(
                request, lambda: self._work_or_fail(request, request_id, attempt, demand, expires)
            )
        except ClientDisconnect:
            answer = Response(status_code=GONE)
        finally:
            self.in_flight -= 1
        if answer.status_code == GONE:
            self._telemetry.ended("cancelled")
        return answer

    async def _work_or_fail(
        self, request: Request, request_id: str, attempt: str, demand: float, expires: float
    ) -> Response:
        found, came = self.in_flight - 1, time.monotonic()
        entry = self._entry(request, request_id)
        effects = self._effects(request, request_id, attempt, check=False)
        if entry is not None and (effects.added_s or effects.hang):
            entry.taken(NEVER)
        try:
            answer = await self._play(effects, request)
        except asyncio.CancelledError:
            if entry is not None:
                entry.ended("failed" if effects.reset else "cancelled")
            raise
        if answer is not None:
            if entry is not None:
                entry.ended("failed")
            self._telemetry.ended("fault", str(answer.status_code))
            self._load.failed(time.monotonic())
            answer.headers.update(self._metrics())
            return answer
        try:
            then = self._then(request, request_id, attempt, expires)
            serving = self._work.serve(demand / 1e3, expires - time.monotonic(), entry, then)
            served = await (serving if self.settings.on_hangup == "cancel" else asyncio.shield(serving))
        except asyncio.CancelledError:
            if entry is not None:
                entry.is_unread = True
            raise
        except QueueFullError:
            if entry is not None:
                entry.ended("refused")
            self._telemetry.ended("overloaded", "503")
            self._load.failed(time.monotonic())
            return self._answer(503, {"error": "the queue is full"}, self._metrics())
        except CallsFailedError as error:
            self._telemetry.ended("downstream", str(error.status))
            self._load.failed(time.monotonic())
            return self._answer(error.status, {"error": str(error)}, self._metrics())
        if served.is_dropped:
            self._telemetry.ended("expired", "504")
            self._load.failed(time.monotonic())
            return self._answer(504, {"error": "its turn came after its deadline"}, self._metrics())
        self._observe(served)
        now = time.monotonic()
        self._load.served(found, now - came, served.service_s, now)
        queue_ms, service_ms = f"{served.queue_s * 1e3:.3f}", f"{served.service_s * 1e3:.3f}"
        return self._answer(
            200,
            {"request_id": request_id, "queue_ms": float(queue_ms), "service_ms": float(service_ms)},
            {"X-Aegis-Queue-Ms": queue_ms, "X-Aegis-Service-Ms": service_ms, **self._metrics()},
        )

    def _entry(self, request: Request, request_id: str) -> Entry | None:
        """The attempt in the ledger, where there is one."""
        if self._ledger is None:
            return None
        send, attempt = (request.headers.get(name, "1") for name in ("x-aegis-send", "x-aegis-attempt"))
        return self._ledger.entry(request_id, send, attempt, request.method)

    def _then(self, request: Request, request_id: str, attempt: str, expires: float) -> Then | None:
        """The calls that follow its own work; None = it makes none."""
        calls = self.calls
        if calls is None:
            return None
        return lambda: calls.ask(request_id, attempt, request.headers.get("x-aegis-key"), expires, self.faults)

    def _observe(self, served: Served) -> None:
        self._telemetry.ended("ok", "200")
        self._telemetry.queue.observe(served.queue_s)
        self._telemetry.service.observe(served.service_s)
        self._telemetry.late.observe(served.late_s)

    def measured(self) -> CollectorRegistry:
        """The metrics, with those of this moment."""
        self._telemetry.look_at(self.in_flight, self._work.waiting(), self._work.busy(), self.faults)
        return self._telemetry.registry

    def _demand_ms(self, header: str | None, request_id: str, attempt: str) -> float:
        """The demand of this attempt, milliseconds.

        Raises:
            ValueError: the header is no number within bounds.
        """
        if header is None:
            return attempt_demand_ms(self.settings, None, request_id, attempt)
        demand = _number("X-Aegis-Demand-Ms", header, MAX_DEMAND_MS)
        return attempt_demand_ms(self.settings, demand, request_id, attempt)

    async def _unless_gone(self, request: Request, handler: Callable[[], Awaitable[Response]]) -> Response:
        """Run the handler; stop it when the client hangs up (nobody reads the answer then)."""
        task = asyncio.ensure_future(handler())
        gone = asyncio.ensure_future(request.receive())
        gone.add_done_callback(lambda _: task.cancel())
        try:
            return await task
        except asyncio.CancelledError:
            if not gone.done() or gone.cancelled():
                raise
            return Response(status_code=GONE)
        finally:
            gone.cancel()
            task.cancel()

    async def probe(self, request: Request) -> Response:
        """Load at this moment."""
        return await self._checked(
            request,
            lambda: self._answer(
                200,
                {
                    "in_flight": self.in_flight,
                    "waiting": self._work.waiting(),
                    "wait_ms": round(self._work.wait_s() * 1e3, 3),
                    "latency_ms": self._expected_ms(),
                    "concurrency": self.settings.concurrency,
                },
            ),
        )

    def _expected_ms(self) -> float | None:
        expected_s = self._load.latency_s(self.in_flight, time.monotonic())
        return None if expected_s is None else round(expected_s * 1e3, 3)

    async def readyz(self, request: Request) -> Response:
        """Whether the router may send work."""
        status = 503 if self.draining else 200
        queues = self.settings.checks == "queue"
        return await self._checked(request, lambda: self._answer(status, {"ready": status == 200}), queues=queues)

    async def _checked(self, request: Request, answer: Callable[[], Response], *, queues: bool = False) -> Response:
        async def handler() -> Response:
            effects = self._effects(request, f"check-{next(self._numbers)}", "1", check=True)
            played = await self._play(effects, request)
            if played is None and queues:
                try:
                    await self._work.serve(0.0)
                except QueueFullError:
                    return self._answer(503, {"error": "the queue is full"})
            return played or answer()

        if not self.faults and not queues:
            return answer()
        async for _ in request.stream():
            continue
        return await self._unless_gone(request, handler)


def _number(name: str, text: str, most: float) -> float:
    """What a header holds, from 0 to `most`.

    Raises:
        ValueError: something else.
    """
    try:
        value = -1.0 if "_" in text else float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise ValueError(f"{name}={text[:40]}: must be a number between 0 and {most:g}")
    return value


def _within_s(header: str | None) -> float:
    """How long somebody waits for the answer from now on, seconds.

    Raises:
        ValueError: the header is no number within bounds.
    """
    return NEVER if header is None else _number("X-Aegis-Deadline-Ms", header, MAX_DEADLINE_MS) / 1e3
