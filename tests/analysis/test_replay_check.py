"""Whether a replay agrees: how often the check errs, what it finds, and what it says where it cannot tell."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from analysis.comparison.compared import BY_KEY
from analysis.comparison.replay_check import cells, check
from analysis.comparison.statistics import paired, prediction_interval, prediction_p, same_rate_p
from analysis.comparison.verdicts import Smallest

OFFERED = 1000


def metrics(latency=1.0, failed=0, detection=0.8, valid=True, offered=OFFERED, **changes):
    return {
        **dict.fromkeys(BY_KEY),
        "latency_p50_ms": 40.0 * latency,
        "latency_p90_ms": 110.0 * latency,
        "latency_p99_ms": 240.0 * latency,
        "latency_p999_ms": None,
        "latency_mean_ms": 55.0 * latency,
        "goodput_rps": (offered - failed) / 20,
        "error_rate": failed / offered,
        "failed_requests": failed,
        "offered_requests": offered,
        "served_share": 1 - failed / offered,
        "detection_s": detection,
        "recovery_s": None,
        "slo_violation_s": 0.0,
        "replica_seconds": 80.0,
        "valid": valid,
        "invalid_reasons": [] if valid else ["requests left 40.0 ms late"],
        **changes,
    }


def drawn(rng, mean_failed, burst):
    """A run as repeats vary: latencies together and each alone, detection by a third, failures in bursts."""
    together = rng.normal(0, 0.01)
    latencies = {
        key: value * math.exp(together + rng.normal(0, spread))
        for (key, value), spread in zip(
            [(k, v) for k, v in metrics().items() if k.startswith("latency") and v],
            (0.006, 0.01, 0.03, 0.005),
            strict=True,
        )
    }
    expected = mean_failed * (rng.gamma(1 / burst) * burst if burst else 1.0)
    seconds = 80 + rng.normal(0, 0.001)
    return metrics(
        failed=min(OFFERED, int(rng.poisson(expected))), detection=0.8 * math.exp(rng.normal(0, 0.3)),
        replica_seconds=seconds, **latencies,
    )  # fmt: skip


def verdict(old, repeats):
    return check(old, repeats, "latency_p99_ms", Smallest(0.05, 0.001, 1.0, 1.0))


def of(found, key):
    return next(row for row in found.rows if row.metric == key)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "mean_failed", "burst"),
    [(3, 0.0, 0), (3, 0.7, 0), (3, 40.0, 0), (3, 5.0, 1.0), (2, 5.0, 1.0), (6, 80.0, 0.3)],
)
def test_a_run_that_differs_in_nothing_is_rarely_said_to_differ(n, mean_failed, burst):
    rng = np.random.default_rng([n, int(10 * mean_failed)])
    trials = 300
    wrong = 0
    for _ in range(trials):
        old, *repeats = (drawn(rng, mean_failed, burst) for _ in range(n + 1))
        wrong += verdict(old, repeats).verdict == "differs"
    assert wrong / trials <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)


@pytest.mark.slow
def test_an_old_run_that_was_30_percent_slower_is_found_with_three_repeats():
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(200):
        old, *repeats = (drawn(rng, 0.7, 0) for _ in range(4))
        slower = {key: 1.3 * value for key, value in old.items() if key.startswith("latency") and value}
        found += verdict(old | slower, repeats).verdict == "differs"
    assert found > 180


def test_an_old_run_that_failed_many_requests_is_found_though_no_repeat_failed_any():
    found = verdict(metrics(failed=30), [metrics(), metrics(), metrics()])
    assert found.verdict == "differs"
    assert "failed requests (+3.00 percentage points)" in found.sentence
    assert of(found, "error_rate").low == 0.0
    assert 0.001 < of(found, "error_rate").high < 0.01


def test_one_failure_more_than_none_is_no_difference():
    assert verdict(metrics(failed=2), [metrics()] * 3).verdict == "agrees"
    assert verdict(metrics(), [metrics(failed=2), metrics(failed=1), metrics()]).verdict == "agrees"


def test_failures_that_come_in_bursts_are_held_against_the_bursts():
    bursts = [metrics(failed=10), metrics(failed=60), metrics(failed=25)]
    assert verdict(metrics(failed=90), bursts).verdict == "agrees"
    assert verdict(metrics(failed=700), bursts).verdict == "differs"


def test_the_interval_of_a_share_is_that_of_all_counts_tried_one_by_one():
    rng = np.random.default_rng(4)
    for mean_failed, burst in [(0.0, 0), (0.7, 0), (40.0, 0), (5.0, 1.0), (300.0, 0.3), (999.0, 0)]:
        old, *repeats = (drawn(rng, mean_failed, burst) for _ in range(4))
        row = of(verdict(old, repeats), "error_rate")
        shares = [each["error_rate"] for each in repeats]
        counts = np.arange(OFFERED + 1)
        sample = paired([math.asin(math.sqrt(share)) for share in shares])
        by_spread = prediction_p(sample, np.array([math.asin(math.sqrt(count / OFFERED)) for count in counts]))
        events = sum(round(share * OFFERED) for share in shares)
        ps = np.maximum(by_spread, same_rate_p(counts, OFFERED, events, 3 * OFFERED))
        inside = counts[ps > row.level] / OFFERED
        assert (row.low, row.high, row.p) == (inside[0], inside[-1], ps[round(old["error_rate"] * OFFERED)])


def test_a_difference_below_the_smallest_effect_is_agreement_however_narrow_the_interval():
    found = verdict(metrics(latency=1.04), [metrics()] * 3)
    assert found.verdict == "agrees"
    assert of(found, "latency_p99_ms").p == 0.0
    assert verdict(metrics(latency=1.06), [metrics()] * 3).verdict == "differs"


def test_agreement_says_what_would_not_have_shown():
    narrow = verdict(metrics(), [metrics(latency=x) for x in (0.999, 1.0, 1.001)])
    assert "latency p99 higher by 5 % would not have shown" in narrow.sentence
    wide = verdict(metrics(), [metrics(latency=x) for x in (0.9, 1.0, 1.1)])
    size = of(wide, "latency_p99_ms").high / of(wide, "latency_p99_ms").new_mean - 1
    assert size > 2 and f"latency p99 higher by {100 * size:.3g} % would not have shown" in wide.sentence
    one = verdict(metrics(), [metrics()]).sentence
    assert one == "AGREES. 10 metrics lie within the smallest effect of one repeat, which shows no spread."


def test_one_repeat_decides_by_the_smallest_effect_alone_and_never_says_differs():
    assert verdict(metrics(latency=1.04), [metrics()]).verdict == "agrees"
    found = verdict(metrics(latency=2.0, failed=500), [metrics()])
    assert found.verdict == "not comparable"
    assert "no spread" in found.sentence and "latency p99 (x 2.000)" in found.sentence
    assert {row.verdict for row in found.rows} == {"no interval", "agrees"}
    assert all(row.low is None and row.high is None for row in found.rows)
    assert cells(of(found, "latency_p99_ms"))[3] == "-"


def test_invalid_runs_do_not_enter_and_are_said():
    bad = metrics(latency=3.0, valid=False)
    assert (
        verdict(bad, [metrics()] * 3).sentence
        == "NOT COMPARABLE. The old run is not valid: requests left 40.0 ms late."
    )
    assert verdict(metrics(), [bad, bad]).verdict == "not comparable"
    assert verdict(metrics(), []).verdict == "not comparable"
    found = verdict(metrics(), [metrics(), bad, metrics()])
    assert found.verdict == "agrees" and "1 of 3 repeats not valid and left out" in found.sentence


def test_what_one_side_lacks_is_not_compared_and_said():
    found = verdict(metrics(detection=None), [metrics(), metrics()])
    assert (
        found.verdict == "agrees" and "not compared, since undefined or zero in one of the runs: detection" in found.sentence
    )
    none = verdict(metrics(detection=None), [metrics(detection=None)] * 2)
    assert "latency_p999_ms" not in [row.metric for row in none.rows]
    assert "detection" not in none.sentence


def test_a_metric_that_a_repeat_lacks_is_not_compared_over_the_others():
    """Its p99 lies among requests that were not served there: what is left is a selection."""
    repeats = [metrics(latency=x) for x in (0.999, 1.0)] + [metrics(latency_p99_ms=None)]
    found = verdict(metrics(latency_p99_ms=900.0), repeats)
    assert (of(found, "latency_p99_ms").verdict, of(found, "latency_p99_ms").n) == ("not compared", 2)
    assert "undefined or zero in one of the runs: latency p99" in found.sentence


def test_the_interval_is_that_of_one_further_value():
    values = [0.12, -0.03, 0.3, 0.08, 0.21]
    sample = paired(values)
    half = stats.t.ppf(0.975, 4) * np.std(values, ddof=1) * math.sqrt(1.2)
    assert prediction_interval(sample) == pytest.approx((np.mean(values) - half, np.mean(values) + half))
    ends = np.array(prediction_interval(sample, 0.01))
    assert prediction_p(sample, ends) == pytest.approx([0.01, 0.01])
    assert prediction_p(paired([1.0]), ends).tolist() == [1.0, 1.0]


def test_a_rate_is_held_against_the_others_as_the_binomial_test_does():
    counts = np.arange(6)
    reference = [min(1, 2 * min(stats.binom.cdf(k, k + 4, 0.25), stats.binom.sf(k - 1, k + 4, 0.25))) for k in counts]
    assert same_rate_p(counts, 1000, 4, 3000) == pytest.approx(reference)
    assert same_rate_p(np.array([0]), 1000, 0, 3000) == pytest.approx([1.0])


def test_what_is_written_is_json_without_nan():
    for repeats in ([metrics()], [metrics(), metrics(latency=1.01)]):
        json.dumps(verdict(metrics(latency=1.5), repeats).as_dict(), allow_nan=False)
