"""How many pairs of which length would decide: from a pilot, by figures that can be worked out by hand."""

import math

import pytest
from scipy import stats

from analysis.comparison.gathering import compare_runs, read_runs
from analysis.plan import LENGTHS, main, plans
from tests.analysis import synthetic

NAMES = {"policy": {"name": "round_robin"}}


def pilot(folder, ratios, **config):
    for seed, ratio in enumerate(ratios):
        for job, (latency, policy) in enumerate(((0.1, NAMES), (0.1 * ratio, {}))):
            about = synthetic.manifest(seed=seed, config=policy | config)
            synthetic.write(folder / str(2 * seed + job), synthetic.even_requests(latency_s=latency), about=about)
    return folder


def test_the_pairs_are_those_that_find_the_effect_with_probability_0_8(tmp_path):
    (comparison,) = compare_runs(read_runs([pilot(tmp_path, [0.9, 1.1, 0.95, 1.05])]))
    row = comparison.row("policy=peak_ewma", "latency_p99_ms")
    found = plans(row, 0.1, warmup_s=2.0, window_s=8.0, arms=2, overhead_s=10.0)
    assert row.system_needs_s is None
    assert [plan.duration_s for plan in found] == [2.0 + 8.0 * factor for factor in LENGTHS]
    sd = stats.tstd([math.log(ratio) for ratio in (0.9, 1.1, 0.95, 1.05)])
    for plan, factor in zip(found, LENGTHS, strict=True):
        n, error = plan.pairs, sd / math.sqrt(factor)
        quantiles = stats.t.ppf(0.975, n - 1) + stats.t.ppf(0.8, n - 1)
        assert quantiles * error / math.sqrt(n) <= math.log1p(0.1)
        assert plan.time_s == pytest.approx(n * 2 * (plan.duration_s + 10.0))
    fewer = found[0].pairs - 1
    assert (stats.t.ppf(0.975, fewer - 1) + stats.t.ppf(0.8, fewer - 1)) * sd / math.sqrt(fewer) > math.log1p(0.1)


def test_a_plan_is_printed_and_a_pilot_without_spread_is_refused_in_a_line(tmp_path, capsys):
    assert main([str(pilot(tmp_path / "two", [0.9, 1.1, 1.0])), "--effect", "0.1"]) == 0
    printed = capsys.readouterr().out
    assert "to find 10 % of latency p99 with probability 0.8" in printed and "workload.duration_s" in printed
    assert main([str(pilot(tmp_path / "one", [0.9]))]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path), "--effect", "-1"])
    assert main([str(tmp_path / "nothing")]) == 2
