"""The master of a run whose load comes from other machines: a process of the runner, with Locust's master inside.

To the runner it looks like the generator processes that it would have started itself: it reads their
configurations, touches their ready files, waits for the start file, and leaves their rows (`processes`). What it
adds is the way there: it hands out shares to the workers that have connected (`experiments.load_worker`), measures how
far their clocks are from its own, tells each the run's second 0 on that worker's clock, and fetches their rows.

Prints JSON lines: `say` and `error` are for the user, `shard` with `line` is a worker's progress. Exit status: 0, also
where workers were lost on the way (their records say so); 1 the run cannot begin.
"""

# Locust first: it patches the standard library for gevent.
from locust.env import Environment  # isort: skip

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
import zmq
from locust.exception import RPCError
from locust.rpc import Message

from experiments.load import handshake as load_handshake
from experiments.load.peer import LostError, Peer
from experiments.load.rows import Rows, are_of
from experiments.load.sender import LoadConfig
from experiments.load.transfer import PIECE, PULL
from record.files import write_json
from services.descriptors import raise_limit

POLL_S = 0.02
SLACK_S = 15.0
"""Beyond its planned end plus the timeout of a request, a worker that still has no rows is lost."""
STOP_S = 3.0
"""Longest wait for the rows of workers whose run was broken off."""
LINGER_MS = 500


@dataclass
class Settings:
    """What the file holds that is given on the command line."""

    bind: str
    port: int
    configs: list[str]
    """The generators' configurations, one a worker."""
    wait_s: float
    """Longest wait for the workers."""
    ready_s: float
    """Longest wait for their generators."""
    parent_pid: int


class CannotBeginError(RuntimeError):
    """The run cannot begin; the text is one line for the user."""


class StoppedError(RuntimeError):
    """The runner has sent a signal, or is gone."""


def tell(**line: object) -> None:
    """One line for the runner, if it is still there."""
    try:
        print(json.dumps(line), flush=True)
    except OSError:
        return


class Master:
    """One run."""

    def __init__(self, settings: Settings) -> None:
        """Binds the port.

        Raises:
            CannotBeginError: it cannot be bound.
        """
        self._settings = settings
        try:
            self._runner = Environment().create_master_runner(settings.bind, settings.port)
        except (RPCError, OSError, SystemExit) as error:
            raise CannotBeginError(
                f"load.master_bind={settings.bind} load.master_port={settings.port}: cannot listen there ({error})"
            ) from error
        self._address = f"{settings.bind}:{self._runner.server.port}"
        self._version = load_handshake.version()
        self._kernel = load_handshake.kernel()
        self._peers: dict[str, Peer] = {}
        self._refused: dict[str, str] = {}
        self._stop = ""
        self._configs = [json.loads(Path(path).read_text(encoding="utf-8")) for path in settings.configs]
        self._runner.register_message("aegis_hello", self._on_hello)
        for name, handler in {
            "aegis_ready": Peer.on_ready,
            "aegis_clock": Peer.on_clock,
            "aegis_progress": Peer.on_progress,
            "aegis_done": Peer.on_done,
            "aegis_failed": Peer.on_failed,
            PULL: lambda peer, data: peer.transfer.on_pull(data),
            PIECE: lambda peer, data: peer.transfer.on_piece(data),
        }.items():
            self._register(name, handler)

    def _register(self, name: str, handler: Callable[[Peer, dict[str, Any]], None]) -> None:
        def listener(environment: Environment, msg: Message) -> None:
            if (peer := self._peers.get(msg.node_id)) is not None:
                handler(peer, msg.data)

        self._runner.register_message(name, listener)

    def _on_hello(self, environment: Environment, msg: Message) -> None:
        peer = Peer(msg.node_id, self._runner, msg.data.get("kernel") == self._kernel, tell)
        wrong = load_handshake.differences(self._version, msg.data.get("version", {}))
        if wrong:
            reason = ", ".join(wrong)
            self._refused[peer.name] = reason
            tell(say=f"worker {peer.name} is refused: {reason}")
            peer.send("refused", {"reason": reason})
        else:
            self._peers[peer.id] = peer

    def stop(self, reason: str) -> None:
        """Break the run off; `reason` is `interrupted` or `parent_gone`."""
        self._stop = self._stop or reason

    def run(self) -> None:
        """From the first worker to the last row.

        Raises:
            CannotBeginError: too few workers came, or one was lost before the start.
        """
        gevent.spawn(self._watch_parent)
        try:
            peers = self._gather()
            self._prepare(peers)
            self._release(peers)
        except StoppedError:
            return
        except LostError as error:
            raise CannotBeginError(str(error)) from error
        gevent.joinall([gevent.spawn(self._collect, peer) for peer in peers], raise_error=True)

    def _watch_parent(self) -> None:
        while os.getppid() == self._settings.parent_pid:
            gevent.sleep(0.2)
        self.stop("parent_gone")

    def _wait(self, is_done: Callable[[], bool], seconds: float) -> bool:
        """Whether it is done within so many seconds.

        Raises:
            StoppedError: the run is broken off.
        """
        deadline = time.monotonic() + seconds
        while not is_done():
            if self._stop:
                raise StoppedError
            if time.monotonic() > deadline:
                return False
            gevent.sleep(POLL_S)
        return True

    def _gather(self) -> list[Peer]:
        """As many workers as there are shares, those that came first; others wait for the next run.

        By host, so that in every run of a sweep request i leaves from the same machine.
        """
        needed, said = len(self._configs), -1

        def here() -> list[Peer]:
            return [peer for peer in self._peers.values() if peer.lost is None]

        def is_enough() -> bool:
            nonlocal said
            if said != (said := len(here())):
                tell(say=f"{said} of {needed} load workers have connected to {self._address}")
            return said >= needed

        if not self._wait(is_enough, self._settings.wait_s):
            refused = "".join(f"; refused {name}: {reason}" for name, reason in self._refused.items())
            raise CannotBeginError(
                f"load.remote_workers={needed}: {len(here())} came within {self._settings.wait_s:g} s{refused}; start "
                f"each with: python -m experiments.load_worker --master {self._address}"
            )
        return sorted(here()[:needed], key=lambda peer: peer.host)

    def _prepare(self, peers: list[Peer]) -> None:
        """Every worker has the schedule, its generator is ready, and its clock is known."""
        schedule = Path(self._configs[0]["schedule"]).read_bytes()
        for peer, config in zip(peers, self._configs, strict=True):
            peer.shard = config["shard"]
            label = peer.transfer.hold("schedule", schedule)
            peer.send("job", {"config": load_handshake.portable(config), "schedule": label})
        for peer in peers:
            if not self._wait(lambda peer=peer: peer.is_ready or peer.lost is not None, self._settings.ready_s):  # type: ignore[misc]
                raise LostError(f"worker {peer.name} was not ready within {self._settings.ready_s:g} s")
            peer.check()
        for peer, config in zip(peers, self._configs, strict=True):
            peer.measure_clock()
            Path(config["ready_file"]).touch()

    def _release(self, peers: list[Peer]) -> None:
        start_file = Path(self._configs[0]["start_file"])
        self._wait(lambda: start_file.exists() or any(peer.lost for peer in peers), float("inf"))
        for peer in peers:
            peer.check()
        t0 = float(json.loads(start_file.read_text(encoding="utf-8"))["t0"])
        for peer in peers:
            peer.send("start", {"t0": t0 + peer.offset.seconds})

    def _collect(self, peer: Peer) -> None:
        """Leave the worker's rows and its record; of a lost one, its whole share as dropped."""
        config = LoadConfig(**self._configs[peer.shard])
        share = config.read_share()
        output = Path(config.output)
        planned_s = share[-1][1] if share else 0.0
        try:
            self._wait(lambda: peer.is_done or peer.lost is not None, planned_s + config.timeout_s + SLACK_S)
        except StoppedError:
            peer.send("stop", {})
            deadline = time.monotonic() + STOP_S
            while not peer.is_done and peer.lost is None and time.monotonic() < deadline:
                gevent.sleep(POLL_S)
        try:
            about, content = peer.take_rows()
            if about["stopped"] == "complete" and not are_of(content, share):
                raise LostError(f"worker {peer.name} was lost: its rows are not those of its share")
        except LostError as error:
            if self._stop:
                return write_json(output.with_suffix(".json"), {**peer.record(), "stopped": self._stop})
            tell(say=f"{error}; the run goes on, but is not valid")
            rows = Rows(has_sends=config.retries is not None)
            for request_id, scheduled_s, *_ in share:
                rows.drop(request_id, scheduled_s, None)
            rows.write(output)
            about = {"dropped": len(share), "stopped": "lost", "reason": str(error)}
        else:
            output.write_bytes(content)
        write_json(output.with_suffix(".json"), {**about, **peer.record()})

    def close(self) -> None:
        """Send the workers away, and free the port before they, who turn to the next run at once, find it again."""
        for peer in self._peers.values():
            peer.send("end", {})
        socket = self._runner.server.socket
        socket.unbind(socket.getsockopt_string(zmq.LAST_ENDPOINT))  # hangs up, once all is said
        self._runner.quit()
        self._runner.server.close(linger=LINGER_MS)  # type: ignore[no-untyped-call]


def main() -> int:
    """Serve the run whose settings are in the file named on the command line; returns the exit status."""
    raise_limit()
    settings = Settings(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    master = None
    try:
        master = Master(settings)
        for number in (signal.SIGINT, signal.SIGTERM):
            gevent.signal_handler(number, master.stop, "interrupted")
        master.run()
    except CannotBeginError as error:
        tell(error=str(error))
        return 1
    finally:
        if master is not None:
            master.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
