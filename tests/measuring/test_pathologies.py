"""The scenarios that expect something of the router, with real processes and in short: what each expects holds.

At full length and over three seeds they are simulated (tests/experiments/test_pathologies.py).
"""

import pytest
import yaml

from experiments.plan.installed import CONF
from tests.measuring.measured import expected_run

SCENARIOS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((CONF / "scenario").glob("*.yaml"))}
EXPECTING = [name for name, scenario in SCENARIOS.items() if scenario.get("expect")]
BEGIN_S, AFTER_S, RECOVERY_S, RESTART_S = 2.0, 1.5, 6.0, 3.0
"""The first fault comes so soon, and the run ends so long after the last one, or, where something is expected of the
recovery; so long a replica may take to be back."""
UNTROUBLED_S = 10.0
"""How long a run without faults is."""


def shortened(scenario):
    """Overrides: little before the faults and after them, which last half as long.

    A fault in whose phase a quantile is expected keeps its length: what p99 is made of there is the few requests that it
    takes to notice, and these are as many of a short phase as of a long one. For the same reason a run whose whole p99 is
    expected keeps its warm-up, in which the router learns whom it has. What triggers a storm keeps its length, too, and
    restarts the time that they have: they take as long as they take.
    """
    faults = scenario.get("faults") or []
    if not faults:
        return [f"workload.duration_s={UNTROUBLED_S:g}"]
    phases = {one.split()[0].rpartition("_")[2] for one in scenario["expect"]} & {"fault", "recovery"}
    keeps = phases or not all("for_s" in fault for fault in faults)
    scale, first = 1.0 if keeps else 0.5, min(fault["at_s"] for fault in faults)
    overrides, ends = ["workload.warmup_s=1"], []
    for number, fault in enumerate(faults):
        at_s = BEGIN_S + scale * (fault["at_s"] - first)
        overrides.append(f"faults.{number}.at_s={at_s:g}")
        if "for_s" in fault:
            overrides.append(f"faults.{number}.for_s={scale * fault['for_s']:g}")
        ends.append(at_s + scale * fault.get("for_s", RESTART_S))
    after_s = RECOVERY_S if "recovery" in phases else AFTER_S
    return [*overrides, f"workload.duration_s={max(ends) + after_s:g}"]


@pytest.mark.parametrize("scenario", EXPECTING)
def test_the_default_router_does_what_the_scenario_expects_with_real_processes(tmp_path, scenario):
    expected_run(tmp_path, f"+scenario={scenario}", *shortened(SCENARIOS[scenario]))
