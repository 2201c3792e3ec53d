"""Requests in flight integrated over time: work that is counted once, whoever joins, drains or leaves meanwhile.

The difference of two readings over their distance is a mean (Little's law: rate x time spent). Plain objects: told the
time, seconds on a monotonic clock.
"""

from services.router.policy import Candidate


class Worker(Candidate):
    """What a replica has in flight, and has had."""

    __slots__ = ("aside_at_s", "aside_s", "busy_s", "in_flight", "in_flight_at", "in_flight_s", "resting", "slots")

    def __init__(self) -> None:
        """It has nothing, and is not in rotation yet."""
        self.in_flight = 0
        self.resting = 0
        """Of those in flight, those that nobody works on: their clients send the body, or read the answer."""
        self.in_flight_s = 0.0
        """Integral of `in_flight` over time, request-seconds, until `in_flight_at`."""
        self.in_flight_at = 0.0
        self.slots = 1
        """Requests that it serves at the same time, as far as it has said; the others wait there."""
        self.busy_s = 0.0
        """Of `in_flight_s`, what was spent in slots: the integral of those in flight, no more than slots."""
        self.aside_s = 0.0
        """Of it, what was spent while it neither was in rotation nor drained: requests that hang there, not work."""
        self.aside_at_s: float | None = 0.0
        """The integral when that began; None = it is in rotation, or drains."""

    def pass_time(self, now: float) -> None:
        """Count what was in flight until now: before that changes, or the slots do."""
        passed_s = now - self.in_flight_at
        self.in_flight_s += self.in_flight * passed_s
        self.busy_s += (self.in_flight if self.in_flight < self.slots else self.slots) * passed_s
        self.in_flight_at = now

    def busy_seconds(self, now: float) -> float:
        """Slot-seconds in use here until `now`."""
        return self.busy_s + min(self.in_flight, self.slots) * (now - self.in_flight_at)

    def in_flight_seconds(self, now: float) -> float:
        """Request-seconds spent here until `now`."""
        return self.in_flight_s + self.in_flight * (now - self.in_flight_at)

    def work_seconds(self, now: float) -> float:
        """Likewise, but only while it was in rotation, or drained."""
        spent_s = self.in_flight_seconds(now) if self.aside_at_s is None else self.aside_at_s
        return spent_s - self.aside_s

    def set_aside(self, now: float) -> None:
        """From now on nothing new comes here, and nobody knows whether what is here goes on."""
        if self.aside_at_s is None:
            self.aside_at_s = self.in_flight_seconds(now)

    def take_up(self, now: float) -> None:
        """It is in rotation from now on, or finishes what it has."""
        if self.aside_at_s is not None:
            self.aside_s += self.in_flight_seconds(now) - self.aside_at_s
            self.aside_at_s = None


class Departed:
    """Those that a router has forgotten, and what they did."""

    def __init__(self) -> None:
        self._ended_s = 0.0
        """Request-seconds of those that have nothing more to do."""
        self._going: list[Worker] = []

    def add(self, worker: Worker, now: float) -> None:
        """It is forgotten, with what it has in flight."""
        self._going.append(worker)
        self._fold(now)

    def _fold(self, now: float) -> None:
        going = []
        for worker in self._going:
            if worker.in_flight and worker.aside_at_s is None:
                going.append(worker)
            else:
                self._ended_s += worker.work_seconds(now)
        self._going = going

    def work_seconds(self, now: float) -> float:
        """Request-seconds that they have spent until `now`."""
        self._fold(now)
        return self._ended_s + sum(worker.work_seconds(now) for worker in self._going)
