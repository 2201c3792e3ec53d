"""How far `adaptive` stays from the floor under every fault, and what it costs where there is none."""

import os
import re
import subprocess
import sys

import pytest

from experiments import policy_table
from experiments.policy_table import CASES, geometric_mean, measured
from tests.running import ROOT


# Where speeds differ the floor gives short requests, which it alone can tell, to the slow replicas; what is left for others
# is in test_unequal_speeds.py.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "most"),
    [("gray failure", 1.3), ("hang", 1.15), ("blackhole", 1.15), ("kill", 1.15), ("speeds 1, 1, 0.5, 0.25", 1.25)],
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


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "most"), [("adaptive", 1.15), ("late_binding", 1.17)])
def test_who_is_told_the_true_speeds_is_nearer_the_floor(policy, most):
    """Told that a slow replica is slow, and then finding it out, a policy that counted both was at 1.3."""
    told = CASES["speeds 1, 1, 0.5, 0.25"]._replace(rate_rps=70.0, is_told=True)
    assert geometric_mean([run.p99_s / run.floor_p99_s for run in (measured(policy, told, s) for s in range(1, 11))]) < most


def test_the_table_has_a_row_a_policy(capsys):
    assert policy_table.main(["--seeds", "1", "--policy", "adaptive", "--told", "--rate", "80"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.count("|") for line in lines[2:]] == [len(CASES) + 2] * 3 and lines[-1].startswith("| `adaptive` |")


def test_a_policy_added_as_the_page_says_has_its_row_beside_another(tmp_path):
    page = (ROOT / "docs" / "development.md").read_text().partition("### Add a policy")[2]
    name, code, command = (
        re.search(pattern, page, re.S)[1]
        for pattern in (r"policies/(\w+)\.py", r"```python\n(.*?)```", r"```sh\n\S+ python (.*?)\n```")
    )
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / f"{name}.py").write_text(code, encoding="utf-8")
    arguments = command.replace("--seeds 2", "--seeds 1").split()
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "AEGIS_PLUGINS": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [line.split("`")[1] for line in done.stdout.splitlines() if line.startswith("| `")] == ["adaptive", name]
