"""The whole system under test in virtual time, and the load on it: what `engine=sim` runs instead of processes."""

from __future__ import annotations

import gc
import random
from collections import Counter
from collections.abc import Callable, Sequence

import pandas as pd

from experiments.load.retries import ClientRetries
from experiments.plan.config import Config, DelaysConfig
from experiments.plan.fault_plan import Fault, is_on_path
from experiments.plan.replica_options import replica_options, scaling_settings
from experiments.simulator.agenda import Agenda
from experiments.simulator.calling import CallingReplica
from experiments.simulator.clients import PersistentRecords
from experiments.simulator.injection import Sink, Target, VirtualFaults
from experiments.simulator.ledger import LedgeredReplica, Row
from experiments.simulator.load import DirectClient, VirtualLoad
from experiments.simulator.manager import VirtualManager
from experiments.simulator.path import Limited, RemoteReplica
from experiments.simulator.replica import VirtualReplica
from experiments.simulator.request import Owner, Records
from experiments.simulator.router import VirtualRouter
from experiments.simulator.tier import VirtualTier
from record.schema import TIER
from record.shapes import Sample
from services.backend.renewal import RENEW_S
from services.backend.settings import ReplicaSettings
from services.manager import scalers
from services.manager.deciding import Deciding
from services.manager.limits import Limits
from services.router import policies

BEFORE_S = RENEW_S + 1.0
"""Virtual time before the run's start: the replicas register within the first second of it, and are checked."""

GC_THRESHOLD = (100_000, 50, 1000)
"""Where requests by the ten thousand are under way, Python's own (700, 10, 10) goes through them all the time."""


class Stopped(Exception):
    """Whoever watches does not want more."""


class VirtualStack:
    """Router, replicas, second tier, manager, faults and load of one run."""

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
        self._delays = delays = config.engine.delays or DelaysConfig()
        has_router = config.router is not None
        retries = _client_retries(config)
        if retries is None:
            self.records = Records(len(schedule))
        else:
            to_owner_s = delays.client.there_s + (delays.router.there_s if has_router else 0.0)
            self.records = PersistentRecords(len(schedule), retries, self.agenda, to_owner_s)
        self.samples: list[Sample] = []
        self._planned = faults
        self._sink = sink
        self.routers: list[VirtualRouter] = []
        options = replica_options(config)
        speeds, weights = (options.pop(each) or [1.0] * len(config.replica_ids) for each in ("speeds", "weights"))
        self.work: list[Row] | None = [] if config.ledger == "always" else None
        """The replicas' ledger, if they keep one."""
        self.tier = VirtualTier(config, delays, self.agenda, self._emit_of_tier) if config.tier.replicas else None
        ways = (self.routers, delays.replica if has_router else delays.client, delays.startup)
        self.nodes: dict[str, VirtualReplica] = {}
        limits: Limited = {}
        for number, (id_, speed, weight) in enumerate(zip(config.replica_ids, speeds, weights, strict=True)):
            about = (number, ReplicaSettings(id=id_, speed=speed, weight=weight, **options), self.agenda, *ways)
            if self.tier is not None:
                self.nodes[id_] = CallingReplica(*about, self.tier.downstream)
            elif config.router is not None and any(is_on_path(fault.action) for fault in faults):
                rows = [] if self.work is None else self.work
                self.nodes[id_] = RemoteReplica(*about, rows, config.router.timeouts.connect_s, limits)
            elif self.work is not None:
                self.nodes[id_] = LedgeredReplica(*about, rows=self.work)
            else:
                self.nodes[id_] = VirtualReplica(*about)
        if not faults and not config.autoscaling.starts.crash:  # of renewals a day has more than of requests
            for node in self.nodes.values():
                node.registering.renews = False
        if has_router:
            self.routers += [self._router(number) for number in range(config.router.count)]  # type: ignore[union-attr]
        first = [self.nodes[f"r{number}"] for number in range(1, config.replicas + 1)]
        owners: list[Owner] = [*self.routers] or [DirectClient(first, self.records)]
        self.load = VirtualLoad(config, schedule, owners, self.agenda, self.records, retries)
        for node in first:
            node.begin(self.agenda.now, RENEW_S)
        self.manager: VirtualManager | None = None
        if config.has_manager:
            self.manager = VirtualManager(
                self._deciding,
                self.routers[0],
                self.nodes,
                self.agenda,
                sink,
                config.seed,
                delays.startup,
                config.engine.startup_timeout_s,
            )
        targets: dict[str, Target] = {**self.nodes}
        if has_router:
            targets["router"] = self.routers[0]
        if self.manager is not None:
            targets["manager"] = self.manager
        if self.tier is not None:
            targets |= {**self.tier.nodes, "tier_router": self.tier.router}
        self._faults = VirtualFaults(faults, targets, self._has, self.agenda, sink, delays.startup, config.seed)

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
        return Deciding(scaler, Limits(scaling_settings(config, self._planned)), config.replicas, config.seed)

    def _has(self, name: str) -> bool:
        """Whether there is such a process, or may be again."""
        return self.manager is None or name not in self.nodes or self.manager.has(name)

    def _emit(self, event: str, replica: str, now: float, **detail: object) -> None:
        self._sink("router", event, now, replica=replica, **detail)

    def _emit_of_tier(self, event: str, replica: str, now: float, **detail: object) -> None:
        self._sink(TIER, event, now, replica=replica, **detail)

    # -- the run

    def run(self, watch: Callable[[float], bool]) -> None:
        """Let it all happen; `watch(now)` is called every virtual second, and says whether to go on.

        Raises:
            Stopped: `watch` did not want more.
            PastEventError, ScalerError: a decision that cannot be carried out.
        """
        self._watch = watch
        before = gc.get_threshold()
        gc.set_threshold(*GC_THRESHOLD)
        try:
            self._run()
        finally:
            gc.set_threshold(*before)

    def _run(self) -> None:
        config, agenda = self.config, self.agenda
        agenda.at(1.0, self._second, 1)
        agenda.run_before(0.0)
        if config.load.loop == "closed":
            self.load.run_closed()
        else:
            self.load.run()
        agenda.run_before(max(agenda.now, config.workload.duration_s))
        last = agenda.now + config.load.timeout_s + 1.0
        while self.records.ended < self.load.asked and agenda.now < last:
            agenda.run_before(agenda.now + 0.1)
        self._faults.heal_all(agenda.now)
        if self.work is None:  # of compiled classes `isinstance` says yes to every replica
            return
        for node in self.nodes.values():
            if isinstance(node, LedgeredReplica):
                node.write_off(agenda.now)

    # -- what is seen

    def picks(self) -> dict[str, int]:
        """Why the routers' policies picked, all together."""
        counted: Counter[str] = Counter()
        for router in self.routers:
            counted.update(router.fleet.picks)
        return dict(counted)

    def _second(self, second: int, now: float) -> None:
        ready: int | None
        in_flight: int | None = None
        if self.routers:
            ready, in_flight = self.routers[0].ready(), sum(router.in_flight for router in self.routers)
        else:
            ready = sum(node.is_up for node in self.nodes.values())
        manager = self.manager
        desired: int | None = None
        provisioned: int | None = None
        if manager is None:
            desired = self.config.replicas
            provisioned = sum(node.is_up or node.is_starting for node in self.nodes.values())
        elif manager.is_up:
            desired, provisioned = manager.deciding.desired, manager.provisioned()
        self.samples.append(
            {
                "t_s": now,
                "cpu": None,
                "replicas_ready": ready,
                "replicas_desired": desired,
                "replicas_provisioned": provisioned,
                "router_in_flight": in_flight,
                "router_lag_ms": None,
            }
        )
        if not self._watch(now):
            raise Stopped
        if second < int(self.config.workload.duration_s):
            self.agenda.at(float(second + 1), self._second, second + 1)


def _client_retries(config: Config) -> ClientRetries | None:
    load = config.load
    if load.retries.max_attempts == 1:
        return None
    return ClientRetries(load.retries, load.timeout_s, config.seed, load.deadline_ms)


def _ignore(*_: object, **detail: object) -> None:
    """An event that nobody wants, as those of the routers after the first: each sees the same fleet."""


def simulate(config: Config, schedule: pd.DataFrame, faults: Sequence[Fault] = ()) -> VirtualStack:
    """Run `schedule` through what `config` describes, to the end; its events are not kept."""
    stack = VirtualStack(config, list(faults), schedule, _ignore)
    stack.run(lambda _: True)
    return stack
