"""From a live run by its proxy's own log to a fleet, and from the fleet back to what the run measured."""

import asyncio
import json

import pytest
import yaml

from experiments import fit, import_log, what_if
from experiments.fitting.live import log_in
from tests.measuring.measured import TRIES, UNSEEN
from tests.ports import free_row
from tests.proxied import listens, logging
from tests.running import metrics, run

REPLICAS, SLOTS, MEAN_MS, DURATION_S = 3, 2, 60, 50
WITHIN = 0.10
SLOW = 0.5
CASES = {
    "utilisation 0.5": (0.5, 1.0),
    "utilisation 0.7": (0.7, 1.0),
    "utilisation 0.85": (0.85, 1.0),
    "a slow replica": (0.7, SLOW),
}
"""Utilisation, and the speed of the last replica."""
SHORT = [("nginx", "utilisation 0.7"), ("envoy", "utilisation 0.7")]
"""What `make verify` measures; all of them: `pytest tests/measuring/test_round_trip.py`, some ten minutes. A slow replica
is known to 6 % of its speed after 50 s, so that the p99 of such a fleet may be further off than 10 % (docs/what-if.md)."""
EACH = [
    pytest.param(name, case, marks=() if (name, case) in SHORT else pytest.mark.long)
    for name in ("nginx", "envoy")
    for case in CASES
]
POLICY = "policy=least_request"
"""What their configurations do."""
PATIENT = ("load.timeout_s=60", "replica.queue_limit=1000")


def measured(name, folder, utilisation, speed):
    """A valid run behind the proxy, the proxy's log, and the address of the last replica."""
    for attempt in range(TRIES):
        first = free_row(REPLICAS + 1)
        port, place = first + REPLICAS, folder / f"run-{attempt}"
        with logging(name, folder / f"{name}-{attempt}", port, range(first, port)) as (log, process):
            asyncio.run(listens(port, process))
            done = run(
                "+scenario=routed", "router=external", f"router.url=http://127.0.0.1:{port}",
                f"router.replica_port={first}", f"replicas={REPLICAS}", f"replica.concurrency={SLOTS}",
                f"replica.speeds=[1,1,{speed}]", f"workload.utilisation={utilisation}",
                f"workload.duration_s={DURATION_S}", "workload.warmup_s=0", f"workload.demand.mean_ms={MEAN_MS}",
                *PATIENT, *UNSEEN, f"hydra.run.dir={place}",
            )  # fmt: skip
        assert done.returncode in (0, 3), done.stdout + done.stderr
        if metrics(place)["valid"]:
            break
    assert metrics(place)["valid"], metrics(place)["invalid_reasons"]
    return place, log, f"127.0.0.1:{port - 1}"


def drawn(fitted, folder):
    """p99 of the fleet with demands like the log's at its rate, seed by seed."""
    played = yaml.safe_load((fitted / "fleet.yaml").read_text())
    rate = json.loads((fitted / "import.json").read_text())["rate_rps"]
    done = run(
        "-m", "+scenario=routed", "engine=sim", "seed=range(1,11)", *played["overrides"], *played["simulated"],
        *played["drawn"], f"workload.rate_rps={rate}", f"workload.duration_s={DURATION_S}", "workload.warmup_s=0",
        POLICY, *PATIENT, *UNSEEN, f"hydra.sweep.dir={folder}",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted(metrics(path.parent)["latency_p99_ms"] for path in folder.glob("*/metrics.json"))


@pytest.mark.parametrize(("name", "case"), EACH)
def test_a_fleet_that_a_proxys_log_was_fitted_to_is_as_fast_as_the_live_one(tmp_path, name, case):
    """With the log's own requests: what each asked for is in the fit. With others like them p99 is that of another
    50 s, which is told beside it."""
    utilisation, speed = CASES[case]
    place, log, last = measured(name, tmp_path, utilisation, speed)
    live = metrics(place)
    fitted = tmp_path / "my-traffic"
    assert import_log.main([str(log), "-o", str(fitted), "--keep", "addresses"]) == 0
    assert fit.main([str(fitted)]) == 0
    assert what_if.main([str(fitted), POLICY]) == 0
    [simulated] = json.loads((fitted / "what-if.json").read_text())
    p99s = drawn(fitted, tmp_path / "drawn")
    fleet = json.loads((fitted / "fleet.json").read_text())["fleet"]
    speeds = dict(zip(fleet["hosts"], fleet["speeds"], strict=True))
    slow, found = speeds[last], {share: simulated["latency_ms"][share]["value"] for share in ("p50", "p99")}
    told = [f"{live[f'latency_{share}_ms']:.1f}, simulated {value:.1f}" for share, value in found.items()]
    told += [f"{p99s[0]:.0f} to {p99s[-1]:.0f}", f"{slow['value']:.2f} ({slow['low']:.2f} to {slow['high']:.2f})"]
    print(f"| {name}, {case} |", " | ".join(told), "|")
    assert fleet["slots"] == [SLOTS]
    for share, value in found.items():
        assert value == pytest.approx(live[f"latency_{share}_ms"], rel=WITHIN), share
    if speed == SLOW:
        assert min(speeds, key=lambda host: speeds[host]["value"]) == last
        assert slow["high"] < min(each["low"] for host, each in speeds.items() if host != last)
        # The way to a host is as long for all, so that a slow one looks a little less so.
        assert slow["value"] == pytest.approx(log_in(place)[1].speed(REPLICAS - 1, 0, (1.0, 1.0, SLOW)), rel=0.15)
