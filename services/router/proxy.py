"""The data plane: takes a request, picks a replica, passes bodies through in both directions."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from services.router.fleet import Fleet, Replica
from services.router.forwarding import VIA, end_to_end, origin_form, passed_via, to_replica
from services.router.policies import Outcome, Pick, Policy, RequestInfo
from services.router.retries import IDEMPOTENT, Attempts, RetryBudget
from services.router.settings import RouterSettings
from services.router.telemetry import Telemetry

KEEPALIVE_S = 15.0
"""Idle connections to replicas are closed by the router first: the replicas wait for 75 s (caddy #6452)."""
SMALL_BODY_BYTES = 65_536
"""An answer up to this size is passed on in one piece."""
CHUNK_BYTES = 65_536
RETRIED_STATUSES = frozenset({500, 502, 504})
"""Answers that count as a failed attempt; 503 counts as `overloaded`."""
RETRY_AFTER_S = 1


class PolicyError(Exception):
    """The policy raised, or returned something that it was not offered."""


@dataclass(slots=True)
class Failure:
    """An attempt without an answer."""

    status: int
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
        self._fleet = fleet
        self._policy = policy
        self._telemetry = telemetry
        self._session = session
        self._budget = RetryBudget(settings.retry)
        self.in_flight = 0
        self.totals: dict[str, int] = {"requests": 0, "retries": 0, "rejected": 0, "cancelled": 0}
        self.responses: dict[str, int] = {}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        began = time.monotonic()
        self.in_flight += 1
        self.totals["requests"] += 1
        try:
            response = await self._serve(request, began)
        except asyncio.CancelledError:
            self.totals["cancelled"] += 1
            self._telemetry.cancelled.inc()
            raise
        finally:
            self.in_flight -= 1
        status_class = f"{response.status // 100}xx"
        self.responses[status_class] = self.responses.get(status_class, 0) + 1
        self._telemetry.answered(response.status, time.monotonic() - began)
        return response

    async def _serve(self, request: web.BaseRequest, began: float) -> web.StreamResponse:
        settings = self._settings
        exchange = _Exchange(request, began, settings.timeouts.idle_s)
        complete = await exchange.take_body(settings.retry.max_body_bytes)
        # The time that a request may take begins when its body is there, as in Envoy: a slow client is no slow replica.
        attempts = Attempts(
            settings.retry,
            settings.timeouts,
            self._budget,
            idempotent=request.method in IDEMPOTENT,
            now=time.monotonic(),
        )
        if not complete:
            return self._reject(exchange, attempts, 408, "client_timeout", exchange.stalled)
        if exchange.target is None:
            return self._reject(exchange, attempts, 501, "target", f"{request.method} {request.raw_path}: not proxied")
        while True:
            now = time.monotonic()
            candidates = self._fleet.candidates(attempts.tried)
            if not candidates:
                return self._reject(exchange, attempts, 503, "no_replica", "no replica is in rotation")
            try:
                replica = self._pick(candidates, RequestInfo(exchange.id, exchange.key, attempts.count + 1), now)
            except PolicyError as error:
                return self._reject(exchange, attempts, 500, "policy", str(error))
            if attempts.count:
                self.totals["retries"] += 1
                self._telemetry.retries.inc()
            answer = await self._attempt(exchange, attempts, replica, now)
            if isinstance(answer, web.StreamResponse):
                return answer
            if answer is not None:
                return self._reject(exchange, attempts, answer.status, answer.reason, answer.detail)

    def _pick(self, candidates: list[Replica], info: RequestInfo, now: float) -> Replica:
        try:
            pick: Pick = self._policy.pick(candidates, info, now)
            replica = pick.replica
        except Exception as error:
            raise PolicyError(f"the policy raised {type(error).__name__}: {error}") from error
        if not any(replica is candidate for candidate in candidates):
            raise PolicyError("the policy returned a replica that it was not offered")
        return replica  # type: ignore[return-value]

    async def _attempt(
        self, exchange: "_Exchange", attempts: Attempts, replica: Replica, now: float
    ) -> web.StreamResponse | Failure | None:
        """One attempt: the answer, a final failure, or None for "again, elsewhere"."""
        limit = attempts.begin(replica.id, now)
        exchange.headers["X-Aegis-Attempt"] = str(attempts.count)
        self._fleet.on_start(replica, now)
        self._policy.on_start(replica, now)
        outcome: Outcome = "cancelled"
        reason = ""
        upstream: aiohttp.ClientResponse | None = None
        try:
            try:
                upstream = await self._send(exchange, replica, limit)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                if exchange.client_stalled:
                    return Failure(408, "client_timeout", exchange.stalled, sent=True)
                failure = _failure(error, exchange.body_started, limit)
                outcome, reason = "error", failure.reason
                return None if self._again(attempts, exchange, outcome, failure.sent) else failure
            finally:
                exchange.waited_s += time.monotonic() - exchange.asked_at
            if upstream.status == 503 or upstream.status in RETRIED_STATUSES:
                bad: Outcome = "overloaded" if upstream.status == 503 else "error"
                reason = f"status {upstream.status}"
                if self._again(attempts, exchange, bad, sent=True):
                    outcome = bad
                    return None
                response = await self._pass_on(exchange, attempts, upstream)
                outcome = bad
                return response
            response = await self._pass_on(exchange, attempts, upstream)
            outcome = "ok"
            return response
        except _BrokenAnswerError as error:
            outcome, reason = "error", "reset in the body"
            if exchange.request.transport is not None:
                exchange.request.transport.abort()
            raise asyncio.CancelledError from error
        finally:
            if upstream is not None:
                upstream.release() if outcome == "ok" else upstream.close()
            ended = time.monotonic()
            self._fleet.on_finish(replica, outcome, ended - now, ended, reason)
            self._policy.on_finish(replica, outcome, ended - now, ended)

    def _again(self, attempts: Attempts, exchange: "_Exchange", outcome: Outcome, sent: bool) -> bool:
        others = any(candidate.id not in attempts.tried for candidate in self._fleet.candidates(attempts.tried))
        return attempts.may_retry(outcome, time.monotonic(), sent=sent, replayable=exchange.replayable, others=others)

    async def _send(self, exchange: "_Exchange", replica: Replica, limit: float) -> aiohttp.ClientResponse:
        """Send the request; return when the response headers are there."""
        url = URL(f"{replica.url}{exchange.target}", encoded=True)
        exchange.asked_at = time.monotonic()
        async with asyncio.timeout(limit) as patience:
            try:
                return await self._session.request(
                    exchange.request.method,
                    url,
                    headers=exchange.headers,
                    data=exchange.body(patience, limit),
                    allow_redirects=False,
                )
            finally:
                exchange.patience = None

    async def _pass_on(
        self, exchange: "_Exchange", attempts: Attempts, upstream: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        """Pass the answer to the client.

        Raises:
            _BrokenAnswerError: the replica broke off in the middle of the body.
        """
        headers = end_to_end(upstream.headers)
        headers["Via"] = passed_via(upstream.headers, upstream.version)
        headers["X-Aegis-Attempts"] = str(attempts.count)
        request = exchange.request
        length = upstream.content_length
        bodiless = request.method == "HEAD" or upstream.status in (204, 304)
        small = length is not None and length <= SMALL_BODY_BYTES and not bodiless
        try:
            body = await upstream.read() if small else b""
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _BrokenAnswerError from error
        own = time.monotonic() - exchange.began - exchange.waited_s
        headers["X-Aegis-Router-Ms"] = f"{own * 1e3:.3f}"
        if small:
            headers.pop("Content-Length", None)
            return web.Response(status=upstream.status, reason=upstream.reason, headers=headers, body=body)
        response = web.StreamResponse(status=upstream.status, reason=upstream.reason, headers=headers)
        if length is None and not bodiless and request.version >= aiohttp.HttpVersion11:
            response.enable_chunked_encoding()
        await response.prepare(request)
        if not bodiless:
            try:
                async for chunk in upstream.content.iter_chunked(CHUNK_BYTES):
                    await response.write(chunk)
            except (aiohttp.ClientPayloadError, TimeoutError) as error:
                raise _BrokenAnswerError from error
        await response.write_eof()
        return response

    def _reject(self, exchange: "_Exchange", attempts: Attempts, status: int, reason: str, detail: str) -> web.Response:
        """An answer of the router's own."""
        self.totals["rejected"] += 1
        self._telemetry.rejected.labels(reason).inc()
        headers: dict[str, str] = {"X-Aegis-Attempts": str(attempts.count), "Via": VIA}
        own = time.monotonic() - exchange.began - exchange.waited_s
        headers["X-Aegis-Router-Ms"] = f"{own * 1e3:.3f}"
        if status == 503:
            headers["Retry-After"] = str(RETRY_AFTER_S)
        body = json.dumps({"error": detail, "reason": reason})
        return web.Response(status=status, text=body, content_type="application/json", headers=headers)


class _BrokenAnswerError(Exception):
    """The replica broke off after its headers had been passed on."""


class _Exchange:
    """One request and what is known of it on its way."""

    def __init__(self, request: web.BaseRequest, began: float, idle_s: float) -> None:
        self.request = request
        self.began = began
        self.headers = to_replica(request)
        self.id = self.headers["X-Request-Id"]
        self.key = self.headers.get("X-Aegis-Key")
        self.target = origin_form(request.raw_path)
        self.asked_at = began
        self.waited_s = 0.0
        self.body_started = False
        self.client_stalled = False
        self.patience: asyncio.Timeout | None = None
        """Ends the attempt under way; None once it has been answered."""
        self._idle_s = idle_s
        self._kept: bytes | None = None
        self._has_body = request.can_read_body

    @property
    def stalled(self) -> str:
        """What a client hears that stops in the middle of its body."""
        return f"the request's body did not go on for {self._idle_s:g} s"

    async def take_body(self, keep_up_to: int) -> bool:
        """Keep a small body, so that it can be sent again; False where the client does not finish it."""
        if not self._has_body:
            return True
        if self.request.headers.get("Expect", "").lower() == "100-continue":
            writer = self.request.transport
            if writer is not None:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = self.request.content_length
        if length is not None and length <= keep_up_to:
            asked_at = time.monotonic()
            try:
                async with asyncio.timeout(self._idle_s):
                    self._kept = await self.request.read()
            except TimeoutError:
                self.client_stalled = True
            self.waited_s += time.monotonic() - asked_at
        return not self.client_stalled

    @property
    def replayable(self) -> bool:
        """Whether the request can still be sent from its beginning."""
        return not self._has_body or self._kept is not None or not self.body_started

    def body(self, patience: asyncio.Timeout, limit: float) -> Any:  # noqa: ANN401
        """What aiohttp is to send; `patience` is the attempt's timeout, `limit` what it has for its answer."""
        if not self._has_body:
            return None
        self.patience = patience
        return self._kept if self._kept is not None else self._stream(limit)

    async def _stream(self, limit: float) -> AsyncIterator[bytes]:
        """The body in pieces. Until it has been sent only a pause in it counts; then the answer has `limit` seconds."""
        self.body_started = True
        while True:
            self._be_patient(None)
            try:
                async with asyncio.timeout(self._idle_s):
                    chunk = await self.request.content.readany()
            except TimeoutError:
                self.client_stalled = True
                raise
            if not chunk:
                break
            self._be_patient(self._idle_s)
            yield chunk
        self._be_patient(limit)

    def _be_patient(self, seconds: float | None) -> None:
        if self.patience is not None and not self.patience.expired():
            self.patience.reschedule(None if seconds is None else asyncio.get_running_loop().time() + seconds)


def _failure(error: BaseException, body_started: bool, limit: float) -> Failure:
    """What an exception of the client means."""
    connecting = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
    if isinstance(error, connecting):
        return Failure(502, "connect", f"cannot connect to the replica: {error}", sent=body_started)
    if isinstance(error, TimeoutError):
        return Failure(504, "timeout", f"the replica did not answer within {limit:.3g} s", sent=True)
    return Failure(502, "reset", f"the replica broke off: {str(error) or type(error).__name__}", sent=True)


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
