"""Asks every replica's `/readyz`, each at its own jittered pace."""

import asyncio
import logging
import random
import time
from collections.abc import Callable

from services.descriptors import own_fault
from services.journal import tell
from services.router.check_pacing import pause_s
from services.router.fleet import Fleet
from services.router.settings import HealthCheckSettings
from services.router.wire.asking import status_of
from services.router.wire.heartbeat import Heartbeat

TURN_S = 0.01
"""What has come by the end of a check's time is read in the loop's next turns, seconds."""


class HealthChecker:
    """One task a replica; the first check is made at once."""

    def __init__(
        self,
        settings: HealthCheckSettings,
        fleet: Fleet,
        rng: random.Random,
        exhausted: Callable[[str], None],
        heartbeat: Heartbeat,
        late: Callable[[], None],
    ) -> None:
        """Checks begin with `watch`.

        `exhausted` is told what the router itself lacked for one (`EMFILE`, ...), `late` of every one that would have
        failed had the router's own lag, as `heartbeat` has it, been taken for the replica's silence.
        """
        self._settings = settings
        self._fleet = fleet
        self._rng = rng
        self._exhausted = exhausted
        self._heartbeat = heartbeat
        self._late = late
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def watch(self, id_: str) -> None:
        """Check this replica from now on, until it has left the fleet."""
        if (task := self._tasks.get(id_)) is not None:
            task.cancel()
        self._tasks[id_] = asyncio.create_task(self._loop(id_))

    async def _loop(self, id_: str) -> None:
        while (replica := self._fleet.replicas.get(id_)) is not None:
            passed, reason = await self._check(replica.url)
            if passed is False:
                tell("check_failed", logging.DEBUG, replica=id_, reason=reason)
            if passed is not None and self._fleet.replicas.get(id_) is replica and not replica.draining:
                self._fleet.on_check(id_, passed, time.monotonic(), reason)
            await asyncio.sleep(pause_s(self._settings, replica.healthy, self._rng))
        self._tasks.pop(id_, None)

    async def _check(self, url: str) -> tuple[bool | None, str]:
        """Whether it passed, and why not; None: the router itself could not ask, which says nothing of the replica."""
        asking = asyncio.create_task(status_of(f"{url}/readyz"))
        missed_s = self._heartbeat.missed_s(time.monotonic())
        try:
            done, _ = await asyncio.wait({asking}, timeout=self._settings.timeout_s)
            if not done:
                # While the router stood still it could not ask, nor hear; what lies in the socket is read in any case.
                missed_s = self._heartbeat.missed_s(time.monotonic()) - missed_s
                done, _ = await asyncio.wait({asking}, timeout=TURN_S + missed_s)
                if not done:
                    return False, f"no answer within {self._settings.timeout_s:g} s"
                self._late()
            status = asking.result()
            return status == 200, f"status {status}"
        except OSError as error:
            if (lacks := own_fault(error)) is not None:
                self._exhausted(lacks)
                return None, lacks
            return False, str(error) or type(error).__name__
        finally:
            asking.cancel()

    async def stop(self) -> None:
        """End all checks."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
