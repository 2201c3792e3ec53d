"""Carries out the planned faults, each at its moment, and says what was done when."""

import asyncio
import signal
import time
from dataclasses import dataclass, field

import aiohttp

from experiments.live.stack import EventSink, Stack
from experiments.plan.fault_plan import PROCESS_ACTIONS, ActiveFaults, Fault
from services.manager.engines import EngineError
from services.processes import StartError

FAILURES = (aiohttp.ClientError, TimeoutError, OSError, KeyError, StartError, EngineError)


@dataclass
class Timeline:
    """The faults of one run against its stack."""

    faults: list[Fault]
    stack: Stack
    sink: EventSink
    _active: ActiveFaults = field(default_factory=ActiveFaults)
    _open: set[int] = field(default_factory=set)

    async def run(self, t0: float) -> None:
        """Inject and heal everything that has its moment; `t0` is the run's start on the monotonic clock."""
        await asyncio.gather(*(self._one(index, fault, t0) for index, fault in enumerate(self.faults)))

    async def _one(self, index: int, fault: Fault, t0: float) -> None:
        await _until(t0 + fault.at_s)
        await self._do(index, fault, "fault_injected", fault.at_s, permanent=fault.for_s is None)
        if fault.for_s is not None and index in self._open:
            await _until(t0 + fault.end_s)
            await self._do(index, fault, "fault_healed", fault.end_s)

    async def _do(self, index: int, fault: Fault, event: str, planned_s: float, **detail: object) -> None:
        about = {"fault": index, "action": fault.action, "target": fault.target, "planned_s": planned_s, **detail}
        began = landed = time.monotonic()
        try:
            if event == "fault_injected":
                self._open.add(index)
                landed = await self._inject(fault)
            else:
                self._open.discard(index)
                if fault.action == "kill":
                    # The heal is the moment the restart begins: recovery then includes the start-up time.
                    self.sink("runner", event, monotonic_s=began, **about)
                landed = await self._heal(fault)
        except FAILURES as error:
            self._open.discard(index)
            reason = str(error) or type(error).__name__
            self.sink("runner", "fault_failed", monotonic_s=began, reason=reason, phase=event, **about)
            return
        if event == "fault_injected" or fault.action != "kill":
            self.sink("runner", event, monotonic_s=landed, **about)

    async def _inject(self, fault: Fault) -> float:
        """Do it; returns the moment at which it took effect."""
        match fault.action:
            case "kill":
                return await self.stack.signal(fault.target, signal.SIGKILL)
            case "pause":
                return await self.stack.signal(fault.target, signal.SIGSTOP)
            case "restart":
                landed = time.monotonic()
                await self.stack.restart(fault.target)
                return landed
            case _:
                await self._set(fault, active=True)
        return time.monotonic()

    async def _heal(self, fault: Fault) -> float:
        """End it; returns the moment at which it has ended."""
        match fault.action:
            case "kill":
                await self.stack.restart(fault.target)
            case "pause":
                return await self.stack.signal(fault.target, signal.SIGCONT)
            case action if action not in PROCESS_ACTIONS:
                await self._set(fault, active=False)
        return time.monotonic()

    async def _set(self, fault: Fault, *, active: bool) -> None:
        await self.stack.set_faults(fault.target, self._active.change(fault, active=active))

    async def heal_all(self) -> None:
        """End what still lasts at the run's end (a process killed for good stays dead)."""
        await self.stack.resume_all()
        for index in sorted(self._open):
            fault = self.faults[index]
            if fault.action not in ("kill", "restart"):
                self.sink(
                    "runner",
                    "fault_healed",
                    fault=index,
                    action=fault.action,
                    target=fault.target,
                    planned_s=None,
                    at_end=True,
                )
        self._open.clear()


async def _until(moment: float) -> None:
    """Sleep until `moment` on the monotonic clock."""
    await asyncio.sleep(max(0.0, moment - time.monotonic()))
