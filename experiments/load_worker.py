"""A machine's share of the load: `python -m experiments.load_worker --master HOST:PORT`.

Waits for a run's master, takes the schedule, lets a generator process of this machine send every N-th request of it,
and gives the rows back; then waits for the next run. Start one a core that may send. It is a Locust worker that starts
no users itself: what sends is the very process that a run without other machines starts, so that no message of the
channel can make a request late.

Exit status: 0 ended by a signal, or (`--once`) after a complete run; 1 (`--once`) the run broke off;
2 wrong arguments, or the master refused this worker.
"""

# Locust first: it patches the standard library for gevent.
from locust.env import Environment  # isort: skip

import argparse
import contextlib
import functools
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from gevent.queue import Empty, Queue
from locust.rpc import Message

from experiments.load import handshake as load_handshake
from experiments.load.job import Job, JobError
from experiments.load.transfer import PIECE, PULL, Transfer, TransferError
from services.descriptors import raise_limit

TARGET_VARIABLE = "AEGIS_LOAD_TARGET"
GONE_S = 6.0
"""Without a heartbeat of the master (one a second) for so long, it is gone."""
MESSAGES = ("refused", "job", "start", "stop", "end")
POLL_S = 0.5
LINGER_MS = 500
"""Longest wait for unsent messages when the channel is closed."""


class RefusedError(RuntimeError):
    """The master will not have this worker; the text says why."""


class Visit:
    """One master's run, from the greeting to its end."""

    def __init__(self, host: str, port: int, targets: list[str]) -> None:
        """Connects; blocks until the master answers.

        Raises:
            ConnectionError: it did not for five minutes.
        """
        environment = Environment()
        self._targets = targets
        self._inbox: Queue = Queue()
        self._heard = time.monotonic()
        environment.events.heartbeat_received.add_listener(self._hear)  # type: ignore[no-untyped-call]
        self._runner = environment.create_worker_runner(host, port)
        self._transfer = Transfer(self._runner.send_message)
        handlers: dict[str, Callable[[dict[str, Any]], None]] = {
            "aegis_clock": self._tell_time,
            PULL: self._transfer.on_pull,
            PIECE: self._transfer.on_piece,
        }
        for kind in MESSAGES:
            handlers[f"aegis_{kind}"] = functools.partial(self._keep, kind)
        for name, handler in handlers.items():
            self._register(name, handler)

    def _keep(self, kind: str, data: dict[str, Any]) -> None:
        self._inbox.put((kind, data))

    def _register(self, name: str, handler: Callable[[dict[str, Any]], None]) -> None:
        def listener(environment: Environment, msg: Message) -> None:
            handler(msg.data)

        self._runner.register_message(name, listener)

    def _hear(self, **_: object) -> None:
        self._heard = time.monotonic()

    def _tell_time(self, data: dict[str, Any]) -> None:
        self._send("clock", {"n": data["n"], "monotonic_s": time.monotonic()})

    def _send(self, kind: str, data: dict[str, Any]) -> None:
        self._runner.send_message(f"aegis_{kind}", data)

    def serve(self) -> bool:
        """Do the run; returns whether its rows were asked for and it came to its end.

        Raises:
            RefusedError: the master will not have this worker.
        """
        self._send("hello", {"version": load_handshake.version(), "kernel": load_handshake.kernel()})
        job: Job | None = None
        with tempfile.TemporaryDirectory(prefix="aegis-load-") as folder:
            try:
                while True:
                    kind, data = self._next()
                    if kind == "refused":
                        raise RefusedError(data["reason"])
                    if kind in ("end", "gone"):
                        return kind == "end" and job is not None and job.is_complete
                    if kind == "job":
                        job = self._begin(data, Path(folder))
                    elif job is not None:
                        job.start(data["t0"]) if kind == "start" else job.stop()
            finally:
                if job is not None:
                    job.close()

    def _next(self) -> tuple[str, dict[str, Any]]:
        while True:
            try:
                message: tuple[str, dict[str, Any]] = self._inbox.get(timeout=0.5)
                return message
            except Empty:
                if time.monotonic() - self._heard > GONE_S:
                    return "gone", {}

    def _begin(self, data: dict[str, Any], folder: Path) -> Job | None:
        try:
            config = load_handshake.localised(data["config"], folder, os.getpid(), self._targets)
            Path(config["schedule"]).write_bytes(self._transfer.fetch(data["schedule"]))
            return Job(config, folder, self._send, self._transfer.hold)
        except (ValueError, TransferError, JobError, OSError) as error:
            self._send("failed", {"reason": str(error)})
            return None

    def close(self) -> None:
        """Say good-bye and hang up."""
        environment = self._runner.environment
        environment.events.quitting.fire(environment=environment, reverse=True)  # type: ignore[no-untyped-call]
        self._runner.greenlet.kill()
        self._runner.client.close(linger=LINGER_MS)  # type: ignore[no-untyped-call]


def await_port(host: str, port: int) -> None:
    """Wait until something listens there, however long; Locust's own patience ends after five minutes."""
    while True:
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=5.0):
            return
        gevent.sleep(POLL_S)


def work(host: str, port: int, targets: list[str], once: bool) -> int:
    """Serve one run, or run after run until killed; returns the exit status."""
    while True:
        print(f"load-worker waits for a master at {host}:{port}", flush=True)
        await_port(host, port)
        try:
            visit = Visit(host, port, targets)
        except ConnectionError:
            continue
        try:
            is_complete = visit.serve()
        except RefusedError as error:
            print(f"load-worker: refused by {host}:{port}: {error}", file=sys.stderr)
            return 2
        finally:
            visit.close()
        print(f"load-worker: the run {'is complete' if is_complete else 'broke off'}", flush=True)
        if once:
            return 0 if is_complete else 1


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def _url(text: str) -> str:
    if not text.startswith("http://"):
        raise argparse.ArgumentTypeError(f"{text!r} does not begin with http://")
    return text.rstrip("/")


def main() -> int:
    """Read the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.load_worker", description=(__doc__ or "").partition("\n\n")[0]
    )
    parser.add_argument(
        "--master", type=_address, required=True, metavar="HOST:PORT", help="where the runs' master listens"
    )
    parser.add_argument(
        "--target", type=_url, action="append", metavar="URL",
        help=f"base URL of the system under test as seen from here (once a target); default: {TARGET_VARIABLE} "
        "(separated by commas), else what the run says",
    )  # fmt: skip
    parser.add_argument("--once", action="store_true", help="end after one run")
    arguments = parser.parse_args()
    try:
        targets = arguments.target or [_url(url) for url in os.environ.get(TARGET_VARIABLE, "").split(",") if url]
    except argparse.ArgumentTypeError as error:
        parser.error(f"{TARGET_VARIABLE}: {error}")
    raise_limit()
    greenlet = gevent.spawn(work, *arguments.master, targets, arguments.once)
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, greenlet.kill, block=False)
    greenlet.join()
    if greenlet.exception is not None:  # gevent has printed it
        return 1
    return greenlet.value if isinstance(greenlet.value, int) else 0


if __name__ == "__main__":
    sys.exit(main())
