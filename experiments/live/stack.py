"""The system under test as one run needs it: router, replicas, and the manager where something scales."""

import asyncio
import contextlib
import dataclasses
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

from experiments.live.launching import Launcher, Service
from experiments.plan.config import Config
from experiments.plan.fault_plan import Fault
from experiments.plan.replica_options import manager_startup_s, replica_options, scaling_settings
from experiments.runner.clocks import EXCHANGES, Offset, estimate
from services.door.access import auth_headers
from services.manager.engines import Engine, EngineError, Running
from services.manager.starting import start_all
from services.processes import STOP_DEADLINE_S

EventSink = Callable[..., None]
"""Called as `sink(source, event, monotonic_s=None, **detail)`."""


class Stack:
    """Starts, observes, hurts and stops the services of one run."""

    def __init__(self, config: Config, faults: list[Fault], launcher: Launcher, logs: Path, sink: EventSink) -> None:
        """`faults` are the run's; `logs` is the folder for log files and the services' settings."""
        self.config = config
        self.router: Service | None = None
        self.manager: Service | None = None
        self._faults = faults
        self._logs = logs
        self._sink = sink
        self._launcher = launcher
        self._engine: Engine | None = None
        self._replicas: dict[str, Running] = {}
        self._session: aiohttp.ClientSession | None = None
        self._lag_at: tuple[float, float] | None = None
        """When the router began that was last asked, and all its lag until then, seconds."""
        self._seen = {"router": 0, "manager": 0}
        self.desired: int | None = config.replicas
        self.about: dict[str, str] = {}
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
        if self.config.router is not None:
            progress("starting the router")
            self.router = self._launcher.service("router", self._router_options())
            await self.router.start(self.config.engine.startup_timeout_s)
        if self.config.has_manager:
            progress(f"starting the manager and {self.config.replicas} replica(s)")
            self.manager = self._launcher.service("manager", self._manager_options())
            await self.manager.start(manager_startup_s(self.config))
        else:
            progress(f"starting {self.config.replicas} replica(s)")
            options, timeout_s = replica_options(self.config), self.config.engine.startup_timeout_s
            self._engine = self._launcher.replicas(options, timeout_s, with_router=self.router is not None)
            first = self.config.replica_ids[: self.config.replicas]
            await start_all(self._engine.start, first, self.config.autoscaling.max_starting)
        await self.look()
        await self._until_ready()
        self.about = await self._launcher.settle()

    async def stop(self) -> None:
        """End every process; replicas drain first. Nothing is left, whatever fails on the way."""
        try:
            await self._stop()
        finally:
            await self._launcher.close()
            if self._session is not None:
                await self._session.close()

    async def _stop(self) -> None:
        if self.manager is not None:
            await self.manager.stop()
        await self.look()
        if self._engine is not None:
            await asyncio.gather(*(self._engine.stop_process(id_) for id_ in self._replicas))
        await self.collect_events()
        if self.router is not None:
            await self.router.stop()

    def _router_options(self) -> list[str]:
        router = dataclasses.asdict(self.config.router)  # type: ignore[arg-type]
        del router["count"]  # this engine starts one
        settings = {"router": router, "policy": self.config.policy}
        return ["--config", self._write("router.json", settings), "--seed", str(self.config.seed)]

    def _manager_options(self) -> list[str]:
        settings = self._write(
            "manager.json",
            {
                "scaling": dataclasses.asdict(scaling_settings(self.config, self._faults)),
                "scaler": self.config.scaler,
                "replica": replica_options(self.config),
                "replicas": self.config.replicas,
            },
        )
        router = self._launcher.inside("router", "admin")
        timeout = ["--startup-timeout", str(self.config.engine.startup_timeout_s)]
        return ["--router", router, *timeout, *self._launcher.manager_flags, "--config", settings]

    def _write(self, name: str, content: dict[str, Any]) -> str:
        path = self._logs / name
        path.write_text(json.dumps(content, indent=2), encoding="utf-8")
        return self._launcher.config(path)

    async def _until_ready(self) -> None:
        """Wait until the router routes to every replica."""
        if self.router is None:
            return
        deadline = asyncio.get_running_loop().time() + self.config.engine.startup_timeout_s
        while True:
            sample = await self.sample()
            if sample["replicas_ready"] is not None and sample["replicas_ready"] >= self.config.replicas:
                return
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(
                    f"the router sees {sample['replicas_ready']} of {self.config.replicas} replicas ready"
                )
            await asyncio.sleep(0.05)

    # -- what can be seen

    @property
    def targets(self) -> list[str]:
        """The base URLs that the load is sent to."""
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

    def pid_of(self, id_: str) -> int | None:
        """The process of a replica that serves, as of the last look; None = there is none."""
        replica = self._replicas.get(id_)
        return None if replica is None or not replica.admin_url else replica.pid

    def pids(self) -> dict[str, list[int]]:
        """Process ids by role, the living ones."""
        roles = {"router": self.router, "manager": self.manager}
        by_role = {role: self._launcher.pids(service.pid if service else None) for role, service in roles.items()}
        by_role["replicas"] = [pid for replica in self._replicas.values() for pid in self._launcher.pids(replica.pid)]
        return by_role

    async def sample(self) -> dict[str, Any]:
        """Replicas ready and desired, requests in flight, and the router's lag, as they say; None = no answer."""
        ready: int | None
        in_flight: int | None = None
        lag_ms: float | None = None
        await self.look()
        if self.router is None:
            ready = sum(replica.pid is not None for replica in self._replicas.values())
        else:
            stats = await self._get(self.router, "admin", "/stats")
            ready = sum(r["state"] == "ready" for r in stats["replicas"]) if stats else None
            in_flight = stats["in_flight"] if stats else None
            lag_ms = self._lag_ms(stats) if stats else None
        return {
            "replicas_ready": ready,
            "replicas_desired": self.desired,
            "router_in_flight": in_flight,
            "router_lag_ms": lag_ms,
        }

    def _lag_ms(self, stats: dict[str, Any]) -> float | None:
        """What the router's loop has stood still since it was last asked, milliseconds; None = that was another one."""
        before, self._lag_at = self._lag_at, (float(stats["began_s"]), float(stats["loop_lag_seconds_total"]))
        if before is None or before[0] != self._lag_at[0]:
            return None
        return round((self._lag_at[1] - before[1]) * 1e3, 3)

    async def picks(self) -> dict[str, int] | None:
        """Why the router's policy picked, as it has counted until now; None = no router, or no answer."""
        stats = None if self.router is None else await self._get(self.router, "admin", "/stats")
        return stats["picks"] if stats else None

    async def clock_offsets(self) -> dict[str, Offset | None]:
        """How far the clocks that stamp events are from the runner's, by service; None = no answer."""
        offsets: dict[str, Offset | None] = {}
        for name, process, where, path in (
            ("router", self.router, "admin", "/stats"),
            ("manager", self.manager, "url", "/status"),
        ):
            if process is None:
                continue
            exchanges = []
            for _ in range(EXCHANGES):
                asked = time.monotonic()
                answer = await self._get(process, where, path)
                if answer is None:
                    break
                exchanges.append((asked, float(answer["monotonic_s"]), time.monotonic()))
            offsets[name] = estimate(exchanges) if exchanges else None
        return offsets

    async def collect_events(self) -> None:
        """Hand the services' events since the last call to the sink."""
        for source, process, where, path, key in (
            ("router", self.router, "admin", "/events", "events"),
            ("manager", self.manager, "url", "/decisions", "decisions"),
        ):
            if process is None or process.pid is None:
                continue
            answer = await self._get(process, where, f"{path}?since={self._seen[source]}")
            if not answer:
                continue
            self._seen[source] = answer["next"]
            for entry in answer[key]:
                detail = {k: v for k, v in entry.items() if k not in ("seq", "monotonic_s", "unix_s", "event")}
                if source == "router" or entry.get("changed"):
                    word = entry.get("event", "scaling_decision")
                    self._sink(source, word, monotonic_s=entry["monotonic_s"], **detail)

    async def _get(self, process: Service, where: str, path: str) -> dict[str, Any] | None:
        assert self._session is not None
        if process.pid is None or self._session.closed:
            return None
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with self._session.get(process.addresses[where] + path) as response:
                if response.status == 200:
                    answer: dict[str, Any] = await response.json()
                    return answer
        return None

    # -- what can be done to it

    async def set_faults(self, id_: str, faults: dict[str, Any]) -> None:
        """Make `faults` the replica's whole active set.

        Raises:
            aiohttp.ClientError: the replica did not take it.
            KeyError: there is no such replica now.
        """
        assert self._session is not None
        if self._replicas[id_].state == "starting":
            raise KeyError(id_)
        url = self._replicas[id_].admin_url + "/faults"
        async with self._session.put(url, json=faults) as response:
            if response.status >= 400:
                raise aiohttp.ClientError(f"{id_} refused the fault: {await response.text()}")

    async def signal(self, target: str, number: int) -> float:
        """Send a signal to the target's process; returns the moment at which it took effect (monotonic, seconds).

        Raises:
            KeyError: there is no such process now.
            EngineError: the engine does not do it.
        """
        service = {"router": self.router, "manager": self.manager}.get(target)
        if service is not None:
            if service.pid is None:
                raise KeyError(target)
            ago_s = await service.send(number)
            return time.monotonic() - ago_s
        pid = self._replicas[target].pid
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
        if target == "router":
            assert self.router is not None
            await self.router.stop()
            self._seen["router"] = 0
            await self.router.start(self.config.engine.startup_timeout_s)
        elif self._engine is not None:
            await self._engine.stop_process(target)
            await self._engine.start(target)
            await self.look()
        elif target == "manager":
            assert self.manager is not None
            await self.manager.stop()
            self._seen["manager"] = 0
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
        for target in ("router", "manager", *self._replicas):
            with contextlib.suppress(KeyError, ProcessLookupError, EngineError):
                await self.signal(target, signal.SIGCONT)
        for id_ in [id_ for id_, replica in self._replicas.items() if replica.pid is not None]:
            with contextlib.suppress(KeyError, aiohttp.ClientError, OSError):  # it may have gone meanwhile
                await self.set_faults(id_, {})
