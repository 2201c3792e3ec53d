"""Starts in virtual time as `autoscaling.starts` wants them: what lies before a process, and what ends it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

from experiments.plan.delays import Delay
from experiments.simulator.process import Process
from experiments.simulator.replica import VirtualReplica
from services.draws import uniform
from services.manager.deciding import Deciding
from services.manager.starts import Start

JUST_S = 1e-6
"""Who is ready just when it would be given up is ready."""


class Starter(Protocol):
    """Who starts replicas: a manager."""

    process: Process
    deciding: Deciding

    def start(self, id_: str, now: float) -> None:
        """Start its process."""

    def reconcile(self, now: float) -> None:
        """Make it so."""

    def tell(self, now: float) -> None:
        """Say what has happened to replicas since the last time."""

    def forget(self, id_: str) -> None:
        """There is no such replica any more."""


class Starting:
    """Knows who waits for a process, or stands by: neither takes part in anything, so that no process is played."""

    def __init__(
        self, manager: Starter, nodes: Mapping[str, VirtualReplica], startup: Delay, seed: int, timeout_s: float
    ) -> None:
        """Nobody; a process takes `startup`, drawn by `seed`; what takes longer than `timeout_s` is given up."""
        self._manager = manager
        self._nodes = nodes
        self._startup = startup
        self._seed = seed
        self._timeout_s = timeout_s
        self._states: dict[str, str] = {}
        """`starting` or `warm`, by replica."""
        self._numbers: dict[str, int] = {}
        """Of the last start of each."""
        self._awaited: dict[str, bool] = {}
        """Those whose start is under way, and whether there was none of that name before."""
        self._crashes: dict[str, float] = {}
        """How long after it is ready."""

    def clear(self) -> None:
        """The manager is gone, and those that it had started."""
        self._states.clear()
        self._awaited.clear()

    def state(self, id_: str) -> str | None:
        """What the engine says of it; None = its process does."""
        return self._states.get(id_)

    def end(self, id_: str) -> bool:
        """It waits no longer; whether it did."""
        self.is_over(id_)
        return self._states.pop(id_, None) is not None

    def is_over(self, id_: str) -> None:
        """Its start is."""
        self._awaited.pop(id_, None)

    def begin(self, id_: str, drawn: Start, now: float, *, is_new: bool) -> None:
        """Start it, as it is drawn; `is_new`: there is none of that name, not even a dead one."""
        manager = self._manager
        number = self._numbers[id_] = self._numbers.get(id_, 0) + 1
        self._awaited[id_] = is_new
        self._crashes.pop(id_, None)
        if drawn.crash_after_s is not None:
            self._crashes[id_] = drawn.crash_after_s
        manager.process.at(now + self._timeout_s + JUST_S, self._give_up, (id_, number))
        if id_ in manager.deciding.planning.standby:
            self._states[id_] = "starting"
            if drawn.wait_s < math.inf:
                u = uniform(self._seed, id_, id_, str(number), "startup")
                ready_at = now + drawn.wait_s + self._startup.at(u)
                manager.process.at_even_paused(ready_at, self._stands_by, (id_, number))
        elif drawn.wait_s == 0:
            manager.start(id_, now)
        else:
            self._states[id_] = "starting"
            if drawn.wait_s < math.inf:
                manager.process.at_even_paused(now + drawn.wait_s, self._go_on, (id_, number))

    def _waits(self, id_: str, number: int) -> bool:
        return self._numbers[id_] == number and self._states.get(id_) == "starting"

    def _go_on(self, start: tuple[str, int], now: float) -> None:
        id_, number = start
        if self._waits(id_, number):
            del self._states[id_]
            self._manager.start(id_, now)

    def _stands_by(self, start: tuple[str, int], now: float) -> None:
        id_, number = start
        if self._waits(id_, number):
            self._states[id_] = "warm"
            self.is_up(id_, now)
            self._manager.reconcile(now)

    def is_up(self, id_: str, now: float) -> None:
        """Its process is ready; it may crash."""
        self.is_over(id_)
        after_s = self._crashes.pop(id_, None)
        if after_s is not None:
            self._manager.process.at_even_paused(now + after_s, self._crash, (id_, self._numbers[id_]))

    def _crash(self, start: tuple[str, int], now: float) -> None:
        id_, number = start
        node = self._nodes[id_]
        if self._numbers[id_] == number and not self.end(id_) and node.is_up and not node.is_draining:
            node.kill(now)

    def _give_up(self, start: tuple[str, int], now: float) -> None:
        id_, number = start
        if self._numbers[id_] != number or id_ not in self._awaited:
            return
        is_new = self._awaited.pop(id_)
        self.end(id_)
        node = self._nodes[id_]
        if node.is_starting:
            node.kill(now)
        if is_new:
            self._manager.forget(id_)
        self._manager.deciding.planning.failed(id_, f"{id_} was not ready within {self._timeout_s:g} s", now)
        self._manager.tell(now)
