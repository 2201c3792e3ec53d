"""The floor against sums done by hand, and the default policy's distance from it under every fault."""

import math

import pytest

from experiments import policy_table
from experiments.plan.fault_plan import Fault
from experiments.policy_table import CASES, geometric_mean, measured
from experiments.simulator.floor import floor_s

ONE = {"r1": (1, 1.0)}
TWO = {"r1": (1, 1.0), "r2": (1, 0.5)}


def test_one_slot_is_lindleys_line():
    assert floor_s([0.0, 1.0, 5.0], [2.0, 1.0, 1.0], ONE, []).tolist() == [2.0, 2.0, 1.0]


def test_a_request_goes_where_the_mean_demand_would_end_first():
    # Mean demand 1: at 0 r1; at 0.1 r1 would end at 2, r2 (half as fast) at 2.1; at 0.2 r1 at 3, r2 at 2.2.
    found = floor_s([0.0, 0.1, 0.2], [1.0, 1.0, 1.0], TWO, [])
    assert found.tolist() == pytest.approx([1.0, 1.9, 2.0])


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(at_s=1.0, action="slow", target="r1", for_s=2.0, factor=4.0), [2.0 + 1.5]),  # 1 + 2/4, then 0.5
        (Fault(at_s=1.0, action="pause", target="r1", for_s=2.0), [4.0]),
        (Fault(at_s=3.0, action="pause", target="r1", for_s=2.0), [2.0]),
        (Fault(at_s=1.0, action="kill", target="r1"), [math.inf]),
    ],
)
def test_what_a_fault_does_to_the_only_slot(fault, expected):
    assert floor_s([0.0], [2.0], ONE, [fault]).tolist() == pytest.approx(expected)


def test_a_fault_is_foreseen():
    fault = Fault(at_s=0.5, action="kill", target="r1", for_s=10.0)
    assert floor_s([0.0], [1.0], TWO, [fault]).tolist() == [2.0]


def test_a_fault_that_the_floor_does_not_know_is_refused():
    with pytest.raises(ValueError, match="latency"):
        floor_s([0.0], [1.0], ONE, [Fault(at_s=0.5, action="latency", target="r1")])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "most"),
    [("gray failure", 1.3), ("hang", 1.15), ("blackhole", 1.15), ("kill", 1.15), ("speeds 1, 1, 0.5, 0.25", 1.15)],
)
def test_adaptive_stays_near_the_floor_under_every_fault(name, most):
    runs = [measured("adaptive", CASES[name], seed) for seed in range(1, 21)]
    assert sum(run.lost for run in runs) == 0
    assert 1 < geometric_mean([run.p99_s / run.floor_p99_s for run in runs]) <= most


@pytest.mark.slow
def test_adaptive_costs_nothing_where_nothing_is_wrong():
    runs = [[measured(name, CASES["steady"], seed) for seed in range(1, 11)] for name in ("adaptive", "least_request")]
    p50 = [geometric_mean([run.p50_s for run in each]) for each in runs]
    assert p50[0] <= 1.03 * p50[1]


def test_the_table_has_a_row_a_policy(capsys):
    assert policy_table.main(["--seeds", "1", "--policy", "adaptive"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.count("|") for line in lines[2:]] == [len(CASES) + 2] * 3 and lines[-1].startswith("| `adaptive` |")
