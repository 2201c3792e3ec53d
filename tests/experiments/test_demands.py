"""Demands with a tail, observed ones, keys in Zipf's order, and curves of rates from a file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from experiments.plan.check import check
from experiments.plan.config import Config, ConfigError
from experiments.plan.demands import rare_share
from experiments.plan.profiles.file import File
from experiments.plan.replica_options import replica_options
from experiments.plan.schedule import build_schedule
from experiments.plan.workload import DemandSettings, RequestClass, WorkloadSettings
from record.schedule_hash import schedule_hash
from tests.experiments.test_arrivals import two_phases
from tests.experiments.test_config import planned
from tests.experiments.traced import TRACES


def demands(count=40_000, **demand):
    settings = WorkloadSettings(arrivals="uniform", rate_rps=1000.0, duration_s=count / 1000, demand=DemandSettings(**demand))
    return build_schedule(settings, 1)["demand_s"].to_numpy()


def bounded_pareto(alpha, spread, mean):
    """The cumulative distribution, from the mean by numerical integration."""
    x = np.geomspace(1, spread, 200_001)
    cdf = (1 - x**-alpha) / (1 - spread**-alpha)
    least = mean / np.trapezoid(x * np.gradient(cdf, x), x)
    return lambda v: (1 - np.clip(v / least, 1, spread) ** -alpha) / (1 - spread**-alpha)


@pytest.mark.parametrize("cv", [1.0, 2.0, 6.0])
def test_hyperexponential_demands_have_their_mean_variation_and_law(cv):
    found = demands(distribution="hyperexponential", mean_ms=1000, cv=cv)
    assert found.mean() == pytest.approx(1.0, rel=4 * cv / 200)
    assert found.std() / found.mean() == pytest.approx(cv, rel=0.12)
    assert stats.kstest(found, two_phases(cv)).pvalue > 1e-3


@pytest.mark.parametrize(("alpha", "spread"), [(1.1, 1e4), (1.0, 100.0), (1.5, 1000.0), (2.5, 50.0)])
def test_bounded_pareto_demands_have_their_mean_bounds_and_law(alpha, spread):
    found = demands(distribution="pareto", mean_ms=2000, alpha=alpha, spread=spread)
    assert stats.kstest(found, bounded_pareto(alpha, spread, 2.0)).pvalue > 1e-3
    assert found.max() / found.min() <= spread * (1 + 1e-3)
    assert found.mean() == pytest.approx(2.0, rel=5 * found.std() / found.mean() / 200)


def test_observed_demands_are_drawn_alike_and_brought_to_the_mean(tmp_path):
    file = tmp_path / "observed.txt"
    file.write_text("# ms\n3\n1\n\n1\r\n15\n")
    found = demands(distribution="empirical", mean_ms=100, file=str(file))
    values, counts = np.unique(found, return_counts=True)
    assert values.tolist() == [0.02, 0.06, 0.3]  # a mean of 5 becomes 100 ms
    assert stats.chisquare(counts, np.array([0.5, 0.25, 0.25]) * len(found)).pvalue > 1e-3


@pytest.mark.parametrize("distribution", ["hyperexponential", "pareto"])
def test_request_i_has_its_demand_whatever_the_number_of_requests_and_the_mean(distribution):
    few, many, slow = (demands(n, distribution=distribution, mean_ms=m) for n, m in ((500, 50), (900, 50), (500, 100)))
    assert (few == many[:500]).all() and np.allclose(slow, 2 * few, atol=2e-6)


def test_the_share_that_has_half_of_the_second_moment_is_that_of_the_law():
    # Of Pareto the integral of x^(1 - alpha) from 1 is halved at ((1 + spread^(2 - alpha)) / 2)^(1 / (2 - alpha)).
    alpha, spread = 1.5, 1000.0
    at = ((1 + spread ** (2 - alpha)) / 2) ** (1 / (2 - alpha))
    expected = (at**-alpha - spread**-alpha) / (1 - spread**-alpha)
    assert rare_share(DemandSettings(distribution="pareto", alpha=alpha, spread=spread)) == pytest.approx(expected, rel=0.03)
    assert rare_share(DemandSettings(distribution="lognormal")) == pytest.approx(stats.norm.sf(2.0))
    assert rare_share(DemandSettings(distribution="exponential")) == pytest.approx(stats.expon.sf(2.67406), rel=1e-3)
    assert rare_share(DemandSettings(distribution="hyperexponential", cv=1.0)) == pytest.approx(0.069, rel=0.03)


def test_what_no_replica_draws_does_not_go_with_noise_nor_with_a_second_tier():
    config = Config(policy={"name": "random"}, scaler={"name": "none"})
    config.workload.demand.distribution = "pareto"
    assert replica_options(config)["demand_distribution"] == "exponential"
    config.workload.demand.replica_noise = 0.5
    with pytest.raises(ConfigError, match=r"replica_noise=0\.5: must be 0 with workload\.demand\.distribution=pareto"):
        check(config)
    config.workload.demand = DemandSettings()
    config.tier.demand.distribution = "hyperexponential"
    with pytest.raises(ConfigError, match=r"tier\.demand\.distribution=hyperexponential: must be one of exponential"):
        check(config)


def test_keys_come_in_zipfs_order():
    settings = WorkloadSettings(rate_rps=1000.0, duration_s=50.0, keys=50, key_skew=1.2)
    found = build_schedule(settings, 1)["key"].str.removeprefix("k").astype(int)
    counts = np.bincount(found, minlength=50)
    shares = np.arange(1, 51) ** -1.2
    assert stats.chisquare(counts, shares / shares.sum() * len(found)).pvalue > 1e-3
    with pytest.raises(ValueError, match=r"workload\.keys=1000000000: must be at most 10,000,000"):
        WorkloadSettings(keys=1_000_000_000, key_skew=1.0).validate()


# -- curves of rates


def from_file(path, rate_rps=80.0, duration_s=30.0, **parameters):
    settings: Any = WorkloadSettings(profile="file", rate_rps=rate_rps, duration_s=duration_s)
    settings.file = File(path=str(path), **parameters)
    return settings


def curve(tmp_path, text="10\n0\n30\n20\n", **parameters):
    (tmp_path / "rates.txt").write_text(text)
    return from_file(tmp_path / "rates.txt", rate_rps=100.0, duration_s=40.0, **parameters)


@pytest.mark.parametrize(
    ("parameters", "rates", "peak"),
    [
        ({}, [10, 0, 30, 20], 200.0),
        ({"level": "peak"}, [10, 0, 30, 20], 100.0),
        ({"level": "own"}, [10, 0, 30, 20], 3000.0),
        ({"every_s": 5.0}, [10, 0, 30, 20, 10, 0, 30, 20], 200.0),
        ({"every_s": 16.0}, [10, 10, 0, 0, 30], 200.0),
        ({"begin": 2}, [30, 20], 120.0),
    ],
)
def test_a_curve_from_a_file_has_its_rates_in_its_spans(parameters, rates, peak, tmp_path):
    settings = curve(tmp_path, **parameters)
    settings.validate()
    knots, counts = settings.knots()
    spans = np.linspace(0, 40, len(rates) + 1)
    found = np.diff(np.interp(spans, knots, counts)) / np.diff(spans)
    level = {"peak": 30.0, "own": 1.0}.get(parameters.get("level"), np.mean([10, 0, 30, 20][parameters.get("begin", 0) :]))
    assert found == pytest.approx(np.array(rates) * 100 / level)
    assert settings.peak_rps() == pytest.approx(peak)


def test_a_curve_has_the_dispersion_that_is_chosen_around_it(tmp_path):
    rng = np.random.default_rng(1)
    settings = curve(tmp_path, "\n".join(map(str, rng.integers(0, 40, 200))))
    settings.duration_s, settings.arrivals, settings.gamma.cv = 4000.0, "gamma", 2.0
    times = build_schedule(settings, 1)["scheduled_s"].to_numpy()
    unit = np.interp(times, *settings.knots())
    counts = np.bincount((unit / 100).astype(int))[:-1]
    assert counts.var() / counts.mean() == pytest.approx(4.0, rel=0.12)


@pytest.mark.parametrize(
    ("text", "parameters", "words"),
    [
        ("", {}, "has no number above 0"),
        ("0\n0\n", {}, "has no number above 0"),
        ("1\n-2\n", {}, r"line 2 is -2: must be one number, 0 or more"),
        ("1\nnan\n", {}, "line 2 is nan"),
        ("1,2\n", {}, "line 1 is 1,2: must be one number"),
        ("1\n0\n", {"begin": 1}, r"workload\.file\.begin=1: must leave a number above 0"),
        ("1\n", {"level": "median"}, r"workload\.file\.level=median: must be one of mean, peak, own"),
    ],
)
def test_a_curve_that_is_none_is_refused_in_one_line(text, parameters, words, tmp_path):
    with pytest.raises(ValueError, match=words) as told:
        curve(tmp_path, text, **parameters).validate()
    assert "\n" not in str(told.value) and str(told.value).startswith("workload.file.")


def test_a_curve_without_a_file_is_told_to_name_one():
    with pytest.raises(ValueError, match=r"workload\.file\.path=: must be a file with one number a line"):
        WorkloadSettings(profile="file").validate()
    with pytest.raises(ValueError, match=r"workload\.file\.path=/nowhere: there is no such file"):
        from_file("/nowhere").validate()


@pytest.mark.skipif(not TRACES, reason="AEGIS_TRACES names no folder with the public traces")
@pytest.mark.parametrize("name", ["bursty", "diurnal", "diurnal-2", "noisy"])
def test_public_curves_keep_their_shape_at_another_height_and_length(name):
    path = Path(TRACES) / f"{name}.txt"
    numbers = np.loadtxt(path)
    settings = from_file(path, rate_rps=200.0, duration_s=360.0)
    times = build_schedule(settings, 1)["scheduled_s"].to_numpy()
    minutes = np.bincount((times / 6).astype(int), minlength=60)
    expected = numbers.reshape(60, 60).mean(axis=1) / numbers.mean() * 200 * 6
    assert stats.chisquare(minutes, expected / expected.sum() * minutes.sum()).pvalue > 1e-3


# -- classes


def of_classes(**changes):
    classes = [
        RequestClass("read", 9.0, DemandSettings(mean_ms=10)),
        RequestClass("", 1.0, DemandSettings(mean_ms=100, distribution="pareto"), "POST", 20_000),
    ]
    return WorkloadSettings(**{"rate_rps": 1000.0, "duration_s": 40.0, "classes": classes, **changes})


def test_classes_have_their_shares_demands_methods_and_bodies():
    settings = of_classes()
    settings.validate()
    found = build_schedule(settings, 1)
    is_read = found["class"] == "read"
    assert is_read.mean() == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / len(found))) and set(found["class"]) == {"read", "2"}
    assert stats.kstest(found["demand_s"][is_read], "expon", args=(0, 0.01)).pvalue > 1e-3
    assert stats.kstest(found["demand_s"][~is_read], bounded_pareto(1.5, 1000.0, 0.1)).pvalue > 1e-3
    assert ((found["method"] == "GET") == is_read).all() and (found["size"] == np.where(is_read, 0, 20_000)).all()
    assert settings.mean_demand_s() == pytest.approx(0.019)
    gap_less = np.corrcoef(is_read[1:], is_read[:-1])[0, 1]
    assert abs(gap_less) < 4 / np.sqrt(len(found))  # one after the other independently


def test_classes_leave_arrivals_and_keys_as_they_were_and_count_in_the_hash():
    plain, found = build_schedule(of_classes(classes=[]), 1), build_schedule(of_classes(), 1)
    assert (plain["scheduled_s"] == found["scheduled_s"]).all() and (plain["key"] == found["key"]).all()
    is_read = found["class"] == "read"
    assert np.allclose(found["demand_s"][is_read] * 5, plain["demand_s"][is_read], atol=5e-6)  # the same quantile of 50 ms
    renamed = of_classes()
    renamed.classes[0].name = "look"
    assert schedule_hash(build_schedule(renamed, 1)) != schedule_hash(found)


def test_the_utilisation_is_that_of_all_classes_together_and_a_tail_of_one_is_told():
    typed = "workload.classes=[{name: a, share: 3, demand: {mean_ms: 10}}, {demand: {mean_ms: 50, distribution: pareto}}]"
    plan = planned("+scenario=routed", typed, "workload.utilisation=0.5")
    assert plan.config.workload.rate_rps == pytest.approx(0.5 * 8 / 0.02)
    (said,) = plan.notes
    assert said.startswith("workload.classes[1].demand.distribution=pareto: short for such a tail")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["workload.classes=[{share: 0}]"], r"workload\.classes\[0\]\.share=0: must be above 0"),
        (["workload.classes=[{demand: {mean_ms: 0}}]"], r"workload\.classes\[0\]\.demand\.mean_ms=0: must be between"),
        (["workload.classes=[{method: PUT}]"], r"workload\.classes\[0\]\.method=PUT: must be one of GET, POST"),
        (["workload.classes=[{name: a}, {name: a}]"], r"workload\.classes\[0\]\.name=a: must be another one"),
        (["workload.classes=[{name: a}]", "workload.post_share=0.5"], r"post_share=0\.5: does not go with workload\.classes"),
        (["workload.classes=[{demand: {distribution: empirical}}]"], r"classes\[0\]\.demand\.file=: must be a file"),
    ],
)
def test_classes_that_make_no_sense_are_refused_by_key(typed, words):
    with pytest.raises(ConfigError, match=words):
        planned("+scenario=routed", *typed)
