"""One run in virtual time: the same schedule in, the same files out as of a measurement."""

import asyncio
import time
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from experiments.load.rows import SCHEMA
from experiments.plan.config import Config
from experiments.plan.engines import Readiness, RunError
from experiments.plan.fault_plan import Fault
from experiments.runner.progress import Progress
from experiments.simulator.agenda import PastEventError
from experiments.simulator.clients import PersistentRecords
from experiments.simulator.manager import ScalerError
from experiments.simulator.request import DROPPED
from experiments.simulator.stack import Stopped, VirtualStack
from record import work
from record.parquet import as_frame, read_arrow
from record.schema import HEDGES, OUTCOMES, SCHEDULE, SENDS
from record.writing import Recorder
from services import compiled

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
        if recorder.schedule is None:
            recorder.schedule = read_arrow(recorder.folder / SCHEDULE)
        schedule = as_frame(recorder.schedule)
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
            recorder.rows = rows(stack, schedule)
            recorder.give_back()
            if stack.work is not None:
                recorder.work = work.write(recorder.folder, stack.work)
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
            if stack.tier is not None:
                recorder.manifest["tier"] = stack.tier.calls()

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
    schema = SCHEMA
    if isinstance(records, PersistentRecords):
        columns[SENDS] = np.frombuffer(records.sends, dtype=np.int16)[:count]
        schema = SCHEMA.append(pa.field(SENDS, pa.int16()))
    return pa.table([pa.array(columns[f.name]).cast(f.type) for f in schema], schema=schema)


def _known(column: Any, count: int) -> pa.Array:  # noqa: ANN401 - an array of doubles
    """Rounded to 1 us, as the load's clock is read; NaN = null."""
    values = np.round(np.frombuffer(column)[:count], 6)
    return pa.array(values, mask=np.isnan(values))


def _words(codes: np.ndarray, missing: np.ndarray, words: list[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32(), mask=missing), pa.array(words, pa.string()))
