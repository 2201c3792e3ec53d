"""The system under test as one run needs it: router, replicas, and the manager where something scales."""

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

from experiments.live.launching import Launcher, Service
from experiments.live.listening import Events, EventSink, LoopLag, asked, clock_offsets
from experiments.live.outside import Outside
from experiments.live.paths import Paths
from experiments.live.readiness import until_ready
from experiments.live.standing_in import DATA_PLANE, StandIn
from experiments.live.tier import Tier, counted
from experiments.live.told import manager_options, router_options
from experiments.plan.config import Config
from experiments.plan.fault_plan import Fault
from experiments.plan.replica_options import manager_startup_s, replica_options
from experiments.runner.clocks import Offset
from record.schema import RAW
from record.shapes import Calls
from services.door.access import auth_headers
from services.manager.engines import Engine, EngineError, Running, provisioned
from services.manager.starting import start_all
from services.processes import STOP_DEADLINE_S


class Stack:
    """Starts, observes, hurts and stops the services of one run."""

    def __init__(
        self,
        config: Config,
        faults: list[Fault],
        launcher: Launcher,
        logs: Path,
        sink: EventSink,
        ledgers: Path | None = None,
    ) -> None:
        """`faults` are the run's; `logs` is the folder for log files and the services' settings.

        `ledgers` is the one that the replicas leave theirs in; None = they keep none.
        """
        self.config = config
        self.router: Service | None = None
        self.manager: Service | None = None
        self.paths = Paths.of(faults, config.seed, logs)
        self._registry: str | None = None
        """Where replicas register, and the manager looks."""
        self._faults = faults
        self._logs = logs
        self._launcher = launcher
        self._replica_options = replica_options(config)
        if ledgers is not None:
            self._replica_options |= launcher.ledgers(ledgers)
        self._engine: Engine | None = None
        self._replicas: dict[str, Running] = {}
        self._session: aiohttp.ClientSession | None = None
        self._lag = LoopLag()
        self._events = Events(self._get, sink)
        self._tier: Tier | None = None
        self._outside = Outside(config) if config.is_external else None
        """What the load goes to that somebody else has started."""
        self._stand_in = StandIn(config, logs, logs.parent / RAW, sink) if config.stands_in else None
        """The proxy in the place of Aegis' router."""
        self.desired: int | None = config.replicas or None
        self.about: dict[str, Any] = {}
        """What the manifest is to say of it, once it is up."""

    # -- start and stop

    async def start(self, progress: Callable[[str], None]) -> None:
        """Bring everything up: the router, then the replicas side by side.

        Raises:
            StartError: with the tail of the log of what did not come up.
        """
        timeout = aiohttp.ClientTimeout(total=2.0)
        progress(f"preparing engine={self.config.engine.name}")
        await self._launcher.prepare()
        self._session = aiohttp.ClientSession(timeout=timeout, headers=auth_headers())
        if self._outside is not None:
            await self._outside.listens(self.config.load.timeout_s)
        if self.config.tier.replicas:
            progress(f"starting the second tier and its {self.config.tier.replicas} replica(s)")
            self._tier = Tier(self.config, self._launcher, self._write)
            self._replica_options["downstream"] = await self._tier.start()
        if (router := self.config.started_router) is not None:
            progress("starting the router" if self._stand_in is None else f"starting {router.data_plane}")
            self.router = self._stand_in
            if self.router is None:
                options = router_options(self.config, router, self._write)
                self.router = self._launcher.service("router", options)
            await self.router.start(self.config.engine.startup_timeout_s)
            own = self._stand_in is None
            self._registry = self._launcher.inside("router", "admin") if own else self.router.addresses["admin"]
            if self.paths is not None:
                self._registry = await self.paths.start(self._registry, self.config.engine.startup_timeout_s)
        if self.config.has_manager:
            progress(f"starting the manager and {self.config.replicas} replica(s)")
            told = (str(self._registry), self._launcher.manager_flags, self._write)
            options = manager_options(self.config, self._faults, self._replica_options, *told)
            self.manager = self._launcher.service("manager", options)
            await self.manager.start(manager_startup_s(self.config))
        elif self.config.replicas:
            progress(f"starting {self.config.replicas} replica(s)")
            timeout_s = self.config.engine.startup_timeout_s
            self._engine = self._launcher.replicas(self._replica_options, timeout_s, self._registry)
            first = self.config.replica_ids[: self.config.replicas]
            at_once = self.config.autoscaling.max_starting
            self.about["first_start_s"] = await start_all(self._engine.start, first, at_once)
        await self.look()
        if self.router is not None:
            timeout_s = self.config.engine.startup_timeout_s
            await until_ready(self.sample, self.config.replicas, timeout_s, self._logs)
            if self._stand_in is not None:
                await self._stand_in.passes_on(timeout_s)
        self.about |= await self._launcher.settle()
        if self._stand_in is not None:
            self.about[DATA_PLANE] = await asyncio.to_thread(self._stand_in.about)  # leases are kept meanwhile
        if self._outside is not None:
            progress(f"asking {self._outside.url}")
            self.about |= await self._outside.ready(self.config.engine.startup_timeout_s, progress)

    async def stop(self) -> None:
        """End every process; replicas drain first. Nothing is left, whatever fails on the way."""
        async with contextlib.AsyncExitStack() as ends:
            if self._session is not None:
                ends.push_async_callback(self._session.close)
            if self._stand_in is not None:
                ends.push_async_callback(self._stand_in.close)
            ends.push_async_callback(self._launcher.close)
            await self._stop()

    async def _stop(self) -> None:
        if self.manager is not None:
            await self.manager.stop()
        await self.look()
        if self._engine is not None:
            await asyncio.gather(*(self._engine.stop_process(id_) for id_ in self._replicas))
        if self._tier is not None:
            await self._tier.stop_replicas()
        await self.collect_events()
        if self.paths is not None:
            await self.paths.stop()
        if self.router is not None:
            await self.router.stop()
        if self._tier is not None:
            await self._tier.router.stop()

    def _write(self, name: str, content: dict[str, Any]) -> str:
        path = self._logs / name
        path.write_text(json.dumps(content, indent=2), encoding="utf-8")
        return self._launcher.config(path)

    # -- what can be seen

    @property
    def targets(self) -> list[str]:
        """The base URLs that the load is sent to."""
        if self._outside is not None:
            return [self._outside.url]
        if self.router is not None:
            return [self.router.addresses["url"]]
        return [replica.url for replica in self._replicas.values()]

    async def look(self) -> None:
        """Ask who runs them which replicas there are, the manager what it wants; who gives no answer is asked again."""
        if self._engine is not None:
            with contextlib.suppress(EngineError):
                self._replicas = {replica.id: replica for replica in await self._engine.running()}
        elif self.manager is not None:
            status = await self._get(self.manager, "url", "/status")
            self.desired = status["desired"] if status else None
            if status:
                self._replicas = {entry["id"]: Running(**entry) for entry in status["replicas"]}
                self.about.setdefault("first_start_s", status["first_start_s"])
        if self._tier is not None:
            await self._tier.look()

    @property
    def _everyone(self) -> dict[str, Running]:
        """The replicas of both tiers."""
        return self._replicas if self._tier is None else {**self._replicas, **self._tier.replicas}

    def _services(self) -> dict[str, Service | None]:
        """The processes that are no replicas, by the names that faults give them."""
        tier = None if self._tier is None else self._tier.router
        return {"router": self.router, "manager": self.manager, "tier_router": tier}

    def pid_of(self, id_: str) -> int | None:
        """The process of a replica that serves, as of the last look; None = there is none."""
        replica = self._everyone.get(id_)
        return None if replica is None or not replica.admin_url else replica.pid

    def pids(self) -> dict[str, list[int]]:
        """Process ids by role, the living ones; without a role whose processes are not known."""
        roles = {"router": self.router, "manager": self.manager}
        by_role = {role: self._launcher.pids(service.pid if service else None) for role, service in roles.items()}
        if self._stand_in is not None:
            by_role["router"] = self._stand_in.pids()
        if self._outside is not None:
            del by_role["router"]
            by_role |= {"router": theirs} if (theirs := self._outside.pids()) else {}
        pids = [replica.pid for replica in self._everyone.values()]
        if self._tier is not None:  # its router is theirs: it works on nothing that comes from outside
            pids.append(self._tier.router.pid)
        if not self.config.replicas:
            return by_role
        by_role["replicas"] = [each for pid in pids for each in self._launcher.pids(pid)]
        return by_role

    async def sample(self) -> dict[str, Any]:
        """Replicas ready, desired, provisioned, requests in flight and the router's lag; None = no answer."""
        ready: int | None
        in_flight: int | None = None
        lag_ms: float | None = None
        await self.look()
        if not self.config.replicas:
            ready = None
        elif self.router is None:
            ready = sum(replica.pid is not None for replica in self._replicas.values())
        else:
            stats = await self._get(self.router, "admin", "/stats")
            ready = sum(r["state"] == "ready" for r in stats["replicas"]) if stats else None
            in_flight = stats["in_flight"] if stats else None
            lag_ms = self._lag.of(stats) if stats else None
        return {
            "replicas_ready": ready,
            "replicas_desired": self.desired,
            "replicas_provisioned": None if self.desired is None else provisioned(self._replicas.values()),
            "router_in_flight": in_flight,
            "router_lag_ms": lag_ms,
        }

    async def stats(self) -> dict[str, Any] | None:
        """What Aegis' router has counted until now, and which form of it it is; None = there is none, or no answer."""
        own = None if self._stand_in is not None else self.router
        return None if own is None else await self._get(own, "admin", "/stats")

    async def calls(self) -> Calls | None:
        """What the router of the second tier has counted; None = there is none, or no answer."""
        stats = None if self._tier is None else await self._get(self._tier.router, "admin", "/stats")
        return counted(stats) if stats else None

    async def clock_offsets(self) -> dict[str, Offset | None]:
        """How far the clocks that stamp events are from the runner's, by service; None = no answer."""
        return await clock_offsets(self._get, self._services())

    async def collect_events(self) -> None:
        """Hand the services' events since the last call to the sink."""
        await self._events.collect(self._services())

    async def _get(self, process: Service, where: str, path: str) -> dict[str, Any] | None:
        assert self._session is not None
        return await asked(self._session, process, where, path)

    # -- what can be done to it

    async def set_faults(self, id_: str, faults: dict[str, Any]) -> None:
        """Make `faults` the replica's whole active set.

        Raises:
            aiohttp.ClientError: the replica did not take it.
            KeyError: there is no such replica now.
        """
        assert self._session is not None
        replica = self._everyone[id_]
        if replica.state == "starting":
            raise KeyError(id_)
        url = replica.admin_url + "/faults"
        async with self._session.put(url, json=faults) as response:
            if response.status >= 400:
                raise aiohttp.ClientError(f"{id_} refused the fault: {await response.text()}")

    async def signal(self, target: str, number: int) -> float:
        """Send a signal to the target's process; returns the moment at which it took effect (monotonic, seconds).

        Raises:
            KeyError: there is no such process now.
            EngineError: the engine does not do it.
        """
        service = self._services().get(target)
        if service is not None:
            if service.pid is None:
                raise KeyError(target)
            ago_s = await service.send(number)
            return time.monotonic() - ago_s
        pid = self._everyone[target].pid
        if pid is None:
            raise KeyError(target)
        ago_s = await self._launcher.send(target, pid, number)
        landed = time.monotonic() - ago_s
        await self.look()
        return landed

    async def restart(self, target: str) -> None:
        """End the target in order if it lives, and start it again where it was, with the same id and ports.

        Raises:
            StartError: it did not come up again.
        """
        tier = self._tier
        if target in ("router", "tier_router"):
            router = self._services()[target]
            assert router is not None
            await router.stop()
            if self._stand_in is None or target != "router":  # else they are kept elsewhere
                self._events.began_anew(target)
            await router.start(self.config.engine.startup_timeout_s)
        elif (engine := tier.engine if tier is not None and target in tier.replicas else self._engine) is not None:
            await engine.stop_process(target)
            await engine.start(target)
            await self.look()
        elif target == "manager":
            assert self.manager is not None
            await self.manager.stop()
            self._events.began_anew("manager")
            await self.manager.start(manager_startup_s(self.config))
        else:
            assert self.manager is not None and self._session is not None
            url = f"{self.manager.addresses['url']}/replicas/{target}/restart"
            # It is answered when the replica runs again; it may be starting already.
            timeout = aiohttp.ClientTimeout(total=STOP_DEADLINE_S + 2 * self.config.engine.startup_timeout_s)
            async with self._session.post(url, timeout=timeout) as response:
                response.raise_for_status()

    async def resume_all(self) -> None:
        """Continue whatever is paused and clear the replicas' faults, so that nothing outlives the run."""
        for target in (*self._services(), *self._everyone):
            with contextlib.suppress(KeyError, ProcessLookupError, EngineError):
                await self.signal(target, signal.SIGCONT)
        for id_ in [id_ for id_, replica in self._everyone.items() if replica.pid is not None]:
            with contextlib.suppress(KeyError, aiohttp.ClientError, OSError):  # it may have gone meanwhile
                await self.set_faults(id_, {})
