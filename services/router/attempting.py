"""The attempts of one request: its body towards a replica, and what follows where one fails.

What is known of one attempt is one floor down (`attempt.py`), what becomes of the answer one floor up (`exchange.py`).
None of them knows of bytes on the wire.
"""

import errno
import logging
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass

from services.descriptors import NO_PORT, own_fault
from services.journal import tell
from services.router.access_log import Log
from services.router.accounts import Accounts
from services.router.attempt import Attempt
from services.router.dispatch import Dispatcher, PolicyError
from services.router.fleet import NOBODY_LISTENS
from services.router.policy import Outcome
from services.router.rejections import Failure
from services.router.replica import Replica
from services.router.reports import report_of
from services.router.retries import IDEMPOTENT, Attempts
from services.router.settings import RouterSettings
from services.router.waiting import FOREVER, Ticket, UnboundError
from services.router.wire.client import MAX_KEPT_BYTES, Client
from services.router.wire.heads import Passed, deadline_s, origin_form
from services.router.wire.heartbeat import Heartbeat
from services.router.wire.messages import Request
from services.router.wire.pool import Pool
from services.router.wire.replica import Connection
from services.tracing import RequestTrace, Tracing

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


class Attempting(ABC):
    """One request on its way to a replica, and to another one."""

    __slots__ = (
        "_attempts", "_began", "_client", "_fault", "_idle_s", "_is_kept", "_is_passing", "_is_streaming",
        "_is_taking", "_kept", "_means", "_passed", "_polled", "_taking_at", "_ticket", "_trace", "_waited_s",
        "_waits_at", "_was_sent", "attempt", "request",
    )  # fmt: skip

    def __init__(self, means: Means, client: Client, request: Request, began: float) -> None:
        """`began` on the monotonic clock."""
        self._means = means
        self._client = client
        self.request = request
        self._began = began
        self._idle_s = means.settings.timeouts.idle_s
        self.attempt: Attempt | None = None
        """The one that is under way."""
        self._ticket: Ticket | None = None
        """Its place in the line, while it stands there."""
        self._waits_at = 0.0
        """Since when it does."""
        self._attempts: Attempts = None  # type: ignore[assignment] # as soon as the body is there
        self._passed: Passed = None  # type: ignore[assignment] # likewise
        self._waited_s = 0.0
        """For the client or a replica, until now, but for the attempt under way."""
        self._fault: Failure | None = None
        """What the client did wrong in its body; no replica is blamed for it."""
        self._trace: RequestTrace | None = None
        self._kept: bytes | None = None
        self._is_kept = self._is_taking = self._is_streaming = self._is_passing = False
        self._was_sent = False
        """Whether a body that is not kept has begun to go to a replica."""
        self._polled = False
        """Whether the client has been given time once more."""

    def begin(self) -> None:
        """Keep a small body, so that it can be sent again; then make the first attempt."""
        request, means = self.request, self._means
        means.accounts.came()
        self._client.exchange = self  # type: ignore[assignment] # an `Exchange`
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
                self._taking_at = time.monotonic()
                self._client.deadline.set(self._taking_at + self._idle_s)
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
        if (said := self._passed.deadline) is not None:
            try:
                self._attempts.hasten(self._began + deadline_s(said))
            except ValueError as error:
                self._reject(Failure("malformed", str(error), sent=False))
                return
        self._try()

    # -- attempts

    def _try(self) -> None:
        """Begin an attempt, or stand in line for it."""
        dispatcher, attempts, passed = self._means.dispatcher, self._attempts, self._passed
        now = time.monotonic()
        try:
            bound = dispatcher.bind(attempts, passed.id, passed.key, now, self)
        except UnboundError as error:
            self.unbound(error, now)
            return
        if isinstance(bound, Ticket):
            self._ticket, self._waits_at = bound, now
            self._client.deadline.set(bound.until)
        else:
            self.bound(bound[0], bound[1], now)

    def unbound(self, error: UnboundError, now: float) -> None:
        """There is no attempt to be had: that is the answer."""
        self._leave_line(now)
        if isinstance(error, PolicyError):
            tell("policy_failed", logging.ERROR, error=str(error))
        self._reject(Failure(error.reason, str(error), sent=False))

    def _leave_line(self, now: float) -> None:
        if self._ticket is not None:
            self._ticket = None
            self._waited_s += now - self._waits_at

    def bound(self, replica: Replica, limit_s: float, now: float) -> None:
        """An attempt has begun."""
        means = self._means
        self._leave_line(now)
        if self._attempts.count > 1:
            means.accounts.retried()
        self.attempt = attempt = Attempt(self, replica, limit_s, now)
        self._client.deadline.set(now + limit_s)
        connection = means.pool.idle(replica.url)
        if connection is not None:
            self._ask(attempt, connection)
        else:
            attempt.missed_s = means.heartbeat.missed_s(now)
            attempt.connecting = means.pool.connect(replica.url, attempt.connected)

    def connected(self, attempt: Attempt, made: Connection | BaseException) -> None:
        """The attempt has a connection, or there is a reason why it has none."""
        if isinstance(made, Connection):
            if attempt.polled:  # its time had been up
                attempt.polled = False
                self._means.accounts.late()
            self._ask(attempt, made)
            return
        if (lacks := own_fault(made)) is not None:
            self._means.accounts.exhausted(lacks)
            # Towards the others there may be ports; towards this one there is none a moment later either.
            again = lacks == NO_PORT and self._again("overloaded", sent=False)
            self._finish(attempt, "cancelled", "", end="exhausted")
            if again:
                self._try()
            else:
                detail = f"the router itself can make no connection: {lacks}"
                self._reject(Failure("exhausted", detail, sent=False))
            return
        what = str(made) or f"not within {self._means.settings.timeouts.connect_s:g} s"
        reason = NOBODY_LISTENS if getattr(made, "errno", None) == errno.ECONNREFUSED else "connect"
        self._failed(attempt, Failure("connect", f"cannot connect to the replica: {what}", sent=False), reason)

    def _ask(self, attempt: Attempt, connection: Connection) -> None:
        """Send the request."""
        request = self.request
        attempt.connection = connection
        connection.ask(attempt, request.method == b"HEAD")
        more = {} if self._trace is None else self._trace.headers()
        if self._attempts.expires < FOREVER or self._means.settings.timeouts.told:
            left_s = max(0.0, attempt.began + attempt.limit_s - time.monotonic())
            more = {**more, "X-Aegis-Deadline-Ms": f"{left_s * 1e3:.3f}"}
        head = self._passed.attempt(self._attempts.count, connection.authority, more)
        if not request.has_body:
            connection.write(head)
        elif self._kept is not None:
            connection.write(head + self._kept)
        else:
            connection.write(head)
            attempt.asked_at = None
            self._is_streaming = self._was_sent = True
            self._pass_in(attempt, connection)

    def _again(self, outcome: Outcome, *, sent: bool) -> bool:
        replayable = not self.request.has_body or self._kept is not None or not self._was_sent
        return self._means.dispatcher.follows(
            self._attempts, outcome, time.monotonic(), sent=sent, replayable=replayable
        )

    def _finish(self, attempt: Attempt, outcome: Outcome, reason: str, *, end: str = "") -> None:
        """The attempt has ended: what that says of the replica; `end` is what it is counted as, if not as that."""
        self.attempt = None
        means = self._means
        if means.dispatcher.reads_reports and attempt.connection is not None and attempt.connection.answer is not None:
            means.dispatcher.reported(attempt.replica, report_of(attempt.connection.answer), time.monotonic())
        # Where the replica has answered early, what it would read next is the rest of this body.
        attempt.leave(means.pool, closes=self._is_streaming)
        now = time.monotonic()
        means.dispatcher.finish(attempt.replica, outcome, attempt.latency_s(now), now, reason)
        means.accounts.telemetry.attempted(end or outcome)
        self._is_streaming = False

    def _failed(self, attempt: Attempt, failure: Failure, reason: str = "") -> None:
        """The attempt has failed: again, elsewhere, or that is the answer. The fleet is told `reason`, if given."""
        self._waited_s += time.monotonic() - attempt.began
        again = self._again("error", sent=failure.sent)
        self._finish(attempt, "error", reason or failure.reason)
        if again:
            self._try()
        else:
            self._reject(failure)

    def _late(self, attempt: Attempt) -> None:
        """The client waits no longer, as it has said before: no replica is blamed."""
        self._waited_s += time.monotonic() - attempt.began
        sent = attempt.connection is not None
        self._finish(attempt, "cancelled", "")
        self._reject(Failure("deadline", "there was no answer before the client's deadline", sent=sent))

    def move(self, attempt: Attempt) -> bool:
        """Try elsewhere, if the request may: its replica has left the rotation. Returns whether it does."""
        if self._is_passing or attempt.answer_at:
            return False
        if not self._again("error", sent=attempt.connection is not None):
            return False
        self._waited_s += time.monotonic() - attempt.began
        self._means.accounts.moved()
        self._finish(attempt, "cancelled", "")
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
            self._waited_s += now - self._taking_at
            self._open()
        elif self._is_streaming:
            self.sendable()
        elif request.kept_bytes > MAX_KEPT_BYTES:
            self._client.pause()

    def sendable(self) -> None:
        """More of the body can be passed on."""
        attempt = self.attempt
        if self._is_streaming and attempt is not None and attempt.connection is not None:
            self._pass_in(attempt, attempt.connection)

    def _pass_in(self, attempt: Attempt, connection: Connection) -> None:
        """Pass on what is here of a body. Until all is sent only a pause in it counts; then the answer has its time."""
        request = self.request
        if request.fault is not None:
            self._blame_client(attempt, Failure(*request.fault, sent=True))
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
                attempt.asked_at = now
        if not (self._is_passing and self._client.is_full):  # who does not read the answer is not saved by sending
            attempt.polled = False
            waits_s = self._idle_s if self._is_streaming or self._is_passing else attempt.limit_s
            self._client.deadline.set(now + waits_s)
        if connection.is_full:
            self._client.pause()
        else:
            self._client.resume()

    def _blame_client(self, attempt: Attempt, fault: Failure) -> None:
        """The body cannot be passed on any further; no replica is blamed."""
        self._fault = fault
        self._finish(attempt, "cancelled", "")
        if self._is_passing:
            self._unanswered("cancelled")
            return
        self._waited_s += time.monotonic() - attempt.began
        self._reject(fault)

    # -- what the answer's side does

    @abstractmethod
    def heard(self, attempt: Attempt) -> None:
        """More of the answer is here, or the connection is gone."""

    @abstractmethod
    def _reject(self, failure: Failure) -> None:
        """An answer of the router's own."""

    @abstractmethod
    def _unanswered(self, end: str) -> None:
        """The client gets no answer, or a part of one."""
