"""Probes in virtual time: what the live router's `Prober` asks, with the same rule of one at a time."""

from __future__ import annotations

from collections.abc import Mapping

from experiments.plan.delays import Delay
from experiments.simulator.process import Process
from experiments.simulator.replica import VirtualReplica
from services.backend.work_queue import Job
from services.router.dispatch import Dispatcher
from services.router.policy import Report
from services.router.replica import Replica

PROBE_S = 1.0
"""How long an answer is waited for, as by the live router."""


def report_of(node: VirtualReplica, job: Job | None, now: float) -> Report:
    """What an answer's headers say of a replica that keeps account; `job`: the work that was done for it, if any."""
    assert node.load is not None
    rates = node.load.rates(now)
    service_s = None if job is None else job.end - job.start
    return Report(node.in_flight, service_s, rates.utilisation, rates.requests_per_s, rates.errors_per_s)


class Probing:
    """Of one process of a router."""

    def __init__(
        self, dispatcher: Dispatcher, process: Process, nodes: Mapping[str, VirtualReplica], round_trip: Delay
    ) -> None:
        """`process` is the router's; `round_trip` to a replica and back, of which probes take the median."""
        self._dispatcher = dispatcher
        self._process = process
        self._nodes = nodes
        self._there_s = round_trip.there_s
        self._under_way: dict[str, int] = {}
        self._sent = 0

    def ask(self, replica: Replica) -> None:
        """Ask it, unless it is being asked."""
        if replica.id in self._under_way:
            return
        self._sent += 1
        self._under_way[replica.id] = self._sent
        now = self._process.now
        self._process.at_even_paused(now + self._there_s, self._arrived, (replica.id, self._sent))
        self._process.at(now + PROBE_S, self._give_up, (replica.id, self._sent))

    def _arrived(self, probe: tuple[str, int], now: float) -> None:
        found = self._nodes[probe[0]].probe(now)
        if found is not None:
            added_s, in_flight, latency_s = found
            self._process.at(now + added_s + self._there_s, self._answered, (*probe, in_flight, latency_s))

    def _answered(self, answer: tuple[str, int, int, float | None], now: float) -> None:
        id_, number, in_flight, latency_s = answer
        if self._under_way.get(id_) == number:
            del self._under_way[id_]
            self._dispatcher.probed(id_, in_flight, latency_s, now)

    def _give_up(self, probe: tuple[str, int], now: float) -> None:
        id_, number = probe
        if self._under_way.get(id_) == number:
            del self._under_way[id_]
