"""An attempt's way to a replica: the connection, and the request's body.

What is known of one attempt is one floor down (`attempt.py`); what follows one, or is made beside it, one floor up
(`following.py`), and above that what becomes of the answer (`exchange.py`). None of them knows of bytes on the wire.
"""

import logging
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass

from services.journal import tell
from services.router.access_log import Log
from services.router.accounts import Accounts
from services.router.attempt import Attempt
from services.router.dispatch import Dispatcher, PolicyError
from services.router.patience import NEVER_S
from services.router.policy import Outcome
from services.router.rejections import Failure
from services.router.replica import Replica
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
    is_patient: bool
    """Whether something may be done about attempts before their time is up: a second one, or another."""


class Attempting(ABC):
    """One request on its way to a replica, and to another one."""

    __slots__ = (
        "_attempts", "_began", "_client", "_fault", "_idle_s", "_is_kept", "_is_passing", "_is_streaming",
        "_is_taking", "_kept", "_means", "_next_at", "_passed", "_polled", "_since", "_taking_at", "_ticket", "_trace",
        "_waited_s", "_was_sent", "attempt", "other", "request",
    )  # fmt: skip

    def __init__(self, means: Means, client: Client, request: Request, began: float) -> None:
        """`began` on the monotonic clock."""
        self._means = means
        self._client = client
        self.request = request
        self._began = began
        self._idle_s = means.settings.timeouts.idle_s
        self.attempt: Attempt | None = None
        """The one that is under way: of two that which began first."""
        self.other: Attempt | None = None
        """The second one beside it."""
        self._ticket: Ticket | None = None
        """Its place in the line, while it stands there."""
        self._next_at = NEVER_S
        """When the next one begins: a retry after its pause, or one beside that which is under way."""
        self._attempts: Attempts = None  # type: ignore[assignment] # as soon as the body is there
        self._passed: Passed = None  # type: ignore[assignment] # likewise
        self._waited_s = 0.0
        """For the client or a replica, until `_since`."""
        self._since = 0.0
        """Since when a slot, a replica, or the end of a pause is waited for; 0 = none is."""
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

    def _try(self, *, beside: bool = False) -> None:
        """Begin an attempt, `beside` the one that is under way since that is slow, or stand in line for it."""
        dispatcher, attempts, passed = self._means.dispatcher, self._attempts, self._passed
        now = time.monotonic()
        self._next_at = NEVER_S
        try:
            if self.attempt is None:
                bound = dispatcher.bind(attempts, passed.id, passed.key, now, self)
            else:
                bound = dispatcher.choose(attempts, passed.id, passed.key, now, beside=True)
        except UnboundError as error:
            self.unbound(error, now)
            return
        if isinstance(bound, Ticket):
            self._ticket = bound
            if not self._since:
                self._since = now
            self._client.deadline.set(bound.until)
        else:
            self._begin(bound[0], bound[1], now, beside=beside)

    def bound(self, replica: Replica, limit_s: float, now: float) -> None:
        """It stood in line, and an attempt has begun."""
        self._out_of_line(now)
        self._begin(replica, limit_s, now, beside=False)

    def _out_of_line(self, now: float) -> None:
        ticket, self._ticket = self._ticket, None
        if ticket is not None and self._trace is not None:
            self._trace.waited(now - ticket.since)

    def has_gone(self) -> bool:
        """Whether its client has, without a word: one that is read no further cannot say so."""
        return self._client.has_hung_up()

    def unbound(self, error: UnboundError, now: float) -> None:
        """There is no attempt to be had: the one under way decides, or that is the answer."""
        self._out_of_line(now)
        self._attempts.forgo()
        if isinstance(error, PolicyError):
            tell("policy_failed", logging.ERROR, error=str(error))
        if self.attempt is not None:
            self._arm()
            return
        self._waited(now)
        self._reject(Failure(error.reason, str(error), sent=False))

    def _begin(self, replica: Replica, limit_s: float, now: float, *, beside: bool) -> None:
        """An attempt has begun."""
        means, attempts = self._means, self._attempts
        number = attempts.count
        if number > 1:
            means.accounts.retried(beside=beside)
        attempt = Attempt(self, replica, limit_s, now, number, beside=beside)
        if not self._since:
            self._since = now
        if self.attempt is None:
            self.attempt = attempt
            self._client.deadline.set(attempt.due)
        else:
            self.other = attempt
        if means.is_patient and (not self.request.has_body or self._kept is not None):
            attempt.give_up_at = now + attempts.give_up_s
            if self.other is None:
                self._next_at = now + attempts.hedge_s
        if self._is_timed():
            self._arm()
        if self._trace is not None:
            self._trace.begins(replica.id, replica.url, number)
        connection = None if attempts.is_wary else means.pool.idle(replica.url)
        if connection is not None:
            self._ask(attempt, connection)
        else:
            attempt.missed_s = means.heartbeat.missed_s(now)
            attempt.connecting = means.pool.connect(replica.url, attempt.connected)

    def _is_timed(self) -> bool:
        """Whether more may be due than the end of the one attempt under way."""
        attempt = self.attempt
        return (
            self._next_at != NEVER_S
            or self.other is not None
            or (attempt is not None and attempt.give_up_at != NEVER_S)
        )

    def _arm(self) -> None:
        """Call back when the first thing is due."""
        at = self._next_at if self._ticket is None else min(self._next_at, self._ticket.until)
        for attempt in (self.attempt, self.other):
            if attempt is not None:
                at = min(at, attempt.due, attempt.give_up_at)
        self._client.deadline.set(at)

    def _ask(self, attempt: Attempt, connection: Connection) -> None:
        """Send the request."""
        request = self.request
        attempt.connection = connection
        connection.ask(attempt, request.method == b"HEAD")
        more = {} if self._trace is None else self._trace.headers(attempt.number)
        if self._attempts.expires < FOREVER or self._means.settings.timeouts.told:
            left_s = max(0.0, attempt.began + attempt.limit_s - time.monotonic())
            more = {**more, "X-Aegis-Deadline-Ms": f"{left_s * 1e3:.3f}"}
        head = self._passed.attempt(attempt.number, connection.authority, more)
        if not request.has_body:
            connection.write(head)
        elif self._kept is not None:
            connection.write(head + self._kept)
        else:
            connection.write(head)
            attempt.asked_at = None
            self._is_streaming = self._was_sent = True
            self._pass_in(attempt, connection)

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
                if not self._is_passing:
                    attempt.restarts(self._means.dispatcher, now)
        if self._is_streaming and not self._is_passing:
            if connection.is_full:  # the replica does not read on
                attempt.works(self._means.dispatcher, now)
            else:
                attempt.rests(self._means.dispatcher, now)
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
        self._waited(time.monotonic())
        self._reject(fault)

    def _waited(self, until: float) -> None:
        """Until then a replica was waited for, and is no longer."""
        if self._since:
            self._waited_s += max(0.0, until - self._since)
            self._since = 0.0

    # -- what the floors above do

    @abstractmethod
    def connected(self, attempt: Attempt, made: Connection | BaseException) -> None:
        """The attempt has a connection, or there is a reason why it has none."""

    @abstractmethod
    def heard(self, attempt: Attempt) -> None:
        """More of the answer is here, or the connection is gone."""

    @abstractmethod
    def _finish(self, attempt: Attempt, outcome: Outcome, reason: str) -> None:
        """The attempt has ended."""

    @abstractmethod
    def _reject(self, failure: Failure) -> None:
        """An answer of the router's own."""

    @abstractmethod
    def _unanswered(self, end: str) -> None:
        """The client gets no answer, or a part of one."""
