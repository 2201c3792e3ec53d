"""Carries out the planned faults, each at its moment, and says what was done when."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import aiohttp

from experiments.live.commands import Commands
from experiments.live.listening import EventSink
from experiments.live.stack import Stack
from experiments.plan.fault_command import COMMAND
from experiments.plan.fault_plan import ActiveFaults, Fault, FaultOnAll, clash, is_on_path, is_on_process
from experiments.process_faults import Act, Step
from services.backend.faults import FaultSet
from services.manager.engines import EngineError
from services.processes import StartError

SIGNALS: dict[Act, int] = {"kill": signal.SIGKILL, "pause": signal.SIGSTOP, "resume": signal.SIGCONT}
FAILURES = (aiohttp.ClientError, TimeoutError, OSError, KeyError, StartError, EngineError)
LOOK_S = 0.02
"""How often a fault that waits looks whether it may land."""
WATCH_S = 0.25
"""How often it is asked who has started; meanwhile a replica that has just started is without its faults."""


@dataclass
class Timeline:
    """The faults of one run against its stack."""

    faults: list[Fault]
    stack: Stack
    sink: EventSink
    commands: Commands | None = None
    """What runs those of the user's; None = there are none."""
    _active: ActiveFaults = field(default_factory=ActiveFaults)
    _paths: ActiveFaults = field(default_factory=ActiveFaults)
    """What happens on the way to each replica."""
    _waiting: set[int] = field(default_factory=set)
    """Due, but without a process to land on, or behind a fault that lasts."""
    _open: set[int] = field(default_factory=set)
    _lasting: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    """What goes on with a fault after its first step."""
    _told: dict[str, int | None] = field(default_factory=dict)
    """The process of a replica that was last told its faults, by the replica's id."""

    async def run(self, t0: float) -> None:
        """Inject and heal everything that has its moment; `t0` is the run's start on the monotonic clock.

        Goes on until it is cancelled where a fault may go over to a replica that starts later.
        """
        if self.faults:
            await asyncio.gather(self._watch(), *(self._one(i, fault, t0) for i, fault in enumerate(self.faults)))

    async def _watch(self) -> None:
        """See who starts, as long as it matters: what waits lands then, and what was active before goes over."""
        while True:
            await asyncio.sleep(WATCH_S)
            if not self._waiting and (self.stack.manager is None or not self._active.targets()):
                continue
            await self.stack.look()
            for id_ in self._active.targets():
                pid = self.stack.pid_of(id_)
                if pid is not None and pid != self._told.get(id_):
                    with contextlib.suppress(*FAILURES):  # it is looked at again
                        await self._tell(id_)

    async def _one(self, index: int, fault: Fault, t0: float) -> None:
        await _until(t0 + fault.at_s)
        self._waiting.add(index)
        began_s = await self._land(index, fault, t0)
        if began_s is not None and fault.for_s is not None:
            end_s = fault.ends_s(began_s)
            await _until(t0 + end_s)
            await self._end(index, fault, end_s)

    async def _land(self, index: int, fault: Fault, t0: float) -> float | None:
        """Inject it as soon as it can be; returns when it began, in seconds from the run's start, None = it did not.

        It may have to wait for its replica, or for the end of another fault.
        """
        planned_s: float | None = fault.at_s
        is_on_all = isinstance(fault, FaultOnAll)
        while True:
            blocked = self._is_blocked(index)
            if not blocked and (not fault.waits or self.stack.pid_of(fault.target) is not None):
                landed = await self._try(index, fault, t0, planned_s)
                if landed is not None:
                    return fault.at_s if planned_s is not None else landed - t0
                if index not in self._waiting:
                    return None
            elif is_on_all and not blocked and is_on_process(fault.action):
                self._spare(index, fault)
                return None
            if is_on_all and time.monotonic() >= t0 + fault.end_s:
                self._spare(index, fault)
                return None
            planned_s = None
            await asyncio.sleep(LOOK_S)

    def _is_blocked(self, index: int) -> bool:
        lasting = {other for other in self._open if self.faults[other].lasts}
        others = (other for other in self._waiting | lasting if other < index)
        return any(clash(self.faults[other], self.faults[index]) for other in others)

    async def _try(self, index: int, fault: Fault, t0: float, planned_s: float | None) -> float | None:
        """Inject it; returns when it landed. None: it failed, or waits on, since its replica has just gone."""
        about = self._about(index, planned_s)
        began = time.monotonic()
        self._open.add(index)
        try:
            landed = await self._inject(index, fault)
        except asyncio.CancelledError:  # the run ends while the target comes up again
            if fault.begins_anew:
                self._waiting.discard(index)
                self._say_landed(fault, t0, began, about)
            raise
        except FAILURES as error:
            self._open.discard(index)
            self._of(fault).change(fault, active=False)
            await self.stack.look()
            is_starting = isinstance(error, aiohttp.ClientConnectorError)
            if not fault.waits or (self.stack.pid_of(fault.target) is not None and not is_starting):
                self._waiting.discard(index)
                self._fail("fault_injected", began, error, about)
            return None
        self._waiting.discard(index)
        self._say_landed(fault, t0, landed, about)
        return landed

    def _say_landed(self, fault: Fault, t0: float, landed: float, about: dict[str, object]) -> None:
        waited = {} if about["planned_s"] is not None else {"waited_s": round(landed - t0 - fault.at_s, 3)}
        parameters = fault.full_parameters
        self.sink("runner", "fault_injected", monotonic_s=landed, parameters=parameters, **about, **waited)

    def _spare(self, index: int, fault: Fault) -> None:
        self._waiting.discard(index)
        self.sink("runner", "fault_spared", reason=f"{fault.target} did not run", **self._about(index, fault.at_s))

    def _about(self, index: int, planned_s: float | None) -> dict[str, object]:
        fault = self.faults[index]
        return {"fault": index, "action": fault.action, "target": fault.target, "planned_s": planned_s}

    async def _end(self, index: int, fault: Fault, planned_s: float) -> None:
        """Heal it at its moment."""
        about = self._about(index, planned_s)
        began = time.monotonic()
        # A heal that starts the process is told when that begins: recovery then includes the start-up time.
        is_told_first = fault.process is not None and fault.process.heal() == "restart"
        if is_told_first:
            self.sink("runner", "fault_healed", monotonic_s=began, **about)
        try:
            healed = await self._heal(index, fault)
        except FAILURES as error:
            self._fail("fault_healed", began, error, about)
        else:
            if not is_told_first:
                self.sink("runner", "fault_healed", monotonic_s=healed, **about)
        self._open.discard(index)  # one that is cancelled meanwhile is healed at the end

    def _fail(self, phase: str, moment: float, error: BaseException, about: dict[str, object]) -> None:
        gone = f"there is no process {about['target']} now"
        reason = gone if isinstance(error, KeyError) else str(error) or type(error).__name__
        self.sink("runner", "fault_failed", monotonic_s=moment, reason=reason, phase=phase, **about)

    async def _inject(self, index: int, fault: Fault) -> float:
        """Do it; returns the moment at which it took effect."""
        if fault.action == COMMAND:
            assert self.commands is not None
            return await self.commands.inject(index, fault)
        if fault.process is None:
            faults = self._of(fault).change(fault, active=True)
            if is_on_path(fault.action):
                await self._change_path(fault.target, faults)
            else:
                await self._tell(fault.target)
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
                self._fail("fault_lasting", time.monotonic(), error, self._about(index, None))
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
        if fault.action == COMMAND:
            assert self.commands is not None
            return await self.commands.heal(index, fault)
        if is_on_path(fault.action):
            await self._change_path(fault.target, self._paths.change(fault, active=False))
            return time.monotonic()
        if fault.process is None:
            self._active.change(fault, active=False)
            try:
                await self._tell(fault.target)
            except FAILURES:  # what a replica plays on itself has ended with its process
                await self.stack.look()
                if self.stack.pid_of(fault.target) is not None:
                    raise
            return time.monotonic()
        act = fault.process.heal()
        return time.monotonic() if act is None else await self._act(fault.target, act)

    async def _rest(self, index: int) -> None:
        """Nothing more is done of a fault's steps."""
        task = self._lasting.pop(index, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _change_path(self, id_: str, faults: FaultSet) -> None:
        assert self.stack.paths is not None
        await self.stack.paths.put(id_, faults)

    def _of(self, fault: Fault) -> ActiveFaults:
        return self._paths if is_on_path(fault.action) else self._active

    async def _tell(self, id_: str) -> None:
        """Make what is active on a replica its whole set."""
        pid = self.stack.pid_of(id_)
        await self.stack.set_faults(id_, self._active.of(id_))
        self._told[id_] = pid

    async def heal_all(self) -> None:
        """End what still lasts at the run's end (a process killed for good stays dead); what waits, waited in vain."""
        for index in list(self._lasting):
            await self._rest(index)
        await self.stack.resume_all()
        if self.stack.paths is not None:
            await self.stack.paths.clear()
        for index in sorted(self._waiting):
            fault = self.faults[index]
            if isinstance(fault, FaultOnAll):
                self._spare(index, fault)
            elif fault.action == COMMAND:
                ended = EngineError(f"the run ended before its line did: {fault.inject}")
                self._fail("fault_injected", time.monotonic(), ended, self._about(index, fault.at_s))
            else:
                late = EngineError("the run ended before it had landed")
                why = late if index in self._open else KeyError(fault.target)
                self._fail("fault_injected", time.monotonic(), why, self._about(index, fault.at_s))
        for index in sorted(self._open):
            fault = self.faults[index]
            if fault.action == COMMAND:
                await self._heal_at_end(index, fault)
            elif fault.process is None or fault.process.heal() == "resume":
                self.sink("runner", "fault_healed", at_end=True, **self._about(index, None))
        self._waiting.clear()
        self._open.clear()

    async def _heal_at_end(self, index: int, fault: Fault) -> None:
        """Run the line that heals it, where there is one: the system is the user's, and no process of this run."""
        began, about = time.monotonic(), self._about(index, None)
        if fault.heal is None:
            return
        try:
            await self._heal(index, fault)
        except FAILURES as error:
            self._fail("fault_healed", began, error, about)
        else:
            self.sink("runner", "fault_healed", at_end=True, **about)


async def _until(moment: float) -> None:
    """Sleep until `moment` on the monotonic clock."""
    await asyncio.sleep(max(0.0, moment - time.monotonic()))
