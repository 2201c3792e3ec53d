"""Processes of arrivals: each has the mean, the dispersion of counts and the gaps that its formula says."""

import numpy as np
import pytest
from scipy import stats

from experiments.plan.arrivals import ARRIVALS
from experiments.plan.arrivals.gamma import Gamma
from experiments.plan.arrivals.hawkes import Hawkes
from experiments.plan.arrivals.hyperexponential import Hyperexponential
from experiments.plan.arrivals.mmpp import Mmpp
from experiments.plan.renewing import balanced
from experiments.plan.schedule import build_schedule
from experiments.plan.too_short import cautions
from experiments.plan.workload import DemandSettings, WorkloadSettings

IRREGULAR = ["gamma", "hyperexponential", "mmpp", "hawkes"]


def workload(arrivals, **changes):
    return WorkloadSettings(**{"arrivals": arrivals, "rate_rps": 50.0, "duration_s": 20_000.0, **changes})


def times(settings, seed=1):
    return settings.process().times(settings.knots(), np.random.default_rng(seed))


def dispersion(moments, span_s, end_s):
    counts = np.bincount((moments / span_s).astype(int), minlength=int(end_s / span_s))
    return counts.var() / counts.mean()


def of_mmpp(process, rate, span_s):
    """Fischer and Meier-Hellstern, 1993."""
    p, into, out = process.share, process.share / (process.burst_s * (1 - process.share)), 1 / process.burst_s
    low = rate / (p * process.factor + 1 - p)
    high, s = low * process.factor, into + out
    limit = 2 * into * out * (high - low) ** 2 / (s**2 * (low * out + high * into))
    return 1 + limit * (1 - (1 - np.exp(-s * span_s)) / (s * span_s))


def of_hawkes(process, span_s):
    """Da Fonseca and Zaatour, Journal of Futures Markets 34, 2014."""
    kappa, gamma = 1 / (1 - process.branching), (1 - process.branching) / process.decay_s
    return kappa**2 + (1 - kappa**2) * (1 - np.exp(-gamma * span_s)) / (gamma * span_s)


@pytest.mark.parametrize("name", ARRIVALS.files())
def test_every_process_is_repeatable_ascends_and_has_the_rate_of_the_profile(name):
    settings = workload(name, profile="ramp", rate_rps=20.0, duration_s=5000.0)
    settings.mmpp.burst_s = 0.5
    found = times(settings)
    assert (np.diff(found) >= 0).all() and found[0] >= 0 and found[-1] < 5000
    assert np.array_equal(found, times(settings)) and (name == "uniform" or not np.array_equal(found, times(settings, 2)))
    total = settings.knots()[1][-1]
    spread = np.sqrt(settings.process().dispersion(20.0) / total)
    assert len(found) == pytest.approx(total, rel=5 * spread + 1e-3)
    assert (found < 2500).sum() / len(found) == pytest.approx(0.375, abs=0.05)  # of a ramp from a half to one and a half
    scheduled = build_schedule(settings, 1)["scheduled_s"]
    assert scheduled.is_monotonic_increasing and scheduled.iloc[-1] <= 5000


@pytest.mark.parametrize(
    ("process", "by_span"),
    [
        (Gamma(cv=0.5), {20.0: 0.25}),
        (Gamma(cv=3.0), {50.0: 9.0}),
        (Hyperexponential(cv=4.0), {50.0: 16.0}),
        (Mmpp(factor=5.0, share=0.2, burst_s=0.5), {}),
        (Mmpp(factor=20.0, share=0.05, burst_s=0.2), {}),
        (Hawkes(branching=0.5, decay_s=0.2), {}),
        (Hawkes(branching=0.8, decay_s=0.1), {}),
    ],
)
def test_counts_have_the_index_of_dispersion_of_the_formula(process, by_span):
    settings = workload(process.name)
    setattr(settings, process.name, process)
    found = times(settings)
    for span_s in by_span or (0.2, 1.0, 20.0):
        expected = by_span.get(span_s) or (
            of_mmpp(process, 50.0, span_s) if process.name == "mmpp" else of_hawkes(process, span_s)
        )
        assert dispersion(found, span_s, 20_000) == pytest.approx(expected, rel=0.12)
    longest = max(by_span or (1e6,))
    limit = of_mmpp(process, 50.0, 1e6) if process.name == "mmpp" else process.dispersion(50.0)
    assert process.dispersion(50.0) == pytest.approx(limit, rel=1e-4)
    assert longest


@pytest.mark.parametrize("name", IRREGULAR)
def test_a_process_with_a_memory_begins_with_one(name):
    """Counts of the first second have mean and variance of any other's: nothing begins with a burst, or without one."""
    settings = workload(name, duration_s=10.0)
    settings.hawkes.decay_s = 2.0
    counts = np.array([np.bincount(times(settings, seed).astype(int), minlength=10) for seed in range(1500)])
    first, later = counts[:, 0], counts[:, 9]
    assert first.mean() == pytest.approx(50, abs=4 * first.std() / np.sqrt(1500))
    assert first.var() == pytest.approx(later.var(), rel=0.3)


def test_the_gaps_of_renewal_processes_have_their_distribution_also_under_a_profile():
    for process, law in (
        (Gamma(cv=1.5), stats.gamma(1 / 1.5**2, scale=1.5**2).cdf),  # with more, the shortest gaps are lost in the sum
        (Hyperexponential(cv=3.0), two_phases(3.0)),
    ):
        settings = workload(process.name, profile="diurnal", duration_s=1000.0)
        setattr(settings, process.name, process)
        knots, counts = settings.knots()
        unit = np.interp(times(settings), knots, counts)
        gaps = np.diff(unit)
        assert stats.kstest(gaps, law).pvalue > 1e-3
        assert gaps.std() / gaps.mean() == pytest.approx(process.cv, rel=0.06)


def two_phases(cv):
    p, short, long = balanced(cv)
    return lambda x: 1 - p * np.exp(-x / short) - (1 - p) * np.exp(-x / long)


def test_a_self_exciting_process_is_poisson_in_the_time_of_its_own_intensity():
    """The compensator's increments are exponential (Ogata, JASA 83, 1988)."""
    process = Hawkes(branching=0.7, decay_s=0.5)
    found = times(workload("hawkes", hawkes=process, duration_s=800.0, rate_rps=25.0))
    excited, increments = 0.0, []
    for gap in np.diff(found):
        faded = np.exp(-gap / process.decay_s)
        increments.append(25.0 * (1 - process.branching) * gap + process.branching * (excited + 1) * (1 - faded))
        excited = (excited + 1) * faded
    assert stats.kstest(increments[500:], "expon").pvalue > 1e-3


def test_poisson_is_gamma_and_two_phases_with_a_variation_of_one():
    for process in (Gamma(cv=1.0), Hyperexponential(cv=1.0)):
        settings = workload(process.name, duration_s=200.0)
        setattr(settings, process.name, process)
        assert stats.kstest(np.diff(times(settings)), "expon", args=(0, 1 / 50)).pvalue > 1e-3


def test_a_run_that_is_short_for_its_bursts_or_its_tail_is_told_so_with_the_length_that_would_do():
    short = workload("hyperexponential", rate_rps=80.0, duration_s=5.0)
    (said,) = cautions(short)
    assert "differs from seed to seed by 15%" in said and "workload.duration_s=11.2" in said  # 9 / 400, 9 / 900
    assert cautions(workload("hyperexponential", rate_rps=80.0, duration_s=12.0)) == []
    assert cautions(workload("poisson", duration_s=1.0)) == []
    heavy = workload("poisson", duration_s=30.0, demand=DemandSettings(distribution="pareto"))
    (said,) = cautions(heavy)
    assert "workload.demand.distribution=pareto" in said and "duration_s=1e+03" in said  # 2.0e-4 of 1,500 requests
    heavy.duration_s = 1100.0
    assert cautions(heavy) == []


def test_what_makes_no_sense_of_a_process_is_refused_by_key():
    for changes, words in (
        ({"arrivals": "bursty"}, "workload.arrivals=bursty: there is no bursty.py"),
        ({"gamma": Gamma(cv=99)}, "workload.gamma.cv=99: must be between"),
        ({"hawkes": Hawkes(branching=1.0)}, "workload.hawkes.branching=1: must be between 0 and 0.99"),
        ({"mmpp": Mmpp(share=1.0)}, "workload.mmpp.share=1: must be"),
    ):
        with pytest.raises(ValueError, match=words):
            workload(**{"arrivals": "poisson", **changes}).validate()


def test_a_past_that_fills_the_memory_is_refused_in_one_line():
    long = workload("hawkes", hawkes=Hawkes(branching=0.99, decay_s=3600.0), duration_s=30.0)
    with pytest.raises(ValueError, match=r"workload\.hawkes\.decay_s=3600: with branching=0\.99 .* lower either"):
        long.validate()
