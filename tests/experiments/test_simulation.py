"""`engine=sim` as a user runs it: the same files as of a live run, sweeps, maps, and what it refuses."""

import json
from collections import Counter

import pandas as pd
import pytest

from analysis.regimes import main as regimes
from analysis.scaling.following import Following
from experiments.agreement import Arm, interval_of, rankings, table, values
from experiments.agreement import main as agreement
from record.metrics import Metrics
from record.reading import read
from tests.analysis import synthetic
from tests.running import events, manifest, metrics, run
from tests.system.test_runs import FILES

SIM = ["engine=sim", "tracking.enabled=false", "summary=never"]
SHORT = ["workload.duration_s=8", "workload.warmup_s=2"]


def simulated(folder, *overrides, status=0):
    done = run(*SIM, *overrides, f"hydra.run.dir={folder}")
    assert done.returncode == status, done.stdout + done.stderr
    return done


def test_it_leaves_the_same_files_as_a_live_run_and_null_for_what_has_no_meaning(tmp_path):
    done = simulated(tmp_path, "+scenario=failover", "summary=always")
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == FILES
    found, about = metrics(tmp_path), manifest(tmp_path)
    assert "VALID (simulated)" in done.stdout
    assert found["valid"] and found["error_rate"] < 0.01 and 0 < found["detection_s"] < 2
    for name, value in found.items():
        if name.startswith(("cpu_", "lateness_", "router_overhead_", "clock_")):
            assert value is None, name
    assert about["engine"]["name"] == "sim"
    assert about["engine"]["events"] > about["engine"]["requests"] > 2000
    assert about["engine"]["events_per_s"] > 0
    words = [(event["event"], event.get("replica")) for event in events(tmp_path) if event["source"] == "router"]
    assert ("ejected", "r2") in words
    assert ("readmitted", "r2") in words
    planned = pd.read_parquet(tmp_path / "schedule.parquet")
    rows = pd.read_parquet(tmp_path / "requests.parquet")
    assert rows["request_id"].tolist() == planned["request_id"].tolist()
    assert set(rows["phase"]) == {"warmup", "steady", "fault", "recovery"}
    served = rows[rows["outcome"] == "ok"]
    assert (served["service_s"] - planned["demand_s"][served.index]).abs().max() < 2e-6


def test_the_same_run_has_the_same_values_again_and_another_seed_has_not(tmp_path):
    rows = {}
    for name, seed in (("once", 1), ("again", 1), ("other", 2)):
        simulated(tmp_path / name, "+scenario=failure", f"seed={seed}")
        rows[name] = pd.read_parquet(tmp_path / name / "requests.parquet")
    assert rows["once"].equals(rows["again"])
    assert not rows["once"].equals(rows["other"])


@pytest.mark.parametrize("scenario", ["baseline", "routed", "mm1", "mmc", "mmck"])
def test_scenarios_run_unchanged(tmp_path, scenario):
    simulated(tmp_path, f"+scenario={scenario}", *SHORT)
    found = metrics(tmp_path)
    assert found["valid"]
    if scenario.startswith("mm"):
        assert found["exact_error_p99_ms"] < 10  # the delays alone


RESTARTS = "faults=[{at_s: %d, action: restart, target: r1}, {at_s: %d, action: restart, target: r2}]"


def test_a_rolling_restart_in_which_nothing_failed_is_never_said_not_to_recover(tmp_path):
    done = simulated(tmp_path / "short", "+scenario=routed", RESTARTS % (6, 9), "workload.warmup_s=5")
    found = metrics(tmp_path / "short")
    assert found["failed_requests"] == 0
    assert found["recovered"] is found["recovery_s"] is found["fault_harm"] is None
    assert "recovery is not judged" in done.stdout and "1.0 s of steady phase" in done.stdout
    done = simulated(tmp_path / "long", "+scenario=routed", RESTARTS % (12, 15), "workload.warmup_s=5")
    found = metrics(tmp_path / "long")
    assert (found["fault_harm"], found["recovered"], found["recovery_s"]) == (False, True, 0)
    assert "nothing to recover from" in done.stdout and "never" not in done.stdout


def test_a_fleet_that_turns_requests_away_is_not_the_faster_one(tmp_path):
    load = ("+scenario=routed", "workload.rate_rps=140", "router=no_retries", "policy=peak_ewma")
    for name, limit in (("waits", 100), ("refuses", 0)):
        simulated(tmp_path / name, *load, f"replica.queue_limit={limit}")
    waits, refuses = metrics(tmp_path / "waits"), metrics(tmp_path / "refuses")
    assert refuses["error_rate"] > 0.2 and waits["error_rate"] == 0
    assert waits["latency_p99_ms"] is not None and refuses["latency_p99_ms"] is None
    assert refuses["latency_p99_beyond_ms"] == refuses["latency_served_max_ms"]
    assert refuses["served_share"] < 0.8 < waits["served_share"]


def test_autoscaling_goes_up_with_the_spike_and_down_after_it(tmp_path):
    simulated(tmp_path, "+scenario=autoscale")
    decided = [event for event in events(tmp_path) if event["event"] == "scaling_decision"]
    assert {event["desired"] > event["previous"] for event in decided} == {True, False}
    found = metrics(tmp_path)
    assert found["replicas_max"] >= 3 and found["failed_requests"] == 0


def test_the_omission_exhibit_hides_and_shows_the_stall(tmp_path):
    done = run("+scenario=omission", *SIM, f"hydra.sweep.dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "comparison.json").read_text())
    assert next(row for row in rows if row["is_primary"])["ratio"] > 50


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["+scenario=routed", "engine=sim", "replica.kind=cpu"], "replica.kind=cpu"),
        (["+scenario=routed", "engine=sim", "load.ui=true"], "load.ui=True"),
        (["+scenario=routed", "router.count=2"], "router.count=2"),
        (["+scenario=autoscale", "engine=sim", "router.count=2"], "router.count=2"),
        (["+scenario=routed", "replicas=65"], "between 1 and 64"),
        (["+scenario=routed", "engine=sim", "workload.rate_rps=100000", "workload.duration_s=1000"], "GiB"),
        (["+scenario=routed", "engine=sim", "workload.rate_rps=0"], "workload.rate_rps=0"),
        (["+scenario=routed", "engine=sim", "engine.delays.client.sigma=9"], "engine.delays.client.sigma=9"),
        (["+scenario=routed", "workload.utilisation=0"], "workload.utilisation=0"),
        (["-m", "+scenario=routed", "seed=1,2", "hydra/launcher=joblib"], "add engine=sim"),
        (["+scenario=routed", "engine=sim", "hydra/launcher=joblib"], "add -m"),
        (["+scenario=routed", "workload.utilisation=0.5", "workload.demand.mean_ms=0"], "workload.demand.mean_ms=0"),
    ],
)
def test_what_cannot_be_simulated_or_measured_is_refused_in_a_line(overrides, words):
    done = run(*overrides)
    assert done.returncode == 2, done.stdout + done.stderr
    assert words in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_parallel_sweep_makes_a_map_of_who_wins(tmp_path):
    done = run(
        "-m", "+scenario=routed", "hydra/launcher=joblib", "seed=range(3)", "policy=random,least_request",
        "workload.utilisation=0.5,0.9", "replicas=2,6", *SIM, "workload.duration_s=150", "workload.warmup_s=10",
        f"hydra.sweep.dir={tmp_path}",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(tmp_path.glob("*/metrics.json"))) == 24
    assert regimes([str(tmp_path)]) == 0
    found = json.loads((tmp_path / "regimes.json").read_text())
    assert {found["x"], found["y"]} == {"workload.utilisation", "replicas"}
    assert len(found["cells"]) == 4
    busiest = next(c for c in found["cells"] if sorted((c["x"], c["y"])) == [0.9, 6.0])
    assert (busiest["best"], busiest["state"], busiest["worse"]) == ("least_request", "winner", ["random"])
    assert (tmp_path / "regimes.png").stat().st_size > 10_000
    assert regimes([str(tmp_path), "--x", "nothing"]) == 2


def test_a_parallel_sweep_fails_with_the_job_that_failed(tmp_path):
    done = run(
        "-m", "+scenario=routed", "hydra/launcher=joblib", "workload.rate_rps=0.01,40", *SIM, *SHORT,
        f"hydra.sweep.dir={tmp_path}",
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "no request falls into the run" in done.stdout + done.stderr


def test_live_and_simulated_policies_are_ranked_alike_or_not():
    def arm(policy, live, twin):
        nothing = Metrics(
            latency_p50_ms=None, error_rate=None, detection_s=None, recovery_s=None, times_floor_p99=None,
            offered_requests=100, failed_requests=0, requests_fault=0, served_share=1.0,
        )  # fmt: skip
        both = ((live, twin), (live * 1.1, twin * 1.1))
        pairs = [(nothing | {"latency_p99_ms": x}, nothing | {"latency_p99_ms": y}) for x, y in both]
        return Arm(f"routed policy={policy}", policy, pairs)

    arms = [arm("a", 100.0, 110.0), arm("b", 200.0, 190.0), arm("c", 300.0, 290.0)]
    assert rankings(arms) == [("routed", "policy", "latency_p99_ms", 3, 1.0)]
    assert rankings([*arms[:2], arm("c", 150.0, 900.0)])[0].tau == pytest.approx(1 / 3)
    assert arms[0].ratio("latency_p99_ms").mean == pytest.approx(1.1)
    failing = arm("c", 50.0, 60.0)
    failing.pairs[1][0]["latency_p99_ms"] = failing.pairs[1][1]["latency_p99_ms"] = None  # among the failed: the slowest
    assert rankings([*arms[:2], failing])[0][3:] == (3, 1.0)
    assert "| routed policy=a | 2 | - | +10.0 (+10.0 to +10.0) % |" in table(arms)


def test_agreement_tells_how_many_replicas_followed_and_ranks_scalers_by_what_they_cost():
    def arm(scaler, paid, simulated, within):
        nothing = Metrics(
            latency_p50_ms=None, latency_p99_ms=None, error_rate=None, detection_s=None, recovery_s=None,
            times_floor_p99=None, offered_requests=100, failed_requests=0, requests_fault=0, served_share=1.0,
            slo_violation_share=0.0, scaling_regret=None,
        )  # fmt: skip
        both = (nothing | {"paid_replica_seconds": paid}, nothing | {"paid_replica_seconds": simulated})
        course = Following(40, 40, within, within, 3, Counter(starts=40 - within))
        return Arm(f"autoscale replicas=2 scaler={scaler}", "adaptive", [both], scaler, [course, course], [course])

    arms = [arm("hpa", 90.0, 80.0, 38), arm("knative", 60.0, 70.0, 30)]
    told = table(arms)
    assert "All are autoscale replicas=2." in told
    assert "| scaler=knative | 2 | 80 | 100.0 | 75.0 | 75.0 | 75.0 | 3 | 0 | 20 | 0 | 0 |" in told
    assert "| all | 4 | 160 | 100.0 | 85.0 | 85.0 | 85.0 | 3 | 0 | 24 | 0 | 0 |" in told
    assert "| autoscale replicas=2 | scaler | paid_replica_seconds | 2 | 1.00 |" in told
    assert "scaling_regret" not in told, "nobody knows it"


def test_agreement_tells_the_values_of_the_faults_phase_and_all_that_was_lost():
    def found(scale, lost):
        return Metrics(
            latency_p50_ms_fault=40.0 * scale, latency_p99_ms_fault=300.0 * scale, times_floor_p99_fault=scale,
            latency_p50_ms=1.0, latency_p99_ms=2.0, times_floor_p99=9.0, error_rate=None, detection_s=None,
            recovery_s=None, requests_fault=50, offered_requests=1500, failed_requests=lost, served_share=1 - lost / 1500,
        )  # fmt: skip

    arm = Arm("hang", "adaptive", [(found(1.21, 2), found(1.0, 0)), (found(1.0, 1), found(1.0, 0))])
    p99, floor, off, in_time, lost = values(arm)[1:]
    assert (p99, floor) == ("330 (363), 300 (300)", "1.10 (1.21), 1.00 (1.00)")
    assert off.startswith("-9.1 (") and (in_time, lost) == ("99.9, 100.0", "3, 0 of 3,000")
    assert f"| hang | 44 (48), 40 (40) | {p99} | {floor} | {off} | {in_time} | {lost} |" in table([arm])
    arm.pairs[0][0]["latency_p99_ms_fault"] = None  # among the failed
    assert values(arm)[1] == "-, 300 (300)"


@pytest.mark.parametrize(
    ("scaler", "asked_s", "look_s"),
    [({"name": "hpa", "time_factor": 20.0}, 0, 0.75), ({"name": "queueing"}, 0, 1.0), ({"name": "hpa"}, 2, 2.0)],
)
def test_a_look_of_a_run_is_as_long_as_it_was_asked_for_or_as_its_scaler_has_it(tmp_path, scaler, asked_s, look_s):
    about = synthetic.manifest(config={"scaler": scaler, "autoscaling": {"interval_s": asked_s}})
    synthetic.write(tmp_path, synthetic.even_requests(), about=about)
    assert interval_of(read(tmp_path)) == look_s


def test_agreement_needs_a_live_run(tmp_path, capsys):
    simulated(tmp_path / "run", "+scenario=routed", *SHORT)
    assert agreement([str(tmp_path)]) == 1
    assert "no live run" in capsys.readouterr().err
