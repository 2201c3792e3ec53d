"""Wrong configurations: refused before anything starts, in one line with the key, its value and what it may be."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.plan import config as configuration
from experiments.plan import store
from experiments.plan.composing import is_of_composing, why
from experiments.sweep.dry_run import sweep_of
from tests.experiments.test_config import SCENARIOS, planned
from tests.running import refused, run

WRONG = [
    (["replicas=0"], ["replicas=0", "between 1 and 64"]),
    (["workload.rate_rps=90000", "workload.duration_s=600"], ["workload.rate_rps=90000", "5,000,000", "GiB"]),
    (["autoscaling.max_replicas=65", "scaler=target_tracking"], ["autoscaling.max_replicas=65", "between 1 and 64"]),
    (["repilcas=3"], ["repilcas", "replicas"]),
    (["workload.rate=3"], ["rate", "rate_rps"]),
    (["+workload.rate=3"], ["workload.rate", "Did you mean rate_rps"]),
    (["++foo=1"], ["foo", "replicas, replica"]),
    (["+policy=round_robin"], ["leave the plus away", "policy="]),
    (["faults=[{at: 5, action: kill, target: r1}]"], ["faults", "Did you mean at_s", "for_s"]),
    (["faults=[kill]"], ["faults", "action: kill, target: r1"]),
    (["comparison.primary=speed"], ["comparison.primary=speed", "latency_p99_ms"]),
    (["comparison.smallest_effect=0"], ["comparison.smallest_effect=0"]),
    (["comparison.smallest_seconds=0"], ["comparison.smallest_seconds=0"]),
    (["comparison.estimand=fleet"], ["comparison.estimand=fleet", "system, run"]),
    (["replicas=three"], ["replicas", "three"]),
    (["workload.rate_rps=-1"], ["workload.rate_rps=-1", "between"]),
    (["workload.rate_rps=nan"], ["workload.rate_rps=nan"]),
    (["workload.post_share=1.5"], ["workload.post_share=1.5: must be between 0 and 1"]),
    (["workload.body_bytes=1e9"], ["workload.body_bytes"]),
    (["workload.trace=nowhere.csv"], ["workload.trace=", "nowhere.csv: there is no such file"]),
    (["workload.trace_speed=2"], ["workload.trace_speed=2: goes with workload.trace=FILE"]),
    (["workload.trace_repeat=0"], ["workload.trace_repeat=0: must be between 1"]),
    (["workload.arrivals=bursty"], ["workload.arrivals=bursty: there is no bursty.py", "gamma, hawkes"]),
    (["workload.hawkes.branching=1"], ["workload.hawkes.branching=1: must be between 0 and 0.99"]),
    (
        ["workload.arrivals=hawkes", "workload.hawkes.branching=0.99", "workload.hawkes.decay_s=3600"],
        ["workload.hawkes.decay_s=3600: with branching=0.99", "lower either, or the rate"],
    ),
    (["workload=trace"], ["workload.file.path=: must be a file with one number a line"]),
    (
        ["workload=trace", "workload.trace=pyproject.toml"],
        ["workload.trace=", "pyproject.toml: workload=trace is the course of rates in workload.file.path", "alone"],
    ),
    (["workload.demand.distribution=empirical"], ["workload.demand.file=: must be a file with one number a line"]),
    (["tier.demand.distribution=pareto"], ["tier.demand.distribution=pareto: must be one of exponential"]),
    (["ledger=always", "engine=sim", "tier.replicas=2"], ["ledger=always", "auto or never with a second tier"]),
    (["load.retries.max_attempts=0"], ["load.retries.max_attempts=0: must be between 1 and 100"]),
    (["load.retries.budget=0.1"], ["load.retries.budget=0.1: goes with load.retries.max_attempts above 1"]),
    (
        ["load.retries.max_attempts=3", "load.retries.attempt_s=20"],
        ["load.retries.attempt_s=20.0: must be at most load.timeout_s=10, which all attempts have together"],
    ),
    (["load.retries.max_attempts=3", "load.ui=true"], ["load.ui=True: must be false where load.retries"]),
    (["ledger=yes"], ["ledger=yes", "auto, always, never"]),
    (["ledger=always", "engine=compose"], ["ledger=always: must be auto or never: no folder of its containers stays"]),
    (["policy=nope"], ["policy=nope: must be one of", "least_request"]),
    (["policy.nope=1"], ["policy.nope: adaptive takes scan, choices, slow_start_s, error_penalty_s"]),
    (["policy=peak_ewma", "policy.decay=3"], ["policy.decay: peak_ewma takes decay_s", "did you mean policy.decay_s?"]),
    (["policy=peak_ewma", "+policy.decay=3"], ["policy.decay: peak_ewma takes decay_s", "did you mean policy.decay_s?"]),
    (["policy.decay_s=3"], ["policy.decay_s: adaptive takes scan", "decay_s goes with policy=peak_ewma"]),
    (
        ["policy=peak_ewma", "policy.choices=2"],
        ["policy.choices: peak_ewma takes", "choices goes with policy=adaptive and policy=least_request"],
    ),
    (["scaler.target=2"], ["scaler.target: none takes time_factor; target goes with", "scaler=target_tracking"]),
    (["policy=peak_ewma", "policy.decay_s=50ms"], ["policy.decay_s=50ms: must be seconds, a number, as policy.decay_s=0.05"]),
    (["workload.demand.mean_ms=50ms"], ["=50ms: must be milliseconds, a number, as workload.demand.mean_ms=50"]),
    (["workload.demand.mean_ms=null"], ["mean_ms=null: must be milliseconds, a number"]),
    (["load.workers=2.5"], ["load.workers=2.5: must be a whole number, as load.workers=1"]),
    (["load={workers: x}"], ["load.workers=x: must be a whole number"]),
    (["load.fit=maybe"], ["load.fit=maybe: must be true or false"]),
    (["replica.speeds=[1,fast]"], ["replica.speeds.1=fast: must be a number"]),
    (["replica.speeds=fast"], ["replica.speeds=fast: must be a list of numbers, as replica.speeds=[1,2]"]),
    (["router.retry=3"], ["router.retry=3: must be a section with the keys max_attempts"]),
    (["faults=[{at_s: 5s, action: kill, target: r1}]"], ["faults: at_s=5s: must be seconds, a number, as at_s=5."]),
    (["faults=kill"], ["faults=kill: must be a list", "action: kill, target: r1"]),
    (["policy=least_request", "policy.choices=1"], ["policy.choices=1", "between 2 and 64"]),
    (["replica.speeds=[1,1]", "replicas=4"], ["replica.speeds", "4 numbers"]),
    (["replica.weights=[5,1,1]"], ["replica.weights=[5, 1, 1]", "4 numbers", "replicas=3"]),
    (["load.timeout_s=0"], ["load.timeout_s=0: must be above 0 and at most 600"]),
    (["router=none", "scaler=target_tracking"], ["scaler", "router"]),
    (["tier.fanout=3"], ["tier.fanout=3: there is nobody to call; add tier.replicas=4"]),
    (["tier.slot=free"], ["tier.slot=free: there is nobody to call; add tier.replicas=4"]),
    (["tier.router.hedging.enabled=true"], ["tier.router.hedging.enabled=True: there is nobody to call; add"]),
    (["+policy@tier.policy=round_robin"], ["tier.policy.name=round_robin: there is nobody to call; add tier.replicas=4"]),
    (["tier.replicas=4", "tier.fanout=3", "tier.wait=4"], ["tier.wait=4: must be at most tier.fanout=3"]),
    (["tier.replicas=99"], ["tier.replicas=99: must be at most 64 (engine=local)"]),
    (["tier.replicas=2", "replica.discipline=ps"], ["replica.discipline=ps: must be fifo", "tier.slot=free"]),
    (["tier.replicas=2", "tier.replica.speeds=[1]"], ["tier.replica.speeds=[1.0]", "2 numbers", "tier.replicas=1"]),
    (["tier.replicas=2", "tier.policy.name=nope"], ["tier.policy=nope", "least_request"]),
    (["tier.replicas=2", "tier.router.timeouts.attempt_s=9"], ["tier.router.timeouts.attempt_s=9: must be at most tier."]),
    (["tier.replicas=2", "engine=compose"], ["tier.replicas=2: must be 0, or engine=local"]),
    (["faults=[{at_s: 5, action: kill, target: b1}]"], ["faults[0].target=b1", "r1, r2, r3, r4"]),
    (["faults=[{at_s: 5, action: cache_loss, target: r1}]"], ["cache_loss: there is no cache", "tier.hit_rate"]),
    (
        ["tier.replicas=2", "tier.hit_rate=0.5", "faults=[{at_s: 5, action: cache_loss, target: b1}]"],
        ["faults[0].target=b1: cache_loss takes one of all, r1, r2, r3, r4"],
    ),
    (["faults=[{at_s: 5, action: kill, target: r9}]"], ["faults[0].target=r9", "r1, r2, r3, r4"]),
    (["faults=[{at_s: 99, action: kill, target: r1}]"], ["faults[0].at_s=99", "duration_s=25"]),
    (["faults=[{at_s: 20, action: kill, target: r1, for_s: 9}]"], ["faults[0].for_s=9", "duration_s=25"]),
    (["faults=[{at_s: 5, action: explode, target: r1}]"], ["faults[0].action=explode", "kill"]),
    (["faults=[{at_s: 5, action: slow, target: r1, rate: 1}]"], ["faults[0].rate", "factor"]),
    (["faults=[{at_s: 5, action: slow, target: router}]"], ["faults[0].target=router"]),
    (["faults=[{at_s: 5, action: resume, target: r1}]"], ["resume of r1", "no pause lasts then"]),
    (["faults=[{at_s: 5, action: kill, target: r1}, {at_s: 6, action: slow, target: r1}]"], ["slow of r1", "kill"]),
    (["faults=[{at_s: 5, action: delay, target: r1, added_ms: -1}]"], ["faults[0].added_ms=-1", "0 and 60000"]),
    (["faults=[{at_s: 5, action: delay, target: router}]"], ["faults[0].target=router", "r1, r2, r3, r4"]),
    (["faults=[{at_s: 5, action: half_open, target: r1, delay_s: 1}]"], ["faults[0].delay_s", "half_open takes idle_s"]),
    (["faults=[{at_s: 5, action: partition, target: r1}]", "engine=compose"], ["engine=compose does not play partition"]),
    (["faults=[{at_s: 5, action: partition, target: r1}]", "tier.replicas=2", "engine=sim"], ["set tier.replicas=0"]),
    (["faults=[{at_s: 5, action: partition, target: r1}]", "router=none"], ["partition", "add router=default"]),
    (["random_faults.count=50"], ["random_faults.count=50", "duration_s=25"]),
    (["random_faults.count=1", "random_faults.modes=[boom]"], ["random_faults.modes", "hang"]),
    (["autoscaling.max_replicas=2", "scaler=target_tracking"], ["replicas=4", "between 1 and 2"]),
    (["seed=-1"], ["seed=-1"]),
    (["load.workers=0"], ["load.workers=0"]),
    (["load.ui=true", "router=none"], ["load.ui"]),
    (["load.remote_workers=-1"], ["load.remote_workers=-1", "between 0 and 64"]),
    (["load.remote_workers=2", "load.workers=2"], ["load.remote_workers=2", "load.workers must be left at 1"]),
    (["load.remote_workers=2", "engine=sim"], ["load.remote_workers=2", "engine"]),
    (["load.remote_workers=2", "load.fit=true"], ["load.remote_workers=2", "load.fit must be false"]),
    (["load.remote_workers=2", "load.master_port=70000"], ["load.master_port=70000", "between 0 and 65535"]),
    (["load.remote_workers=2", "load.master_bind=''"], ["load.master_bind", "address"]),
    (["load.remote_workers=2", "load.remote_wait_s=0"], ["load.remote_wait_s=0"]),
]


WRONG_WEIGHTS = ["[1,1,1,x]", "[1,1,1,0]", "[1,1,1,nan]", "[1,1,1,true]", "[1,1,1,null]", "fastest", "null", "3"]


@pytest.mark.parametrize("weights", WRONG_WEIGHTS)
def test_a_weight_that_is_none_is_refused(weights):
    with pytest.raises(configuration.ConfigError, match=r"replica\.weights=.*by_speed, or 4 numbers"):
        planned("+scenario=routed", f"replica.weights={weights}")


@pytest.mark.parametrize("weights", ["[1,1,1,1]", "by_speed"])
def test_weights_that_no_router_reads_are_refused(weights):
    with pytest.raises(configuration.ConfigError, match=r"replica\.weights.*router=default"):
        planned("+scenario=baseline", f"replica.weights={weights}")


UNCOMPOSED = [
    (["+scenario=baseline", "router.health.interval_s=5"], ["router.health.interval_s=5: baseline has no router"]),
    (["+scenario=mm1", "engine=sim", "router.count=2"], ["router.count=2: mm1 has no router; add router=default"]),
    (["+scenario=mmc", "router.retry=null"], ["router.retry=null: mmc has no router"]),
    (["+scenario=baseline", "++router={count: 2}"], ["aegis, caddy, custom, default, envoy, external, haproxy, nginx, no_retries, none, shedding, traefik"]),
    (["+scenario=routed", "router=none", "router.count=2"], ["router.count=2: routed has no router"]),
    (["-m", "+scenario=routed,baseline", "router.retry.max_attempts=2"], ["baseline has no router"]),
    (["+scenario=routed", "engine.delays.client.median_ms=3"], ["routed has no engine.delays; add engine=sim"]),
    (["+scenario=routed", "++replica.speeds.x.y=1"], ["++replica.speeds.x.y=1: "]),
    (["+scenario=routed", "policy=null"], ["policy=null: must be one of adaptive"]),
    (["+scenario=routed", "workload=3"], ["workload=3: must be one of composed"]),
    (["+scenario=routed", "workload=[1]"], ["workload=[1]: must be one of composed"]),
]


@pytest.mark.parametrize(("arguments", "words"), UNCOMPOSED, ids=lambda value: " ".join(value))
def test_what_hydra_ends_in_a_traceback_for_is_one_line_too(arguments, words):
    """In this process: a test below holds the command line itself to it."""
    store.register()
    with pytest.raises(Exception) as caught:
        sweep_of(arguments)
    assert is_of_composing(caught.value)
    said = why(arguments, caught.value)
    assert "\n" not in said and all(word in said for word in words), said


def test_a_group_that_a_scenario_lacks_is_status_2_with_one_line(tmp_path):
    done = run("+scenario=baseline", "router.health.interval_s=5", f"hydra.run.dir={tmp_path / 'run'}")
    assert done.returncode == 2, done.stderr
    assert done.stderr == "router.health.interval_s=5: baseline has no router; add router=default\n"


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["policy.name=[1]"], "policy="),
        (["policy.name={a: 1}"], "policy="),
        (["replica.speeds='${seed}'"], r"replica\.speeds=1: must be a list"),
        (["load='${seed}'"], r"load=\$\{seed\}: must be a section with the keys loop"),
        (["workload.demand='${seed}'"], r"workload\.demand=.*must be a section"),
        (["faults=[{at_s: 5, action: slow, target: r1, for_s: nan}]"], r"faults\[0\]\.for_s=nan"),
        (["random_faults.count=2", "random_faults.gap_s=nan"], r"random_faults\.gap_s=nan"),
        (["random_faults.count=2", "random_faults.duration_s=nan"], r"random_faults\.duration_s=nan"),
        (["router.timeouts.attempt_s=60"], r"router\.timeouts\.attempt_s=60.*overall_s=8"),
        (["router.ejection.max_share=0"], r"router\.ejection\.enabled=false"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_by_its_key(typed, words):
    with pytest.raises(configuration.ConfigError, match=words):
        planned("+scenario=routed", *typed)


def spent_s():
    """CPU of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def to_import_s():
    """CPU that Hydra and pandas take to be imported now; a wrong configuration took 1.7 times that on idle cores."""
    before_s = spent_s()
    subprocess.run([sys.executable, "-c", "import hydra, pandas"], check=True)
    return spent_s() - before_s


def said_cheaply(*overrides):
    """The finished run, and whether it took little CPU: of three tries one has to, since who else uses the cores adds to it."""
    for _ in range(3):
        before_s = spent_s()
        done = run(*overrides)
        said_s = spent_s() - before_s
        if said_s < 2 or said_s < 3 * to_import_s():  # a busy machine's seconds are longer
            return done, True
    return done, False


@pytest.mark.parametrize(
    ("overrides", "words"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else None
)
def test_a_wrong_configuration_is_one_line_with_the_key_and_the_choices(overrides, words, tmp_path):
    if overrides[0].startswith("load.ui"):
        overrides = [*overrides, "scaler=none"]
    done = refused("+scenario=routed", *overrides, f"hydra.run.dir={tmp_path / 'run'}")
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1 and done.stdout == "", done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("overrides", [overrides for overrides, _ in WRONG[::20]], ids=lambda value: " ".join(value))
def test_a_command_of_its_own_says_so_cheaply(overrides):
    done, is_cheap = said_cheaply("+scenario=routed", *overrides)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and done.stdout == "", done.stderr
    assert done.stderr == refused("+scenario=routed", *overrides).stderr
    assert is_cheap


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["+scenario=", *SCENARIOS]),
        (["replicas=2"], ["+scenario=", *SCENARIOS]),
        (["scenario=routed"], ["scenario", "+scenario=routed"]),
        (["+scenario=nope"], ["scenario=nope: must be one of", *SCENARIOS]),
        (["+scenario=failvoer"], ["scenario=failvoer: must be one of", *SCENARIOS, "Did you mean failover?"]),
        (["+scenario=routed", "not an override"], ["not an override"]),
    ],
)
def test_a_scenario_that_is_missing_or_unknown_is_status_2_with_the_list(arguments, words):
    done = refused(*arguments)
    assert done.returncode == 2
    assert all(word in done.stderr for word in words) and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize(
    "overrides",
    [
        ["policy=round_robin,nope"],
        ["replicas=2,0"],
        ["seed=1,2", "+workload.rate=3"],
        ["seed=1,2", "policy=peak_ewma", "workload.rate_rps=0"],
    ],
)
def test_a_sweep_with_one_wrong_job_starts_none(overrides, tmp_path):
    done = refused("-m", "+scenario=routed", *overrides, f"hydra.sweep.dir={tmp_path / 'sweep'}")
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert not any(path.is_file() and path.name != "multirun.yaml" for path in Path(tmp_path).rglob("*"))
