"""The data plane: takes a request, picks a replica, passes bodies through in both directions."""

import asyncio
import json
import time
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from yarl import URL

from services.router.dispatch import FAILURE_STATUS, Dispatcher, NoReplicaError, PolicyError, outcome_of
from services.router.exchange import Answer, Exchange
from services.router.fleet import Fleet, Replica
from services.router.forwarding import VIA, end_to_end, passed_via
from services.router.policies import Outcome, Policy
from services.router.retries import IDEMPOTENT, Attempts
from services.router.settings import RouterSettings
from services.router.telemetry import Telemetry

KEEPALIVE_S = 15.0
"""Idle connections to replicas are closed by the router first: the replicas wait for 75 s (caddy #6452)."""
SMALL_BODY_BYTES = 65_536
"""An answer up to this size is passed on in one piece."""
CHUNK_BYTES = 65_536
RETRY_AFTER_S = 1


class BrokenAnswerError(Exception):
    """The replica broke off after its headers had been passed on."""


@dataclass(slots=True)
class Failure:
    """An attempt without an answer."""

    reason: str
    detail: str
    sent: bool


class Proxy:
    """Serves the data port."""

    def __init__(
        self,
        settings: RouterSettings,
        fleet: Fleet,
        policy: Policy,
        telemetry: Telemetry,
        session: aiohttp.ClientSession,
    ) -> None:
        """`session` is made by `client_session`."""
        self._settings = settings
        self._dispatcher = Dispatcher(settings, fleet, policy)
        self._telemetry = telemetry
        self._session = session
        self.in_flight = 0
        self.totals: dict[str, int] = {"requests": 0, "retries": 0, "rejected": 0, "cancelled": 0, "broken": 0}
        self.responses: dict[str, int] = {}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        began = time.monotonic()
        self.in_flight += 1
        self.totals["requests"] += 1
        try:
            response = await self._serve(request, began)
        except (asyncio.CancelledError, ConnectionError) as error:
            self.totals["cancelled"] += 1
            self._telemetry.ended("cancelled", time.monotonic() - began)
            raise asyncio.CancelledError from error
        except BrokenAnswerError as error:
            self.totals["broken"] += 1
            self._telemetry.ended("broken", time.monotonic() - began)
            if request.transport is not None:
                request.transport.abort()  # the client must not take the part for the whole
            raise asyncio.CancelledError from error
        finally:
            self.in_flight -= 1
        status_class = f"{response.status // 100}xx"
        self.responses[status_class] = self.responses.get(status_class, 0) + 1
        self._telemetry.ended(status_class, time.monotonic() - began)
        return response

    async def _serve(self, request: web.BaseRequest, began: float) -> web.StreamResponse:
        settings = self._settings
        exchange = Exchange(request, began, settings.timeouts.idle_s)
        complete = await exchange.take_body(settings.retry.max_body_bytes)
        # The time that a request may take begins when its body is there, as in Envoy: a slow client is no slow replica.
        attempts = self._dispatcher.open(time.monotonic(), idempotent=request.method in IDEMPOTENT)
        if not complete:
            return self._reject(exchange, attempts, 408, "client_timeout", exchange.stalled)
        if exchange.target is None:
            return self._reject(exchange, attempts, 501, "target", f"{request.method} {request.raw_path}: not proxied")
        while True:
            now = time.monotonic()
            try:
                replica, limit = self._dispatcher.choose(attempts, exchange.id, exchange.key, now)
            except NoReplicaError:
                return self._reject(exchange, attempts, 503, "no_replica", "no replica is in rotation")
            except PolicyError as error:
                return self._reject(exchange, attempts, 500, "policy", str(error))
            if attempts.count > 1:
                self.totals["retries"] += 1
                self._telemetry.retries.inc()
            answer = await self._attempt(exchange, attempts, replica, limit)
            if isinstance(answer, web.StreamResponse):
                return answer
            if answer is not None:
                status = FAILURE_STATUS.get(answer.reason, 408)
                return self._reject(exchange, attempts, status, answer.reason, answer.detail)

    async def _attempt(
        self, exchange: Exchange, attempts: Attempts, replica: Replica, limit: float
    ) -> web.StreamResponse | Failure | None:
        """One attempt, which was begun: the answer, a final failure, or None for "again, elsewhere"."""
        exchange.headers["X-Aegis-Attempt"] = str(attempts.count)
        outcome: Outcome = "cancelled"
        reason = ""
        answer: Answer | None = None
        try:
            try:
                answer = await self._send(exchange, replica, limit)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                if exchange.client_stalled:
                    return Failure("client_timeout", exchange.stalled, sent=True)
                failure = _failure(error, exchange.body_started, limit)
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
            self._telemetry.attempted(outcome)

    def _again(self, attempts: Attempts, exchange: Exchange, outcome: Outcome, sent: bool) -> bool:
        now = time.monotonic()
        return self._dispatcher.follows(attempts, outcome, now, sent=sent, replayable=exchange.replayable)

    async def _send(self, exchange: Exchange, replica: Replica, limit: float) -> Answer:
        """Send the request; return when the answer's headers are there, of a small answer the body, too."""
        url = URL(f"{replica.url}{exchange.target}", encoded=True)
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
            return exchange.closed_after_upgrade(whole)
        response = web.StreamResponse(status=upstream.status, reason=upstream.reason, headers=headers)
        exchange.closed_after_upgrade(response)
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
        while True:
            try:
                chunk = await anext(chunks, None)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise BrokenAnswerError from error
            if chunk is None:
                return
            try:
                async with asyncio.timeout(self._settings.timeouts.idle_s):
                    await response.write(chunk)
            except TimeoutError as error:
                if exchange.request.transport is not None:
                    exchange.request.transport.abort()
                raise asyncio.CancelledError from error

    def _reject(
        self, exchange: Exchange, attempts: Attempts, status: int, reason: str, detail: str
    ) -> web.StreamResponse:
        """An answer of the router's own."""
        self.totals["rejected"] += 1
        self._telemetry.rejected(reason)
        headers: dict[str, str] = {"X-Aegis-Attempts": str(attempts.count), "Via": VIA}
        headers["X-Aegis-Router-Ms"] = exchange.own_ms()
        if status == 503:
            headers["Retry-After"] = str(RETRY_AFTER_S)
        body = json.dumps({"error": detail, "reason": reason})
        response = web.Response(status=status, text=body, content_type="application/json", headers=headers)
        return exchange.closed_after_upgrade(response)


def _failure(error: BaseException, body_started: bool, limit: float) -> Failure:
    """What an exception of the client means."""
    connecting = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
    if isinstance(error, connecting):
        return Failure("connect", f"cannot connect to the replica: {error}", sent=body_started)
    if isinstance(error, TimeoutError):
        return Failure("timeout", f"the replica did not answer within {limit:.3g} s", sent=True)
    return Failure("reset", f"the replica broke off: {str(error) or type(error).__name__}", sent=True)


def client_session(settings: RouterSettings) -> aiohttp.ClientSession:
    """The client towards replicas: no cookies, no redirects, no pool limit, no silent retries."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        timeout=aiohttp.ClientTimeout(
            total=None, sock_connect=settings.timeouts.connect_s, sock_read=settings.timeouts.idle_s
        ),
        read_bufsize=CHUNK_BYTES,
    )
    # The client would resend idempotent requests by itself, past the retry budget (client.py, _retry_connection).
    session._retry_connection = False
    return session
