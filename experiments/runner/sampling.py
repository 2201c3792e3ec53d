"""What the machine does during a run: CPU by role, one sample a second."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import psutil


@dataclass(frozen=True)
class Spent:
    """What a process had used when it was looked at."""

    role: str
    parent: int
    own_s: float
    children_s: float
    """Of its children that had ended and been waited for, with theirs."""


@dataclass
class CpuMeter:
    """CPU used since the last reading, in cores, for every role and for everything else on the machine."""

    _spent: dict[int, Spent] = field(default_factory=dict)
    _machine: tuple[float, float] | None = None
    _moment: float = 0.0

    def read(self, pids: dict[str, list[int]], now: float) -> dict[str, float] | None:
        """Mean cores used since the last call; None at the first.

        Args:
            pids: process ids by role.
            now: seconds on any monotonic clock.
        """
        times = psutil.cpu_times()
        machine = (
            times.user + times.nice + times.system + _field(times, "irq") + _field(times, "softirq"),
            _field(times, "steal"),
        )
        fresh = {
            pid: spent for role, members in pids.items() for pid in members if (spent := _look(pid, role)) is not None
        }
        before, self._machine = self._machine, machine
        elapsed, self._moment = now - self._moment, now
        old, self._spent = self._spent, fresh
        if before is None or elapsed <= 0:
            return None
        used = {
            role: sum(_used_s(pid, role, old, fresh) for pid in members if pid in fresh) / elapsed
            for role, members in pids.items()
        }
        used["foreign"] = max(0.0, (machine[0] - before[0]) / elapsed - sum(used.values()))
        used["steal"] = max(0.0, (machine[1] - before[1]) / elapsed)
        return {role: round(value, 4) for role, value in used.items()}


def _field(times: object, name: str) -> float:
    """A field that not every platform has."""
    return float(getattr(times, name, 0.0))


def _used_s(pid: int, role: str, old: Mapping[int, Spent], fresh: Mapping[int, Spent]) -> float:
    """CPU seconds between two readings: its own, and what children of its role that have ended since had left to use.

    nginx' workers end with each change of its members. What the parent has waited for besides is another role's.
    """
    if pid not in old:
        return fresh[pid].own_s
    used_s = fresh[pid].own_s - old[pid].own_s
    ended = [was for child, was in old.items() if (was.role, was.parent) == (role, pid) and child not in fresh]
    if ended:
        known_s = sum(was.own_s + was.children_s for was in ended)
        used_s += max(0.0, fresh[pid].children_s - old[pid].children_s - known_s)
    return used_s


def _look(pid: int, role: str) -> Spent | None:
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times, parent = process.cpu_times(), process.ppid()
    except psutil.Error:
        return None
    waited_s = _field(times, "children_user") + _field(times, "children_system")
    return Spent(role, parent, float(times.user + times.system), waited_s)
