"""What a run's folder holds, by name: files, columns, outcomes, phases, events, samples. Described in docs/results.md.

Files of JSON have their keys in `record.shapes`.
"""

VERSION = 2
"""Version of the results' schema: raised when a reader of the old files would misread the new."""
READ = (1, 2)
"""Versions whose folders are read. The runner's files mean the same in both; of 1 only `metrics.json` and
`timeline.parquet`, which are made anew here, had other meanings."""

MANIFEST, SCHEDULE, REQUESTS = "manifest.json", "schedule.parquet", "requests.parquet"
WORK = "work.parquet"
"""Every attempt that came to a replica; of runs that keep a ledger only."""
DEMAND = "demand.parquet"
"""How many replicas the load needed, second by second; of runs with a scaler, or a curve of capacity, only."""
EVENTS, SAMPLES = "events.jsonl", "samples.jsonl"
TIMELINE, METRICS, PICTURE, TRACKED = "timeline.parquet", "metrics.json", "summary.png", "tracking.json"
COUNTERFACTUAL = "counterfactual.json"
"""The run simulated without the router's failure handling; of runs with faults only."""
EXPECTATIONS, JUNIT = "expectations.json", "junit.xml"
"""What became of `expect`, of a run in its folder, of a sweep in the sweep's."""
MEASURED_FILES = (MANIFEST, SCHEDULE, DEMAND, REQUESTS, WORK, EVENTS, SAMPLES)
"""What a run leaves of itself; all else is made of it."""
CONTRACT_FILES = (*MEASURED_FILES, TIMELINE, METRICS, PICTURE, TRACKED, COUNTERFACTUAL, EXPECTATIONS, JUNIT)
RAW, LOGS, COMPOSED, UI = "raw", "logs", ".hydra", "locust"
"""Folders of a run: the rows that each generator process leaves until they are merged, what processes print, the
configuration as Hydra composed it, and what Locust says of a session of its web UI."""
DECISIONS = "decisions.jsonl"
"""File in `LOGS`: what the router's policy was told and answered, where that is written down (`router.decisions`)."""
LEDGERS = "work"
"""Folder in `RAW`: what each replica's process leaves of its ledger, likewise."""

LONGEST_S = 86_400
"""The longest `workload.duration_s`, in which a run has a row a second."""

SCHEDULE_COLUMNS = {"request_id": "int64", "scheduled_s": "float64", "demand_s": "float64", "key": "string"}
"""Column of `schedule.parquet` -> Arrow's name of its type."""
DEMAND_COLUMNS = {"t_s": "int64", "rate_rps": "float64", "replicas": "int64"}
"""Columns of `demand.parquet`."""
METHOD, METHODS = "method", ("GET", "POST")
"""A column more, where some requests are POST; without it all are GET."""
SIZE = "size"
"""Another one (int64), where their bodies differ: bytes, 0 of a GET; without it all have `workload.body_bytes`."""
CLASS = "class"
"""Another one (string), where `workload.classes` names some."""
ROW_COLUMNS = {
    "request_id": "int64",
    "scheduled_s": "float64",
    "sent_s": "float64",
    "completed_s": "float64",
    "status": "int16",
    "outcome": "string",
    "replica": "string",
    "attempts": "int16",
    "queue_s": "float64",
    "service_s": "float64",
    "router_s": "float64",
    "hedge": "string",
}
"""What a generator process tells of a request. Seconds count from the run's start; null = it did not come to that."""
REQUEST_COLUMNS = {**ROW_COLUMNS, "phase": "string"}
"""Columns of `requests.parquet`: the rows of all processes, each with its phase."""
SENDS = "sends"
"""A column more of `requests.parquet`, where clients ask again: how often each request was sent."""
OPTIONAL = frozenset({"router_s", "hedge"})
"""Columns of `requests.parquet` that may be absent: without a router nobody measures them, and older runs have none."""

WORK_COLUMNS = {
    "request_id": "int64",
    "send": "int16",
    "attempt": "int16",
    "replica": "string",
    "method": "string",
    "taken_s": "float64",
    "began_s": "float64",
    "ended_s": "float64",
    "end": "string",
}
"""Columns of `work.parquet`."""
WORK_ENDS = ("answered", "unread", "cancelled", "dropped", "refused", "failed", "killed")
"""How an attempt ended at a replica: it was answered, or finished for nobody; given up by whoever had sent it; its turn
came too late; the queue was full; a fault answered or cut it; the replica's process ended before."""

OUTCOMES = ("ok", "http_error", "timeout", "refused", "reset", "dropped")
HEDGES = ("won", "lost")
"""What became of a second attempt beside another one: it had the answer, or not."""
PHASES = ("warmup", "steady", "fault", "recovery")

FAULT_INJECTED, FAULT_HEALED, FAULT_FAILED = "fault_injected", "fault_healed", "fault_failed"
FAULT_SPARED = "fault_spared"
"""The runner's events."""
ROUTER_ENDED = "router_ended"
"""Likewise: another proxy in the router's place has ended, and the runner has not ended it."""
MEMBERS_UNHEARD = "members_unheard"
"""Likewise: such a one does not hear who is behind it now."""
OUT_OF_ROTATION = frozenset({"ejected", "draining", "drained", "removed", "expired"})
"""Router events after which a replica gets no new requests."""
IN_ROTATION = "readmitted"
"""Router event after which it does; the first check of a new replica says so, too."""
TIER = "tier"
"""Source of the events of a second tier's router."""
SCALING_DECISION = "scaling_decision"
START_FAILED, REPLICA_ENDED = "start_failed", "replica_ended"
"""The manager's event."""

CPU_ROLES = ("generator", "router", "replicas", "manager", "runner", "foreign", "steal")
"""Whose CPU a sample tells; `foreign` = everything else on the machine, `steal` = what the hypervisor took."""


def numbers(columns: dict[str, str]) -> tuple[str, ...]:
    """Those of the columns that hold numbers."""
    return tuple(name for name, kind in columns.items() if kind != "string")
