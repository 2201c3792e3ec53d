"""Replays a schedule open-loop: every request leaves at its moment, whatever became of those before.

One dispatcher greenlet with absolute deadlines `t0 + scheduled_s`, woken by an exact timer, and one greenlet a
request. (What each measure against lateness is worth: docs/validity.md.)

For comparison also closed-loop, as Locust's users do it: each waits for its answer before it asks again.
"""

import contextlib
import gc
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gevent
import gevent.event
import pyarrow.parquet as pq

from experiments.load.alarm import Alarm
from experiments.load.asking import Asking
from experiments.load.client import Answer, Target
from experiments.load.retries import ClientRetries
from experiments.load.rows import Rows
from experiments.plan.client_retries import ClientRetrySettings
from record.files import write_json
from record.schema import METHOD, SIZE
from services.descriptors import raise_limit

NICE = -20
"""Wished-for priority: a late generator falsifies every latency. Needs the right to it; the result is recorded."""
POLL_S = 0.01
MEASURES = ("gc", "priority", "timer")
"""Against lateness; `python -m experiments.lateness` leaves each off: no garbage collection while the load runs,
priority over the system under test, an exact timer."""

Planned = tuple[int, float, float, str, str, int | None]
"""A request of the schedule: request_id, scheduled_s, demand_s, key, method, size; None = all bodies are alike."""
Asked = tuple[int, float, str, str, int | None]
"""Of these what a server is told: all but the moment."""


@dataclass
class LoadConfig:
    """What AEGIS_LOAD's file holds."""

    schedule: str
    targets: list[str]
    timeout_s: float
    shard: int
    shards: int
    output: str
    ready_file: str
    start_file: str
    max_in_flight: int
    parent_pid: int
    grace_s: float
    users: int = 0
    """Closed-loop users; 0 = open loop."""
    off: list[str] = field(default_factory=list)
    """Measures to leave off, of `MEASURES`."""
    deadline_ms: float | None = None
    """What every request says of how long it is waited for."""
    body_bytes: int = 0
    """Of a POST request."""
    asking: dict[str, Any] = field(default_factory=dict)
    """What is asked for otherwise than of Aegis' own replicas (`Asking.of`)."""
    retries: dict[str, Any] | None = None
    """What clients do about a request that failed (`ClientRetrySettings`), and the seed of their pauses, `seed`."""

    @classmethod
    def read(cls, path: str) -> "LoadConfig":
        """Read the file.

        Raises:
            SystemExit: it cannot be read, or its keys are wrong.
        """
        try:
            config = cls(**json.loads(Path(path).read_text(encoding="utf-8")))
            config.asked()  # its files may be missing on this machine
            return config
        except (OSError, ValueError, TypeError) as error:
            raise SystemExit(f"AEGIS_LOAD={path}: {error}") from error

    def asked(self) -> Asking:
        """What its requests have in common.

        Raises:
            ValueError: a file of it cannot be read.
        """
        return Asking.of(self.asking, self.body_bytes)

    def client_retries(self) -> ClientRetries | None:
        """What is sent once more; None = nothing is."""
        if self.retries is None:
            return None
        settings = dict(self.retries)
        seed = settings.pop("seed")
        return ClientRetries(ClientRetrySettings(**settings), self.timeout_s, seed, self.deadline_ms)

    def read_share(self) -> list[Planned]:
        """This process' part of the schedule.

        Raises:
            SystemExit: the schedule cannot be read.
        """
        try:
            table = pq.read_table(self.schedule)
        except (OSError, ValueError) as error:
            raise SystemExit(f"{self.schedule}: cannot read the schedule: {error}") from error
        every = slice(self.shard, None, self.shards)
        known = ("request_id", "scheduled_s", "demand_s", "key")
        columns = [table[name].to_pylist()[every] for name in known]
        for name, plain in ((METHOD, "GET"), (SIZE, None)):
            has = name in table.column_names
            columns.append(table[name].to_pylist()[every] if has else [plain] * len(columns[0]))
        return list(zip(*columns, strict=True))


class Replay:
    """One generator process' share of a schedule."""

    def __init__(self, config: LoadConfig, share: list[Planned], report: Callable[[float, Answer, str], None]) -> None:
        """`report` is told of every end: latency from the scheduled moment in seconds, the answer, and the method."""
        self._config = config
        self._share = share
        self._report = report
        self._retries = config.client_retries()
        self._rows = Rows(has_sends=self._retries is not None)
        self._open: dict[int, tuple[float, float]] = {}
        self._recent: list[float] = []
        self._lacked: Counter[str] = Counter()
        """Requests that could not be sent, by what this machine lacked."""
        self._sent = 0
        self._descriptors = 0
        self._stop = ""
        self._t0 = 0.0
        self._stopped = gevent.event.Event()

    def stop(self, reason: str) -> None:
        """Send nothing more; `reason` is `interrupted` or `parent_gone`."""
        self._stop = self._stop or reason
        self._stopped.set()

    def run(self) -> None:
        """Wait for the start, replay, write the rows."""
        config = self._config
        self._descriptors = raise_limit()
        about = (config.timeout_s, config.max_in_flight, config.deadline_ms, config.asked())
        targets = [Target(url, *about) for url in config.targets]
        off = self._config.off
        nice = _raise_priority("priority" not in off)
        if "gc" not in off:
            gc.collect()
            gc.freeze()
            gc.disable()
        watcher = gevent.spawn(self._watch_parent)
        Path(config.ready_file).touch()
        began_cpu = time.process_time()
        if self._await_start():
            ticker = gevent.spawn(self._tick)
            sender = gevent.spawn(self._ask if config.users else self._dispatch, targets)
            gevent.wait([sender, self._stopped], count=1)
            sender.kill()
            sender.get()  # raises what ended it
            self._await_answers()
            for target in targets:
                target.close()  # their descriptors are needed for the rows
            ticker.kill()
            self._print_progress()
        watcher.kill()
        self._write(nice, time.process_time() - began_cpu)

    def _await_start(self) -> bool:
        path = Path(self._config.start_file)
        while not self._stop:
            if path.exists():
                self._t0 = float(json.loads(path.read_text(encoding="utf-8"))["t0"])
                return True
            gevent.sleep(POLL_S)
        return False

    def _dispatch(self, targets: list[Target]) -> None:
        t0, now = self._t0, time.monotonic
        limit = self._config.max_in_flight
        alarm = Alarm(exact="timer" not in self._config.off)
        for request_id, scheduled_s, demand_s, key, method, size in self._share:
            alarm.until(t0 + scheduled_s)
            if len(self._open) >= limit:
                self._rows.drop(request_id, scheduled_s, None)
                continue
            sent_s = now() - t0
            self._open[request_id] = (scheduled_s, sent_s)
            self._sent += 1
            target = targets[request_id % len(targets)]
            gevent.spawn(self._send, target, scheduled_s, (request_id, demand_s, key, method, size))
        alarm.close()

    def _ask(self, targets: list[Target]) -> None:
        """Closed loop: the schedule's requests one after another, each user at its share of the rate at most."""
        from locust import constant_throughput

        end = self._t0 + self._share[-1][1]
        rate = len(self._share) / self._share[-1][1]
        pause = constant_throughput(rate / self._config.users)
        rows = iter(self._share)

        def user() -> None:
            this = _User(time.perf_counter())
            for request_id, _, demand_s, key, method, size in rows:
                sent_s = time.monotonic() - self._t0
                self._open[request_id] = (sent_s, sent_s)
                self._sent += 1
                self._send(targets[request_id % len(targets)], sent_s, (request_id, demand_s, key, method, size))
                gevent.sleep(pause(this))  # type: ignore[arg-type]
                if self._stop or time.monotonic() >= end:
                    return

        gevent.sleep(max(0.0, self._t0 - time.monotonic()))
        # One after another within a pause, as a spawn rate would spread them.
        gevent.joinall([gevent.spawn_later(number / rate, user) for number in range(self._config.users)])

    def _send(self, target: Target, scheduled_s: float, what: Asked) -> None:
        sent_s = time.monotonic() - self._t0
        request_id, method = what[0], what[3]
        if self._retries is None:
            sends, ends_s = 1, sent_s + self._config.timeout_s
            answer = target.ask(*what)
        else:
            answer, sends, ends_s = self._persist(self._retries, target, sent_s, what)
        completed_s = time.monotonic() - self._t0
        if self._open.pop(request_id, None) is None:
            return  # given up when the run broke off
        if answer.lacks is not None:
            self._lacked[answer.lacks] += 1
            self._sent -= 1
            self._rows.drop(request_id, scheduled_s, None)
            self._report(completed_s - scheduled_s, answer, method)
            return
        if answer.outcome == "timeout":
            completed_s = ends_s
        self._rows.add(request_id, scheduled_s, sent_s, completed_s, answer, sends)
        if answer.outcome == "ok":  # a fast refusal would pass for a fast answer
            self._recent.append(completed_s - scheduled_s)
        self._report(completed_s - scheduled_s, answer, method)

    def _persist(
        self, retries: ClientRetries, target: Target, sent_s: float, what: Asked
    ) -> tuple[Answer, int, float]:
        """Send a request until one attempt is the last; returns its answer, its number, and when it would time out."""
        retries.on_request(sent_s)
        sends, began_s = 1, sent_s
        while True:
            waited_s = began_s - sent_s
            limit_s = retries.limit_s(waited_s)
            answer = target.ask(*what, send=sends, waited_s=waited_s, limit_s=limit_s)
            now_s = time.monotonic() - self._t0
            pause_s = retries.pause_s(
                what[0], sends, answer.outcome, answer.status, now_s - sent_s, now_s, is_post=what[3] == "POST"
            )
            if pause_s is None or self._stop:
                return answer, sends, began_s + limit_s
            gevent.sleep(pause_s)
            began_s = time.monotonic() - self._t0
            sends += 1

    def _await_answers(self) -> None:
        wait = self._config.grace_s if self._stop else self._config.timeout_s + 1
        end = time.monotonic() + wait
        while self._open and time.monotonic() < end:
            if self._stop:
                end = min(end, time.monotonic() + self._config.grace_s)
            gevent.sleep(POLL_S)
        for request_id, (scheduled_s, sent_s) in list(self._open.items()):
            self._rows.drop(request_id, scheduled_s, sent_s)
        self._open.clear()

    def _watch_parent(self) -> None:
        while os.getppid() == self._config.parent_pid:
            gevent.sleep(0.2)
        self.stop("parent_gone")

    def _tick(self) -> None:
        while True:
            gevent.sleep(1.0)
            self._print_progress()

    def _print_progress(self) -> None:
        recent, self._recent = sorted(self._recent), []
        quantile = {q: round(recent[int(q / 100 * (len(recent) - 1))] * 1e3, 3) if recent else None for q in (50, 99)}
        with contextlib.suppress(OSError):  # the reader may be gone
            print(
                json.dumps(
                    {
                        "t_s": round(time.monotonic() - self._t0, 3),
                        "sent": self._sent,
                        "completed": len(self._rows) - self._rows.dropped,
                        "failed": self._rows.failed,
                        "dropped": self._rows.dropped,
                        "in_flight": len(self._open),
                        "p50_ms": quantile[50],
                        "p99_ms": quantile[99],
                    }
                ),
                flush=True,
            )

    def _write(self, nice: int, cpu_s: float) -> None:
        import locust

        output = Path(self._config.output)
        self._rows.write(output)
        about: dict[str, Any] = {
            "shard": self._config.shard,
            "nice": nice,
            "descriptors": self._descriptors,
            "lacked": dict(self._lacked),
            "sent": self._sent,
            "completed": len(self._rows) - self._rows.dropped,
            "dropped": self._rows.dropped,
            "stopped": self._stop or "complete",
            "cpu_s": round(cpu_s, 3),
            "wall_s": round(time.monotonic() - self._t0, 3) if self._t0 else 0.0,
            "pid": os.getpid(),
            "locust_version": locust.__version__,
        }
        write_json(output.with_suffix(".json"), about)


@dataclass
class _User:
    """What Locust's wait functions keep their state on."""

    _cp_last_run: float
    _cp_last_wait_time: float = 0.0


def _raise_priority(wanted: bool) -> int:
    if wanted:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, NICE)
    return os.getpriority(os.PRIO_PROCESS, 0)
