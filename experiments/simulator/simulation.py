"""One run in virtual time: the same schedule in, the same files out as of a measurement."""

import asyncio
import sys
import time
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from experiments.load.rows import SCHEMA
from experiments.plan.config import Config
from experiments.plan.engines import Readiness, RunError
from experiments.plan.fault_plan import Fault
from experiments.runner.progress import Progress
from experiments.simulator import compiled
from experiments.simulator.agenda import PastEventError
from experiments.simulator.manager import ScalerError
from experiments.simulator.request import DROPPED
from experiments.simulator.stack import Stopped, VirtualStack
from record.parquet import read_frame
from record.schema import HEDGES, OUTCOMES, SCHEDULE
from record.writing import Recorder

EVERY_S = 0.2
"""How often the progress is shown, seconds."""


class Simulation:
    """Runs one configuration; what happens goes to the recorder."""

    def __init__(self, config: Config, faults: list[Fault], recorder: Recorder, progress: Progress) -> None:
        self.config = config
        self.faults = faults
        self.recorder = recorder
        self.progress = progress
        self._is_wanted = True

    async def run(self, companion: Readiness | None) -> None:
        """Simulate; the folder's raw rows are complete when this returns.

        Raises:
            RunError: a decision that cannot be carried out.
        """
        simulating = asyncio.ensure_future(asyncio.to_thread(self._simulate))
        try:
            await asyncio.shield(simulating)
        except asyncio.CancelledError:
            self._is_wanted = False
            await asyncio.wait([simulating])
            raise
        except (PastEventError, ScalerError) as error:
            raise RunError(str(error)) from error
        finally:
            self.progress.end()
        if companion is not None:
            self.progress.step("preparing MLflow")
            await companion.ready()

    def _simulate(self) -> None:
        recorder = self.recorder
        if (note := compiled.state.note()) is not None:
            print(f"note: {note}", file=sys.stderr)
        (recorder.folder / "raw").mkdir()
        schedule = read_frame(recorder.folder / SCHEDULE)
        recorder.begin(None)
        stack = VirtualStack(self.config, self.faults, schedule, self._event)
        self.progress.begin_virtual(self.config.workload.duration_s)
        self._shown = began = time.monotonic()
        try:
            stack.run(lambda now: self._watch(stack, now, began))
        except Stopped:
            return
        finally:
            wall_s = max(1e-3, time.monotonic() - began)
            for sample in stack.samples:
                recorder.sample(sample)
            columns = rows(stack, schedule)
            recorder.give_back()
            pq.write_table(columns, recorder.folder / "raw" / "load-0.parquet")
            recorder.manifest["engine"] = {
                "name": self.config.engine.name,
                "compiled": compiled.state.is_compiled,
                "events": stack.agenda.done,
                "requests": stack.load.asked,
                "wall_s": round(wall_s, 3),
                "events_per_s": round(stack.agenda.done / wall_s),
                "requests_per_s": round(stack.load.asked / wall_s),
            }
            if stack.routers:
                recorder.manifest["picks"] = stack.picks()
            recorder.write_manifest()

    def _event(self, source: str, event: str, t_s: float, **detail: object) -> None:
        self.recorder.event(source, event, monotonic_s=t_s, **detail)

    def _watch(self, stack: VirtualStack, now: float, began: float) -> bool:
        moment = time.monotonic()
        if moment - self._shown >= EVERY_S:
            self._shown = moment
            rate, records = (stack.agenda.done + stack.load.asked) / (moment - began), stack.records
            text = f"{records.ended:,} requests, {records.failed:,} failed, {rate:,.0f} events/s"
            self.progress.virtual(now, text)
        return self._is_wanted


def rows(stack: VirtualStack, schedule: pd.DataFrame) -> pa.Table:
    """The rows of a simulated run, as generator processes leave them: one a request that was asked."""
    records, count = stack.records, stack.load.asked
    outcome = np.frombuffer(records.outcome, dtype=np.int8)[:count]
    sent_s = (
        np.frombuffer(stack.load.asked_s)[:count]
        if stack.load.asked_s is not None
        else schedule["scheduled_s"].to_numpy()[:count]
    )
    status = np.frombuffer(records.status, dtype=np.int16)[:count]
    attempts = np.frombuffer(records.attempts, dtype=np.int16)[:count]
    hedge = np.frombuffer(records.hedge, dtype=np.int8)[:count]
    replica = np.frombuffer(records.replica, dtype=np.int32)[:count]
    columns: dict[str, Any] = {
        "request_id": schedule["request_id"].to_numpy()[:count],
        "scheduled_s": sent_s,
        "sent_s": pa.array(sent_s, mask=outcome == DROPPED),
        "completed_s": _known(records.completed_s, count),
        "status": pa.array(status, mask=status == 0),
        "outcome": _words(outcome, outcome < 0, list(OUTCOMES)),
        "replica": _words(replica, replica < 0, list(stack.nodes)),
        "attempts": pa.array(attempts, mask=attempts == 0),
        "queue_s": _known(records.queue_s, count),
        "service_s": _known(records.service_s, count),
        "router_s": pa.nulls(count, pa.float64()),
        "hedge": _words(hedge, hedge < 0, list(HEDGES)),
    }
    return pa.table([pa.array(columns[f.name]).cast(f.type) for f in SCHEMA], schema=SCHEMA)


def _known(column: Any, count: int) -> pa.Array:  # noqa: ANN401 - an array of doubles
    """Rounded to 1 us, as the load's clock is read; NaN = null."""
    values = np.round(np.frombuffer(column)[:count], 6)
    return pa.array(values, mask=np.isnan(values))


def _words(codes: np.ndarray, missing: np.ndarray, words: list[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32(), mask=missing), pa.array(words, pa.string()))
