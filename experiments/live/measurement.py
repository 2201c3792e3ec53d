"""One measurement: the stack up, the load through it, the faults at their moments, everything down again."""

import asyncio
import contextlib
import importlib
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from experiments.live.commands import Commands
from experiments.live.injection import Timeline
from experiments.live.launching import Launcher
from experiments.live.stack import Stack
from experiments.load.command import ui_command
from experiments.load.processes import GRACE_S, LoadProcesses
from experiments.load.remote import generators
from experiments.plan.config import Config
from experiments.plan.engines import Readiness
from experiments.plan.fault_plan import Fault
from experiments.runner.clocks import Offset, as_entry, wall_clock
from experiments.runner.progress import Progress
from experiments.runner.sampling import CpuMeter
from record.schema import LEDGERS, UI
from record.shapes import Manifest, Sample
from record.writing import Recorder
from services.processes import ServiceProcess, StartError

UI_PORT = 8089
REPORT_S = 5.0
"""Longest wait for Locust's report of a session."""


class Measurement:
    """Runs one configuration; what it sees goes to the recorder."""

    def __init__(
        self,
        config: Config,
        faults: list[Fault],
        recorder: Recorder,
        progress: Progress,
        launcher: Callable[[Config, Path], Launcher],
    ) -> None:
        """`launcher` makes, for the folder of logs, what starts the services."""
        folder = recorder.folder
        self.config = config
        self.recorder = recorder
        self.progress = progress
        self.raw = folder / "raw"
        self.logs = folder / "logs"
        self.raw.mkdir()
        self.logs.mkdir()
        ledgers = self.raw / LEDGERS if config.ledger == "always" else None
        self.stack = Stack(config, faults, launcher(config, self.logs), self.logs, recorder.event, ledgers)
        sink = self._fault if config.load.ui else recorder.event
        self.timeline = Timeline(faults, self.stack, sink, Commands(self.logs, self.raw))
        self.load: LoadProcesses | None = None
        self.ui: ServiceProcess | None = None
        self._running: list[asyncio.Task[None]] = []
        self._ui_port = UI_PORT
        self._wall: Offset | None = None

    async def run(self, companion: Readiness | None) -> None:
        """Measure; the folder's raw rows are complete when this returns.

        Raises:
            StartError: something did not come up, or the load failed.
        """
        try:
            await self._start(companion)
            if self.config.load.ui:
                await self._serve_ui()
            else:
                await self._measure()
        finally:
            await _to_its_end(asyncio.create_task(self._end()))

    async def _start(self, companion: Readiness | None) -> None:
        if self.config.load.ui:
            self._ui_port = _free_port(self.config.load.ui_port)
        # While the services start, a core is idle; after the load the user would wait for these imports.
        warming = asyncio.ensure_future(asyncio.to_thread(_import_analysis))
        await self.stack.start(self.progress.step)
        self.recorder.manifest |= cast(Manifest, self.stack.about)
        if not self.config.load.ui:
            await self._spawn_load()
        if companion is not None:
            self.progress.step("preparing MLflow")
            await companion.ready()
        await warming

    async def _spawn_load(self) -> None:
        self.load = generators(
            self.config,
            self.progress.step,
            schedule=self.recorder.folder / "schedule.parquet",
            targets=self.stack.targets,
            raw=self.raw,
            logs=self.logs,
            ready_s=self.config.engine.startup_timeout_s,
            on_line=self.progress.load,
        )
        await self.load.spawn()

    async def _measure(self) -> None:
        assert self.load is not None
        await self.load.ready(self.config.engine.startup_timeout_s)
        await self._compare_clocks("start")
        t0 = self.load.begin()
        self.recorder.begin(t0)
        self.progress.begin(self.config.workload.duration_s, t0)
        sampling = asyncio.create_task(self._sample(t0))
        self._running = [
            asyncio.create_task(self.timeline.run(t0)),
            sampling,
            asyncio.create_task(self._collect()),
        ]
        load = asyncio.ensure_future(self._outlast(t0, sampling))
        waiting: set[asyncio.Future[Any]] = {load, *self._running}
        while not load.done():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    async def _outlast(self, t0: float, sampling: "asyncio.Task[None]") -> None:
        """Wait until all was answered, and the run's time is over: a load may end before it, faults may not have."""
        assert self.load is not None
        await self.load.end(self.config.workload.duration_s)
        await asyncio.sleep(max(0.0, t0 + self.config.workload.duration_s - time.monotonic()))
        await asyncio.wait([sampling])

    async def _compare_clocks(self, at: str) -> None:
        """Note how far the services' clocks are from this one, and at the end what the time of day has stepped by."""
        offsets = await self.stack.clock_offsets()
        wall = wall_clock()
        if self._wall is None:
            self._wall = wall
        else:
            offsets["wall"] = wall.since(self._wall)
        self.recorder.clocks([as_entry(clock, at, offset) for clock, offset in offsets.items()])

    async def _sample(self, t0: float) -> None:
        """One sample a second until the last scheduled one."""
        meter = CpuMeter()
        meter.read(self._pids(), time.monotonic())
        last = int(self.config.workload.duration_s)
        for second in range(1, last + 1):
            if second == last:
                self.recorder.give_back()  # the load writes its rows as soon as the last answer is there
            await asyncio.sleep(max(0.0, t0 + second - time.monotonic()))
            now = time.monotonic()
            cpu = meter.read(self._pids(), now)
            if cpu is not None and self.load is not None:
                cpu = self.load.account(cpu)
            sample: Sample = {"t_s": round(now - t0, 3), "cpu": cpu}
            sample |= cast(Sample, await self.stack.sample())
            self.recorder.sample(sample)
            self.progress.replicas(sample["replicas_ready"])

    def _pids(self) -> dict[str, list[int]]:
        return {
            **self.stack.pids(),
            "generator": [] if self.load is None else self.load.pids(),
            "runner": [os.getpid(), *(self.stack.paths.pids if self.stack.paths is not None else [])],
        }

    async def _collect(self) -> None:
        """Fetch the services' events while they live: a killed router takes its own with it."""
        while True:
            await self.stack.collect_events()
            await asyncio.sleep(0.25)

    async def _serve_ui(self) -> None:
        """Locust's web UI against the stack, until it or the user ends; the faults count from when it answers."""
        report = self.recorder.folder / UI
        report.mkdir()
        command = ui_command(self.stack.targets[0], self._ui_port, self.config.load.ui_users, report)
        process = ServiceProcess("locust-ui", command, self.logs / "locust-ui.log")
        self.ui = process
        await process.spawn()
        while process.returncode is None and _is_free(self._ui_port):  # noqa: ASYNC110 - a process is watched
            await asyncio.sleep(0.1)
        if process.returncode is None:
            self.progress.say(f"Locust's web UI: http://127.0.0.1:{self._ui_port} (Ctrl-C ends it)")
        t0 = time.monotonic()
        self.recorder.begin(t0)
        for fault in self.timeline.faults:
            self.progress.step(f"{fault.at_s:g} s from now: {fault.action} on {fault.target}{_lasting(fault)}")
        self._running = [asyncio.create_task(task) for task in (self._collect(), self.timeline.run(t0))]
        while process.returncode is None:  # noqa: ASYNC110 - a process is watched
            await asyncio.sleep(0.2)
        raise StartError(f"Locust's web UI ended by itself (exit status {process.returncode})\n{process.tail()}")

    def _fault(self, source: str, event: str, monotonic_s: float | None = None, **detail: object) -> None:
        """Record what became of a fault, and tell who looks at the web UI."""
        self.recorder.event(source, event, monotonic_s=monotonic_s, **detail)
        why = f": {detail['reason']}" if "reason" in detail else ""
        self.progress.step(f"{event.replace('_', ' ')}: {detail['action']} on {detail['target']}{why}")

    async def _end(self) -> None:
        """Stop everything, whatever state it is in; the load first, so that it writes its rows."""
        self.progress.end()
        for task in self._running:
            task.cancel()
        for task in self._running:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
        self.recorder.give_back()
        if self.load is not None:
            await self.load.stop()
        if self.ui is not None:
            self.ui.signal(signal.SIGINT)  # at SIGTERM Locust writes no report
            if self.ui.pid is not None:
                await self.ui.wait(REPORT_S)
            await self.ui.stop(GRACE_S + 3)
        await self.timeline.heal_all()
        if (stats := await self.stack.stats()) is not None:
            self.recorder.manifest["picks"] = stats["picks"]
            self.recorder.manifest["router_compiled"] = stats["compiled"]
        if (calls := await self.stack.calls()) is not None:
            self.recorder.manifest["tier"] = calls
        if self._wall is not None:
            await self._compare_clocks("end")
        await self.stack.stop()


async def _to_its_end(task: "asyncio.Task[None]") -> None:
    """Wait for it, also where that is broken off meanwhile, which takes effect afterwards: what was hurt is healed."""
    broken_off: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            broken_off = error
    task.result()
    if broken_off is not None:
        raise broken_off


def _lasting(fault: Fault) -> str:
    return "" if fault.for_s is None else f" for {fault.for_s:g} s"


def _import_analysis() -> None:
    importlib.import_module("analysis.summary")
    importlib.import_module("analysis.pages.run_page")


def _free_port(asked: int | None) -> int:
    """`asked`; unset = Locust's own port, or a free one where that is taken.

    Raises:
        StartError: the one that was asked for is taken.
    """
    if asked is None:
        return UI_PORT if _is_free(UI_PORT) else _bound(0)
    if not _is_free(asked):
        raise StartError(f"load.ui_port={asked}: the port is taken; choose another, or leave it out")
    return asked


def _is_free(port: int) -> bool:
    """Whether nothing listens there."""
    try:
        return _bound(port) == port
    except OSError:
        return False


def _bound(port: int) -> int:
    """The port that a socket gets when it asks for `port`; closed again."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        return int(sock.getsockname()[1])
