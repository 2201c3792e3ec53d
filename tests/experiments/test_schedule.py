"""The schedule: repeatable, independent by column, and with the statistics that it claims."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from experiments.plan.schedule import build_schedule, rate_knots
from experiments.plan.workload import PROFILES, DemandSettings, SpikeSettings, StepSettings, WorkloadSettings
from record.schedule_hash import schedule_hash


def workload(**changes):
    return WorkloadSettings(**{"rate_rps": 100.0, "duration_s": 100.0, **changes})


def built(seed=1, **changes):
    return build_schedule(workload(**changes), seed)


def test_equal_settings_and_seed_give_equal_values_and_another_seed_does_not():
    assert schedule_hash(built(1)) == schedule_hash(built(1)) != schedule_hash(built(2))


def test_a_seed_has_the_schedule_that_it_always_had():
    stored = "5638631d132df040a7bc63b42f3323a136e747614069029b68583db0124d2012"  # of a manifest of schema 1
    assert schedule_hash(built(1, duration_s=10.0)) == stored


def test_the_hash_is_of_values_and_notices_each_of_them():
    base = built(duration_s=10.0)
    hashes = {schedule_hash(base)}
    for column, value in (("scheduled_s", 0.000001), ("demand_s", 0.5), ("key", "other"), ("request_id", -1)):
        changed = base.copy()
        changed.loc[3, column] = value
        hashes.add(schedule_hash(changed))
    assert len(hashes) == 5


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("arrivals", ["poisson", "uniform"])
def test_every_profile_has_the_number_and_the_course_of_arrivals_that_it_promises(profile, arrivals):
    settings = workload(profile=profile, arrivals=arrivals, rate_rps=500.0)
    schedule = build_schedule(settings, 3)
    times = schedule["scheduled_s"].to_numpy()
    knots, counts = rate_knots(settings)
    assert (np.diff(times) >= 0).all() and times[0] >= 0 and times[-1] < settings.duration_s
    assert schedule["request_id"].tolist() == list(range(len(schedule)))
    # In a unit-rate clock the arrivals are uniform, whatever the profile.
    unit = np.interp(times, knots, counts) / counts[-1]
    if arrivals == "uniform":
        assert len(times) == int(counts[-1])
        assert np.allclose(unit * counts[-1], np.arange(len(times)) + 0.5, atol=0.01)
    else:
        assert len(times) == pytest.approx(counts[-1], abs=5 * np.sqrt(counts[-1]))
        assert stats.kstest(unit, "uniform").pvalue > 1e-4


def test_poisson_gaps_are_exponential():
    gaps = np.diff(built(rate_rps=1000.0)["scheduled_s"].to_numpy())
    assert stats.kstest(gaps, "expon", args=(0, 1e-3)).pvalue > 1e-4


@pytest.mark.parametrize(
    ("profile", "times", "rates"),
    [
        ("constant", (10, 90), (100, 100)),
        ("step", (10, 90), (100, 200)),
        ("spike", (10, 40, 90), (100, 300, 100)),
        ("ramp", (0, 50, 100), (50, 100, 150)),
        ("diurnal", (0, 50, 100), (40, 160, 40)),
    ],
)
def test_the_rate_at_a_moment_is_the_profiles(profile, times, rates):
    knots, counts = rate_knots(workload(profile=profile))
    for moment, rate in zip(times, rates, strict=True):
        low, high = max(0.0, moment - 0.1), min(100.0, moment + 0.1)
        assert np.diff(np.interp([low, high], knots, counts))[0] / (high - low) == pytest.approx(rate, rel=0.02)


@pytest.mark.parametrize("arrivals", ["poisson", "uniform"])
def test_where_the_rate_is_zero_nothing_arrives_and_afterwards_it_goes_on(arrivals):
    silent = built(profile="spike", arrivals=arrivals, spike=SpikeSettings(at=0.25, lasts=0.5, factor=0.0))
    times = silent["scheduled_s"]
    assert not times.between(25.0 + 1e-6, 75.0 - 1e-6).any()
    assert ((times > 75) & (times < 80)).sum() == pytest.approx(500, rel=0.25)
    ends = built(profile="step", arrivals=arrivals, step=StepSettings(at=0.5, factor=0.0))
    assert ends["scheduled_s"].max() <= 50.0


@pytest.mark.parametrize(("distribution", "cv"), [("exponential", 1.0), ("lognormal", 1.311), ("constant", 0.0)])
def test_demand_has_the_mean_and_the_spread_of_its_distribution(distribution, cv):
    demand = built(rate_rps=2000.0, demand=DemandSettings(mean_ms=50, distribution=distribution))["demand_s"]
    assert demand.mean() == pytest.approx(0.05, rel=0.03)
    assert demand.std() / demand.mean() == pytest.approx(cv, abs=0.06)


def test_changing_one_thing_leaves_the_other_draws_as_they_were():
    base, other = built(), built(demand=DemandSettings(distribution="lognormal"))
    assert (base["scheduled_s"] == other["scheduled_s"]).all() and (base["key"] == other["key"]).all()
    slower = built(demand=DemandSettings(mean_ms=100))
    assert np.allclose(slower["demand_s"], 2 * base["demand_s"], atol=2e-6)
    denser = built(rate_rps=200.0)
    size = len(base)
    assert (denser["demand_s"][:size] == base["demand_s"]).all()
    assert np.allclose(denser["scheduled_s"][:size] * 2, base["scheduled_s"], atol=3e-6)  # the same unit process


def test_a_run_without_requests_is_refused_with_the_keys_to_change():
    with pytest.raises(ValueError, match=r"raise workload\.rate_rps or workload\.duration_s"):
        built(rate_rps=0.01, duration_s=1.0)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PROFILES), st.floats(0, 1), st.floats(0, 5), st.integers(0, 2**63 - 1))
def test_no_profile_leaves_the_run_or_goes_back_in_time(profile, at, factor, seed):
    base = workload(profile=profile, duration_s=10.0)
    chosen = replace(base, step=StepSettings(at, factor), spike=SpikeSettings(at, (1 - at) / 2, factor))
    try:
        times = build_schedule(chosen, seed)["scheduled_s"].to_numpy()
    except ValueError:
        assert rate_knots(chosen)[1][-1] < 30  # nothing falls into it only where hardly anything is asked
        return
    assert (np.diff(times) >= 0).all() and times[0] >= 0 and times[-1] <= 10.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rate_rps": 0.0}, "workload.rate_rps=0: must be between"),
        ({"rate_rps": float("nan")}, "workload.rate_rps=nan"),
        ({"profile": "sine"}, "workload.profile=sine: must be one of constant, step"),
        ({"arrivals": "bursty"}, "workload.arrivals=bursty: must be one of poisson, uniform"),
        ({"warmup_s": 100.0}, "workload.warmup_s=100: must be below workload.duration_s=100"),
        ({"demand": DemandSettings(distribution="pareto")}, "workload.demand.distribution=pareto"),
    ],
)
def test_a_workload_that_makes_no_sense_is_refused_by_key(changes, words):
    with pytest.raises(ValueError, match=words):
        workload(**changes).validate()
