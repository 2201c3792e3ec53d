"""The data plane: takes a request, picks a replica, passes bodies through in both directions."""

import asyncio
import json
import logging
import time

import aiohttp
from aiohttp import web

from services.descriptors import NO_PORT, own_fault
from services.journal import tell
from services.router.dispatch import Dispatcher, NoReplicaError, PolicyError, outcome_of
from services.router.exchange import REJECTIONS, Answer, BadAnswerError, Exchange, Failure, failure_of
from services.router.fleet import Fleet
from services.router.forwarding import VIA, end_to_end, passed_via, unfit, was_here
from services.router.policies import Outcome, Policy
from services.router.replica import Replica
from services.router.retries import IDEMPOTENT, Attempts
from services.router.settings import RouterSettings
from services.router.telemetry import CLIENTS, Telemetry
from services.router.upstream import CHUNK_BYTES, exact_url
from services.tracing import RequestTrace, Tracing

SMALL_BODY_BYTES = 65_536
"""An answer up to this size is passed on in one piece."""
RETRY_AFTER_S = 1
_TURNED_AWAY = json.dumps(
    {"error": "more clients are connected than the router has descriptors for", "reason": "exhausted"}
)
TURNED_AWAY = (
    f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {len(_TURNED_AWAY)}\r\n"
    f"Retry-After: {RETRY_AFTER_S}\r\nVia: {VIA}\r\nConnection: close\r\n\r\n{_TURNED_AWAY}"
).encode()
"""The answer to clients beyond the limit, which is the same for all."""


class BrokenAnswerError(Exception):
    """The replica broke off after its headers had been passed on."""


class Proxy:
    """Serves the data port."""

    def __init__(
        self,
        settings: RouterSettings,
        fleet: Fleet,
        policy: Policy,
        telemetry: Telemetry,
        session: aiohttp.ClientSession,
        tracing: Tracing | None = None,
    ) -> None:
        """`session` is made by `upstream.client_session`; `tracing` makes spans, where they are asked for."""
        self._settings = settings
        self._dispatcher = Dispatcher(settings, fleet, policy)
        self._telemetry = telemetry
        self._session = session
        self._tracing = tracing
        self.in_flight = 0
        self.draining = False
        """Every answer is now the last on its connection, and says so."""
        counted = ("requests", "retries", "rejected", "cancelled", "broken", "exhausted")
        self.totals: dict[str, int] = dict.fromkeys(counted, 0)
        self.responses: dict[str, int] = {}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        began = time.monotonic()
        self.in_flight += 1
        self.totals["requests"] += 1
        tracing = self._tracing
        trace = None if tracing is None else tracing.request(request.method, request.raw_path, request.headers)
        try:
            response = await self._serve(request, began, trace)
        except (asyncio.CancelledError, ConnectionError) as error:
            self.totals["cancelled"] += 1
            self._ended("cancelled", time.monotonic() - began, trace)
            raise asyncio.CancelledError from error
        except BrokenAnswerError as error:
            self.totals["broken"] += 1
            self._ended("broken", time.monotonic() - began, trace)
            if request.transport is not None:
                request.transport.abort()  # the client must not take the part for the whole
            raise asyncio.CancelledError from error
        finally:
            self.in_flight -= 1
        self._answered(response, time.monotonic() - began, trace)
        return response

    def _answered(self, response: web.StreamResponse, seconds: float, trace: RequestTrace | None = None) -> None:
        status_class = f"{response.status // 100}xx"
        self.responses[status_class] = self.responses.get(status_class, 0) + 1
        self._ended(status_class, seconds, trace, response.status)

    def _ended(self, end: str, seconds: float, trace: RequestTrace | None, status: int | None = None) -> None:
        """A request has ended; without `status` nobody was answered in full."""
        self._telemetry.ended(end, seconds, None if trace is None else trace.trace_id)
        if trace is not None:
            trace.ended(status, end if status is None else None)

    def refuse(self, detail: str) -> web.StreamResponse:
        """Answer what could not be read as a request; `detail` says why."""
        self.totals["requests"] += 1
        response = self._own_answer("malformed", detail, {"Via": VIA})
        response.force_close()
        self._answered(response, 0.0)
        return response

    def exhausted(self, error: str) -> None:
        """A connection to a replica could not be made for want of something of the router's own (`EMFILE`, ...)."""
        self.totals["exhausted"] += 1
        self._telemetry.exhausted(error)
        tell("exhausted", logging.ERROR, lacks=error)

    def turn_away(self) -> bytes:
        """What a client hears beyond those that the router has descriptors for; it has asked nothing yet."""
        self.exhausted(CLIENTS)
        self.totals["rejected"] += 1
        self._telemetry.rejected("exhausted")
        return TURNED_AWAY

    async def _serve(self, request: web.BaseRequest, began: float, trace: RequestTrace | None) -> web.StreamResponse:
        settings = self._settings
        exchange = Exchange(request, began, settings.timeouts.idle_s)
        complete = await exchange.take_body(settings.retry.max_body_bytes)
        # The time that a request may take begins when its body is there, as in Envoy: a slow client is no slow replica.
        attempts = self._dispatcher.open(time.monotonic(), idempotent=request.method in IDEMPOTENT)
        attempts.trace = trace
        if not complete and exchange.client_fault is not None:
            return self._reject(exchange, attempts, exchange.client_fault)
        if (failure := _refused(exchange)) is not None:
            return self._reject(exchange, attempts, failure)
        while True:
            now = time.monotonic()
            try:
                replica, limit = self._dispatcher.choose(attempts, exchange.id, exchange.key, now)
            except NoReplicaError:
                return self._reject(exchange, attempts, Failure("no_replica", "no replica is in rotation", sent=False))
            except PolicyError as error:
                tell("policy_failed", logging.ERROR, error=str(error))
                return self._reject(exchange, attempts, Failure("policy", str(error), sent=False))
            if attempts.count > 1:
                self.totals["retries"] += 1
                self._telemetry.retries.inc()
            answer = await self._attempt(exchange, attempts, replica, limit)
            if isinstance(answer, web.StreamResponse):
                return answer
            if answer is not None:
                return self._reject(exchange, attempts, answer)

    async def _attempt(
        self, exchange: Exchange, attempts: Attempts, replica: Replica, limit: float
    ) -> web.StreamResponse | Failure | None:
        """One attempt, which was begun: the answer, a final failure, or None for "again, elsewhere"."""
        exchange.headers["X-Aegis-Attempt"] = str(attempts.count)
        if attempts.trace is not None:
            exchange.headers.update(attempts.trace.headers())
        outcome: Outcome = "cancelled"
        reason = ""
        is_own = False
        answer: Answer | None = None
        try:
            try:
                answer = await self._send(exchange, replica, limit)
            except (aiohttp.ClientError, OSError, TimeoutError, BadAnswerError) as error:
                if exchange.client_fault is not None:
                    return exchange.client_fault
                if (lacks := own_fault(error)) is not None:
                    self.exhausted(lacks)
                    is_own = True
                    # Towards the others there may be ports; towards this one there is none a moment later either.
                    if lacks == NO_PORT and self._again(attempts, exchange, "overloaded", sent=False):
                        return None
                    return Failure("exhausted", f"the router itself can make no connection: {lacks}", sent=False)
                failure = failure_of(error, exchange.body_started, limit)
                outcome, reason = "error", failure.reason
                return None if self._again(attempts, exchange, outcome, failure.sent) else failure
            status = answer.upstream.status
            after = outcome_of(status)
            if after != "ok":
                reason = f"status {status}"
                if self._again(attempts, exchange, after, sent=True):
                    outcome = after
                    return None
            response = await self._pass_on(exchange, attempts, answer)
            outcome = after
            return response
        except BrokenAnswerError:
            outcome, reason = "error", "reset in the body"
            raise
        finally:
            if answer is not None:
                answer.upstream.release() if outcome == "ok" else answer.upstream.close()
            self._dispatcher.finish(replica, outcome, exchange.latency_s(answer), time.monotonic(), reason)
            self._telemetry.attempted("exhausted" if is_own else outcome)

    def _again(self, attempts: Attempts, exchange: Exchange, outcome: Outcome, sent: bool) -> bool:
        now = time.monotonic()
        return self._dispatcher.follows(attempts, outcome, now, sent=sent, replayable=exchange.replayable)

    async def _send(self, exchange: Exchange, replica: Replica, limit: float) -> Answer:
        """Send the request; return when the answer's headers are there, of a small answer the body, too."""
        url = exact_url(replica.url, exchange.target or "/")
        began = exchange.attempt_at = exchange.asked_at = time.monotonic()
        try:
            async with asyncio.timeout(limit) as exchange.patience:
                upstream = await self._session.request(
                    exchange.request.method,
                    url,
                    headers=exchange.headers,
                    data=exchange.body(limit),
                    allow_redirects=False,
                )
                answer = Answer(upstream, time.monotonic())
                if (what := unfit(upstream.headers, upstream.reason or "")) is not None:
                    upstream.close()
                    raise BadAnswerError(what)
                length = upstream.content_length
                if length is not None and length <= SMALL_BODY_BYTES and not exchange.is_bodiless(upstream):
                    try:
                        answer.body = await upstream.read()
                    except BaseException:
                        upstream.close()
                        raise
                return answer
        finally:
            exchange.patience = None
            exchange.waited_s += time.monotonic() - began

    async def _pass_on(self, exchange: Exchange, attempts: Attempts, answer: Answer) -> web.StreamResponse:
        """Pass the answer to the client.

        Raises:
            BrokenAnswerError: the replica broke off in the middle of the body.
            CancelledError: the client has not read for `idle_s`, and was cut off.
        """
        upstream, request = answer.upstream, exchange.request
        headers = end_to_end(upstream.headers)
        headers["Via"] = passed_via(upstream.headers, upstream.version)
        headers["X-Aegis-Attempts"] = str(attempts.count)
        headers["X-Aegis-Router-Ms"] = exchange.own_ms()
        if answer.body is not None:
            headers.pop("Content-Length", None)
            whole = web.Response(status=upstream.status, reason=upstream.reason, headers=headers, body=answer.body)
            return self._closing(exchange, whole)
        response = web.StreamResponse(status=upstream.status, reason=upstream.reason, headers=headers)
        self._closing(exchange, response)
        is_bodiless = exchange.is_bodiless(upstream)
        if upstream.content_length is None and not is_bodiless and request.version >= aiohttp.HttpVersion11:
            response.enable_chunked_encoding()
        await response.prepare(request)
        if not is_bodiless:
            await self._pass_body(exchange, upstream, response)
        await response.write_eof()
        return response

    async def _pass_body(
        self, exchange: Exchange, upstream: aiohttp.ClientResponse, response: web.StreamResponse
    ) -> None:
        chunks = upstream.content.iter_chunked(CHUNK_BYTES)
        idle_s = self._settings.timeouts.idle_s
        while True:
            try:
                async with asyncio.timeout(idle_s):
                    chunk = await anext(chunks, None)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise BrokenAnswerError from error
            if chunk is None:
                return
            try:
                async with asyncio.timeout(idle_s):
                    await response.write(chunk)
            except TimeoutError as error:
                if exchange.request.transport is not None:
                    exchange.request.transport.abort()
                raise asyncio.CancelledError from error

    def _closing(self, exchange: Exchange, response: web.StreamResponse) -> web.StreamResponse:
        """Close the connection after its last answer: at the end, and after `Upgrade`, when aiohttp reads no more."""
        if self.draining or "Upgrade" in exchange.request.headers:
            response.force_close()
        return response

    def _reject(self, exchange: Exchange, attempts: Attempts, failure: Failure) -> web.StreamResponse:
        """An answer of the router's own to a request."""
        headers: dict[str, str] = {"X-Aegis-Attempts": str(attempts.count), "Via": VIA}
        headers["X-Aegis-Router-Ms"] = exchange.own_ms()
        response = self._own_answer(failure.reason, failure.detail, headers)
        if exchange.client_fault is not None:
            response.force_close()  # where its next request begins cannot be known
        return self._closing(exchange, response)

    def _own_answer(self, reason: str, detail: str, headers: dict[str, str]) -> web.StreamResponse:
        self.totals["rejected"] += 1
        self._telemetry.rejected(reason)
        status = REJECTIONS[reason]
        if status == 503:
            headers["Retry-After"] = str(RETRY_AFTER_S)
        body = json.dumps({"error": detail, "reason": reason})
        return web.Response(status=status, text=body, content_type="application/json", headers=headers)


def _refused(exchange: Exchange) -> Failure | None:
    """Why a request is not passed on to anybody; None = it is."""
    request = exchange.request
    if was_here(request.headers):
        return Failure("loop", "a replica of this router leads back to it (Via)", sent=False)
    if (what := unfit(request.headers, request.raw_path)) is not None:
        return Failure("malformed", what, sent=False)
    if exchange.target is None:
        return Failure("target", f"{request.method} {request.raw_path}: not proxied", sent=False)
    return None
