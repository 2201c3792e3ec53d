"""The faults that a replica plays on itself in virtual time: on requests and on health checks."""

from collections.abc import Callable

from experiments.simulator.agenda import Action, Agenda
from experiments.simulator.process import Process
from services.backend import faults
from services.backend.settings import ReplicaSettings
from services.draws import uniform

PASSED = (True, "status 200")
REFUSED = (False, "connection refused")
Queued = Callable[[Callable[[float], None], float], bool]
"""Takes what to call at the check's turn, and the time; says whether there was a place."""


class Playing:
    """Holds the active set, as the live replica does."""

    def __init__(self, settings: ReplicaSettings, process: Process, agenda: Agenda) -> None:
        """No fault is active; `settings` and `process` are the replica's."""
        self.active: faults.FaultSet = {}
        self._since = 0.0
        self._settings = settings
        self._process = process
        self._agenda = agenda
        self._checks = 0

    @property
    def refuses(self) -> bool:
        """Whether connections are refused."""
        return "refuse" in self.active

    def put(self, active: faults.FaultSet, now: float) -> float:
        """Make `active` the whole set, as `PUT /faults` does; returns what is left of the replica's speed."""
        self.active = active
        self._since = now
        return faults.speed_under(active, self._settings.speed)

    def effects(self, request_id: str, attempt: str, now: float, *, check: bool = False) -> faults.Effects:
        """What happens to a request, or to a health check."""
        settings = self._settings
        return faults.effects(
            self.active,
            lambda purpose: uniform(settings.seed, request_id, settings.id, attempt, purpose),
            now - self._since,
            check=check,
        )

    def answers_after_s(self, now: float) -> float | None:
        """How long the answer to a probe takes that comes now, seconds; None = there is none, or a failure."""
        if not self.active:
            return 0.0
        self._checks += 1
        effects = self.effects(f"check-{self._checks}", "1", now, check=True)
        return None if effects.hang or effects.reset or effects.status is not None else effects.added_s

    def answer_check(self, timeout_s: float, now: float, result: Action, queue: Queued | None = None) -> None:
        """Answer a health check: at once where nothing is wrong, else at its moment.

        Args:
            timeout_s: how long the router waits.
            now: seconds.
            result: called as `result((passed, reason), moment)`, once.
            queue: lets it stand in the work queue first, called as `queue(passed, now)`; None: it is answered aside.
        """
        process = self._process
        if process.runs and not self.active and queue is None:
            result(PASSED, now)
            return
        if not process.is_up or self.refuses:
            result(REFUSED, now)
            return
        answered: list[bool] = []

        def once(answer: tuple[bool, str], moment: float) -> None:
            if not answered:
                answered.append(True)
                result(answer, moment)

        self._agenda.at(now + timeout_s, once, (False, f"no answer within {timeout_s:g} s"))
        if process.paused_at is not None:
            process.hold(once, PASSED)
            return
        self._checks += 1
        effects = self.effects(f"check-{self._checks}", "1", now, check=True)
        if not effects.hang:
            passed = not effects.reset and effects.status is None
            reason = "reset" if effects.reset else f"status {effects.status or 200}"
            if passed and queue is not None:

                def stand(_: None, moment: float) -> None:
                    if not queue(lambda at: once(PASSED, at), moment):
                        once((False, "status 503"), moment)

                process.at(now + effects.added_s, stand)
            else:
                self._agenda.at(now + effects.added_s, once, (passed, reason))
