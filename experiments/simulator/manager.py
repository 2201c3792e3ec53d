"""A manager in virtual time: the live manager's decisions, and an engine that starts and drains virtual replicas."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from experiments.plan.delays import Delay
from experiments.simulator.agenda import Agenda
from experiments.simulator.process import Process
from experiments.simulator.replica import VirtualReplica
from experiments.simulator.router import VirtualRouter
from experiments.simulator.starting import Starting
from record.schema import SCALING_DECISION
from services.backend.settings import PARENT_S
from services.draws import uniform
from services.manager.deciding import Deciding
from services.manager.engines import Running, provisioned
from services.manager.starts import Start

MakeDeciding = Callable[[], Deciding]
NOT_AN_EVENT = ("seq", "monotonic_s", "unix_s")


class ScalerError(Exception):
    """The scaler raised."""


class VirtualManager:
    """Looks, decides, starts and drains."""

    def __init__(
        self,
        make_deciding: MakeDeciding,
        router: VirtualRouter,
        nodes: Mapping[str, VirtualReplica],
        agenda: Agenda,
        sink: Callable[..., None],
        seed: int,
        startup: Delay,
        startup_timeout_s: float,
    ) -> None:
        """It runs, and so do the replicas that it begins with.

        Args:
            make_deciding: a new state of decisions, for every start of the process.
            router: whose statistics it reads.
            nodes: the replicas that there can be, by id.
            agenda: the simulation's.
            sink: hears of every decision that changes something, and of every start that fails, as
                `sink("manager", event, now, **detail)`.
            seed: of the moments at which replicas notice that their parent has gone.
            startup: of a replica's process.
            startup_timeout_s: a start that takes longer is given up.
        """
        self._make_deciding = make_deciding
        self.deciding: Deciding
        self._router = router
        self._nodes = nodes
        self._agenda = agenda
        self._sink = sink
        self._seed = seed
        self.process = Process(agenda)
        self._known: list[str] = []
        self._draining: set[str] = set()
        self._first: set[str] = set()
        """Those that this process begins with: their starts are as the processes have them."""
        self._starting = Starting(self, nodes, startup, seed, startup_timeout_s)
        self._begin(agenda.now)
        self._known += [f"r{number}" for number in range(1, self.deciding.desired + 1)]
        self.deciding.planning.starts.begun(self._known)

    def _begin(self, now: float) -> None:
        self._known.clear()
        self._draining.clear()
        self._starting.clear()
        self.deciding = self._make_deciding()
        self.process.begin()
        self._seen = self._heard = 0
        self.process.at_even_paused(now, self._step)

    @property
    def is_up(self) -> bool:
        """Whether there is a process."""
        return self.process.is_up

    # -- the process

    def kill(self, now: float) -> None:
        """SIGKILL; its replicas notice that their parent has gone, and leave."""
        self.process.end()
        for id_ in self._known:
            late_s = PARENT_S * uniform(self._seed, id_, id_, str(self.process.epoch), "parent")
            self._nodes[id_].process.at_even_paused(now + late_s, self._leave, id_)

    def _leave(self, id_: str, now: float) -> None:
        """A replica has noticed that its parent is gone."""
        self._nodes[id_].drain(now, _nothing, wakes=False)

    def restart(self, now: float, startup_s: float) -> None:
        """SIGTERM if it lives, and a new process `startup_s` after its replicas have gone."""
        waiting = [self._nodes[id_] for id_ in self._known] if self.process.is_up else []
        self.process.end()
        left = {node.id for node in waiting}

        def gone(id_: str, moment: float) -> None:
            left.discard(id_)
            if not left:
                self.process.at(moment + startup_s, self._start)

        for node in waiting:
            node.drain(now, lambda moment, id_=node.id: gone(id_, moment))  # type: ignore[misc]
        if not waiting:
            self.process.at(now + startup_s, self._start)

    def _start(self, _: None, now: float) -> None:
        self._begin(now)
        self._first = {f"r{number}" for number in range(1, self.deciding.desired + 1)}
        self.deciding.planning.starts.begun(self._first)
        self.reconcile(now)

    def pause(self, now: float) -> None:
        """SIGSTOP."""
        self.process.pause(now)

    def resume(self, now: float) -> None:
        """SIGCONT; it is behind its time, and looks at once."""
        if self.process.wake() is not None:
            self._look(now)

    # -- the loop

    def _step(self, _: None, now: float) -> None:
        if self.process.runs:
            self._look(now)
        self.process.at_even_paused(now + self.deciding.limits.settings.interval_s, self._step)

    def _look(self, now: float) -> None:
        stats, running = self._router.stats(now), self._running()
        observation = None if stats is None else self.deciding.observe(stats, running)
        try:
            self.deciding.decide(observation, now, now)
        except Exception as error:
            raise ScalerError(f"the scaler raised {type(error).__name__}: {error}") from error
        new = self.deciding.decisions(self._seen)
        self._seen = new["next"]
        for decision in new["decisions"]:
            if decision["changed"]:
                about = {k: v for k, v in decision.items() if k not in NOT_AN_EVENT}
                self._sink("manager", SCALING_DECISION, now, **about)
        self._reconcile(running, now)

    def has(self, id_: str) -> bool:
        """Whether there is such a replica."""
        return id_ in self._known

    def provisioned(self) -> int:
        """Its replicas that are paid for."""
        return provisioned(self._running())

    def _running(self) -> list[Running]:
        return [self._describe(self._nodes[id_]) for id_ in self._known]

    def _describe(self, node: VirtualReplica) -> Running:
        if node.id in self._draining:  # one that somebody else has end is none of these
            state = "draining"
        elif (waiting := self._starting.state(node.id)) is not None:
            return Running(node.id, node.url, "", 1, waiting)
        else:
            state = "running" if node.is_up else "starting" if node.is_starting else "dead"
        return Running(node.id, node.url, "", 1 if node.is_up or node.is_starting else None, state)

    def reconcile(self, now: float) -> None:
        """Make it so."""
        if self.process.runs:
            self._reconcile(self._running(), now)

    def _reconcile(self, running: list[Running], now: float) -> None:
        plan = self.deciding.plan(running, now)
        epoch = self.process.epoch
        for id_ in plan.join:
            self._starting.end(id_)
            self._nodes[id_].begin(now, 0.0)
        for id_ in plan.drain:
            if self._starting.end(id_):  # there is no process of it yet
                self.forget(id_)
                continue
            self._draining.add(id_)
            self._nodes[id_].drain(now, lambda _, id_=id_: self._forget(epoch, id_))  # type: ignore[misc]
        for id_ in plan.start:
            is_new = id_ not in self._known
            if is_new:
                self._known.append(id_)
            is_first = id_ in self._first
            self._first.discard(id_)
            drawn = Start() if is_first else self.deciding.planning.starts.draw(id_, now)
            self._starting.begin(id_, drawn, now, is_new=is_new)
        self.tell(now)

    def tell(self, now: float) -> None:
        """Say what has happened to replicas since the last time."""
        happened = self.deciding.planning.events(self._heard)
        self._heard = happened["next"]
        for event in happened["events"]:
            about = {k: v for k, v in event.items() if k not in NOT_AN_EVENT}
            self._sink("manager", about.pop("event"), now, **about)

    def start(self, id_: str, now: float) -> None:
        """Start its process."""
        epoch = self.process.epoch
        self._nodes[id_].start(now, lambda moment: self._started(epoch, id_, moment))

    def _started(self, epoch: int, id_: str, now: float) -> None:
        """It serves, or has ended before."""
        if epoch != self.process.epoch:  # its parent has gone meanwhile
            self._nodes[id_].drain(now, _nothing)
        elif self._nodes[id_].is_up:
            self._starting.is_up(id_, now)
            self.reconcile(now)  # others may have waited for it
        else:
            self._starting.is_over(id_)

    def forget(self, id_: str) -> None:
        """There is no such replica any more."""
        self._draining.discard(id_)
        self._known.remove(id_)

    def _forget(self, epoch: int, id_: str) -> None:
        if epoch == self.process.epoch:
            self._starting.end(id_)
            self.forget(id_)


def _nothing(_: float) -> None:
    """Nobody waits for it."""
