"""The planned faults in virtual time: what `experiments.live.injection` does to processes, done to their twins."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from experiments.plan.delays import Delay
from experiments.plan.fault_plan import ActiveFaults, Fault, FaultOnAll, clash, is_on_path, is_on_process
from experiments.process_faults import Act, Step
from experiments.relay import faults as path_faults
from experiments.relay.faults import Weather
from experiments.simulator.agenda import Agenda
from experiments.simulator.manager import VirtualManager
from experiments.simulator.path import RemoteReplica
from experiments.simulator.replica import VirtualReplica
from experiments.simulator.router import VirtualRouter
from services.backend import faults as replica_faults
from services.draws import uniform
from services.router.settings import DRAIN_S, SETTLE_S

Sink = Callable[..., None]
"""Called as `sink(source, event, t_s, **detail)`."""
Target = VirtualReplica | VirtualRouter | VirtualManager
EARLIEST_S = 1e-6
"""What lands later than so many seconds after its moment has waited."""


class VirtualFaults:
    """Injects and heals, each at its moment."""

    def __init__(
        self,
        faults: Sequence[Fault],
        targets: Mapping[str, Target],
        has: Callable[[str], bool],
        agenda: Agenda,
        sink: Sink,
        startup: Delay,
        seed: int,
    ) -> None:
        """Plan all of them.

        Args:
            faults: of the run, in order of time.
            targets: by the names that faults give them.
            has: whether whoever runs a target still knows it.
            agenda: the simulation's, at or before the first fault.
            sink: hears of what was done.
            startup: of a process that is started again.
            seed: of the start-up times.
        """
        self._faults = faults
        self._targets = targets
        self._has = has
        self._agenda = agenda
        self._sink = sink
        self._startup = startup
        self._seed = seed
        self._active = ActiveFaults()
        self._paths = ActiveFaults()
        self._kinds = [fault.process for fault in faults]
        self._waiting: set[int] = set()
        self._open: set[int] = set()
        self._ends: dict[int, float] = {}
        for target in targets.values():
            if isinstance(target, VirtualReplica):
                target.when_up = self._is_up
        for index, fault in enumerate(faults):
            agenda.at(fault.at_s, self._is_due, index)

    def _is_due(self, index: int, now: float) -> None:
        """Its moment has come; it may have to wait for its replica, or for the end of another fault."""
        fault = self._faults[index]
        self._waiting.add(index)
        if isinstance(fault, FaultOnAll) and fault.for_s is not None:
            self._agenda.at(fault.end_s, self._is_over, index)
        self._try(index, now)

    def _try(self, index: int, now: float) -> None:
        fault = self._faults[index]
        lasting = {other for other in self._open if self._faults[other].lasts}
        if any(other < index and clash(self._faults[other], fault) for other in self._waiting | lasting):
            return
        if is_on_path(fault.action) or self._runs(fault.target):
            self._waiting.discard(index)
            self._inject(index, now)
        elif isinstance(fault, FaultOnAll) and is_on_process(fault.action):
            self._spare(index, now)  # what is done to processes is done to those there are
        elif not fault.is_on_replica:
            self._waiting.discard(index)
            self._failed("fault_injected", self._about(index, fault.at_s), now)

    def _inject(self, index: int, now: float) -> None:
        fault = self._faults[index]
        waited_s = now - fault.at_s
        is_late = waited_s > EARLIEST_S
        about = self._about(index, None if is_late else fault.at_s)
        more = {"waited_s": round(waited_s, 6)} if is_late else {}
        self._hit(index, now)
        self._open.add(index)
        self._sink("runner", "fault_injected", now, parameters=fault.full_parameters, **about, **more)
        if fault.for_s is not None:
            self._ends[index] = fault.ends_s(now if is_late else fault.at_s)
            self._agenda.at(self._ends[index], self._heal, index)

    def _runs(self, name: str) -> bool:
        return self._targets[name].is_up and self._has(name)

    def _is_up(self, id_: str, now: float) -> None:
        """A replica serves: it takes over what it had before, and what waits for it."""
        active = self._active.of(id_)
        if active:
            self._put(id_, active, now)
        self._go_on_waiting(id_, now)

    def _go_on_waiting(self, name: str, now: float) -> None:
        for index in sorted(self._waiting):
            if self._faults[index].target == name and index in self._waiting:
                self._try(index, now)

    def _is_over(self, index: int, now: float) -> None:
        """What was done to the others is over; whoever did not run meanwhile has not had it."""
        if index in self._waiting:
            self._spare(index, now)
            self._go_on_waiting(self._faults[index].target, now)

    def _spare(self, index: int, now: float) -> None:
        self._waiting.discard(index)
        about = self._about(index, self._faults[index].at_s)
        self._sink("runner", "fault_spared", now, reason=f"{about['target']} did not run", **about)

    def _failed(self, phase: str, about: dict[str, Any], now: float) -> None:
        reason = f"there is no process {about['target']} now"
        self._sink("runner", "fault_failed", now, reason=reason, phase=phase, **about)

    def _about(self, index: int, planned_s: float | None) -> dict[str, Any]:
        fault = self._faults[index]
        return {"fault": index, "action": fault.action, "target": fault.target, "planned_s": planned_s}

    def _hit(self, index: int, now: float) -> None:
        fault, kind = self._faults[index], self._kinds[index]
        if kind is None:
            self._set(fault, now, active=True)
            return
        steps = kind.steps()
        self._act(fault.target, next(steps).act, now)
        self._plan_next(index, steps, now)

    def _plan_next(self, index: int, steps: Iterator[Step], began: float) -> None:
        step = next(steps, None)
        if step is not None:
            self._agenda.at(began + step.after_s, self._go_on, (index, steps, step, began))

    def _go_on(self, what: tuple[int, Iterator[Step], Step, float], now: float) -> None:
        """A step after the first, as long as the fault lasts."""
        index, steps, step, began = what
        if index not in self._open:
            return
        target = self._faults[index].target
        if not self._has(target) or (step.act != "restart" and not self._targets[target].is_up):
            self._failed("fault_lasting", self._about(index, None), now)
            return
        self._act(target, step.act, now)
        self._plan_next(index, steps, began)

    def _act(self, name: str, act: Act, now: float) -> None:
        target = self._targets[name]
        match act:
            case "kill":
                target.kill(now)
            case "pause":
                target.pause(now)
            case "resume":
                target.resume(now)
            case "restart":
                self._restart(name, now)

    def _heal(self, index: int, now: float) -> None:
        fault, kind = self._faults[index], self._kinds[index]
        about = self._about(index, self._ends[index])
        self._open.discard(index)
        act = None if kind is None else kind.heal()
        if kind is not None and (not self._has(fault.target) or not (act == "restart" or self._runs(fault.target))):
            self._failed("fault_healed", about, now)
        else:  # what a replica plays on itself has ended with its process, at the latest
            self._sink("runner", "fault_healed", now, **about)
            if kind is None:
                self._set(fault, now, active=False)
            elif act is not None:
                self._act(fault.target, act, now)
        self._go_on_waiting(fault.target, now)

    def _set(self, fault: Fault, now: float, *, active: bool) -> None:
        if is_on_path(fault.action):
            node = self._targets[fault.target]
            assert isinstance(node, RemoteReplica)
            node.set_path(Weather(path_faults.parse(self._paths.change(fault, active=active))), now)
            return
        faults = self._active.change(fault, active=active)
        if self._targets[fault.target].is_up:
            self._put(fault.target, faults, now)

    def _put(self, id_: str, faults: dict[str, dict[str, float]], now: float) -> None:
        target = self._targets[id_]
        assert isinstance(target, VirtualReplica)
        target.set_faults(replica_faults.parse(faults), now)

    def _restart(self, name: str, now: float) -> None:
        target = self._targets[name]
        startup_s = self._startup_s(name, now)
        if isinstance(target, VirtualManager):
            target.restart(now, startup_s)
        elif isinstance(target, VirtualReplica):
            if target.is_up:
                target.drain(now, target.start)
            else:
                target.start(now)
        else:
            target.stop(now)
            self._agenda.at(now, self._start_router, (target, now + DRAIN_S, now, startup_s))

    def _startup_s(self, name: str, now: float) -> float:
        return self._startup.at(uniform(self._seed, name, name, f"{now:.6f}", "startup"))

    def _start_router(self, what: tuple[VirtualRouter, float, float, float], now: float) -> None:
        """As soon as it has finished what was in flight."""
        router, latest, busy_at, startup_s = what
        if router.in_flight:
            busy_at = now
        if now < min(latest, busy_at + SETTLE_S):
            self._agenda.at(now + 0.01, self._start_router, (router, latest, busy_at, startup_s))
        else:
            router.kill(now)
            self._agenda.at(now + startup_s, _start, router)

    def heal_all(self, now: float) -> None:
        """What still lasts ends with the run (a process killed for good stays dead); what waits has waited in vain."""
        for index in sorted(self._waiting):
            if isinstance(self._faults[index], FaultOnAll):
                self._spare(index, now)
            else:
                self._failed("fault_injected", self._about(index, self._faults[index].at_s), now)
        for index in sorted(self._open):
            kind = self._kinds[index]
            if kind is None or kind.heal() == "resume":
                self._sink("runner", "fault_healed", now, at_end=True, **self._about(index, None))


def _start(router: VirtualRouter, now: float) -> None:
    router.start(now)
