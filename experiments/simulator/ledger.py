"""A replica in virtual time that keeps a ledger: every attempt that came to it, and what it did about it."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.plan.delays import Delay
from experiments.simulator.agenda import Agenda
from experiments.simulator.registering import Registry
from experiments.simulator.replica import VirtualReplica
from experiments.simulator.request import Flight
from services.backend.faults import Effects
from services.backend.settings import ReplicaSettings
from services.backend.work_queue import Job

Row = tuple[int, int, int, str, str, float, float | None, float, str]
"""As `record.schema.WORK_COLUMNS` has it."""
About = tuple[int, int, int, str, float]
"""Request, send, attempt, method, and when it came."""


class LedgeredReplica(VirtualReplica):
    """One of those; whoever needs no ledger has a replica that knows of none."""

    def __init__(
        self,
        number: int,
        settings: ReplicaSettings,
        agenda: Agenda,
        routers: Sequence[Registry],
        round_trip: Delay,
        startup: Delay,
        *,
        rows: list[Row],
    ) -> None:
        """As for any; `rows` takes a row an attempt as it ends, of all replicas."""
        super().__init__(number, settings, agenda, routers, round_trip, startup)
        self._rows = rows
        self._taken: dict[Job, About] = {}

    def _work(self, flight: Flight, now: float) -> None:
        super()._work(flight, now)
        if flight.job is None:
            self._add(_about(flight), None, now, "refused")
        else:
            self._taken[flight.job] = _about(flight)

    def _end(self, flight: Flight, effects: Effects, now: float) -> None:
        if not effects.hang and (effects.reset or effects.status is not None):
            self._add(_about(flight), None, now, "failed")
        super()._end(flight, effects, now)

    def release(self, flight: Flight, now: float, *, served: bool) -> None:
        """Its sender has the reply, or (not `served`) has hung up."""
        job = flight.job
        if job is None and flight in self._waiting and self.process.is_up:
            self._add(_about(flight), None, now, "cancelled")
        super().release(flight, now, served=served)
        if job is not None and served:
            self._close(job, job.end, "dropped" if job.is_dropped else "answered")

    def _hung_up(self, job: Job, now: float) -> None:
        if job.end <= now:
            self._close(job, job.end, "unread")
        elif self.settings.on_hangup == "cancel":
            self._close(job, now, "cancelled")
        super()._hung_up(job, now)

    def _go_on_for_nobody(self, job: Job, now: float) -> None:
        """Its row is written when it ends, which is no event for others; it may be planned anew."""
        if self.process.paused_at is not None:
            self.process.hold(self._go_on_for_nobody, job)
        elif job.end > now:
            self._agenda.at(job.end, self._go_on_for_nobody, job)
        else:
            self.queue.finish(job)
            self._close(job, job.end, "dropped" if job.is_dropped else "unread")

    def kill(self, now: float) -> None:
        """SIGKILL."""
        self.write_off(now)
        super().kill(now)

    def write_off(self, now: float) -> None:
        """Its process ends: what it has under way comes to nothing."""
        for job in [each for each in self._taken if each.end > now]:
            self._close(job, now, "killed")
        for flight in self._waiting:
            self._add(_about(flight), None, now, "killed")

    def _close(self, job: Job, at: float, end: str) -> None:
        about = self._taken.pop(job, None)
        if about is not None:  # else it was killed, or had ended
            self._add(about, job.start if job.start < at else None, at, end)

    def _add(self, about: About, began_s: float | None, ended_s: float, end: str) -> None:
        request, send, attempt, method, taken_s = about
        began_s = None if began_s is None else round(began_s, 6)
        self._rows.append((request, send, attempt, self.id, method, round(taken_s, 6), began_s, round(ended_s, 6), end))


def _about(flight: Flight) -> About:
    method = "GET" if flight.is_idempotent else "POST"
    return flight.number, flight.send, max(1, flight.count), method, flight.began + flight.to_node_s
