"""The whole system under test in virtual time, and the load on it: what `engine=sim` runs instead of processes."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.config import Config, DelaysConfig
from experiments.faults import PROCESS_ACTIONS, ActiveFaults, Fault
from experiments.replica_options import replica_options, scaling_settings
from experiments.virtual_manager import VirtualManager
from experiments.virtual_replica import VirtualReplica
from experiments.virtual_request import HTTP_ERROR, NEVER, OK, REFUSED, RESET, TIMEOUT, Flight, Owner, Records
from experiments.virtual_router import VirtualRouter
from experiments.virtual_time import Agenda
from services.backend import faults as replica_faults
from services.backend.draws import uniform
from services.backend.registration import RENEW_S
from services.backend.settings import ReplicaSettings
from services.manager import scalers
from services.manager.deciding import Deciding
from services.manager.limits import Limits
from services.router import policies
from services.router.settings import DRAIN_S

BEFORE_S = RENEW_S + 1.0
"""Virtual time before the run's start: the replicas register within the first second of it, and are checked."""
CHUNK = 65_536
"""Requests that are taken from the schedule at a time."""
STREAM = 101
"""Of the delays' draws; the schedule's streams are 1 to 3 (experiments/schedule.py)."""
Sink = Callable[..., None]
"""Called as `sink(source, event, t_s, **detail)`."""


class Stopped(Exception):
    """Whoever watches does not want more."""


class DirectClient:
    """Without a router the client itself sends request i to replica i mod n, and waits until it gives up."""

    def __init__(self, nodes: list[VirtualReplica], records: Records) -> None:
        """`nodes` in the order of their numbers."""
        self._nodes = nodes
        self._records = records

    def arrive(self, flight: Flight, now: float) -> None:
        """A request comes to its replica."""
        flight.node = self._nodes[flight.number % len(self._nodes)]
        flight.began, flight.limit_at = now, flight.gives_up
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
            if job is not None:
                self._records.served(flight.number, job.start - job.arrival, job.end - job.start)
            self._records.end(flight, now, OK if reply < 400 else HTTP_ERROR, reply, node.number)


class VirtualStack:
    """Router, replicas, manager, faults and load of one run."""

    def __init__(self, config: Config, faults: list[Fault], schedule: pd.DataFrame, sink: Sink) -> None:
        """Everything is up at the run's start; nothing has been asked.

        Args:
            config: valid, with the engine `sim`.
            faults: the run's, in order of time.
            schedule: as `build_schedule` returns it, n rows.
            sink: hears of events as they happen.
        """
        self.config = config
        self.agenda = Agenda(-BEFORE_S)
        self.records = Records(len(schedule))
        self.samples: list[dict[str, Any]] = []
        self._faults = faults
        self._schedule = schedule
        self._sink = sink
        self._active = ActiveFaults()
        self._open_faults: set[int] = set()
        self.asked = 0
        """Requests that have been sent."""
        self.asked_s: array[float] | None = None
        """When each was, where that is not as scheduled: in a closed loop."""
        self.routers: list[VirtualRouter] = []
        options = replica_options(config)
        speeds = options.pop("speeds") or [1.0] * len(config.replica_ids)
        self._delays = delays = config.engine.delays or DelaysConfig()
        has_router = config.router is not None
        self._out_s = delays.replica.there_s if has_router else 0.0
        self.nodes = {
            id_: VirtualReplica(
                number,
                ReplicaSettings(id=id_, speed=speed, **options),
                self.agenda,
                self.routers,
                delays.replica if has_router else delays.client,
                delays.startup,
            )
            for number, (id_, speed) in enumerate(zip(config.replica_ids, speeds, strict=True))
        }
        if has_router:
            self.routers += [self._router(number) for number in range(config.router.count)]  # type: ignore[union-attr]
        first = [self.nodes[f"r{number}"] for number in range(1, config.replicas + 1)]
        self._owners: list[Owner] = [*self.routers] or [DirectClient(first, self.records)]
        for node in first:
            node.begin(self.agenda.now, RENEW_S)
        self.manager: VirtualManager | None = None
        if config.has_manager:
            self.manager = VirtualManager(self._deciding, self.routers[0], self.nodes, self.agenda, self._decided)

    def _router(self, number: int) -> VirtualRouter:
        config = self.config
        assert config.router is not None
        choice = dict(config.policy)
        name = choice.pop("name")
        seed = config.seed + 1_000_003 * number  # the first one draws as the live router does
        emit = self._emit if number == 0 else _ignore
        return VirtualRouter(
            config.router,
            lambda: policies.create(name, choice, random.Random(seed)),
            seed + 1,
            self.agenda,
            self.nodes,
            self.records,
            self._delays.replica,
            emit,
        )

    def _deciding(self) -> Deciding:
        config = self.config
        choice = dict(config.scaler)
        scaler = scalers.create(choice.pop("name"), choice)
        return Deciding(scaler, Limits(scaling_settings(config, self._faults)), config.replicas)

    def _emit(self, event: str, replica: str, now: float, **detail: object) -> None:
        self._sink("router", event, now, replica=replica, **detail)

    def _decided(self, decision: dict[str, Any], now: float) -> None:
        self._sink("manager", "scaling_decision", now, **decision)

    # -- the run

    def run(self, watch: Callable[[float], bool]) -> None:
        """Let it all happen; `watch(now)` is called every virtual second, and says whether to go on.

        Raises:
            Stopped: `watch` did not want more.
            PastEventError, ScalerError: a decision that cannot be carried out.
        """
        config, agenda = self.config, self.agenda
        self._watch = watch
        agenda.run_before(0.0)
        for index, fault in enumerate(self._faults):
            agenda.at(fault.at_s, self._inject, index)
        agenda.at(1.0, self._second, 1)
        if config.load.loop == "closed":
            self._ask_closed()
        else:
            self._send()
        agenda.run_before(max(agenda.now, config.workload.duration_s))
        last = agenda.now + config.load.timeout_s + 1.0
        while self.records.ended < self.asked and agenda.now < last:
            agenda.run_before(agenda.now + 0.1)
        self._heal_all(agenda.now)

    def _send(self) -> None:
        """Open loop: every request at its moment."""
        agenda, heap = self.agenda, self.agenda.heap
        run_before = agenda.run_before
        for at, flight in self._flights(self.config.load.timeout_s):
            if heap and heap[0][0] <= at:
                run_before(at)
            agenda.now = at
            self.asked += 1
            flight.owner.arrive(flight, at)
        agenda.done += self.asked

    def _flights(self, timeout_s: float) -> Iterator[tuple[float, Flight]]:
        """The requests in the order in which they reach who takes them, with that moment."""
        there, way, back = self.drawn(len(self._schedule))
        out, owners = self._out_s, self._owners
        for begin in range(0, len(way), CHUNK):
            end = begin + CHUNK
            rows = self._schedule.iloc[begin:end]
            names = ("request_id", "scheduled_s", "key", "demand_s")
            lists = [rows[name].tolist() for name in names] + [way[begin:end].tolist(), back[begin:end].tolist()]
            for number, scheduled, key, demand, way_s, back_s in zip(*lists, strict=True):
                owner = owners[number % len(owners)]
                yield scheduled + there, Flight(number, key, demand, scheduled + timeout_s, way_s, out, back_s, owner)

    def drawn(self, count: int) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        """Delays of every request, seconds: to whom takes it (one for all), from there back, and from a replica back.

        Only the ways back scatter, by timers and wake-ups: requests do not overtake each other on their way, or a live
        mmc run would not be as near to its exact sojourns as it is (docs/validity.md).
        """
        delays, rng = self._delays, np.random.default_rng([self.config.seed, STREAM])
        client = delays.client.back(rng, count)
        if not self.routers:
            return delays.client.there_s, np.zeros(count), client
        own = delays.router.back(rng, count)
        return delays.client.there_s + delays.router.there_s, client + own, delays.replica.back(rng, count)

    def sojourn_s(self) -> NDArray[np.float64]:
        """From the scheduled moment until the client heard of it, seconds, shape (n,); open loop."""
        latency_s: NDArray[np.float64] = (
            np.frombuffer(self.records.completed_s) - self._schedule["scheduled_s"].to_numpy()
        )
        return latency_s

    # -- the closed loop

    def _ask_closed(self) -> None:
        """Each user asks, waits for the answer, and asks again at its share of the rate at most (Locust's pacing)."""
        last_s, users = float(self._schedule["scheduled_s"].iloc[-1]), self.config.load.users
        rate = len(self._schedule) / last_s
        self._end_s, self._pause_s = last_s, users / rate
        self._ways = self.drawn(len(self._schedule))
        self._closed_s = self.asked_s = array("d", [float("nan")]) * len(self._schedule)
        self.records.on_end = self._answered
        for user in range(users):
            self.agenda.at(user / rate, self._ask)

    def _ask(self, _: None, now: float) -> None:
        number = self.asked
        if number == len(self._schedule):
            return
        self.asked += 1
        self._closed_s[number] = now
        there, way, back = self._ways
        row = self._schedule.iloc[number]
        gives_up = now + self.config.load.timeout_s
        owner = self._owners[number % len(self._owners)]
        flight = Flight(
            number,
            row["key"],
            float(row["demand_s"]),
            gives_up,
            float(way[number]),
            self._out_s,
            float(back[number]),
            owner,
        )
        self.agenda.at(now + there, owner.arrive, flight)

    def _answered(self, flight: Flight, at: float) -> None:
        again = max(at, self._closed_s[flight.number] + self._pause_s)
        if again < self._end_s:
            self.agenda.at(again, self._ask)

    # -- what is seen

    def _second(self, second: int, now: float) -> None:
        ready: int | None = sum(node.is_up for node in self.nodes.values())
        in_flight: int | None = None
        if self.routers:
            ready, in_flight = self.routers[0].ready(), sum(router.in_flight for router in self.routers)
        manager = self.manager
        desired = self.config.replicas if manager is None else manager.deciding.desired if manager.is_up else None
        self.samples.append(
            {
                "t_s": now,
                "cpu": None,
                "replicas_ready": ready,
                "replicas_desired": desired,
                "router_in_flight": in_flight,
            }
        )
        if not self._watch(now):
            raise Stopped
        if second < int(self.config.workload.duration_s):
            self.agenda.at(float(second + 1), self._second, second + 1)

    # -- faults

    def _inject(self, index: int, now: float) -> None:
        fault = self._faults[index]
        about = self._about(index, fault.at_s)
        try:
            self._hit(fault, now)
        except KeyError:
            reason = f"there is no process {fault.target} now"
            self._sink("runner", "fault_failed", now, reason=reason, phase="fault_injected", **about)
            return
        self._open_faults.add(index)
        self._sink("runner", "fault_injected", now, permanent=fault.for_s is None, **about)
        if fault.for_s is not None:
            self.agenda.at(fault.end_s, self._heal, index)

    def _about(self, index: int, planned_s: float | None) -> dict[str, Any]:
        fault = self._faults[index]
        return {"fault": index, "action": fault.action, "target": fault.target, "planned_s": planned_s}

    def _hit(self, fault: Fault, now: float) -> None:
        """Do it. KeyError: there is no such process now."""
        target = self._target(fault.target)
        if not target.is_up:
            raise KeyError(fault.target)
        match fault.action:
            case "kill":
                target.kill(now)
            case "pause":
                target.pause(now)
            case "restart":
                self._restart(fault.target, now)
            case _:
                self._set(fault, now, active=True)

    def _heal(self, index: int, now: float) -> None:
        fault = self._faults[index]
        self._open_faults.discard(index)
        self._sink("runner", "fault_healed", now, **self._about(index, fault.end_s))
        match fault.action:
            case "kill":
                self._restart(fault.target, now)
            case "pause":
                self._target(fault.target).resume(now)
            case action if action not in PROCESS_ACTIONS:
                self._set(fault, now, active=False)

    def _target(self, name: str) -> VirtualReplica | VirtualRouter | VirtualManager:
        if name == "manager":
            assert self.manager is not None
            return self.manager
        return self.routers[0] if name == "router" else self.nodes[name]

    def _set(self, fault: Fault, now: float, *, active: bool) -> None:
        faults = self._active.change(fault, active=active)
        self.nodes[fault.target].set_faults(replica_faults.parse(faults), now)

    def _restart(self, name: str, now: float) -> None:
        target = self._target(name)
        startup_s = self._startup_s(name, now)
        if isinstance(target, VirtualManager):
            target.restart(now, startup_s)
        elif isinstance(target, VirtualReplica):
            if target.is_up:
                target.drain(now, target.start)
            else:
                target.start(now)
        else:
            target.stop(now)
            self.agenda.at(now, self._start_router, (target, now + DRAIN_S, startup_s))

    def _startup_s(self, name: str, now: float) -> float:
        return self._delays.startup.at(uniform(self.config.seed, name, name, f"{now:.6f}", "startup"))

    def _start_router(self, what: tuple[VirtualRouter, float, float], now: float) -> None:
        """As soon as it has finished what was in flight."""
        router, latest, startup_s = what
        if router.in_flight and now < latest:
            self.agenda.at(now + 0.01, self._start_router, what)
        else:
            router.kill(now)
            self.agenda.at(now + startup_s, _start, router)

    def _heal_all(self, now: float) -> None:
        """What still lasts ends with the run (a process killed for good stays dead)."""
        for index in sorted(self._open_faults):
            if self._faults[index].action not in ("kill", "restart"):
                self._sink("runner", "fault_healed", now, at_end=True, **self._about(index, None))


def _start(router: VirtualRouter, now: float) -> None:
    router.start(now)


def _ignore(*_: object, **detail: object) -> None:
    """An event that nobody wants, as those of the routers after the first: each sees the same fleet."""


def simulate(config: Config, schedule: pd.DataFrame, faults: Sequence[Fault] = ()) -> VirtualStack:
    """Run `schedule` through what `config` describes, to the end; its events are not kept."""
    stack = VirtualStack(config, list(faults), schedule, _ignore)
    stack.run(lambda _: True)
    return stack
