"""A router's requests in virtual time: their attempts, what follows them, what is made beside them, and their ends."""

from __future__ import annotations

from collections.abc import Mapping

from experiments.plan.delays import Delay
from experiments.simulator.agenda import Agenda
from experiments.simulator.probing import report_of
from experiments.simulator.process import Process
from experiments.simulator.replica import VirtualReplica
from experiments.simulator.request import (
    HTTP_ERROR,
    IDLE,
    NEVER,
    OK,
    PAUSING,
    REFUSED,
    TIMEOUT,
    UNDER_WAY,
    UNREACHABLE,
    Flight,
    Owner,
    Records,
)
from experiments.simulator.standing import Standing
from services.backend import work_queue
from services.draws import uniform
from services.router.dispatch import FAILURE_STATUS, Dispatcher, outcome_of
from services.router.fleet import NOBODY_LISTENS
from services.router.latencies import Latencies
from services.router.patience import NEVER_S, SUPERSEDED
from services.router.patience import TIMEOUT as TIMED_OUT
from services.router.policy import Outcome
from services.router.replica import Replica
from services.router.settings import RouterSettings
from services.router.waiting import UNBOUND_STATUS, Bound, UnboundError


class Serving(Owner):
    """What a router has under way."""

    settings: RouterSettings
    process: Process
    _dispatcher: Dispatcher
    """Set with every start of the process."""

    def __init__(
        self, seed: int, agenda: Agenda, nodes: Mapping[str, VirtualReplica], records: Records, round_trip: Delay
    ) -> None:
        """Nothing is; as for `VirtualRouter`."""
        self._seed = seed
        self._agenda = agenda
        self._nodes = nodes
        self._records = records
        self._round_trip = round_trip
        self._open: dict[Flight, None] = {}
        self.arrived = 0
        """Requests that have come."""
        self.latencies: Latencies | None = None
        """Of their answers, where somebody reads them."""

    def arrive(self, flight: Flight, now: float) -> None:
        """A request is here."""
        if not self.process.runs:
            self._arrive_in_vain(flight, now)
            return
        self._open[flight] = None
        self.arrived += 1
        flight.attempts = self._dispatcher.open(now, idempotent=flight.is_idempotent, expires=flight.expires)
        if flight.is_over:  # its client has gone while the process was paused
            del self._open[flight]
        else:
            self._try(flight, now)

    def _arrive_in_vain(self, flight: Flight, now: float) -> None:
        if not self.process.is_up:
            self._records.end(flight, now + flight.to_client_s, REFUSED)
            return
        self._open[flight] = None
        self._await_client(flight, now)
        self.process.hold(self.arrive, flight)

    def _try(self, flight: Flight, now: float, *, beside: bool = False) -> None:
        attempts = flight.attempts
        assert attempts is not None
        is_second = attempts.count > 0 and flight.other() is not None
        flight.is_hedge = beside
        try:
            if is_second or self._dispatcher.line is None:
                bound: Bound | None = self._dispatcher.choose(attempts, flight.id, flight.key, now, beside=is_second)
            else:
                bound = Standing(self, self._dispatcher, flight, self._agenda).ask(now)
        except UnboundError as error:
            self.refuse(flight, error, now)
            return
        if bound is not None:
            self.send(flight, bound[0], bound[1], now)

    def refuse(self, flight: Flight, error: UnboundError, now: float) -> None:
        """No attempt can be made: the one under way decides, or that is the answer."""
        assert flight.attempts is not None
        flight.attempts.forgo()
        flight.state = IDLE
        if flight.other() is None:
            self._answer(lead_of(flight), now, UNBOUND_STATUS[error.reason])

    def may_look(self, flight: Flight, standing: Standing) -> bool:
        """Whether one in line may leave it now."""
        if lead_of(flight) not in self._open:
            return False
        if self.process.paused_at is not None:
            self.process.hold(standing.look)
            return False
        return True

    def left(self, flight: Flight, now: float) -> None:
        """Its client has gone while it stood in line."""
        self._client_has_gone(lead_of(flight), now)

    def send(self, flight: Flight, replica: Replica, limit_s: float, now: float) -> None:
        """An attempt has begun."""
        attempts = flight.attempts
        assert attempts is not None
        flight.state = UNDER_WAY
        flight.target = replica
        flight.began = now
        flight.count = count = attempts.count
        limit_at = now + limit_s
        flight.hard_limit_at = limit_at
        is_told = flight.expires is not None or self.settings.timeouts.told
        flight.turn_by = limit_at + flight.to_node_s if is_told else work_queue.NEVER
        if attempts.give_up_s != NEVER_S:
            limit_at = now + attempts.give_up_s
        flight.limit_at = limit_at if limit_at < flight.client_limit_at else flight.client_limit_at
        if attempts.hedge_s < limit_s and flight.other() is None:
            self._agenda.at(now + attempts.hedge_s, self._hedge, (flight, count))
        flight.node = node = self._nodes[replica.id]
        if count > 1:
            u = uniform(self._seed, flight.id, replica.id, str(count), "hop")
            flight.from_node_s = self._round_trip.back_at(u)
        self._agenda.at(now + flight.to_node_s, node.arrive, flight)

    def _hedge(self, what: tuple[Flight, int], now: float) -> None:
        """The attempt has had no answer for so long: perhaps another one is made beside it."""
        flight, count = what
        attempts = flight.attempts
        assert attempts is not None
        if self.process.paused_at is not None:
            self.process.hold(self._hedge, what)
        elif (
            flight.state == UNDER_WAY
            and flight.count == attempts.count == count
            and lead_of(flight) in self._open
            and flight.other() is None
            and self._dispatcher.hedges(attempts, now)
        ):
            self._try(flight.second(), now, beside=True)

    def _follow(self, flight: Flight, now: float) -> None:
        """The attempt that was allowed: now, or after its pause."""
        attempts = flight.attempts
        assert attempts is not None
        if attempts.pause_s > 0:
            flight.state = PAUSING
            self._agenda.at(now + attempts.pause_s, self._resume, flight)
        else:
            self._try(flight, now)

    def _resume(self, flight: Flight, now: float) -> None:
        lead = lead_of(flight)
        if flight.state != PAUSING or lead not in self._open:
            return
        if self.process.paused_at is not None:
            self.process.hold(self._resume, flight)
        elif now >= flight.client_limit_at:
            self._client_has_gone(lead, now)
        else:
            self._try(flight, now)

    def settle(self, flight: Flight, now: float) -> None:
        """The attempt's reply is here, or its limit."""
        if flight.due != now:
            return
        if self.process.paused_at is not None:
            self.process.hold(self._settle_later, (flight, now))
            return
        flight.due = NEVER
        attempts, replica, node, reply = flight.attempts, flight.target, flight.node, flight.reply
        assert attempts is not None and node is not None
        lead = flight.lead
        if lead is None:  # as `lead_of` does, without a call: here every request comes by
            lead = flight
        if flight.is_late and now < flight.hard_limit_at and now < flight.client_limit_at and lead in self._open:
            self._give_up(flight, now)
            return
        job = flight.job
        node.release(flight, now, served=not flight.is_late)
        flight.state = IDLE
        if self._dispatcher.reads_reports and not (flight.is_late or isinstance(reply, str)):
            self._dispatcher.reported(replica, report_of(self._nodes[replica.id], job, now), now)
        if lead not in self._open:  # a process that is gone had sent it
            return
        if flight.is_late:
            if now >= flight.client_limit_at:
                self._finish(replica, "cancelled", flight, now, "")
                self._client_has_gone(lead, now)
                return
            if now >= attempts.expires:  # no replica is blamed for what a client has no time for
                self._finish(replica, "cancelled", flight, now, "")
                self._cancel(lead, now)
                self._answer(lead, now, UNBOUND_STATUS["deadline"])
                return
            reply = TIMED_OUT
        if isinstance(reply, str):
            self._failed(flight, replica, reply, now)
            return
        outcome = outcome_of(reply)
        if outcome == "ok":
            self._dispatcher.finish(replica, outcome, now - flight.began, now, is_retry=flight.count > 1)
            if job is not None and now + flight.to_client_s <= flight.client_limit_at and not lead.is_over:
                self._records.served(flight.number, job.start - job.arrival, job.end - job.start)
            if attempts.hedges:
                self._supersede(flight, now)
            self._answer(lead, now, reply, node.number, is_hedge=flight.is_hedge)
            return
        again = self._again(flight, outcome, now, sent=True)
        self._finish(replica, outcome, flight, now, f"status {reply}")
        if again:
            self._follow(flight, now)
        elif flight.other() is None:
            self._answer(lead, now, reply, node.number, is_hedge=flight.is_hedge)

    def _again(self, flight: Flight, outcome: Outcome, now: float, *, sent: bool) -> bool:
        attempts, is_second = flight.attempts, flight.other() is not None
        assert attempts is not None
        return self._dispatcher.follows(
            attempts, outcome, now, sent=sent, replayable=True, beside=is_second, is_retry=flight.count > 1
        )

    def _give_up(self, flight: Flight, now: float) -> None:
        """It takes too long: elsewhere, if the request may; else it keeps its time."""
        node = flight.node
        assert node is not None
        if self._again(flight, "error", now, sent=True):
            node.release(flight, now, served=False)
            flight.state = IDLE
            self._finish(flight.target, "error", flight, now, TIMED_OUT)
            self._follow(flight, now)
        else:
            flight.limit_at = min(flight.hard_limit_at, flight.client_limit_at)
            node.go_on(flight, now)

    def _supersede(self, winner: Flight, now: float) -> None:
        """The other attempt is not needed any more."""
        loser, attempts = winner.other(), winner.attempts
        assert attempts is not None
        attempts.forgo()
        if loser is not None and self._hang_up(loser, now):
            self._finish(loser.target, "cancelled", loser, now, SUPERSEDED)

    def _client_has_gone(self, lead: Flight, now: float) -> None:
        """Its time is up: nobody wants the answer."""
        self._cancel(lead, now)
        self._records.end(lead, lead.client_limit_at, TIMEOUT)
        del self._open[lead]

    def abandon(self, flight: Flight, now: float) -> None:
        """The client of a request has hung up."""
        flight.is_over = True
        if self.process.paused_at is not None:
            self.process.hold(self.abandon, flight)
        elif flight in self._open:
            self._cancel(flight, now)
            del self._open[flight]

    def _cancel(self, lead: Flight, now: float) -> None:
        """End what is under way, and try nothing more."""
        assert lead.attempts is not None
        lead.attempts.forgo()
        for flight in (lead, lead.beside):
            if flight is not None and self._hang_up(flight, now):
                self._finish(flight.target, "cancelled", flight, now, "")

    def _settle_later(self, what: tuple[Flight, float], now: float) -> None:
        flight, due = what
        if flight.due == due:
            flight.due = now
            self.settle(flight, now)

    def _failed(self, flight: Flight, replica: Replica, reason: str, now: float) -> None:
        refused, reason = reason == "connect", "connect" if reason == UNREACHABLE else reason
        again = self._again(flight, "error", now, sent=reason != "connect")
        self._finish(replica, "error", flight, now, NOBODY_LISTENS if refused else reason)
        if again:
            self._follow(flight, now)
        elif flight.other() is None:
            self._answer(lead_of(flight), now, FAILURE_STATUS[reason])

    def _finish(self, replica: Replica, outcome: Outcome, flight: Flight, now: float, reason: str) -> None:
        self._dispatcher.finish(replica, outcome, now - flight.began, now, reason, is_retry=flight.count > 1)

    def _answer(self, flight: Flight, now: float, status: int, node: int = -1, *, is_hedge: bool = False) -> None:
        at = now + flight.to_client_s
        if self.latencies is not None and flight.attempts is not None:
            self.latencies.add(status, now - flight.attempts.opened)
        if at > flight.client_limit_at:
            self._records.end(flight, flight.client_limit_at, TIMEOUT)
        else:
            self._records.end(flight, at, OK if status < 400 else HTTP_ERROR, status, node, is_hedge=is_hedge)
        del self._open[flight]

    def _hang_up(self, flight: Flight, now: float) -> bool:
        """Whatever replica works on it hears that nobody waits; False where none does."""
        was, flight.state = flight.state, IDLE
        if was != UNDER_WAY:
            return False
        flight.due = NEVER
        assert flight.node is not None
        flight.node.release(flight, now, served=False)
        return True

    def _await_client(self, flight: Flight, now: float) -> None:
        """Nobody answers for now; the client waits as long as it wants to."""
        self._agenda.at(max(flight.client_limit_at, now), self._client_gives_up, flight)

    def _client_gives_up(self, flight: Flight, now: float) -> None:
        self._records.end(flight, flight.client_limit_at, TIMEOUT)


def lead_of(flight: Flight) -> Flight:
    """The request's own flight."""
    return flight if flight.lead is None else flight.lead
