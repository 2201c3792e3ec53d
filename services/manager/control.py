"""The control loop: observe the router, decide, make it so."""

import asyncio
import contextlib
import time
from collections import deque
from typing import Any

import aiohttp

from services.manager.engines import Engine
from services.manager.limits import Decision, Limits
from services.manager.scalers import Observation, ReplicaLoad, Scaler
from services.manager.settings import ScalingSettings
from services.processes import StartError

CAPACITY = 10_000


class Control:
    """Holds the wanted number, and the decisions that led to it."""

    def __init__(self, scaler: Scaler, limits: Limits, engine: Engine, router: str, replicas: int) -> None:
        """`replicas` is the number to begin with; `router` the router's admin URL."""
        self.desired = replicas
        self.enabled = True
        self.limits = limits
        self.engine = engine
        self._scaler = scaler
        self._stats_url = router.rstrip("/") + "/stats"
        self._readings: dict[str, tuple[float, float]] = {}
        self._decisions: deque[dict[str, Any]] = deque(maxlen=CAPACITY)
        self._seq = 0
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1.0))
        self._reconciling = asyncio.Lock()
        self._background: set[asyncio.Task[None]] = set()
        self._drains: set[asyncio.Task[None]] = set()
        self.errors: list[str] = []

    async def begin(self) -> None:
        """Start the first replicas, one after another.

        Raises:
            StartError: one did not come up.
        """
        for number in range(1, self.desired + 1):
            await self.engine.start(f"r{number}")

    async def run(self) -> None:
        """Decide every interval, for ever."""
        while True:
            began = time.monotonic()
            await self.step()
            await asyncio.sleep(max(0.0, self.limits.settings.interval_s - (time.monotonic() - began)))

    async def step(self) -> None:
        """One look, one decision."""
        observation = await self._observe()
        now = time.monotonic()
        if self.enabled:
            wish = self._scaler.decide(observation, now) if observation is not None else None
            decision = self.limits.decide(wish, self.desired, now)
            if observation is None:
                decision = Decision(decision.desired, "cannot tell: the router does not answer")
            self._decide(decision, wish, observation, now)
        self._reconcile_soon()

    def scale(self, replicas: int) -> None:
        """Set the wanted number by hand; an enabled autoscaler goes on from there."""
        self._decide(Decision(replicas, "set by hand"), None, None, time.monotonic())
        self._reconcile_soon()

    def set_bounds(self, settings: ScalingSettings) -> None:
        """Change what limits the scaler; the wanted number follows at once, whether or not the scaler is on."""
        self.limits.settings = settings
        within = min(max(self.desired, settings.min_replicas), settings.max_replicas)
        if within != self.desired:
            self._decide(Decision(within, "within the new bounds"), None, None, time.monotonic())
            self._reconcile_soon()

    def _decide(self, decision: Decision, wish: float | None, observation: Observation | None, now: float) -> None:
        previous, self.desired = self.desired, decision.desired
        self._seq += 1
        seen = observation.replicas if observation is not None else []
        self._decisions.append(
            {
                "seq": self._seq,
                "monotonic_s": now,
                "unix_s": time.time(),
                "desired": decision.desired,
                "previous": previous,
                "reason": decision.reason,
                "raw_desired": wish,
                "changed": decision.desired != previous,
                "observation": {
                    "replicas": len(seen),
                    "ready": sum(r.ready for r in seen),
                    "slots": sum(r.slots for r in seen),
                    "in_flight": round(sum(r.in_flight or 0 for r in seen), 3),
                },
            }
        )

    def decisions(self, since: int) -> dict[str, Any]:
        """The decisions after number `since`, and the number to ask with next."""
        return {"decisions": [d for d in self._decisions if d["seq"] > since], "next": self._seq}

    async def _observe(self) -> Observation | None:
        try:
            async with self._session.get(self._stats_url) as response:
                stats = await response.json()
            seen = {replica["id"]: replica for replica in stats["replicas"]}
            means = self._mean_in_flight(stats["monotonic_s"], seen)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError, TypeError):
            return None
        loads = []
        for running in self.engine.running():
            if running.state == "draining":
                continue
            replica = seen.get(running.id)
            ready = replica is not None and replica["state"] == "ready"
            loads.append(
                ReplicaLoad(
                    running.id,
                    means.get(running.id),
                    (replica or {}).get("concurrency") or 1,
                    ready,
                )
            )
        return Observation(loads, self.desired)

    def _mean_in_flight(self, now: float, seen: dict[str, dict[str, Any]]) -> dict[str, float]:
        """Requests in flight by replica, averaged since the last look; at a first one, those of the moment.

        One moment's number scatters so much that a scaler would follow its noise.
        """
        readings = {id_: (now, float(replica["in_flight_seconds_total"])) for id_, replica in seen.items()}
        means = {}
        for id_, (_, total) in readings.items():
            then, before = self._readings.get(id_, (now, total))
            is_new = then >= now or total < before  # also after the router, or the replica's entry, began anew
            means[id_] = float(seen[id_]["in_flight"]) if is_new else (total - before) / (now - then)
        self._readings = readings
        return means

    def _reconcile_soon(self) -> None:
        """Make it so in the background: a slow start must not stop the looking."""
        task = asyncio.create_task(self._reconcile())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _reconcile(self) -> None:
        if self._reconciling.locked():
            return
        async with self._reconciling:
            with contextlib.suppress(StartError):
                await self._make_it_so()

    async def _make_it_so(self) -> None:
        states = {r.id: r.state for r in self.engine.running()}
        living = {id_ for id_, state in states.items() if state == "running"}
        dead = {id_ for id_, state in states.items() if state == "dead"}
        # A dead replica that nobody may start again still holds its place: who killed it will restart it.
        present = living if self.limits.settings.self_heal else living | dead
        for id_ in sorted(dead - present, key=_number):
            if len(present) < self.desired:
                await self.engine.start(id_)
                present.add(id_)
            else:
                self._drain_soon(id_)  # forgotten: it is not wanted any more
        number = 0
        while len(present) < self.desired:
            number += 1
            if states.get(f"r{number}") == "draining":
                return  # it has the number that is due; the next look finds it gone
            if f"r{number}" not in present:
                await self.engine.start(f"r{number}")
                present.add(f"r{number}")
        for id_ in sorted(present, key=_number)[self.desired :]:
            self._drain_soon(id_)

    def _drain_soon(self, id_: str) -> None:
        """Drain in the background: it may take as long as the longest request, and others must not wait for it."""
        task = asyncio.create_task(self.engine.drain(id_))
        self._drains.add(task)
        task.add_done_callback(self._drains.discard)

    async def close(self) -> None:
        """Stop deciding; drain every replica, and wait for the drains that have begun (a second SIGTERM cuts them)."""
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await asyncio.gather(self.engine.close(), *self._drains)
        await self._session.close()


def _number(id_: str) -> int:
    return int(id_[1:])
