"""The load in virtual time: a schedule's requests at their moments, or asked one after another by closed-loop users."""

from array import array
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.load.retries import ClientRetries
from experiments.plan.config import Config, DelaysConfig
from experiments.simulator.agenda import Agenda
from experiments.simulator.replica import VirtualReplica
from experiments.simulator.request import HTTP_ERROR, NEVER, OK, REFUSED, RESET, TIMEOUT, Flight, Owner, Records
from record.schema import METHOD
from services.backend import work_queue

CHUNK = 65_536
"""Requests that are taken from the schedule at a time."""
STREAM = 101
"""Of the delays' draws; the schedule's streams are 1 to 4 (experiments/plan/schedule.py)."""


class DirectClient(Owner):
    """Without a router the client itself sends request i to replica i mod n, and waits until it gives up."""

    def __init__(self, nodes: list[VirtualReplica], records: Records) -> None:
        """`nodes` in the order of their numbers."""
        self._nodes = nodes
        self._records = records

    def arrive(self, flight: Flight, now: float) -> None:
        """A request comes to its replica."""
        flight.node = self._nodes[flight.number % len(self._nodes)]
        flight.began, flight.limit_at = now, flight.client_limit_at
        flight.turn_by = work_queue.NEVER if flight.expires is None else flight.expires
        flight.node.arrive(flight, now)

    def settle(self, flight: Flight, now: float) -> None:
        """The reply is here, or the client waits no longer."""
        if flight.due != now:
            return
        flight.due = NEVER
        node, job, reply = flight.node, flight.job, flight.reply
        assert node is not None
        node.release(flight, now, served=not flight.is_late)
        if flight.is_late:
            self._records.end(flight, now, TIMEOUT)
        elif isinstance(reply, str):
            self._records.end(flight, now, REFUSED if reply == "connect" else RESET)
        else:
            if job is not None and not job.is_dropped:
                self._records.served(flight.number, job.start - job.arrival, job.end - job.start)
            self._records.end(flight, now, OK if reply < 400 else HTTP_ERROR, reply, node.number)


class VirtualLoad:
    """Sends a schedule to whom it concerns: request i to number i mod n of them."""

    def __init__(
        self,
        config: Config,
        schedule: pd.DataFrame,
        owners: Sequence[Owner],
        agenda: Agenda,
        records: Records,
        retries: ClientRetries | None = None,
    ) -> None:
        """Nothing has been asked.

        Args:
            config: valid, with the engine `sim`.
            schedule: as `build_schedule` returns it, n rows.
            owners: routers, or the client itself.
            agenda: the simulation's.
            records: what becomes of the requests.
            retries: what clients do about those that fail; None = nothing.
        """
        self._retries = retries
        self._limit_s = config.load.timeout_s if retries is None else retries.limit_s(0.0)
        self.asked = 0
        """Requests that have been sent."""
        self.asked_s: array[float] | None = None
        """When each was, where that is not as scheduled: in a closed loop."""
        self._config = config
        self._schedule = schedule
        self._owners = owners
        self._agenda = agenda
        self._records = records
        self._delays = config.engine.delays or DelaysConfig()
        deadline_ms = config.load.deadline_ms
        self._deadline_s = None if deadline_ms is None else deadline_ms / 1e3
        self._is_post = None if METHOD not in schedule else (schedule[METHOD] == "POST").tolist()
        self._to_node_s = 0.0 if config.router is None else self._delays.replica.there_s

    def run(self) -> None:
        """Open loop: every request at its moment; returns when the last one is on its way."""
        agenda, heap, owners = self._agenda, self._agenda.heap, self._owners
        timeout_s, to_node_s, count, retries = self._limit_s, self._to_node_s, len(owners), self._retries
        to_owner_s, to_client_s, from_node_s = self.drawn(len(self._schedule))
        deadline_s, is_post = self._deadline_s, self._is_post
        for begin in range(0, len(to_client_s), CHUNK):
            end = begin + CHUNK
            rows = self._schedule.iloc[begin:end]
            columns = [rows[name].tolist() for name in ("request_id", "scheduled_s", "key", "demand_s")]
            columns += [to_client_s[begin:end].tolist(), from_node_s[begin:end].tolist()]
            number: int  # said for the compiler, which sees columns of anything
            scheduled_s: float
            for number, scheduled_s, key, demand_s, client_s, node_s in zip(*columns, strict=True):
                at = scheduled_s + to_owner_s
                owner: Owner = owners[number % count]
                flight = Flight(number, key, demand_s, scheduled_s + timeout_s, client_s, to_node_s, node_s, owner)
                if deadline_s is not None:
                    flight.expires = at + deadline_s
                if is_post is not None and is_post[number]:
                    flight.is_idempotent = False
                if heap and heap[0][0] <= at:
                    agenda.run_before(at)
                agenda.now = at
                self.asked += 1
                if retries is not None:
                    retries.on_request(at)
                owner.arrive(flight, at)
        agenda.done += self.asked

    def drawn(self, count: int) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        """Delays of every request, seconds: to whom takes it (one for all), from there back, and from a replica back.

        Only the ways back scatter, by timers and wake-ups: requests do not overtake each other on their way, or a live
        mmc run would not be as near to its exact sojourns as it is (docs/validity.md).
        """
        delays, rng = self._delays, np.random.default_rng([self._config.seed, STREAM])
        client = delays.client.back(rng, count)
        if self._config.router is None:
            return delays.client.there_s, np.zeros(count), client
        own = delays.router.back(rng, count)
        return delays.client.there_s + delays.router.there_s, client + own, delays.replica.back(rng, count)

    def sojourn_s(self) -> NDArray[np.float64]:
        """From the scheduled moment until the client heard of it, seconds, shape (n,); open loop."""
        completed, scheduled = np.frombuffer(self._records.completed_s), self._schedule["scheduled_s"].to_numpy()
        sojourns: NDArray[np.float64] = completed - scheduled
        return sojourns

    # -- the closed loop

    def run_closed(self) -> None:
        """Each user asks, waits for the answer, and asks again at its share of the rate at most (Locust's pacing)."""
        last_s, users = float(self._schedule["scheduled_s"].iloc[-1]), self._config.load.users
        rate = len(self._schedule) / last_s
        self._end_s, self._pause_s = last_s, users / rate
        self._delayed = self.drawn(len(self._schedule))
        self._closed_s = self.asked_s = array("d", [float("nan")]) * len(self._schedule)
        self._records.on_end = self._answered
        for user in range(users):
            self._agenda.at(user / rate, self._ask)

    def _ask(self, _: None, now: float) -> None:
        number = self.asked
        if number == len(self._schedule):
            return
        self.asked += 1
        self._closed_s[number] = now
        to_owner_s, to_client_s, from_node_s = self._delayed
        row = self._schedule.iloc[number]
        client_limit_at = now + self._limit_s
        if self._retries is not None:
            self._retries.on_request(now)
        owner = self._owners[number % len(self._owners)]
        flight = Flight(
            number,
            row["key"],
            float(row["demand_s"]),
            client_limit_at,
            float(to_client_s[number]),
            self._to_node_s,
            float(from_node_s[number]),
            owner,
        )
        if self._deadline_s is not None:
            flight.expires = now + to_owner_s + self._deadline_s
        if self._is_post is not None:
            flight.is_idempotent = not self._is_post[number]
        self._agenda.at(now + to_owner_s, owner.arrive, flight)

    def _answered(self, flight: Flight, at: float) -> None:
        again = max(at, self._closed_s[flight.number] + self._pause_s)
        if again < self._end_s:
            self._agenda.at(again, self._ask)
