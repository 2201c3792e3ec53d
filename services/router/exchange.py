"""One request on its way through the router: the answer, its time, and the end of it.

Told what happens on two connections, one to the client and one to a replica; it knows nothing of bytes.
"""

import time

from services.router.attempt import Attempt
from services.router.attempting import Means
from services.router.dispatch import outcome_of
from services.router.following import Following
from services.router.policy import Outcome
from services.router.rejections import REJECTIONS, Failure, own_answer
from services.router.wire.client import GRACE_S, Client
from services.router.wire.closing import Unread
from services.router.wire.heads import to_client
from services.router.wire.messages import Answer, Request
from services.router.wire.replica import Connection

SMALL_BODY_BYTES = 65_536
"""An answer up to this size is passed on in one piece."""


class Exchange(Following):
    """One request and what is known of it on its way."""

    __slots__ = ("_is_chunked", "_keeps", "_unread")

    def __init__(self, means: Means, client: Client, request: Request, began: float) -> None:
        """`began` on the monotonic clock."""
        super().__init__(means, client, request, began)
        self._is_chunked = self._keeps = False
        self._unread: Unread = None  # type: ignore[assignment] # as soon as the client has to read first

    # -- the answer

    def heard(self, attempt: Attempt) -> None:
        """More of the answer is here, or the connection is gone."""
        connection = attempt.connection
        assert connection is not None
        answer = connection.answer
        if self._is_passing:
            assert answer is not None
            self._pass_out(attempt, connection, answer)
            return
        if answer is None or connection.wrong is not None:
            if connection.wrong is not None:
                self._failed(attempt, Failure("bad_answer", f"the replica's answer: {connection.wrong}", sent=True))
            elif connection.lost is not None:
                self._failed(attempt, Failure("reset", f"the replica broke off: {connection.lost}", sent=True))
            return
        now = time.monotonic()
        at = self._means.heartbeat.arrived(now)
        if not attempt.answer_at or answer.complete:
            # A loop that has been late since before it asked does not know: at most until now.
            attempt.answer_at = at if at > (attempt.asked_at or attempt.began) else now
        if not answer.complete:
            if connection.lost is not None:
                self._failed(attempt, Failure("reset", f"the replica broke off: {connection.lost}", sent=True))
                return
            if answer.length is not None and answer.length <= SMALL_BODY_BYTES:
                return
        if answer.status == 504 and now >= self._attempts.expires:  # the replica has looked at its clock, too
            self._late()
            return
        after = outcome_of(answer.status)
        if after != "ok" and self._is_replaced(attempt, after, f"status {answer.status}", at):
            return
        if self._means.is_patient:
            self._supersede(attempt)
        self._waited(at)
        self._pass_on(attempt, connection, answer, now)

    def _is_replaced(self, attempt: Attempt, outcome: Outcome, reason: str, at: float) -> bool:
        """Whether another attempt takes the place of one whose answer came at `at`: its next, or the one beside it."""
        again = self._again(attempt, outcome, sent=True)
        if not again and self.other is None and not self._attempts.owes:
            return False
        self._finish(attempt, outcome, reason)
        if self._is_alone():
            self._waited(at)
        if again:
            self._follow()
        else:
            self._arm()
        return True

    def _pass_on(self, attempt: Attempt, connection: Connection, answer: Answer, now: float) -> None:
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
            client.write(head + answer.take() if answer.body else head)
            if attempt.asked_at is None:
                attempt.answers(self._means.dispatcher, outcome_of(answer.status), now)
            self._passed_on(attempt, answer)
            return
        self._is_passing = True
        client.write(head)
        attempt.answers(self._means.dispatcher, outcome_of(answer.status), now)
        self._pass_out(attempt, connection, answer)

    def _pass_out(self, attempt: Attempt, connection: Connection, answer: Answer) -> None:
        client = self._client
        if answer.body:
            piece = answer.take()
            client.write(b"%x\r\n%b\r\n" % (len(piece), piece) if self._is_chunked else piece)
        if answer.complete:
            if self._is_chunked:
                client.write(b"0\r\n\r\n")
            self._passed_on(attempt, answer)
        elif connection.wrong is not None or connection.lost is not None:
            self._broken(attempt)
        else:
            if client.is_full:
                self.full()
            attempt.polled = False
            client.deadline.set(time.monotonic() + self._idle_s)

    def _passed_on(self, attempt: Attempt, answer: Answer) -> None:
        after = outcome_of(answer.status)
        self._finish(attempt, after, "" if after == "ok" else f"status {answer.status}")
        self._means.accounts.answered(answer.status, self._began, self._trace)
        if self._means.log is not None:
            replica = answer.header(b"x-aegis-replica")
            self._tell(answer.status, None if replica is None else replica.decode("latin-1"))
        self._client.done(self.request, keep=self._keeps)

    def _broken(self, attempt: Attempt) -> None:
        """The replica broke off after its head had been passed on: the client must not take the part for the whole."""
        self._finish(attempt, "error", "reset in the body")
        self._unanswered("broken")

    def _unanswered(self, end: str) -> None:
        self._means.accounts.unanswered(end, self._began, self._trace)
        self._tell("cancelled", None)
        self._client.abort()

    def full(self) -> None:
        """The client does not read as fast as the replica writes."""
        if self._is_passing and self.attempt is not None and self.attempt.connection is not None:
            self.attempt.connection.pause()
            self._unread = Unread(self._client.transport, time.monotonic())

    def drained(self) -> None:
        """It has read."""
        if self._is_passing and self.attempt is not None and self.attempt.connection is not None:
            self.attempt.connection.resume()
            self._client.deadline.set(time.monotonic() + self._idle_s)

    def _own_lines(self, now: float) -> bytes:
        own_ms, attempts = (now - self._began - self._waited_s) * 1e3, self._attempts
        lines = b"X-Aegis-Attempts: %d\r\nX-Aegis-Router-Ms: %.3f\r\n" % (attempts.count, max(0.0, own_ms))
        if attempts.hedges:
            has_won = self.attempt is not None and self.attempt.beside
            lines += b"X-Aegis-Hedge: %b\r\n" % (b"won" if has_won else b"lost")
        return lines

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
        self._client.write(written)
        accounts.answered(REJECTIONS[failure.reason], self._began, self._trace)
        self._tell(REJECTIONS[failure.reason], None)
        self._client.done(request, keep=self._keeps)

    # -- time, and the end of it

    def expired(self) -> None:
        """A time-out is due. What lies in the socket by now is read first: perhaps the loop is late, not the peer."""
        attempt = self.attempt
        if self._is_timed():
            self._look()
        elif attempt is not None:
            self._expired(attempt, attempt.connection)
        elif self._ticket is not None:
            self._means.dispatcher.expire(self._ticket, time.monotonic())
        elif not self._polled and self._client.has_news():
            self._polled = True
            self._means.accounts.late()
            self._client.deadline.set(time.monotonic() + GRACE_S)
        else:
            self._is_taking = False
            self.request.fault = ("client_timeout", self._paused())
            self._waited_s += time.monotonic() - self._taking_at
            self._open()

    def _paused(self) -> str:
        return f"the request's body did not go on for {self._idle_s:g} s"

    def _expired(self, attempt: Attempt, connection: Connection | None) -> None:
        client = self._client
        stuck = self._is_passing and client.is_full
        waits_for_client = self._is_streaming and not stuck and connection is not None and not connection.is_full
        if not attempt.polled and not stuck:
            if attempt.connecting is not None:  # give it what the loop has missed of its time, and a turn
                now = time.monotonic()
                attempt.polled = True
                attempt.due = now + GRACE_S + self._means.heartbeat.missed_s(now) - attempt.missed_s
                self._arm()
                return
            has_news = waits_for_client and client.has_news()
            if not has_news and connection is not None and (self._is_passing or not waits_for_client):
                has_news = connection.has_news()
            if has_news:
                attempt.polled = True
                self._means.accounts.late()
                attempt.due = time.monotonic() + GRACE_S
                self._arm()
                return
        if waits_for_client:
            self._blame_client(attempt, Failure("client_timeout", self._paused(), sent=True))
        elif stuck:
            now = time.monotonic()
            if self._unread.unmoved_s(now) < self._idle_s:  # it reads, if slowly
                client.deadline.set(now + self._idle_s)
                return
            self._finish(attempt, "cancelled", "")
            self._unanswered("cancelled")
        elif self._is_passing:
            self._broken(attempt)
        elif time.monotonic() >= self._attempts.expires:
            self._late()
        else:
            self._suspect(attempt)
            detail = f"the replica did not answer within {attempt.limit_s:.3g} s"
            self._failed(attempt, Failure("timeout", detail, sent=connection is not None))

    def gone(self) -> None:
        """The client has hung up: nobody wants the answer."""
        while self.attempt is not None:
            self._finish(self.attempt, "cancelled", "")
        if self._ticket is not None:
            now = time.monotonic()
            self._means.dispatcher.leave(self._ticket, now)
            self._out_of_line(now)
        if self._attempts is not None:
            self._attempts.forgo()
        self._means.accounts.unanswered("cancelled", self._began, self._trace)
        self._tell("cancelled", None)

    def _tell(self, status: int | str, replica: str | None) -> None:
        if (log := self._means.log) is not None:
            count = self._attempts.count if self._attempts is not None and status != "cancelled" else None
            log(self.request, status, time.monotonic() - self._began, self._client.peer, replica, count)
