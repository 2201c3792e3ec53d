"""Makes run folders: exact ones for arithmetic, and ones that look like real runs for the pictures."""

import heapq
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from record import schema
from record.schedule_hash import schedule_hash
from record.shapes import Event, Manifest, Sample
from services.backend.faults import PARAMETERS, parse

COLUMNS = (
    "request_id",
    "scheduled_s",
    "sent_s",
    "completed_s",
    "status",
    "outcome",
    "replica",
    "attempts",
    "queue_s",
    "service_s",
    "router_s",
    "hedge",
    "phase",
)


MADE_UP = "made-up"


def manifest(**changes: Any) -> Manifest:
    """A manifest of a complete run; `changes` replace keys, those of `config` are merged into it."""
    config = {
        "seed": 1,
        "replicas": 4,
        "workload": {"rate_rps": 10.0, "duration_s": 10.0, "warmup_s": 2.0},
        "load": {"workers": 1, "timeout_s": 10.0},
        "router": {"health": {"interval_s": 0.5}},
        "policy": {"name": "peak_ewma"},
        "comparison": {"primary": "latency_p99_ms", "smallest_effect": 0.05, "smallest_share": 0.001},
        **changes.pop("config", {}),
    }
    made: dict[str, Any] = {
        "schema_version": schema.VERSION,
        "run_id": MADE_UP,
        "scenario": "routed",
        "mode": "run",
        "seed": 1,
        "exit_reason": "complete",
        "started_at": "2026-01-01T00:00:00+00:00",
        "ended_at": "2026-01-01T00:01:00+00:00",
        "git": {"commit": "0123456789abcdef", "dirty": False},
        "config": config,
        "faults": [],
        "generator": [{"stopped": "complete"}],
        **changes,
    }
    return cast(Manifest, made)


def sample(
    t_s: float, ready: int | None = 4, desired: int | None = 4, provisioned: int | None = None, **cpu: float
) -> Sample:
    """A line of samples.jsonl."""
    used = {
        "generator": 0.1,
        "router": 0.2,
        "replicas": 0.3,
        "manager": 0.0,
        "runner": 0.01,
        "foreign": 0.0,
        "steal": 0.0,
    }
    counts = {"replicas_ready": ready, "replicas_desired": desired, "replicas_provisioned": provisioned}
    return cast(Sample, {"t_s": t_s, "cpu": used | cpu, **counts, "router_in_flight": 3, "router_lag_ms": 2.0})


def even_requests(
    duration_s: float = 10.0, rate: int = 10, warmup_s: float = 2.0, latency_s: float = 0.1
) -> pd.DataFrame:
    """`rate` requests a second, evenly; all ok after `latency_s`, sent 1 ms late, r1 and r2 in turn."""
    return requests_at(np.arange(round(duration_s * rate)) / rate, warmup_s, latency_s)


def requests_at(scheduled: np.ndarray, warmup_s: float = 2.0, latency_s: float = 0.1) -> pd.DataFrame:
    """The same at any moments."""
    n = len(scheduled)
    return pd.DataFrame(
        {
            "request_id": np.arange(n),
            "scheduled_s": scheduled,
            "sent_s": scheduled + 0.001,
            "completed_s": scheduled + latency_s,
            "status": 200,
            "outcome": "ok",
            "replica": np.where(np.arange(n) % 2, "r2", "r1"),
            "attempts": 1,
            "queue_s": 0.01,
            "service_s": 0.05,
            "router_s": 0.0005,
            "hedge": None,
            "phase": np.where(scheduled < warmup_s, "warmup", "steady"),
        }
    )


def schedule_at(scheduled: np.ndarray, demand_s: np.ndarray | float = 0.05, key: str = "k") -> pd.DataFrame:
    """A schedule of requests at these moments."""
    ids = np.arange(len(scheduled))
    return pd.DataFrame({"request_id": ids, "scheduled_s": scheduled, "demand_s": demand_s, "key": key})


def write(
    folder: Path,
    requests: pd.DataFrame | None,
    *,
    about: Manifest | None = None,
    events: Sequence[Event] | None = None,
    samples: Sequence[Sample] | None = None,
    planned: np.ndarray | None = None,
    schedule: pd.DataFrame | None = None,
) -> Path:
    """Write a run's folder; samples default to one a second, and the schedule is made of the seed and the requests."""
    folder.mkdir(parents=True, exist_ok=True)
    about = (manifest() if about is None else about).copy()
    if about.get("run_id") == MADE_UP:
        about["run_id"] = f"{folder.parent.name}/{folder.name}"  # two runs are never the same one
    if requests is not None:
        requests.to_parquet(folder / "requests.parquet", index=False)
        planned = requests["scheduled_s"].to_numpy() if planned is None else planned
    if schedule is None and planned is not None:
        schedule = schedule_at(planned, key=f"k{about['seed']}")
    if schedule is not None:
        schedule.to_parquet(folder / "schedule.parquet", index=False)
        about["schedule_hash"] = schedule_hash(schedule)
    (folder / "manifest.json").write_text(json.dumps(about))
    if samples is None:
        samples = [sample(float(second)) for second in range(1, int(about["config"]["workload"]["duration_s"]) + 1)]
    for name, lines in (("events", events or []), ("samples", samples)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def injected(fault: int, t_s: float, target: str = "r2", action: str = "kill", **more: Any) -> Event:
    """The runner's word that a fault landed."""
    told: dict[str, Any] = {
        "t_s": t_s,
        "source": "runner",
        "event": "fault_injected",
        "fault": fault,
        "action": action,
        "target": target,
        "planned_s": t_s,
        "parameters": parse({action: {}})[action] if action in PARAMETERS else {},
        **more,
    }
    return cast(Event, told)


def healed(fault: int, t_s: float, target: str = "r2", action: str = "kill", **more: Any) -> Event:
    """The runner's word that a fault was healed."""
    return injected(fault, t_s, target, action, event="fault_healed", **more)


def router(event: str, t_s: float, replica: str = "r2", source: str = "router") -> Event:
    """A word of the router on a replica."""
    return {"t_s": t_s, "source": source, "event": event, "replica": replica}


def realistic(
    folder: Path,
    scenario: str,
    *,
    seed: int = 1,
    rate: float = 88.0,
    duration_s: float = 30.0,
    replicas: int = 4,
    faults: tuple[tuple[float, str, str, float | None], ...] = (),
    scale: dict[int, int] | None = None,
    peak: tuple[float, float, float] | None = None,
    policy: str = "peak_ewma",
    **changes: Any,
) -> Path:
    """A run that looks measured: two slots a replica, shortest queue, faults that hurt until they are noticed.

    Args:
        folder: where to.
        scenario: its name.
        seed: of all randomness.
        rate: base rate, requests a second.
        duration_s: length; warm-up is 5 s, less in a short run.
        replicas: how many, at most.
        faults: (at_s, action, target, for_s); `kill` refuses until 0.8 s after, `slow` is five times slower, and
            any other action fails half the requests of its replica.
        scale: second: replicas ready from then on; None = all, always.
        peak: (from second, to second, factor of the rate).
        policy: name in the manifest; `none` = no router.
        changes: further keys of the manifest.
    """
    rng = np.random.default_rng(seed)
    warmup_s = min(5.0, duration_s / 5)
    top = rate * (peak[2] if peak else 1)
    moments = np.cumsum(rng.exponential(1 / top, int(top * duration_s * 1.5) + 20))
    moments = moments[moments < duration_s]
    if peak:
        inside = (moments >= peak[0]) & (moments < peak[1])
        moments = moments[inside | (rng.random(len(moments)) < 1 / peak[2])]
    moments = moments.round(6)
    ids = [f"r{number + 1}" for number in range(replicas)]
    slots = {id_: [0.0, 0.0] for id_ in ids}
    has_router = policy != "none"
    rows: list[tuple[Any, ...]] = []
    for number, (at, demand) in enumerate(zip(moments, rng.exponential(0.05, len(moments)), strict=True)):
        active = [f for f in faults if f[0] <= at < (f[0] + f[3] if f[3] else duration_s)]
        phase = (
            "warmup"
            if at < warmup_s
            else "fault"
            if active
            else "steady"
            if not faults or at < faults[0][0]
            else "recovery"
        )
        count = (
            replicas
            if scale is None
            else next((v for k, v in sorted(scale.items(), reverse=True) if at >= k), replicas)
        )
        hit = {f[2]: f for f in active}
        usable = [
            id_
            for id_ in ids[:count]
            if not (has_router and id_ in hit and hit[id_][1] == "kill" and at > hit[id_][0] + 0.8)
        ]
        pick = min(usable, key=lambda id_: max(0.0, slots[id_][0] - at)) if has_router else ids[number % replicas]
        outcome, attempts, sent = "ok", 1, at + rng.gamma(1.5, 0.0004)
        fault = hit.get(pick)
        if fault is not None and fault[1] == "slow":
            demand *= 5
        elif fault is not None and (fault[1] == "kill" or rng.random() < 0.5):
            others = [id_ for id_ in usable if id_ != pick]
            if has_router and others and rng.random() < 0.9:
                pick, attempts = others[0], 2
            else:
                outcome = {"kill": "refused", "hang": "timeout"}.get(fault[1], "http_error")
        if outcome != "ok":
            ended = sent + (10.0 if outcome == "timeout" else 0.004 + rng.exponential(0.002))
            status = 502 if outcome == "http_error" else np.nan
            rows.append(
                (
                    number,
                    at,
                    sent,
                    ended,
                    status,
                    outcome,
                    None,
                    attempts if has_router else np.nan,
                    *[np.nan] * 3,
                    None,
                    phase,
                )
            )
            continue
        free = heapq.heappop(slots[pick])
        begin = max(sent, free)
        heapq.heappush(slots[pick], begin + demand)
        own = rng.gamma(4, 0.0002) if has_router else np.nan
        ended = begin + demand + (own if has_router else 0.0) + rng.gamma(2, 0.0005)
        rows.append(
            (
                number,
                at,
                sent,
                ended,
                200,
                "ok",
                pick,
                attempts if has_router else np.nan,
                begin - sent,
                demand,
                own,
                None,
                phase,
            )
        )
    requests = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"replica": "str", "status": "float64"})
    events, listed = [], []
    for index, (at, action, target, for_s) in enumerate(faults):
        listed.append({"at_s": at, "action": action, "target": target, "for_s": for_s})
        events.append(injected(index, at + 0.0008, target, action, planned_s=at))
        if has_router and action != "slow":
            events.append(router("ejected", at + 0.8, target))
        if for_s is not None:
            events.append(healed(index, at + for_s + 0.0009, target, action, planned_s=at + for_s))
            if has_router and action != "slow":
                events.append(router("readmitted", at + for_s + 0.9, target))
    samples = []
    for second in range(1, int(duration_s) + 1):
        count = (
            replicas
            if scale is None
            else next((v for k, v in sorted(scale.items(), reverse=True) if second > k), replicas)
        )
        down = sum(
            a + 0.8 < second <= (a + f + 0.9 if f else duration_s) for a, action, _, f in faults if action != "slow"
        )
        cpu = {
            "generator": 0.12 + 0.02 * rng.random(),
            "router": 0.1 + 0.03 * rng.random() if has_router else 0.0,
            "foreign": 0.02,
        }
        samples.append(sample(second + 0.001, count - down, count, None, **cpu))
    if scale is not None:
        events += [
            {
                "t_s": float(second),
                "source": "manager",
                "event": "scaling_decision",
                "desired": count,
                "previous": 1,
                "reason": "made up",
            }
            for second, count in scale.items()
        ]
    about = manifest(
        scenario=scenario,
        seed=seed,
        run_id=folder.name,
        faults=listed,
        **({"picks": {"sampled": 960, "cold": 40}} if has_router else {}),
        **changes,
        config={
            "seed": seed,
            "replicas": replicas,
            "policy": {"name": policy},
            "router": {} if has_router else None,
            "workload": {"rate_rps": rate, "duration_s": duration_s, "warmup_s": warmup_s},
        },
    )
    if has_router:
        about["config"]["router"] = {"retry": {"max_attempts": 3}}
    return write(folder, requests, about=about, events=sorted(events, key=lambda e: e["t_s"]), samples=samples)
