"""Rates that are made of others, flash crowds and noise: their integrals, and the mean and dispersion of their counts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from scipy import integrate, stats

from experiments.plan import store
from experiments.plan.arrivals.noise import Noise
from experiments.plan.config import ConfigError
from experiments.plan.inputs import inputs_of
from experiments.plan.profiles.composed import Composed, Part
from experiments.plan.profiles.flash_crowd import FlashCrowd
from experiments.plan.resolve import resolve
from experiments.plan.schedule import build_schedule
from experiments.plan.workload import WorkloadSettings
from tests.experiments.traced import TRACES
from tests.running import ROOT


def composed(*parts, rate_rps=100.0, duration_s=40.0):
    settings: Any = WorkloadSettings(profile="composed", rate_rps=rate_rps, duration_s=duration_s)
    settings.composed = Composed([part if isinstance(part, Part) else Part(*part) for part in parts])
    settings.validate()
    return settings


def between(settings, *moments):
    """Mean rates between moments."""
    knots, counts = settings.knots()
    assert (np.diff(knots) >= 0).all() and (np.diff(counts) >= 0).all() and knots[0] == 0 == counts[0]
    assert knots[-1] == settings.duration_s
    return np.diff(np.interp(moments, knots, counts)) / np.diff(moments)


# -- flash crowds


@pytest.mark.parametrize("crowd", [FlashCrowd(), FlashCrowd(at=0.9, rise_s=30), FlashCrowd(at=0.0, rise_s=0, decay_s=2)])
def test_a_flash_crowd_has_the_integral_of_its_rate(crowd):
    rate_rps, duration_s = 20.0, 100.0
    begin, top = crowd.at * duration_s, crowd.at * duration_s + crowd.rise_s

    def rate(t):
        if t < begin:
            return rate_rps
        if t < top:
            return rate_rps * (1 + (crowd.factor - 1) * (t - begin) / crowd.rise_s)
        return rate_rps * (1 + (crowd.factor - 1) * np.exp(-(t - top) / crowd.decay_s))

    knots, counts = crowd.knots(rate_rps, duration_s)
    for until in (begin, min(top, duration_s), 0.5 * duration_s, duration_s):
        expected, _ = integrate.quad(rate, 0, until, points=[p for p in (begin, top) if 0 < p < until] or None, limit=200)
        assert np.interp(until, knots, counts) == pytest.approx(expected, rel=1e-6)
    assert (np.diff(counts) / np.diff(knots)).max() <= rate_rps * crowd.peak() * (1 + 1e-9)


def test_a_flash_crowd_is_at_its_height_after_its_rise_and_at_an_e_th_of_it_after_its_decay():
    settings: Any = WorkloadSettings(profile="flash_crowd", rate_rps=100.0, duration_s=100.0)
    settings.validate()
    assert between(settings, 20, 24, 27.9, 28.1) == pytest.approx([100, 250, 495], rel=0.2)
    assert between(settings, 27.99, 28.01)[0] == pytest.approx(500, rel=0.01)
    assert between(settings, 37.99, 38.01)[0] == pytest.approx(100 * (1 + 4 / np.e), rel=0.01)
    assert settings.peak_rps() == 500


# -- parts


def test_a_product_has_the_integral_of_the_product():
    """A season on a trend: of one whole day the cosine takes nothing away, R d (s + e) / 2."""
    season, trend = Part("diurnal", {"amplitude": 0.5}), Part("ramp", {"start_factor": 0.5, "end_factor": 2})
    settings = composed(season, trend)
    assert settings.expected_requests() == pytest.approx(100 * 40 * 1.25, rel=1e-6)
    assert between(settings, 19.9, 20.1)[0] == pytest.approx(100 * 1.5 * 1.25, rel=1e-3)


def test_a_sum_has_the_sum_of_the_rates_and_level_is_a_factor_on_one_part():
    settings = composed(
        Part("step", {"at": 0.5, "factor": 2}), Part("spike", {"at": 0.75, "lasts": 0.25}, join="add", level=0.5)
    )
    assert between(settings, 0, 20, 30, 40) == pytest.approx([150, 250, 350])
    assert settings.peak_rps() == pytest.approx(350) and settings.expected_requests() == pytest.approx(9000)


def test_parts_are_joined_from_the_first_to_the_last():
    half = Part("constant", level=0.5, join="multiply")
    assert between(composed(Part(), Part(join="add"), half), 0, 40) == pytest.approx([100])
    assert between(composed(Part(), half, Part(join="add")), 0, 40) == pytest.approx([150])


def test_one_after_another_each_is_stretched_over_its_piece():
    settings = composed(
        Part("ramp", {"start_factor": 0, "end_factor": 1}, lasts=3),
        Part(level=2, join="then"),
        Part("step", {"factor": 0}, join="multiply"),
    )
    assert between(settings, 0, 15, 30, 35, 40) == pytest.approx([25, 75, 200, 0], rel=1e-3)
    assert settings.peak_rps() == pytest.approx(200)
    times = build_schedule(settings, 1)["scheduled_s"]
    assert times.max() <= 35


@pytest.mark.parametrize("seed", range(3))
def test_a_season_a_trend_a_burst_and_noise_have_the_mean_and_the_dispersion_of_their_counts(seed):
    """DLIM's four: of a span of expectation m the variance is m + m^2 cv^2, whatever the profile."""
    season, trend = Part("diurnal", {"periods": 4}), Part("ramp")
    settings = composed(season, trend, Part("flash_crowd", {"decay_s": 300.0}, join="add", level=0.1), duration_s=8000.0)
    settings.arrivals, settings.noise = "noise", Noise(cv=0.3, every_s=2.0)
    times = settings.process().times(settings.knots(), np.random.default_rng(seed))
    spans = np.arange(0, 8001, 2.0)
    expected = np.diff(np.interp(spans, *settings.knots()))
    counts = np.histogram(times, spans)[0]
    assert len(times) == pytest.approx(expected.sum(), rel=4 * 0.3 / np.sqrt(len(expected)))
    standard = (counts - expected) ** 2 / (expected + 0.09 * expected**2)
    assert standard.mean() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([], r"parts=\[\]: must have one at least"),
        ([Part("composed")], r"parts\[0\]\.profile=composed: must be another one"),
        ([Part("sine")], r"parts\[0\]\.parameters: workload\.profile=sine: there is no sine\.py"),
        ([Part(), Part("ramp", {"end": 2})], r"parts\[1\]\.parameters: .*ramp takes start_factor, end_factor"),
        ([Part("spike", {"factor": "much"})], r"parts\[0\]\.parameters: .*factor=much: must be a number"),
        ([Part("spike", {"factor": 101})], r"parts\[0\]\.parameters: factor=101: must be between 0 and 100"),
        ([Part("spike", {"at": 0.75})], r"parts\[0\]\.parameters: lasts=0\.3: must be at most 1 - at = 0\.25"),
        ([Part("file", {"path": "/nowhere"})], r"path=/nowhere: there is no such file"),
        ([Part("file", {"path": "/nowhere", "every_s": "x"})], r"parts\[0\]\.parameters: "),
        ([Part(), Part(join="minus")], r"parts\[1\]\.join=minus: must be one of add, multiply, then"),
        ([Part(level=-1)], r"parts\[0\]\.level=-1: must be between 0 and 1000"),
        ([Part(lasts=0)], r"parts\[0\]\.lasts=0: must be above 0"),
        ([Part(), Part("ramp", lasts=2)], r"parts\[1\]\.lasts=2: must be of the first part, or of one with join=then"),
    ],
)
def test_parts_that_make_no_sense_are_refused_by_key_in_one_line(parts, words):
    with pytest.raises(ValueError, match=words) as told:
        composed(*parts)
    assert str(told.value).startswith("workload.composed.parts") and "\n" not in str(told.value)


# -- noise


@pytest.mark.parametrize(("cv", "every_s"), [(0.3, 1.0), (1.0, 0.5)])
def test_counts_of_noise_are_negative_binomial(cv, every_s):
    """A Poisson number with a gamma mean: Greenwood and Yule, 1920."""
    settings: Any = WorkloadSettings(arrivals="noise", rate_rps=20.0, duration_s=4000 * every_s)
    settings.noise = Noise(cv, every_s)
    times = settings.process().times(settings.knots(), np.random.default_rng(5))
    counts = np.bincount((times / every_s).astype(int), minlength=4000)
    size, mean = cv**-2, 20.0 * every_s
    law = stats.nbinom(size, size / (size + mean))
    edges = np.unique(law.ppf(np.linspace(0.05, 0.95, 19)))
    seen = np.bincount(np.searchsorted(edges, counts), minlength=len(edges) + 1)
    expected = np.diff(np.concatenate([[0.0], law.cdf(edges), [1.0]])) * 4000
    assert stats.chisquare(seen, expected).pvalue > 1e-3
    long = np.add.reduceat(counts, np.arange(0, 4000, 20))
    assert settings.process().dispersion(20.0) == pytest.approx(1 + mean * cv**2)
    assert long.var() / long.mean() == pytest.approx(1 + mean * cv**2, rel=0.4)


def test_noise_of_zero_is_poisson():
    settings: Any = WorkloadSettings(arrivals="noise", rate_rps=50.0, duration_s=1000.0)
    settings.noise = Noise(cv=0.0)
    gaps = np.diff(settings.process().times(settings.knots(), np.random.default_rng(1)))
    assert stats.kstest(gaps, "expon", args=(0, 1 / 50)).pvalue > 1e-3


# -- files


def planned(*overrides):
    store.register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return resolve(compose("config", overrides=["+scenario=autoscale", "engine=sim", *overrides]))


def test_a_file_among_the_parts_is_one_of_the_inputs_of_the_run(tmp_path, monkeypatch):
    (tmp_path / "rates.txt").write_text("1\n3\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    parts = "workload.composed.parts=[{profile: file, parameters: {path: rates.txt}}, {profile: ramp}]"
    plan = planned("workload=composed", parts)
    (about,) = inputs_of(plan.config)
    assert about["key"] == "workload.composed.parts[0].parameters.path"
    assert about["file"] == str(tmp_path / "rates.txt")
    assert plan.resolved["workload"]["composed"]["parts"][0]["parameters"]["path"] == about["file"]
    with pytest.raises(ConfigError, match=r"workload\.composed\.parts\[0\]\.parameters: path=.*there is no such file"):
        planned("workload=composed", parts.replace("rates", "nothing"))


@pytest.mark.skipif(not TRACES, reason="AEGIS_TRACES names no folder with the public traces")
@pytest.mark.parametrize("name", ["bursty", "diurnal", "diurnal-2", "noisy"])
@pytest.mark.parametrize("height", [0.1, 1.0])
def test_a_public_curve_scaled_in_height_and_time_keeps_its_burstiness(name, height):
    """Thinned to a share h, the counts of a number's span have the index of dispersion 1 + h (I - 1): Cox's process."""
    path = Path(TRACES) / f"{name}.txt"
    numbers = np.loadtxt(path)
    settings: Any = WorkloadSettings(profile="file", rate_rps=2 * height, duration_s=1800.0)
    settings.file.path, settings.file.level, settings.file.every_s = str(path), "own", 0.5
    times = build_schedule(settings, 3)["scheduled_s"].to_numpy()
    counts = np.histogram(times, np.arange(0, 1800.5, 0.5))[0]
    means = numbers * height
    dispersion = 1 + means.var() / means.mean()
    assert counts.mean() == pytest.approx(means.mean(), rel=5 / np.sqrt(means.sum()))
    assert counts.var() / counts.mean() == pytest.approx(dispersion, rel=0.1)
