"""The version of the results' schema (docs/results.md): raised when a reader of the old files would misread the new."""

VERSION = 2
READ = (1, 2)
"""Versions whose folders are read. The runner's files mean the same in both; of 1 only `metrics.json` and
`timeline.parquet`, which are made anew here, had other meanings."""

CONTRACT_FILES = (
    "manifest.json",
    "schedule.parquet",
    "requests.parquet",
    "events.jsonl",
    "samples.jsonl",
    "timeline.parquet",
    "metrics.json",
    "summary.png",
    "tracking.json",
)
NUMBERS = (
    "request_id",
    "scheduled_s",
    "sent_s",
    "completed_s",
    "status",
    "attempts",
    "queue_s",
    "service_s",
    "router_s",
)
PLANNED = ("request_id", "scheduled_s", "demand_s")
"""Numbers of the schedule."""
WORDS = ("outcome", "replica", "phase")
OPTIONAL = frozenset({"router_s"})
"""Columns that may be absent: without a router nobody measures them."""
OUTCOMES = ("ok", "http_error", "timeout", "refused", "reset", "dropped")
PHASES = ("warmup", "steady", "fault", "recovery")
