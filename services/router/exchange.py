"""One request on its way through the router: its body, its times, and what may still be done with it."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

from services.router.dispatch import FAILURE_STATUS
from services.router.forwarding import origin_form, to_replica

REJECTIONS = {
    **FAILURE_STATUS,
    "client_timeout": 408,
    "malformed": 400,
    "target": 501,
    "loop": 508,
    "no_replica": 503,
    "policy": 500,
    "bad_answer": 502,
    "exhausted": 503,
}
"""Why the router answers for itself, with the status that it answers."""


class BadAnswerError(Exception):
    """The replica's answer cannot be passed on; the text says why."""


@dataclass(slots=True)
class Failure:
    """Why there is no answer of a replica's to pass on."""

    reason: str
    """A key of `REJECTIONS`."""
    detail: str
    sent: bool
    """Whether any of the request may have reached the replica."""


def failure_of(error: BaseException, body_started: bool, limit: float) -> Failure:
    """What an exception while a replica was asked means; it had `limit` seconds to answer."""
    connecting = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
    if isinstance(error, connecting):
        return Failure("connect", f"cannot connect to the replica: {error}", sent=body_started)
    if isinstance(error, TimeoutError):
        return Failure("timeout", f"the replica did not answer within {limit:.3g} s", sent=True)
    if isinstance(error, BadAnswerError):
        return Failure("bad_answer", f"the replica's answer: {error}", sent=True)
    return Failure("reset", f"the replica broke off: {str(error) or type(error).__name__}", sent=True)


@dataclass(slots=True)
class Answer:
    """A replica's answer."""

    upstream: aiohttp.ClientResponse
    at: float
    """When its headers came."""
    body: bytes | None = None
    """Of a small answer; the others are passed on in pieces."""


class Exchange:
    """One request and what is known of it on its way."""

    def __init__(self, request: web.BaseRequest, began: float, idle_s: float) -> None:
        """`began` on the monotonic clock; `idle_s` is the longest pause in the body."""
        self.request = request
        self.began = began
        self.headers = to_replica(request)
        self.id = self.headers["X-Request-Id"]
        self.key = self.headers.get("X-Aegis-Key")
        self.target = origin_form(request.raw_path)
        self.asked_at: float | None = began
        """When the replica had the whole request; None while the client still sends it."""
        self.attempt_at = began
        self.waited_s = 0.0
        self.body_started = False
        self.client_fault: Failure | None = None
        """What the client did wrong in its body; no replica is blamed for it."""
        self.patience: asyncio.Timeout | None = None
        """Ends the attempt under way; None once it has been answered."""
        self._idle_s = idle_s
        self._kept: bytes | None = None
        self._has_body = request.can_read_body

    def own_ms(self) -> str:
        """The router's own time until now, milliseconds."""
        return f"{(time.monotonic() - self.began - self.waited_s) * 1e3:.3f}"

    def latency_s(self, answer: Answer | None) -> float:
        """What the replica took, without the client's own time for sending and reading: 0 = nothing is known."""
        if answer is not None:  # it may come before the request is complete
            return answer.at - (self.attempt_at if self.asked_at is None else min(self.asked_at, answer.at))
        return 0.0 if self.asked_at is None else time.monotonic() - self.asked_at

    def is_bodiless(self, upstream: aiohttp.ClientResponse) -> bool:
        """Whether an answer has no body, whatever its headers say (RFC 9112, section 6.3)."""
        return self.request.method == "HEAD" or upstream.status in (204, 304)

    async def take_body(self, keep_up_to: int) -> bool:
        """Keep a small body, so that it can be sent again; False where it does not come whole (`client_fault`)."""
        request = self.request
        if not self._has_body:
            return True
        expects = request.headers.get("Expect", "").lower() == "100-continue"
        if expects and request.version >= aiohttp.HttpVersion11 and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = request.content_length
        if length is not None and length <= keep_up_to:
            began = time.monotonic()
            try:
                self._kept = b"".join([chunk async for chunk in self._pieces()])
            except (TimeoutError, web.RequestPayloadError):
                return False
            finally:
                self.waited_s += time.monotonic() - began
        return True

    async def _pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes.

        Raises:
            TimeoutError: the client pauses for too long.
            RequestPayloadError: it cannot be read, since its coding is wrong.
        """
        while True:
            try:
                async with asyncio.timeout(self._idle_s):
                    chunk = await self.request.content.readany()
            except TimeoutError:
                detail = f"the request's body did not go on for {self._idle_s:g} s"
                self.client_fault = Failure("client_timeout", detail, sent=True)
                raise
            except web.RequestPayloadError as error:
                self.client_fault = Failure("malformed", f"the request's body: {error}", sent=True)
                raise
            if not chunk:
                return
            yield chunk

    @property
    def replayable(self) -> bool:
        """Whether the request can still be sent from its beginning."""
        return not self._has_body or self._kept is not None or not self.body_started

    def body(self, limit: float) -> Any:  # noqa: ANN401
        """What aiohttp is to send; the answer to a streamed body has `limit` seconds from its end."""
        if not self._has_body:
            return None
        return self._kept if self._kept is not None else self._stream(limit)

    async def _stream(self, limit: float) -> AsyncIterator[bytes]:
        """The body in pieces. Until it has been sent only a pause in it counts; then the answer has `limit` seconds."""
        self.body_started = True
        self.asked_at = None
        self._be_patient(None)
        async for chunk in self._pieces():
            self._be_patient(self._idle_s)
            yield chunk
            self._be_patient(None)
        self.asked_at = time.monotonic()
        self._be_patient(limit)

    def _be_patient(self, seconds: float | None) -> None:
        if self.patience is not None and not self.patience.expired():
            self.patience.reschedule(None if seconds is None else asyncio.get_running_loop().time() + seconds)
