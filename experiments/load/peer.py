"""A worker as the master sees it: what it has said, how far its clock is, whether it is still there."""

import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import AsyncResult
from locust.runners import STATE_MISSING, MasterRunner

from experiments.load.transfer import Transfer, TransferError
from experiments.runner.clocks import EXCHANGES, Offset, estimate

CLOCK_TIMEOUT_S = 2.0


class LostError(RuntimeError):
    """The worker is gone, or failed; the text names it."""


class Peer:
    """One worker that has said hello."""

    def __init__(self, client_id: str, runner: MasterRunner, shares_kernel: bool, tell: Callable[..., None]) -> None:
        """`shares_kernel`: it runs under the master's own kernel. `tell` prints a line for the runner."""
        host, _, unique = client_id.rpartition("_")
        self.id = client_id
        self.host = host
        self.name = f"{host}-{unique[:6]}"
        """Host and six digits that tell workers of one host apart."""
        self.shard = -1
        self.is_ready = False
        self.is_done = False
        self.offset = Offset(0.0, 0.0)
        """Its clock minus this one, before the start."""
        self.transfer = Transfer(lambda kind, data: runner.send_message(kind, data, client_id))
        self._runner = runner
        self._shares_kernel = shares_kernel
        self._tell = tell
        self._reading: AsyncResult | None = None
        self._drift: Offset | None = None
        self._result: dict[str, Any] = {}
        self._gone: str | None = None

    def send(self, kind: str, data: dict[str, Any]) -> None:
        """Send it a message, `aegis_<kind>`."""
        self._runner.send_message(f"aegis_{kind}", data, self.id)

    def on_ready(self, _: dict[str, Any]) -> None:
        """Its generator waits for the start."""
        self.is_ready = True

    def on_clock(self, data: dict[str, Any]) -> None:
        """Its clock's reading."""
        if self._reading is not None:
            self._reading.set((data["n"], data["monotonic_s"], time.monotonic()))

    def on_progress(self, data: dict[str, Any]) -> None:
        """A line of its generator, and what CPU that uses."""
        self._tell(shard=self.shard, line=data["line"], cpu_cores=data["cpu_cores"], is_here=self._shares_kernel)

    def on_done(self, data: dict[str, Any]) -> None:
        """Its generator has ended; the rows can be fetched."""
        self._result = data
        self.is_done = True

    def on_failed(self, data: dict[str, Any]) -> None:
        """It cannot do its share."""
        self._gone = f"failed: {data['reason']}"

    @property
    def lost(self) -> str | None:
        """Why nothing more is to be expected of it; None = it is there. Who was lost once stays lost."""
        if self._gone is None:
            node = self._runner.clients.get(self.id)
            if node is None:
                self._gone = "was lost: it hung up"
            elif node.state == STATE_MISSING:
                self._gone = "was lost: no heartbeat for four seconds"
        return self._gone

    def check(self) -> None:
        """Make sure that it is there.

        Raises:
            LostError: it is not.
        """
        if self.lost is not None:
            raise LostError(f"worker {self.name} {self.lost}")

    def measure_clock(self) -> None:
        """Find how far its clock is from this one.

        Raises:
            LostError: it does not answer.
        """
        self.offset = self._compare()

    def _compare(self) -> Offset:
        exchanges = []
        for number in range(EXCHANGES):
            self._reading = AsyncResult()
            asked = time.monotonic()
            self.send("clock", {"n": number})
            try:
                answers, reading, answered = self._reading.get(timeout=CLOCK_TIMEOUT_S)
            except gevent.Timeout:
                raise LostError(f"worker {self.name} does not tell the time") from None
            if answers == number:
                exchanges.append((asked, reading, answered))
        return estimate(exchanges)

    def take_rows(self) -> tuple[dict[str, Any], bytes]:
        """What its generator says of itself, and its rows (a Parquet file); compares the clocks once more.

        Raises:
            LostError: it is gone, has none yet, or does not give them.
        """
        if not self.is_done:
            self.check()
            raise LostError(f"worker {self.name} was lost: its rows did not come in time")
        try:
            rows = self.transfer.fetch(self._result["rows"])
            self._drift = self._compare().since(self.offset)
        except TransferError as error:
            raise LostError(f"worker {self.name} was lost: {error}") from error
        return self._result["about"], rows

    def record(self) -> dict[str, Any]:
        """Its part of the manifest's `generator`."""

        def ms(seconds: float | None) -> float | None:
            return None if seconds is None else round(seconds * 1e3, 6)

        drift = self._drift
        return {
            "shard": self.shard,
            "worker": self.name,
            "shares_kernel": self._shares_kernel,
            "clock_offset_ms": ms(self.offset.seconds),
            "clock_uncertainty_ms": ms(self.offset.uncertainty_s),
            "clock_drift_ms": ms(None if drift is None else drift.seconds),
            "clock_drift_uncertainty_ms": ms(None if drift is None else drift.uncertainty_s),
        }
