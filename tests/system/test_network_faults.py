"""Runs whose network is at fault, with real processes: the relay is there for them, for nobody else, and goes with them."""

from tests.running import (
    AT_MOST_S,
    SHORT,
    UNREFUSED,
    command_of,
    descendants,
    events,
    is_alive,
    lost,
    metrics,
    run,
    run_until,
    start,
    wait_for,
)

PARTITION = "faults=[{at_s: 2, action: partition, target: r2, for_s: 4}]"
QUIET = ["counterfactual=never", "workload.duration_s=7", "router.health.timeout_s=0.5", UNREFUSED]


def relays_of(process):
    return [p for p in descendants(process) if "experiments.relay" in command_of(p)]


def test_a_partition_loses_nothing_and_is_over_when_it_is_healed(tmp_path):
    def is_out(told):
        return any(e["event"] == "ejected" and e["replica"] == "r2" and e["t_s"] > 2 for e in told)

    def overrides(duration_s):
        return ["+scenario=routed", *SHORT, *QUIET, PARTITION.replace("for_s: 4", f"for_s: {duration_s - 3}")]

    folder, _ = run_until(is_out, tmp_path, overrides, (7, 40))
    told = [e["event"] for e in events(folder) if e["event"].startswith("fault_")]
    assert told == ["fault_injected", "fault_healed"]
    assert lost(folder).empty and metrics(folder)["floor_p99_ms"] is not None
    assert is_out(events(folder))


def test_a_run_without_such_a_fault_has_no_relay_and_one_that_is_killed_leaves_none(tmp_path):
    process = start("+scenario=routed", *SHORT, *QUIET, PARTITION, f"hydra.run.dir={tmp_path / 'killed'}")
    relay, *others = wait_for(lambda: relays_of(process), "the relay runs")
    assert not others
    process.kill()
    process.communicate(timeout=AT_MOST_S)
    wait_for(lambda: not is_alive(relay), "the relay is gone")
    done = run("+scenario=routed", *SHORT, *QUIET, "workload.duration_s=2", f"hydra.run.dir={tmp_path / 'without'}")
    assert done.returncode in (0, 3), done.stdout + done.stderr
    assert not (tmp_path / "without" / "logs" / "relay.log").exists()
