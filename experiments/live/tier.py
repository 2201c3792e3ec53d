"""The second tier of a run: its router and its replicas, started, observed and stopped."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

from experiments.live.launching import Launcher, Service
from experiments.plan.config import Config
from experiments.plan.replica_options import tier_options
from record.shapes import Calls
from services.manager.engines import Engine, EngineError, Running
from services.manager.starting import start_all

APART = 500_009
"""Added to the run's seed for this router, as in the simulator: what it draws is its own."""


class Tier:
    """Router and replicas; those that call it are not its business."""

    def __init__(self, config: Config, launcher: Launcher, write: Callable[[str, dict[str, Any]], str]) -> None:
        """`write` leaves settings in a file of that name, and returns what `--config` is given for it."""
        self._config = config
        self._launcher = launcher
        settings = {"router": dataclasses.asdict(config.tier.router), "policy": config.tier.policy}
        options = ["--config", write("tier_router.json", settings), "--seed", str(config.seed + APART)]
        self.router: Service = launcher.service("tier_router", options)
        self.engine: Engine | None = None
        self.replicas: dict[str, Running] = {}

    async def start(self) -> str:
        """Bring it up; returns the URL at which it is called.

        Raises:
            StartError: with the tail of the log of what did not come up.
        """
        timeout_s = self._config.engine.startup_timeout_s
        await self.router.start(timeout_s)
        registry = self._launcher.inside("tier_router", "admin")
        self.engine = self._launcher.replicas(tier_options(self._config), timeout_s, registry)
        await start_all(self.engine.start, self._config.tier.ids, self._config.autoscaling.max_starting)
        await self.look()
        return self._launcher.inside("tier_router", "url")

    async def look(self) -> None:
        """See which replicas there are."""
        if self.engine is not None:
            with contextlib.suppress(EngineError):
                self.replicas = {replica.id: replica for replica in await self.engine.running()}

    async def stop_replicas(self) -> None:
        """Let them finish and leave."""
        if self.engine is not None:
            await asyncio.gather(*(self.engine.stop_process(id_) for id_ in self.replicas))


def counted(stats: dict[str, Any]) -> Calls:
    """What the router's `/stats` say of the calls."""
    failed = sum(count for status, count in stats["responses"].items() if status in ("4xx", "5xx"))
    return {
        "calls": stats["requests_total"],
        "attempts": sum(stats["picks"].values()),  # as many as have begun: none of a call that is turned away
        "hedged": stats["hedges_total"],
        "failed": failed + stats["broken_total"],
    }
