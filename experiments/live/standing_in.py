"""A proxy in the router's place (`router.data_plane`): its process, its members, and what it says of them."""

import asyncio
import contextlib
import dataclasses
import itertools
import os
import random
import signal
import socket
import time
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from experiments.data_planes import HOST, Arm, Front, Member
from experiments.live.listening import EventSink
from experiments.live.registry import Registry
from experiments.load.asking import PATH
from experiments.plan.config import Config
from experiments.plan.data_planes import arm_of
from experiments.runner.healing import has_ended, told_by_itself
from record.schema import MEMBERS_UNHEARD, ROUTER_ENDED
from services.processes import ServiceProcess, StartError
from services.router.events import MAX_TEXT_CHARACTERS
from services.router.settings import TICK_S, RouterSettings

DATA_PLANE = "data_plane"
"""Of its folder among the logs, which has its configuration, and of its entry in the manifest."""
GENTLE_S = 5.0
"""Longest wait for what is under way when it is to end, as of Aegis' router (`services.router.settings.DRAIN_S`)."""
AGAIN_S = 0.05
PORTS = range(10_000, 20_000)
"""Of a proxy. Below those that the kernel gives to whoever asks for any, or connects (Linux from 32,768, ip(7); IANA's
dynamic ones from 49,152): nobody takes one before the proxy has it, or while it is down."""
UNHEARD = (OSError, TimeoutError)
UNHEARD_S = 1.0
"""After which it is told that a change is not heard; it takes a few milliseconds, and a tenth of a second of nginx."""
PREFLIGHT = {"X-Request-Id": "preflight", "X-Aegis-Demand-Ms": "0"}
"""Headers of a request that is none of the schedule, and no work."""
LAST_LINES = 3
"""Of the log of one that has ended by itself, which its event has; the whole is in the run's folder."""


class StandIn:
    """The proxy of one run. A new process at every start, at the port of the first; who is behind it is kept."""

    def __init__(self, config: Config, logs: Path, raw: Path, sink: EventSink) -> None:
        """`logs` is the run's folder for logs, `raw` that in which its guardian looks; `sink` takes events."""
        router = config.router
        assert router is not None
        self.addresses: dict[str, str] = {}
        self._name = router.data_plane
        self._logs = logs
        self._raw = raw
        self._sink = sink
        values = {each.name: getattr(router, each.name) for each in dataclasses.fields(RouterSettings)}
        self._router = router
        self._plane: Arm = arm_of(router)
        algorithm = router.algorithm or next(iter(self._plane.algorithms), None)
        settings, folder = RouterSettings(**values), logs / DATA_PLANE
        ports = free_ports(2)
        self._front = Front(ports[0], (), settings, "", folder, algorithm, ports[1], tuple(config.replica_ids))
        self._registry = Registry(self._tell, self._name)
        self._process: ServiceProcess | None = None
        self._leader: int | None = None
        """The process id of the last process that was started, which leads the group of all that it starts."""
        self._is_up = False
        """Whether it has come up, and nobody has ended it since, or said that it has ended."""
        self._told: tuple[Member, ...] = ()
        """Whom it knows."""
        self._unheard_since: float | None = None
        """When it was first told in vain who is there, on the monotonic clock; None = it has heard."""
        self._has_said_so = False
        """Whether an event has said that."""
        self._one_by_one = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self._spawning: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process id of its first process while it lives."""
        return self._process.pid if self._process is not None else None

    def pids(self) -> list[int]:
        """Of all its processes."""
        if self.pid is None:
            return []
        with contextlib.suppress(psutil.Error):
            return [self.pid, *(each.pid for each in psutil.Process(self.pid).children(recursive=True))]
        return [self.pid]

    async def start(self, timeout_s: float) -> dict[str, str]:
        """Start it; returns its addresses when it takes connections, before anybody needs to be behind it.

        Raises:
            StartError: it is not installed, does not come up, or somebody else listens at its port.
        """
        if self._watching is None:
            self._front.folder.mkdir()
            admin = await self._registry.serve()
            self.addresses = {"url": f"http://{HOST}:{self._front.port}", "admin": admin}
            self._watching = asyncio.create_task(self._watch())
        async with self._one_by_one:
            await self._nobody_listens(timeout_s)
            self._plane = arm_of(self._router)
            self._told = tuple(each for each in self._registry.members if not each.draining)
            command = self._plane.command(self._front.behind(self._told))
            if command is None:
                raise StartError(f"router.data_plane={self._name}: is not installed ({self._plane.package})")
            command = told_by_itself(self._raw, DATA_PLANE, command)
            process = self._process = ServiceProcess(self._name, command, self._logs / "router.log")
            self._spawning = asyncio.create_task(process.spawn())
            await asyncio.shield(self._spawning)  # who breaks off between two steps knows of no process to be ended
            self._leader = process.pid
            await self._plane.began(process, self._front.behind(self._told))
            await self._listens(process, timeout_s)
            self._is_up = True
        return self.addresses

    async def _nobody_listens(self, timeout_s: float) -> None:
        """Who listens there before it is started would be taken for it; one that was killed is gone a little later."""
        deadline = time.monotonic() + timeout_s
        ports = [port for port in (self._front.port, self._front.admin) if port is not None]
        while taken := [port for port in ports if not _is_free(port)]:
            if time.monotonic() > deadline:
                raise StartError(f"{self._name}: another process has taken port {taken[0]}; start the run again")
            await asyncio.sleep(AGAIN_S)

    async def _listens(self, process: ServiceProcess, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and process.pid is not None:
            try:
                _, writer = await asyncio.open_connection(HOST, self._front.port)
            except OSError:
                await asyncio.sleep(AGAIN_S)
            else:
                writer.close()
                return
        did = f"was not ready within {timeout_s:g} s" if process.pid else f"ended (exit status {process.returncode})"
        raise StartError(f"{self._name} {did}\n{process.tail()}")

    async def passes_on(self, timeout_s: float) -> None:
        """Wait until a request comes through it, where it does not say whom it sends any to.

        Raises:
            StartError: none does within `timeout_s`.
        """
        if self._plane.tells:
            return
        deadline = time.monotonic() + timeout_s
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s)) as session:
            while True:
                try:
                    async with session.get(self.addresses["url"] + PATH, headers=PREFLIGHT) as answer:
                        if answer.status == 200:
                            return
                        came = f"is answered {answer.status}"
                except (aiohttp.ClientError, TimeoutError) as error:
                    came = f"is not answered ({str(error) or type(error).__name__})"
                if time.monotonic() > deadline:
                    tail = "" if self._process is None else self._process.tail()
                    why = f"GET {PATH} {came}"
                    raise StartError(f"{self._name} passes nothing on within {timeout_s:g} s: {why}\n{tail}")
                await asyncio.sleep(AGAIN_S)

    def about(self) -> dict[str, Any]:
        """What the manifest is to say of it."""
        return {
            "name": self._name,
            "version": self._plane.version(),
            "algorithm": self._front.algorithm or "",
            "tells": self._plane.tells,
            "otherwise": list(self._plane.otherwise(self._front.behind(self._told))),
        }

    async def stop(self) -> None:
        """End it in order, and whatever it has started."""
        if (process := self._process) is None or self._spawning is None:
            return
        await self._spawning
        self._notice_end()
        self._is_up = False
        self._leader = self._leader or process.pid
        try:
            with contextlib.suppress(*UNHEARD):  # it may be hurt, or have too much under way
                await self._let_end(process)
        finally:
            await process.stop()
            self._end_group()

    async def _let_end(self, process: ServiceProcess) -> None:
        if process.pid is None:
            return
        _signal_all(process.pid, signal.SIGCONT)  # it may be paused
        async with asyncio.timeout(GENTLE_S):
            await self._plane.end(process, self._front)
            await process.wait(GENTLE_S)

    def _end_group(self) -> None:
        """Of who has ended the others may be left: a master that was killed takes no worker with it."""
        if self._leader is not None:
            _signal_all(self._leader, signal.SIGKILL)
        self._leader = None
        has_ended(self._raw, DATA_PLANE)

    async def send(self, number: int) -> float:
        """Send all its processes a signal; it takes effect at once."""
        if self.pid is not None:
            self._is_up = self._is_up and number != signal.SIGKILL
            _signal_all(self.pid, number)
        return 0.0

    async def close(self) -> None:
        """Nothing is left of it, nor of who kept its members."""
        async with contextlib.AsyncExitStack() as ends:
            ends.push_async_callback(self._registry.close)
            ends.push_async_callback(self.stop)
            if self._watching is not None:
                self._watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._watching

    async def _watch(self) -> None:
        """Let leases run out, tell who is there, and ask how it sees them."""
        while True:
            await asyncio.sleep(TICK_S)
            self._registry.fleet.tick(time.monotonic())
            await self._tell()
            if self.pid is None:
                self._notice_end()
                self._registry.rest(time.monotonic())
                continue
            with contextlib.suppress(*UNHEARD):  # it may be hurt, or end; it is asked again
                told = self._told
                standings = await self._plane.look(self._front, told)
                self._registry.see(self._registry.of_now(told, standings), time.monotonic())

    def _notice_end(self) -> None:
        """Say once that it is gone, where nobody has ended it; that is a finding, and the run goes on."""
        if not self._is_up or self._process is None or self._process.returncode is None:
            return
        self._is_up = False
        last = " ".join(self._process.tail(LAST_LINES).split())[:MAX_TEXT_CHARACTERS]
        why = f"{self._name} ended by itself (exit status {self._process.returncode})"
        self._sink("runner", ROUTER_ENDED, reason=f"{why}: {last}" if last else why)

    async def _tell(self) -> bool:
        """Tell it who is there, where that has changed; what it does not hear is told again.

        Returns:
            Whether it has heard it; one that does not run sends nobody anything.
        """
        async with self._one_by_one:
            members, began = self._registry.members, time.monotonic()
            if members != self._told and self._process is not None and self._process.pid is not None:
                try:
                    await self._plane.change(self._process, self._front, members)
                except UNHEARD as error:
                    self._not_heard(began, error)
                    return False
                self._told = members
            self._unheard_since = None
            return True

    def _not_heard(self, began: float, error: BaseException) -> None:
        """Say it once, where it goes on for a second; `began` is when it was told this time."""
        if self._unheard_since is None:
            self._unheard_since = began
            self._has_said_so = False
        if not self._has_said_so and time.monotonic() - self._unheard_since >= UNHEARD_S:
            self._has_said_so = True
            why = " ".join(str(error).split()) or type(error).__name__
            self._sink("runner", MEMBERS_UNHEARD, reason=f"{self._name} does not hear who is behind it ({why})")


def _signal_all(leader: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, number)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at, all different."""
    mixed = random.sample(PORTS, len(PORTS))
    return list(itertools.islice(filter(_is_free, mixed), count))


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            sock.bind((HOST, port))
            return True
    return False
