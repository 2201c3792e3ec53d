"""What the user sees while a run goes on: a live line in a terminal, plain lines elsewhere."""

import json
import time

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

PLAIN_EVERY_S = 5.0


class Progress:
    """Steps of the start, then the load's progress by second."""

    def __init__(self, console: Console, *, is_quiet: bool = False) -> None:
        """`console` decides whether it is a terminal; `is_quiet`: what goes on is not said."""
        self.console = console
        self._is_quiet = is_quiet
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._load: dict[int, dict[str, float]] = {}
        self._ready: int | None = None
        self._duration_s = 0.0
        self._t0 = 0.0
        self._last_plain = 0.0

    def say(self, text: str) -> None:
        """Print one line."""
        if self._is_quiet:
            return
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def step(self, text: str) -> None:
        """A step of the start."""
        self.say(f"  {text}")

    def begin(self, duration_s: float, t0: float) -> None:
        """The load begins at `t0` on the monotonic clock and lasts `duration_s` seconds."""
        self._duration_s, self._t0 = duration_s, t0
        self._show("measuring")

    def begin_virtual(self, duration_s: float) -> None:
        """A simulation of `duration_s` virtual seconds begins."""
        self._duration_s, self._t0 = duration_s, time.monotonic()
        self._show("simulating")

    def _show(self, what: str) -> None:
        if self.console.is_terminal and not self._is_quiet:
            self._bar = Bar(
                TextColumn(f"  {what}"),
                BarColumn(),
                TextColumn("{task.description}"),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
                refresh_per_second=4,
            )
            self._task = self._bar.add_task("", total=self._duration_s)
            self._bar.start()

    def replicas(self, ready: int | None) -> None:
        """The number of replicas ready changed."""
        self._ready = ready

    def load(self, shard: int, line: str) -> None:
        """A progress line of a generator process."""
        try:
            self._load[shard] = json.loads(line)
        except ValueError:
            return
        self._at(time.monotonic() - self._t0, self._text())

    def virtual(self, now: float, text: str) -> None:
        """A simulation has come to the virtual second `now`."""
        self._at(now, text)

    def _at(self, elapsed: float, text: str) -> None:
        moment = time.monotonic() - self._t0
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=min(elapsed, self._duration_s), description=text)
        elif moment - self._last_plain >= PLAIN_EVERY_S:
            self._last_plain = moment
            self.say(f"  {elapsed:4.0f} of {self._duration_s:.0f} s: {text}")

    def _text(self) -> str:
        def total(name: str) -> int:
            return int(sum(entry.get(name) or 0 for entry in self._load.values()))

        p99 = max((entry.get("p99_ms") or 0 for entry in self._load.values()), default=0)
        counts = f"{total('sent')} sent, {total('failed')} failed, {total('in_flight')} in flight"
        text = f"{counts}, p99 of the served {p99:.0f} ms"
        return text if self._ready is None else f"{text}, {self._ready} replicas ready"

    def end(self) -> None:
        """The load is over."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
