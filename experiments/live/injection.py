"""Carries out the planned faults, each at its moment, and says what was done when."""

import asyncio
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import aiohttp

from experiments.live.stack import EventSink, Stack
from experiments.plan.fault_plan import ActiveFaults, Fault
from experiments.process_faults import Act, Step
from services.manager.engines import EngineError
from services.processes import StartError

SIGNALS: dict[Act, int] = {"kill": signal.SIGKILL, "pause": signal.SIGSTOP, "resume": signal.SIGCONT}
FAILURES = (aiohttp.ClientError, TimeoutError, OSError, KeyError, StartError, EngineError)


@dataclass
class Timeline:
    """The faults of one run against its stack."""

    faults: list[Fault]
    stack: Stack
    sink: EventSink
    _active: ActiveFaults = field(default_factory=ActiveFaults)
    _open: set[int] = field(default_factory=set)
    _lasting: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    """What goes on with a fault after its first step."""

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
        is_heal = event == "fault_healed"
        # A heal that starts the process is told when that begins: recovery then includes the start-up time.
        is_told_first = is_heal and fault.process is not None and fault.process.heal() == "restart"
        try:
            if is_heal:
                self._open.discard(index)
                if is_told_first:
                    self.sink("runner", event, monotonic_s=began, **about)
                landed = await self._heal(index, fault)
            else:
                self._open.add(index)
                landed = await self._inject(index, fault)
        except FAILURES as error:
            self._open.discard(index)
            self._fail(event, began, error, about)
            return
        if not is_told_first:
            self.sink("runner", event, monotonic_s=landed, **about)

    def _fail(self, phase: str, moment: float, error: BaseException, about: dict[str, object]) -> None:
        reason = str(error) or type(error).__name__
        self.sink("runner", "fault_failed", monotonic_s=moment, reason=reason, phase=phase, **about)

    async def _inject(self, index: int, fault: Fault) -> float:
        """Do it; returns the moment at which it took effect."""
        if fault.process is None:
            await self._set(fault, active=True)
            return time.monotonic()
        steps = fault.process.steps()
        began = time.monotonic()
        landed = await self._act(fault.target, next(steps).act)
        self._lasting[index] = asyncio.create_task(self._go_on(index, fault, steps, began))
        return landed

    async def _go_on(self, index: int, fault: Fault, steps: Iterator[Step], began: float) -> None:
        """The steps after the first, each at its moment, until the fault is healed."""
        for step in steps:
            await _until(began + step.after_s)
            try:
                await self._act(fault.target, step.act)
            except FAILURES as error:
                about = {"fault": index, "action": fault.action, "target": fault.target, "planned_s": None}
                self._fail("fault_lasting", time.monotonic(), error, about)
                return

    async def _act(self, target: str, act: Act) -> float:
        """Do one act; returns the moment at which it took effect, of a restart the one at which it began."""
        if act != "restart":
            return await self.stack.signal(target, SIGNALS[act])
        began = time.monotonic()
        await self.stack.restart(target)
        return began

    async def _heal(self, index: int, fault: Fault) -> float:
        """End it; returns the moment at which it has ended."""
        await self._rest(index)
        if fault.process is None:
            await self._set(fault, active=False)
            return time.monotonic()
        act = fault.process.heal()
        return time.monotonic() if act is None else await self._act(fault.target, act)

    async def _rest(self, index: int) -> None:
        """Nothing more is done of a fault's steps."""
        task = self._lasting.pop(index, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _set(self, fault: Fault, *, active: bool) -> None:
        await self.stack.set_faults(fault.target, self._active.change(fault, active=active))

    async def heal_all(self) -> None:
        """End what still lasts at the run's end (a process killed for good stays dead)."""
        for index in list(self._lasting):
            await self._rest(index)
        await self.stack.resume_all()
        for index in sorted(self._open):
            fault = self.faults[index]
            if fault.process is None or fault.process.heal() == "resume":
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
