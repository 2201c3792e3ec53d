"""The relay of a run whose plan has faults of the paths: started then, and no process at all otherwise."""

import contextlib
from pathlib import Path
from typing import Self

import aiohttp

from experiments.plan.fault_plan import Fault, is_on_path
from services.backend.faults import FaultSet
from services.processes import ServiceProcess, python_module


class Paths:
    """The process between the router and its replicas."""

    @classmethod
    def of(cls, faults: list[Fault], seed: int, logs: Path) -> Self | None:
        """For a run with these faults; None = none of them happens there."""
        ids = {str(fault.target) for fault in faults if is_on_path(fault.action)}
        return cls(sorted(ids), seed, logs / "relay.log") if ids else None

    def __init__(self, ids: list[str], seed: int, log: Path) -> None:
        """`ids` are the replicas whose paths are to be hurt; the seed draws delays."""
        self._ids = ids
        self._seed = seed
        self._log = log
        self._process: ServiceProcess | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def pids(self) -> list[int]:
        """Its process id, while it lives."""
        return [] if self._process is None or self._process.pid is None else [self._process.pid]

    async def start(self, router: str, timeout_s: float) -> str:
        """Start it before the router's admin URL; returns what takes the place of that for everybody else.

        Raises:
            StartError: it did not come up.
        """
        command = python_module("experiments.relay", "--router", router, "--seed", self._seed)
        self._process = ServiceProcess("relay", command, self._log)
        self._url = (await self._process.start(timeout_s))["url"]
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2.0))
        return self._url

    async def put(self, id_: str, faults: FaultSet) -> None:
        """Make `faults` all that happens on the way to a replica.

        Raises:
            aiohttp.ClientError: the relay did not take it.
        """
        assert self._session is not None
        async with self._session.put(f"{self._url}/paths/{id_}", json=faults) as response:
            if response.status >= 400:
                raise aiohttp.ClientError(f"the relay refused the fault: {await response.text()}")

    async def clear(self) -> None:
        """Let everything through again, so that nothing outlives the run."""
        for id_ in self._ids if self._session is not None else ():
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                await self.put(id_, {})

    async def stop(self) -> None:
        """End it."""
        if self._session is not None:
            await self._session.close()
        if self._process is not None:
            await self._process.stop()
