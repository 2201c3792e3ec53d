"""One request on its way through the router: its attempts, their time, and what may still be done with it.

Told what happens on two connections, one to the client and one to a replica; it knows nothing of bytes.
"""

import asyncio
import logging
import time
from dataclasses import dataclass

from services.descriptors import NO_PORT, own_fault
from services.journal import tell
from services.router.access_log import Log
from services.router.accounts import Accounts
from services.router.dispatch import Dispatcher, NoReplicaError, PolicyError, outcome_of
from services.router.policy import Outcome
from services.router.rejections import REJECTIONS, Failure, own_answer
from services.router.replica import Replica
from services.router.retries import IDEMPOTENT, Attempts
from services.router.settings import RouterSettings
from services.router.wire.client import GRACE_S, MAX_KEPT_BYTES, Client
from services.router.wire.heads import Passed, origin_form, to_client
from services.router.wire.heartbeat import Heartbeat
from services.router.wire.messages import Answer, Request
from services.router.wire.pool import Pool
from services.router.wire.replica import Connection
from services.tracing import RequestTrace, Tracing

SMALL_BODY_BYTES = 65_536
"""An answer up to this size is passed on in one piece."""
_IDEMPOTENT = frozenset(method.encode() for method in IDEMPOTENT)


@dataclass(slots=True)
class Means:
    """What every exchange works with."""

    settings: RouterSettings
    dispatcher: Dispatcher
    accounts: Accounts
    pool: Pool
    heartbeat: Heartbeat
    log: Log | None
    tracing: Tracing | None


class Exchange:
    """One request and what is known of it on its way."""

    __slots__ = (
        "_answer_at",
        "_asked_at",
        "_attempt_at",
        "_attempts",
        "_began",
        "_client",
        "_connecting",
        "_connection",
        "_fault",
        "_idle_s",
        "_is_chunked",
        "_is_kept",
        "_is_passing",
        "_is_streaming",
        "_is_taking",
        "_keeps",
        "_kept",
        "_left_bytes",
        "_limit",
        "_means",
        "_passed",
        "_polled",
        "_trace",
        "_waited_s",
        "_was_sent",
        "replica",
        "request",
    )  # fmt: skip

    def __init__(self, means: Means, client: Client, request: Request, began: float) -> None:
        """`began` on the monotonic clock."""
        self._means = means
        self._client = client
        self.request = request
        self._began = began
        self._idle_s = means.settings.timeouts.idle_s
        self.replica: Replica | None = None
        """Whose attempt is under way."""
        self._attempts: Attempts = None  # type: ignore[assignment] # as soon as the body is there
        self._passed: Passed = None  # type: ignore[assignment] # likewise
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._limit = 0.0
        self._attempt_at = self._answer_at = self._waited_s = 0.0
        self._asked_at: float | None = None
        """When the replica had the whole request; None while the client still sends it."""
        self._fault: Failure | None = None
        """What the client did wrong in its body; no replica is blamed for it."""
        self._trace: RequestTrace | None = None
        self._kept: bytes | None = None
        self._is_kept = self._is_taking = self._is_streaming = self._is_passing = False
        self._was_sent = False
        """Whether a body that is not kept has begun to go to a replica."""
        self._polled = self._is_chunked = self._keeps = False
        self._left_bytes = 0

    def begin(self) -> None:
        """Keep a small body, so that it can be sent again; then make the first attempt."""
        request, means = self.request, self._means
        means.accounts.came()
        self._client.exchange = self
        if means.tracing is not None:
            named = {name.decode("latin-1"): value.decode("latin-1") for name, _, value in request.headers}
            target = request.target.decode("latin-1")
            self._trace = means.tracing.request(
                request.method.decode("latin-1"), target, named, time.monotonic() - self._began
            )
        if request.has_body and request.fault is None:
            most = means.settings.retry.max_body_bytes
            self._is_kept = request.length is not None and request.length <= most
            if self._is_kept and not request.complete:
                self._is_taking = True
                self._attempt_at = time.monotonic()
                self._client.deadline.set(self._attempt_at + self._idle_s)
                return
        self._open()

    def _open(self) -> None:
        request = self.request
        # The time that a request may take begins when its body is there, as in Envoy: a slow client is no slow replica.
        self._attempts = self._means.dispatcher.open(time.monotonic(), idempotent=request.method in _IDEMPOTENT)
        self._attempts.trace = self._trace
        if request.fault is not None:
            self._fault = self._fault or Failure(*request.fault, sent=False)
            self._reject(self._fault)
            return
        target = origin_form(request.target)
        if target is None or request.method == b"CONNECT":
            what = f"{request.method.decode()} {request.target.decode('latin-1')}: not proxied"
            self._reject(Failure("target", what, sent=False))
            return
        if self._is_kept:
            self._kept = request.take()
        self._passed = Passed(request, target, self._client.peer, is_traced=self._trace is not None)
        if self._passed.was_here:
            self._reject(Failure("loop", "a replica of this router leads back to it (Via)", sent=False))
            return
        self._try()

    # -- attempts

    def _try(self) -> None:
        """Begin an attempt."""
        means, attempts, passed = self._means, self._attempts, self._passed
        now = time.monotonic()
        try:
            replica, self._limit = means.dispatcher.choose(attempts, passed.id, passed.key, now)
        except NoReplicaError:
            self._reject(Failure("no_replica", "no replica is in rotation", sent=False))
            return
        except PolicyError as error:
            tell("policy_failed", logging.ERROR, error=str(error))
            self._reject(Failure("policy", str(error), sent=False))
            return
        if attempts.count > 1:
            means.accounts.retried()
        self.replica = replica
        self._attempt_at = self._asked_at = now
        self._answer_at = 0.0
        self._polled = False
        self._client.deadline.set(now + self._limit)
        connection = means.pool.idle(replica.url)
        if connection is not None:
            self._ask(connection)
        else:
            self._connecting = means.pool.connect(replica.url, self._connected)

    def _connected(self, made: Connection | BaseException) -> None:
        self._connecting = None
        if isinstance(made, Connection):
            self._ask(made)
            return
        if (lacks := own_fault(made)) is not None:
            self._means.accounts.exhausted(lacks)
            # Towards the others there may be ports; towards this one there is none a moment later either.
            again = lacks == NO_PORT and self._again("overloaded", sent=False)
            self._finish("cancelled", "", end="exhausted")
            if again:
                self._try()
            else:
                detail = f"the router itself can make no connection: {lacks}"
                self._reject(Failure("exhausted", detail, sent=False))
            return
        what = str(made) or f"not within {self._means.settings.timeouts.connect_s:g} s"
        self._failed(Failure("connect", f"cannot connect to the replica: {what}", sent=False))

    def _ask(self, connection: Connection) -> None:
        """Send the request."""
        request = self.request
        self._connection = connection
        connection.ask(self, request.method == b"HEAD")
        traced = {} if self._trace is None else self._trace.headers()
        head = self._passed.attempt(self._attempts.count, connection.authority, traced)
        if not request.has_body:
            connection.write(head)
        elif self._kept is not None:
            connection.write(head + self._kept)
        else:
            connection.write(head)
            self._asked_at = None
            self._is_streaming = self._was_sent = True
            self._pass_in()

    def _again(self, outcome: Outcome, *, sent: bool) -> bool:
        replayable = not self.request.has_body or self._kept is not None or not self._was_sent
        return self._means.dispatcher.follows(
            self._attempts, outcome, time.monotonic(), sent=sent, replayable=replayable
        )

    def _finish(self, outcome: Outcome, reason: str, *, end: str = "") -> None:
        """The attempt has ended: what that says of the replica; `end` is what it is counted as, if not as that."""
        replica, self.replica = self.replica, None
        assert replica is not None
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        if (connection := self._connection) is not None:
            self._connection = None
            self._means.pool.release(connection)
        now = time.monotonic()
        self._means.dispatcher.finish(replica, outcome, self._latency_s(now), now, reason)
        self._means.accounts.telemetry.attempted(end or outcome)
        self._is_streaming = False

    def _latency_s(self, now: float) -> float:
        """What the replica took, without the client's own time for sending and reading: 0 = nothing is known."""
        if self._answer_at:  # it may come before the request is complete
            return max(0.0, self._answer_at - (self._attempt_at if self._asked_at is None else self._asked_at))
        return 0.0 if self._asked_at is None else now - self._asked_at

    def _failed(self, failure: Failure) -> None:
        """The attempt has failed: again, elsewhere, or that is the answer."""
        self._waited_s += time.monotonic() - self._attempt_at
        again = self._again("error", sent=failure.sent)
        self._finish("error", failure.reason)
        if again:
            self._try()
        else:
            self._reject(failure)

    def move(self) -> bool:
        """Try elsewhere, if the request may: its replica has left the rotation. Returns whether it does."""
        if self.replica is None or self._is_passing or self._answer_at:
            return False
        if not self._again("error", sent=self._connection is not None):
            return False
        self._waited_s += time.monotonic() - self._attempt_at
        self._means.accounts.moved()
        self._finish("cancelled", "")
        self._try()
        return True

    # -- the request's body

    def more(self) -> None:
        """More of the request's body is here, or its end, or what is wrong with it."""
        request = self.request
        if self._is_taking:
            now = time.monotonic()
            if request.fault is None and not request.complete:
                self._client.deadline.set(now + self._idle_s)
                return
            self._is_taking = False
            self._waited_s += now - self._attempt_at
            self._open()
        elif self._is_streaming:
            self._pass_in()
        elif request.kept_bytes > MAX_KEPT_BYTES:
            self._client.pause()

    def _pass_in(self) -> None:
        """Pass on what is here of a body. Until all is sent only a pause in it counts; then the answer has its time."""
        request, connection = self.request, self._connection
        assert connection is not None
        if request.fault is not None:
            self._blame_client(Failure(*request.fault, sent=True))
            return
        now = time.monotonic()
        if not connection.is_full:
            if request.body:
                piece = request.take()
                connection.write(piece if request.length is not None else b"%x\r\n%b\r\n" % (len(piece), piece))
            if request.complete:
                if request.length is None:
                    connection.write(b"0\r\n\r\n")
                self._is_streaming = False
                self._asked_at = now
        if not self._is_passing:
            self._polled = False
            self._client.deadline.set(now + (self._idle_s if self._is_streaming else self._limit))
        if connection.is_full:
            self._client.pause()
        else:
            self._client.resume()

    def sendable(self) -> None:
        """The replica has read: more of the body can be passed on."""
        if self._is_streaming:
            self._pass_in()

    def _blame_client(self, fault: Failure) -> None:
        """The body cannot be passed on any further; no replica is blamed."""
        self._fault = fault
        if self._is_passing:
            self._finish("cancelled", "")
            self._unanswered("cancelled")
            return
        self._waited_s += time.monotonic() - self._attempt_at
        if self.replica is not None:
            self._finish("cancelled", "")
        self._reject(fault)

    # -- the answer

    def heard(self) -> None:
        """More of the answer is here, or the connection is gone."""
        connection = self._connection
        assert connection is not None
        answer = connection.answer
        if self._is_passing:
            assert answer is not None
            self._pass_out(connection, answer)
            return
        if answer is None or connection.wrong is not None:
            if connection.wrong is not None:
                self._failed(Failure("bad_answer", f"the replica's answer: {connection.wrong}", sent=True))
            elif connection.lost is not None:
                self._failed(Failure("reset", f"the replica broke off: {connection.lost}", sent=True))
            return
        now = time.monotonic()
        at = self._means.heartbeat.arrived(now)
        if not self._answer_at:
            self._answer_at = max(at, self._attempt_at)
        if not answer.complete:
            if connection.lost is not None:
                self._failed(Failure("reset", f"the replica broke off: {connection.lost}", sent=True))
                return
            if answer.length is not None and answer.length <= SMALL_BODY_BYTES:
                return
        self._waited_s += max(0.0, at - self._attempt_at)
        after = outcome_of(answer.status)
        if after != "ok" and self._again(after, sent=True):
            self._finish(after, f"status {answer.status}")
            self._try()
            return
        self._pass_on(connection, answer, now)

    def _pass_on(self, connection: Connection, answer: Answer, now: float) -> None:
        """Pass the answer to the client, all of it if it is here."""
        request, client = self.request, self._client
        keeps = request.keep_alive and not request.asks_upgrade and request.complete
        if answer.has_body and answer.length is None:
            if answer.complete:
                answer.length = answer.kept_bytes
            elif request.version == "1.1":
                self._is_chunked = True
            else:
                keeps = False
        self._keeps = keeps and not self._means.accounts.draining
        head = to_client(answer, self._own_lines(now), self._is_chunked, self._connection_line())
        if answer.complete:
            client.transport.write(head + answer.take() if answer.body else head)
            self._passed_on(answer)
            return
        self._is_passing = True
        client.transport.write(head)
        self._pass_out(connection, answer)

    def _pass_out(self, connection: Connection, answer: Answer) -> None:
        client = self._client
        if answer.body:
            piece = answer.take()
            client.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if self._is_chunked else piece)
        if answer.complete:
            if self._is_chunked:
                client.transport.write(b"0\r\n\r\n")
            self._passed_on(answer)
        elif connection.wrong is not None or connection.lost is not None:
            self._broken()
        else:
            if client.is_full:
                self.full()
            self._polled = False
            client.deadline.set(time.monotonic() + self._idle_s)

    def _passed_on(self, answer: Answer) -> None:
        after = outcome_of(answer.status)
        self._finish(after, "" if after == "ok" else f"status {answer.status}")
        self._means.accounts.answered(answer.status, self._began, self._trace)
        if self._means.log is not None:
            replica = answer.header(b"x-aegis-replica")
            self._tell(answer.status, None if replica is None else replica.decode("latin-1"))
        self._client.done(self.request, keep=self._keeps)

    def _broken(self) -> None:
        """The replica broke off after its head had been passed on: the client must not take the part for the whole."""
        self._finish("error", "reset in the body")
        self._unanswered("broken")

    def _unanswered(self, end: str) -> None:
        self._means.accounts.unanswered(end, self._began, self._trace)
        self._tell("cancelled", None)
        self._client.abort()

    def full(self) -> None:
        """The client does not read as fast as the replica writes."""
        if self._is_passing and self._connection is not None:
            self._connection.pause()
            self._left_bytes = self._client.transport.get_write_buffer_size()

    def drained(self) -> None:
        """It has read."""
        if self._is_passing and self._connection is not None:
            self._connection.resume()
            self._client.deadline.set(time.monotonic() + self._idle_s)

    def _own_lines(self, now: float) -> bytes:
        own_ms = (now - self._began - self._waited_s) * 1e3
        return b"X-Aegis-Attempts: %d\r\nX-Aegis-Router-Ms: %.3f\r\n" % (self._attempts.count, max(0.0, own_ms))

    def _connection_line(self) -> bytes:
        if not self._keeps:
            return b"Connection: close\r\n"
        return b"" if self.request.version == "1.1" else b"Connection: keep-alive\r\n"

    def _reject(self, failure: Failure) -> None:
        """An answer of the router's own."""
        request, accounts = self.request, self._means.accounts
        keeps = request.keep_alive and request.complete and self._fault is None and not request.asks_upgrade
        self._keeps = keeps and not accounts.draining
        accounts.rejected(failure.reason)
        lines, to_head = self._own_lines(time.monotonic()), request.method == b"HEAD"
        written = own_answer(failure.reason, failure.detail, lines, self._connection_line(), to_head=to_head)
        self._client.transport.write(written)
        accounts.answered(REJECTIONS[failure.reason], self._began, self._trace)
        self._tell(REJECTIONS[failure.reason], None)
        self._client.done(request, keep=self._keeps)

    # -- time, and the end of it

    def expired(self) -> None:
        """A time-out is due. What lies in the socket by now is read first: perhaps the loop is late, not the peer."""
        client, connection = self._client, self._connection
        waits_for_client = self._is_taking or (
            self._is_streaming and not self._is_passing and connection is not None and not connection.is_full
        )
        stuck = self._is_passing and client.is_full
        if not self._polled and not stuck:
            has_news = client.has_news() if waits_for_client else connection is not None and connection.has_news()
            if has_news:
                self._polled = True
                self._means.accounts.late()
                client.deadline.set(time.monotonic() + GRACE_S)
                return
        if waits_for_client:
            detail = f"the request's body did not go on for {self._idle_s:g} s"
            if self._is_taking:
                self._is_taking = False
                self.request.fault = ("client_timeout", detail)
                self._waited_s += time.monotonic() - self._attempt_at
                self._open()
            else:
                self._blame_client(Failure("client_timeout", detail, sent=True))
        elif stuck:
            left = client.transport.get_write_buffer_size()
            if left < self._left_bytes:  # it reads, if slowly
                self._left_bytes = left
                client.deadline.set(time.monotonic() + self._idle_s)
                return
            self._finish("cancelled", "")
            self._unanswered("cancelled")
        elif self._is_passing:
            self._broken()
        else:
            sent = connection is not None
            self._failed(Failure("timeout", f"the replica did not answer within {self._limit:.3g} s", sent=sent))

    def gone(self) -> None:
        """The client has hung up: nobody wants the answer."""
        if self.replica is not None:
            self._finish("cancelled", "")
        self._means.accounts.unanswered("cancelled", self._began, self._trace)
        self._tell("cancelled", None)

    def _tell(self, status: int | str, replica: str | None) -> None:
        if (log := self._means.log) is not None:
            count = self._attempts.count if self._attempts is not None and status != "cancelled" else None
            log(self.request, status, time.monotonic() - self._began, self._client.peer, replica, count)
