"""A live run's records, made by hand, a row each."""

from pathlib import Path
from typing import Any

import pandas as pd

from record.reading import Run
from record.schema import REQUEST_COLUMNS, SENDS, WORK_COLUMNS


def recorded(router=None, *, replica=None, requests=(), work=None, events=(), replicas=4, folder=Path("run"), **config):
    """A live run of `replicas`, whose tables have these rows."""
    told = {"replicas": replicas, "router": {"data_plane": "aegis", **(router or {})}, "replica": replica or {},
            "policy": {"name": "least_request"}, "load": {"timeout_s": 10.0}, "engine": {"name": "local"},
            "workload": {"duration_s": 60.0}, **config}  # fmt: skip
    ids = [f"r{number}" for number in range(1, replicas + 1)]
    came: list[Any] = [{"t_s": -1.0, "source": "router", "event": "registered", "replica": id_} for id_ in ids]
    columns = [*REQUEST_COLUMNS, *({SENDS} & {name for row in requests for name in row})]
    rows = pd.DataFrame(list(requests), columns=columns)
    ledger = None if work is None else pd.DataFrame(list(work), columns=list(WORK_COLUMNS))
    manifest: Any = {"config": told, "exit_reason": "complete"}
    return Run(folder, manifest, rows, [*came, *events], [], rows["scheduled_s"], rows["scheduled_s"], work=ledger)


def request(number, sent_s, completed_s, replica=None, outcome="ok", status=200, attempts=1, queue_s=0.0, service_s=None):
    """A row of `requests.parquet`."""
    service_s = completed_s - sent_s if service_s is None and outcome == "ok" else service_s
    return {"request_id": number, "scheduled_s": sent_s, "sent_s": sent_s, "completed_s": completed_s, "status": status,
            "outcome": outcome, "replica": replica, "attempts": attempts, "queue_s": queue_s, "service_s": service_s,
            "phase": "steady"}  # fmt: skip


def attempt(number, replica, taken_s, ended_s, end="answered", send=1, tries=1):
    """A row of `work.parquet`."""
    return {"request_id": number, "send": send, "attempt": tries, "replica": replica, "method": "GET", "taken_s": taken_s,
            "began_s": taken_s, "ended_s": ended_s, "end": end}  # fmt: skip
