"""Health checks in virtual time: when a router asks, and those that stand in a replica's work queue."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from experiments.simulator.agenda import Action, Agenda
from experiments.simulator.process import Process
from services.backend.work_queue import Job, Queue, QueueFullError
from services.router.check_pacing import pause_s
from services.router.fleet import Fleet
from services.router.settings import HealthCheckSettings


class Checked(Protocol):
    """Who is checked."""

    def check(self, timeout_s: float, now: float, result: Action) -> None:
        """A check, which may take `timeout_s`: `result((passed, reason), moment)` is called once."""


class VirtualChecks:
    """Asks the replicas of a router's fleet, each at its own pace, as the live router does."""

    def __init__(
        self,
        settings: HealthCheckSettings,
        fleet: Fleet,
        nodes: Mapping[str, Checked],
        process: Process,
        agenda: Agenda,
        rng: random.Random,
    ) -> None:
        """Nobody is asked yet; `process` is the router's."""
        self._settings = settings
        self._fleet = fleet
        self._nodes = nodes
        self._process = process
        self._agenda = agenda
        self._rng = rng
        self._loops: dict[str, int] = {}

    def watch(self, id_: str) -> None:
        """Check it from now on."""
        self._loops[id_] = self._loops.get(id_, 0) + 1
        self._process.at(self._agenda.now, self._check, (id_, self._loops[id_]))

    def _check(self, loop: tuple[str, int], now: float) -> None:
        id_, number = loop
        replica = self._fleet.replicas.get(id_)
        if replica is None or self._loops.get(id_) != number:
            return

        def result(answer: tuple[bool, str], moment: float) -> None:
            passed, reason = answer
            if self._fleet.replicas.get(id_) is replica and not replica.draining:
                self._fleet.on_check(id_, passed, moment, reason)
            self._process.at(moment + pause_s(self._settings, replica.healthy, self._rng), self._check, loop)

        self._nodes[id_].check(self._settings.timeout_s, now, self._process.guarded(result))


class Queueing(Protocol):
    """A replica with its queue."""

    queue: Queue

    def rearm(self, jobs: Sequence[Job], now: float) -> None:
        """The ends of these have changed."""


class QueuedChecks:
    """The checks that stand in a replica's queue."""

    def __init__(self, replica: Queueing, process: Process, agenda: Agenda) -> None:
        """None does; `process` is the replica's."""
        self._replica = replica
        self._process = process
        self._agenda = agenda
        self._passed: dict[Job, Callable[[float], None]] = {}

    def clear(self) -> None:
        """The process is gone."""
        self._passed.clear()

    def stand(self, passed: Callable[[float], None], now: float) -> bool:
        """Call `passed` when its turn has come; False where there is no place for it."""
        try:
            job, changed = self._replica.queue.arrive(0.0, now)
        except QueueFullError:
            return False
        self._passed[job] = passed
        self._agenda.at(job.end, self._ends, job)
        self._replica.rearm(changed, now)
        return True

    def again(self, job: Job, now: float) -> None:
        """The end of one has changed, if it is one of these."""
        if job in self._passed:
            self._agenda.at(max(job.end, now), self._ends, job)

    def _ends(self, job: Job, now: float) -> None:
        """Unless it was planned anew: then this is called again."""
        if job not in self._passed:
            return
        if self._process.paused_at is not None:
            self._process.hold(self._ends, job)
        elif job.end <= now:
            self._replica.queue.finish(job)
            self._passed.pop(job)(now)
