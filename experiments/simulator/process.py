"""A process in virtual time: whether it is up or paused, and what becomes of what it had planned.

A process that has ended does nothing of what it had planned, and a paused one (SIGSTOP) does it when it goes on.
Replica, router and manager hold one each, and ask it instead of guarding every event themselves.
"""

from typing import Any

from experiments.simulator.agenda import Action, Agenda


class Process:
    """Those that bear one name, one after another; `epoch` tells them apart."""

    def __init__(self, agenda: Agenda) -> None:
        self.is_up = False
        self.runs = False
        """Whether it is up, and not paused."""
        self.paused_at: float | None = None
        """Since when, seconds; None = it is not."""
        self.epoch = 0
        self._agenda = agenda
        self._held: list[tuple[Action, Any]] = []

    @property
    def now(self) -> float:
        """The clock's."""
        return self._agenda.now

    def begin(self) -> None:
        """It serves."""
        self.is_up = self.runs = True
        self.paused_at = None

    def supersede(self) -> None:
        """Forget what is planned, but not what is held back."""
        self.epoch += 1

    def refuse(self) -> None:
        """Take nothing new, and forget what is planned."""
        self.supersede()
        self.is_up = self.runs = False

    def end(self) -> None:
        """It is gone, with all it knew."""
        self.refuse()
        self.paused_at = None
        self._held.clear()

    def pause(self, now: float) -> None:
        """SIGSTOP: from now on nothing happens in it."""
        self.paused_at = now
        self.runs = False

    def wake(self) -> float | None:
        """SIGCONT: it runs, and has yet to `catch_up`; returns since when it was paused, None = it was not."""
        since, self.paused_at = self.paused_at, None
        self.runs = self.is_up
        return since

    def catch_up(self, now: float) -> None:
        """Do what was held back, in its order."""
        held, self._held = self._held, []
        for action, subject in held:
            action(subject, now)

    def hold(self, action: Action, subject: Any = None) -> None:  # noqa: ANN401
        """Do `action(subject, now)` as soon as it goes on, unless it ends before."""
        self._held.append((action, subject))

    def at(self, moment: float, action: Action, subject: Any = None) -> None:  # noqa: ANN401
        """Plan `action(subject, now)`: not once this process has ended, and not while it is paused."""
        self._agenda.at(moment, self._do, (self.epoch, action, subject))

    def at_even_paused(self, moment: float, action: Action, subject: Any = None) -> None:  # noqa: ANN401
        """Plan what happens to this process rather than in it: not once it has ended."""
        self._agenda.at(moment, self._do_even_paused, (self.epoch, action, subject))

    def guarded(self, action: Action) -> Action:
        """`action` for somebody else to call: it does nothing once this process has ended, and waits while paused."""
        epoch = self.epoch
        return lambda subject, now: self._do((epoch, action, subject), now)

    def _do(self, planned: tuple[int, Action, Any], now: float) -> None:
        epoch, action, subject = planned
        if epoch != self.epoch:
            return
        if self.paused_at is None:
            action(subject, now)
        else:
            self._held.append((self._do, planned))

    def _do_even_paused(self, planned: tuple[int, Action, Any], now: float) -> None:
        epoch, action, subject = planned
        if epoch == self.epoch:
            action(subject, now)
