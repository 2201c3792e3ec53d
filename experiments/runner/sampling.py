"""What the machine does during a run: CPU by role, one sample a second."""

from dataclasses import dataclass, field

import psutil


@dataclass
class CpuMeter:
    """CPU used since the last reading, in cores, for every role and for everything else on the machine."""

    _seconds: dict[int, float] = field(default_factory=dict)
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
        fresh = {pid: spent for role in pids.values() for pid in role if (spent := _process_seconds(pid)) is not None}
        before, self._machine = self._machine, machine
        elapsed, self._moment = now - self._moment, now
        old, self._seconds = self._seconds, fresh
        if before is None or elapsed <= 0:
            return None
        used = {
            role: sum(fresh[pid] - old.get(pid, 0.0) for pid in members if pid in fresh) / elapsed
            for role, members in pids.items()
        }
        used["foreign"] = max(0.0, (machine[0] - before[0]) / elapsed - sum(used.values()))
        used["steal"] = max(0.0, (machine[1] - before[1]) / elapsed)
        return {role: round(value, 4) for role, value in used.items()}


def _field(times: object, name: str) -> float:
    """A field that not every platform has."""
    return float(getattr(times, name, 0.0))


def _process_seconds(pid: int) -> float | None:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return None
    return float(times.user + times.system)
