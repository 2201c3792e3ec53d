"""The control loop: observe the router, decide, make it so."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast

import aiohttp

from services.journal import tell
from services.manager.deciding import Deciding
from services.manager.engines import Engine, EngineError, Running, StagingEngine
from services.manager.limits import Limits
from services.manager.news import News, read
from services.manager.scalers import Observation, Scaler
from services.manager.settings import ScalingSettings
from services.manager.starting import give_up, start_all
from services.processes import StartError


class Control:
    """Looks at the router, has `Deciding` decide, and makes the engine follow."""

    def __init__(
        self, scaler: Scaler, limits: Limits, engine: Engine, router: str, replicas: int, seed: int = 0
    ) -> None:
        """`replicas` is the number to begin with; `router` the router's admin URL; `seed` as for `Deciding`."""
        self.deciding = Deciding(scaler, limits, replicas, seed)
        self.enabled = True
        self.engine = engine
        self._stats_url = router.rstrip("/") + "/stats"
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1.0))
        self._reconciling = asyncio.Lock()
        self._again = False
        """Whether it was asked for while it was under way."""
        self._background: set[asyncio.Task[None]] = set()
        self._drains: set[asyncio.Task[None]] = set()
        self._starts: dict[str, asyncio.Task[None]] = {}
        """Under way, by the replica's id."""
        self._restarting: set[str] = set()
        self._lost: set[str] = set()
        """Those that were found dead, and have not been started since."""
        self._news = News()
        self._answered = True
        """Whether the router did at the last look."""
        self._recommended: int | None = None
        """The number that was told last where the engine does not act; None once nothing is recommended any more."""
        self.first_start_s: float | None = None
        """How long the first replicas took to start, the median in seconds; None where they were there."""
        self.counts: Counter[str] = Counter()
        """`failed_looks` at the router, `engine_errors`, `starts` that were begun."""

    @property
    def desired(self) -> int:
        """How many replicas there should be."""
        return self.deciding.desired

    @property
    def limits(self) -> Limits:
        """What bounds the scaler."""
        return self.deciding.limits

    async def begin(self) -> None:
        """Start the first replicas, or take over those that an earlier manager has left.

        Raises:
            StartError, EngineError: one did not come up.
        """
        there = [replica for replica in await self.engine.running() if replica.state != "draining"]
        if {replica.state for replica in there} & {"starting", "running"} or not self.engine.acts:
            self.deciding.take_over(len(there), time.monotonic(), time.time())
            if self.engine.acts:
                self.deciding.planning.starts.begun(replica.id for replica in there)
            self._tell_decision()
            return
        first = [f"r{number}" for number in range(1, self.desired + 1)]
        self.deciding.planning.starts.begun(first)
        self.first_start_s = await start_all(self._start, first, self.limits.settings.max_starting)

    async def replicas(self) -> list[Running]:
        """The engine's replicas, those included whose start is under way; whether an engine shows these is its own.

        Raises:
            EngineError: it cannot tell.
        """
        under_way = set(self._starts)  # also those that are over before the engine has answered: it may not know yet
        by_id = {replica.id: replica for replica in await self.engine.running()}
        for id_ in under_way | set(self._starts):
            shown = by_id.get(id_)
            if shown is None:
                by_id[id_] = Running(id_, "", "", None, "starting")
            elif shown.state != "draining":
                by_id[id_] = replace(shown, state="starting")
        for id_, shown in by_id.items():
            if shown.state == "running" and id_ in self.deciding.planning.standby:
                by_id[id_] = replace(shown, state="warm")
            elif shown.state == "dead" and id_ in self._restarting:
                by_id[id_] = replace(shown, state="starting")
        self._notice(by_id.values())
        return list(by_id.values())

    def _notice(self, running: Iterable[Running]) -> None:
        """Say which replicas have ended unasked since the last look."""
        dead = {replica.id for replica in running if replica.state == "dead"} - self._restarting
        for id_ in sorted(dead - self._lost):
            tell("lost", logging.WARNING, replica=id_, starts_again=self.limits.settings.self_heal)
        self._lost |= dead

    async def run(self) -> None:
        """Decide every interval, for ever."""
        while True:
            began = time.monotonic()
            await self.step()
            await asyncio.sleep(max(0.0, self.limits.settings.interval_s - (time.monotonic() - began)))

    async def step(self) -> None:
        """One look, one decision."""
        observation = await self._observe()
        if not self.engine.acts and observation is not None:
            self.deciding.desired = len(observation.replicas)
        if self.enabled:
            self.deciding.decide(observation, time.monotonic(), time.time())
            self._tell_decision()
        else:
            self.deciding.watch(observation, time.monotonic())
        self._reconcile_soon()

    def scale(self, replicas: int) -> None:
        """Set the wanted number by hand: it holds until the autoscaler is enabled again, and decides from there on."""
        self.enable(False)
        self.deciding.set_by_hand(replicas, time.monotonic(), time.time())
        self._tell_decision()
        self._reconcile_soon()

    def enable(self, enabled: bool) -> None:
        """Let the scaler decide, or not."""
        if enabled != self.enabled:
            tell("autoscaler_on" if enabled else "autoscaler_off", desired=self.desired)
        self.enabled = enabled

    async def restart(self, id_: str) -> None:
        """End a replica in order if it lives, and start it again with the same id and address.

        Raises:
            KeyError: there is none.
            StartError, EngineError: it did not come up again.
        """
        self._restarting.add(id_)
        tell("restarting", replica=id_)
        try:
            await self.engine.stop_process(id_)
            task = self._start_soon(id_)
        finally:
            self._restarting.discard(id_)
        await asyncio.wait([task])  # whoever waits no longer does not end it
        if task.cancelled():
            raise StartError(f"{id_} is not wanted any more")
        task.result()

    def set_bounds(self, settings: ScalingSettings) -> None:
        """Change what limits the scaler; the wanted number follows at once, whether or not the scaler is on."""
        if self.deciding.set_bounds(settings, time.monotonic(), time.time()):
            self._tell_decision()
            self._reconcile_soon()

    def decisions(self, since: int) -> dict[str, Any]:
        """The decisions after number `since`, and the number to ask with next."""
        return self.deciding.decisions(since)

    async def _observe(self) -> Observation | None:
        try:
            async with self._session.get(self._stats_url) as response:
                response.raise_for_status()
                stats = await response.json(loads=read)
            self._news.check(stats)
            observation = self.deciding.observe(stats, await self.replicas())
            self._tell_router(None)
            return observation
        except EngineError as error:
            self._complain(error)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError, TypeError, AttributeError) as error:
            self.counts["failed_looks"] += 1
            self._tell_router(error)
        self.deciding.ready = None
        return None

    def _tell_router(self, error: Exception | None) -> None:
        """Say that the router no longer answers as it should, or does so again."""
        if error is not None and self._answered:
            said = f"{type(error).__name__}: {error}".removesuffix(": ")
            tell("router_away", logging.WARNING, router=self._stats_url, error=said)
        elif error is None and not self._answered:
            tell("router_back", router=self._stats_url)
        self._answered = error is None

    def _tell_decision(self) -> None:
        """Say what was decided last: where it changes the number, else to whom wants to know everything.

        Where nobody follows what is recommended, it is decided anew at every look, and told once.
        """
        last = self.deciding.last
        event, level = ("scaled", logging.INFO) if last["changed"] else ("decided", logging.DEBUG)
        if not self.engine.acts:
            known, self._recommended = self._recommended, last["desired"] if last["changed"] else None
            if last["changed"]:
                event, level = ("decided", logging.DEBUG) if known == last["desired"] else ("recommended", logging.INFO)
        numbers = {"from": last["previous"], "to": last["desired"], "why": last["reason"]}
        seen = last["observation"] if last["observation"]["replicas"] else {}
        tell(event, level, **numbers, demanded=last["raw_desired"], **seen)

    def _reconcile_soon(self) -> None:
        """Make it so in the background: a slow engine must not stop the looking."""
        task = asyncio.create_task(self._reconcile())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _reconcile(self) -> None:
        if not self.engine.acts:
            return
        self._again = True
        if self._reconciling.locked():
            return
        async with self._reconciling:
            while self._again:
                self._again = False
                try:
                    await self._make_it_so()
                except EngineError as error:
                    self._complain(error)

    async def _make_it_so(self) -> None:
        plan = self.deciding.plan(await self.replicas(), time.monotonic())
        for id_ in plan.refused:
            tell("start_refused", logging.WARNING, replica=id_, supply=self.limits.settings.starts.supply)
        for id_ in plan.join:
            tell("joins", replica=id_)
            self._staging.join(id_)
        for id_ in plan.drain:
            if id_ in self._starts:  # what it leaves behind is drained at the next look
                give_up(self._starts[id_])
            else:
                self._drain_soon(id_)
        for id_ in plan.start:
            options = self.deciding.planning.starts.draw(id_, time.monotonic()).options()
            self._start_soon(id_, options).add_done_callback(self._started)
        if plan.drain:  # they begin before anybody plans again, who would have them drained twice
            await asyncio.sleep(0)

    @property
    def _staging(self) -> StagingEngine:
        """The engine, which has said that it is one where it is asked to be."""
        return cast(StagingEngine, self.engine)

    def _start_soon(self, id_: str, options: dict[str, object] | None = None) -> asyncio.Task[None]:
        """Start in the background: others start beside it, and a slow one must not stop the looking."""
        if id_ not in self._starts:
            task = self._starts[id_] = asyncio.create_task(self._start(id_, options))
            task.add_done_callback(lambda _: self._starts.pop(id_, None))
        return self._starts[id_]

    async def _start(self, id_: str, options: dict[str, object] | None = None) -> None:
        """`options` are those of this start alone."""
        self.counts["starts"] += 1
        began = time.monotonic()
        tell("starting", replica=id_)
        if id_ in self.deciding.planning.standby:
            options = {**(options or {}), "joins": "on_signal"}
        try:
            await (self._staging.start(id_, options) if options else self.engine.start(id_))
        except (StartError, EngineError) as error:
            self.deciding.planning.failed(id_, str(error).partition("\n")[0], time.monotonic())
            tell("start_failed", logging.ERROR, replica=id_, after_s=time.monotonic() - began, error=str(error))
            raise
        self._lost.discard(id_)
        tell("started", replica=id_, took_s=time.monotonic() - began)

    def _started(self, task: asyncio.Task[None]) -> None:
        """Go on with those that had to wait for it; a failed one is tried again once its pause is over."""
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._reconcile_soon()
        elif isinstance(error, EngineError):
            self.counts["engine_errors"] += 1
        elif not isinstance(error, StartError):
            raise error

    def _complain(self, error: EngineError) -> None:
        self.counts["engine_errors"] += 1
        tell("engine_failed", logging.ERROR, error=str(error))

    def _drain_soon(self, id_: str) -> None:
        """Drain in the background: it may take as long as the longest request, and others must not wait for it."""
        task = asyncio.create_task(self._drain(id_))
        self._drains.add(task)
        task.add_done_callback(self._drains.discard)

    async def _drain(self, id_: str) -> None:
        began = time.monotonic()
        tell("draining", replica=id_)
        try:
            await self.engine.drain(id_)
        except EngineError as error:  # the next look plans it again
            self._complain(error)
        else:
            self._lost.discard(id_)
            tell("drained", replica=id_, took_s=time.monotonic() - began)

    async def close(self) -> None:
        """Stop deciding; drain every replica, and wait for the drains that have begun (a second SIGTERM cuts them)."""
        begun = [*self._background, *self._starts.values()]
        for task in begun:
            give_up(task)
        await asyncio.gather(*begun, return_exceptions=True)
        await asyncio.gather(self.engine.close(), *self._drains, return_exceptions=True)
        await self._session.close()
