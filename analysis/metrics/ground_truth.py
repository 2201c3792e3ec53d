"""A run without a router against what theory says of it: request by request, and in closed form.

Without a router request i goes to replica i mod n, so that each replica's queue follows from the schedule alone.
"""

import numpy as np

from analysis.distributions.queues import mmc_sojourn_mean_s, mmc_sojourn_quantile_s, mmck_blocking
from analysis.metrics.queueing import sojourn_s
from record.latency import latency_ms
from record.reading import Run

KEYS = (
    "exact_error_p50_ms",
    "exact_error_p99_ms",
    "exact_latency_p99_ms",
    "exact_blocked_share",
    "theory_latency_mean_ms",
    "theory_latency_p99_ms",
    "theory_blocked_share",
)

Values = dict[str, float | None]


def assess(run: Run) -> Values:
    """Every key of `KEYS`, None where the run has no such truth.

    An exact one has a run without router and faults whose clients ask once (`load.retries.max_attempts=1`) and whose
    replicas wait out the request's own demand (`replica.kind=sleep`, `workload.demand.replica_noise=0`) and call no
    second tier. A closed form has, besides, a single replica under Poisson arrivals at a constant rate with exponential
    demand; latencies only where it is stable and blocks nobody.
    """
    values: Values = dict.fromkeys(KEYS)
    if _is_exact(run):
        values |= _exact(run)
        if run.manifest["config"].get("replicas") == 1 and _is_markovian(run):
            values |= _closed_form(run)
    return values


def _is_exact(run: Run) -> bool:
    config = run.manifest["config"]
    demand = config["workload"].get("demand") or {}
    load = config.get("load") or {}
    return (
        "router" in config
        and config["router"] is None
        and not run.manifest.get("faults")
        and load.get("loop") != "closed"
        and (load.get("retries") or {}).get("max_attempts", 1) == 1
        and (config.get("replica") or {}).get("kind") == "sleep"
        and demand.get("replica_noise") == 0
        and not run.has_tier
        and len(run.demand_s) == len(run.planned)
        and len(run.measured) > 0
    )


def _is_markovian(run: Run) -> bool:
    workload = run.manifest["config"]["workload"]
    words = (workload.get("arrivals"), workload.get("profile"), workload["demand"].get("distribution"))
    is_drawn = workload.get("trace") is None and not workload.get("classes")
    return is_drawn and words == ("poisson", "constant", "exponential")


def _exact(run: Run) -> Values:
    config = run.manifest["config"]
    replicas, replica = int(config["replicas"]), config["replica"]
    exact = np.full(len(run.planned), np.nan)
    for number in range(replicas):
        mine = slice(number, None, replicas)
        speed = replica["speeds"][number] if replica.get("speeds") else 1.0
        exact[mine] = sojourn_s(
            run.planned.to_numpy()[mine],
            run.demand_s.to_numpy()[mine] / speed,
            int(replica["concurrency"]),
            int(replica["queue_limit"]),
        )
    measured = run.measured
    expected = exact[measured["request_id"].to_numpy(dtype="int64")] * 1e3
    served = (measured["outcome"] == "ok").to_numpy(dtype=bool) & ~np.isnan(expected)
    error = np.abs(latency_ms(measured).to_numpy()[served] - expected[served])
    values: Values = {"exact_blocked_share": float(np.isnan(expected).mean())}
    if len(error):
        values["exact_error_p50_ms"], values["exact_error_p99_ms"] = np.quantile(error, (0.5, 0.99)).tolist()
        values["exact_latency_p99_ms"] = float(np.nanquantile(expected, 0.99))
    return values


def _closed_form(run: Run) -> Values:
    config = run.manifest["config"]
    replica, workload = config["replica"], config["workload"]
    servers, places = int(replica["concurrency"]), int(replica["queue_limit"])
    speed = replica["speeds"][0] if replica.get("speeds") else 1.0
    arrivals, services = float(workload["rate_rps"]), speed * 1e3 / float(workload["demand"]["mean_ms"])
    blocked = mmck_blocking(arrivals, services, servers, places)
    values: Values = {"theory_blocked_share": blocked}
    if blocked < 1e-6 and arrivals < servers * services:
        values["theory_latency_mean_ms"] = mmc_sojourn_mean_s(arrivals, services, servers) * 1e3
        values["theory_latency_p99_ms"] = mmc_sojourn_quantile_s(0.99, arrivals, services, servers) * 1e3
    return values
