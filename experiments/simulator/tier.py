"""The second tier of a run in virtual time: its router, and its replicas."""

from __future__ import annotations

import random

from experiments.plan.config import Config, DelaysConfig
from experiments.plan.replica_options import tier_options
from experiments.simulator.agenda import Agenda
from experiments.simulator.calling import CallRecords, Downstream
from experiments.simulator.replica import VirtualReplica
from experiments.simulator.router import VirtualRouter
from record.shapes import Calls
from services.backend.renewal import RENEW_S
from services.backend.settings import ReplicaSettings
from services.router import policies
from services.router.fleet import Emit

APART = 500_009
"""Added to the run's seed for this router: what it draws is its own."""


class VirtualTier:
    """All of it."""

    def __init__(self, config: Config, delays: DelaysConfig, agenda: Agenda, emit: Emit) -> None:
        """It is up, and its replicas are about to register.

        Args:
            config: the run's; it has a second tier.
            delays: of the network, its router and its replicas, as those before it.
            agenda: the simulation's.
            emit: hears of every change of membership or rotation.
        """
        tier, options = config.tier, tier_options(config)
        speeds, weights = (options.pop(each) or [1.0] * tier.replicas for each in ("speeds", "weights"))
        routers: list[VirtualRouter] = []
        self.nodes = {
            id_: VirtualReplica(
                number,
                ReplicaSettings(id=id_, speed=speed, weight=weight, **options),
                agenda,
                routers,
                delays.replica,
                delays.startup,
            )
            for number, (id_, speed, weight) in enumerate(zip(tier.ids, speeds, weights, strict=True))
        }
        choice = dict(tier.policy)
        name, seed = choice.pop("name"), config.seed + APART
        self.records = CallRecords(agenda)
        self.router = VirtualRouter(
            tier.router,
            lambda: policies.create(name, choice, random.Random(seed)),
            seed + 1,
            agenda,
            self.nodes,
            self.records,
            delays.replica,
            emit,
        )
        routers.append(self.router)
        self.downstream = Downstream(self.router, self.records, delays.replica, delays.router)
        for node in self.nodes.values():
            node.begin(agenda.now, RENEW_S)

    def calls(self) -> Calls:
        """What became of the calls until now."""
        records = self.records
        return {
            "calls": records.made,
            "attempts": records.attempted,
            "hedged": records.hedged,
            "failed": records.failed,
        }
