"""The schedule: repeatable, independent by column, and with the statistics that it claims."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from experiments.plan.profiles import PROFILES
from experiments.plan.profiles.spike import Spike
from experiments.plan.profiles.step import Step
from experiments.plan.schedule import build_schedule
from experiments.plan.workload import DemandSettings, WorkloadSettings
from record.schedule_hash import schedule_hash

PROFILED = [name for name in PROFILES.files() if name != "file"]
"""A curve from a file: test_demands.py."""


def workload(**changes):
    return WorkloadSettings(**{"rate_rps": 100.0, "duration_s": 100.0, **changes})


def built(seed=1, **changes):
    return build_schedule(workload(**changes), seed)


def test_equal_settings_and_seed_give_equal_values_and_another_seed_does_not():
    assert schedule_hash(built(1)) == schedule_hash(built(1)) != schedule_hash(built(2))


def test_a_seed_has_the_schedule_that_it_always_had():
    stored = "5638631d132df040a7bc63b42f3323a136e747614069029b68583db0124d2012"  # of a manifest of schema 1
    assert schedule_hash(built(1, duration_s=10.0)) == stored

AS_BEFORE = [
    ("constant", {"arrivals": "poisson"}, {}, 1, "886f93ac4121eaccdde0840503792b417230396e5b6582db47c4168c61a60739", 80.0),
    ("constant", {"arrivals": "poisson"}, {}, 7, "8d62627a764a9114d1927b94125fcc30d753d022abe102d068b031fd06a3048f", 80.0),
    ("constant", {"arrivals": "uniform"}, {}, 1, "3588b08839700ab722bb306c4151673d8b6cbc895de70fc2d2f1bb3fd9ba5149", 80.0),
    ("constant", {"arrivals": "uniform"}, {}, 7, "7eafa3873f67ea9d5e92be76daca31b153c769651b6332df4c8662c8aabd48d3", 80.0),
    ("step", {"arrivals": "poisson"}, {}, 1, "4b0594e483360f3759b5dc6f426759286f8a9a5c8202237f22c40d9c95280d6b", 160.0),
    ("step", {"arrivals": "poisson"}, {}, 7, "dc3b41d4e898f7d96b5b986f1ee5582e0de2f2da44b546a8394205a098be13ae", 160.0),
    ("step", {"arrivals": "uniform"}, {}, 1, "55d2d651059f9eb0df88832af81f28c0e382190f9364057c2b130bb090813fa2", 160.0),
    ("step", {"arrivals": "uniform"}, {}, 7, "229dbb57026105fc4d2207a96722befa36dfb9ff24393fbd29fd67545c595582", 160.0),
    ("ramp", {"arrivals": "poisson"}, {}, 1, "22bbf0e2d3a9a42d815ab07a6e523bbf147379465c9f0c3d44ef1b34971a9111", 120.0),
    ("ramp", {"arrivals": "poisson"}, {}, 7, "8fbf38eec707af5a69c1c688481fe2e33dfa18273a4bdb0e82d8ec5f4fc1d587", 120.0),
    ("ramp", {"arrivals": "uniform"}, {}, 1, "66fb4681cbd2d4dbfb182e96031b90ccf318dd0b217aeadcba34fc094e5c1ac5", 120.0),
    ("ramp", {"arrivals": "uniform"}, {}, 7, "c48ae21a9799b27dc88397c3960aed86ad9071543b0d6f274bb9b34ee752a181", 120.0),
    ("spike", {"arrivals": "poisson"}, {}, 1, "0a5a5156230b5e74a6dd0390449a4a1af83b7a06c610a31cb66be5363df135b3", 240.0),
    ("spike", {"arrivals": "poisson"}, {}, 7, "453aa6fe08553e5f6dc2be7894b71fe8f707591777ac1493e875862bc267eb7a", 240.0),
    ("spike", {"arrivals": "uniform"}, {}, 1, "8686fc0f7b9fba3fed1ff46f2ddfe32ec2d3e895e1765289f40ac37e17ce5eb5", 240.0),
    ("spike", {"arrivals": "uniform"}, {}, 7, "e092d19332b74cb0949c80fe641ac8d36b54c1413d22354bc1f5baa9961940a8", 240.0),
    ("diurnal", {"arrivals": "poisson"}, {}, 1, "54214f9f59bad07af407e37ec0d2b9c608f8bd53da2f7c11847eb28190125831", 128.0),
    ("diurnal", {"arrivals": "poisson"}, {}, 7, "4eeb15db25085beba0bef815f8f6c75c9fac47987827b14e6169318da86b14d7", 128.0),
    ("diurnal", {"arrivals": "uniform"}, {}, 1, "e20558d1ca6ea0cabe8c74b21db667bfbf97cc7885bcfac3015d05deefa031b6", 128.0),
    ("diurnal", {"arrivals": "uniform"}, {}, 7, "fcf2c27b8a22c35a0d73216c684bcdf0202065468f156c88c1d8d360be213517", 128.0),
    ("step", {"rate_rps": 33.3, "duration_s": 41.7}, {"at": 0.3, "factor": 0.0}, 3, "d841ad51525f1142839c8e6a4e39040b08e25bc444167ce038aa79c8a8418751", 33.3),
    ("ramp", {"rate_rps": 33.3, "duration_s": 41.7}, {"start_factor": 2.5, "end_factor": 0.1}, 3, "a3156c3c3cbd47d043bc18ab32f6f2678f681be86d021c42d9d7ce3bc2ca4118", 83.25),
    ("spike", {"rate_rps": 33.3, "duration_s": 41.7}, {"at": 0.2, "lasts": 0.25, "factor": 7.1}, 3, "2029bbf1138b5535ec98abd97896247a66724c2340ae628f05ff61fdeb676054", 236.42999999999998),
    ("spike", {"rate_rps": 33.3, "duration_s": 41.7}, {"at": 0.0, "lasts": 1.0, "factor": 0.5}, 3, "57d787461ab90183a6398d8f722b3c52834b0f5f25cecdbd2ff1a4357f339fe7", 33.3),
    ("diurnal", {"rate_rps": 33.3, "duration_s": 41.7}, {"periods": 2.5, "amplitude": 0.9}, 3, "63ba8fec8954230b92874361cce8591fdb1f5d7e9aabf812edf56d316ced7376", 63.26999999999999),
]
"""Profile, settings, parameters, seed; the schedule's hash and its highest rate before a profile had its own file."""


@pytest.mark.parametrize(("profile", "settings", "parameters", "seed", "stored", "peak_rps"), AS_BEFORE)
def test_every_profile_has_the_schedules_that_it_always_had(profile, settings, parameters, seed, stored, peak_rps):
    chosen = WorkloadSettings(profile=profile, **settings)
    for name, value in parameters.items():
        setattr(getattr(chosen, profile), name, value)
    assert schedule_hash(build_schedule(chosen, seed)) == stored
    assert chosen.peak_rps() == peak_rps



def test_the_hash_is_of_values_and_notices_each_of_them():
    base = built(duration_s=10.0)
    hashes = {schedule_hash(base)}
    for column, value in (("scheduled_s", 0.000001), ("demand_s", 0.5), ("key", "other"), ("request_id", -1)):
        changed = base.copy()
        changed.loc[3, column] = value
        hashes.add(schedule_hash(changed))
    assert len(hashes) == 5


@pytest.mark.parametrize("profile", PROFILED)
@pytest.mark.parametrize("arrivals", ["poisson", "uniform"])
def test_every_profile_has_the_number_and_the_course_of_arrivals_that_it_promises(profile, arrivals):
    settings = workload(profile=profile, arrivals=arrivals, rate_rps=500.0)
    schedule = build_schedule(settings, 3)
    times = schedule["scheduled_s"].to_numpy()
    knots, counts = settings.knots()
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
    knots, counts = workload(profile=profile).knots()
    for moment, rate in zip(times, rates, strict=True):
        low, high = max(0.0, moment - 0.1), min(100.0, moment + 0.1)
        assert np.diff(np.interp([low, high], knots, counts))[0] / (high - low) == pytest.approx(rate, rel=0.02)


@pytest.mark.parametrize("arrivals", ["poisson", "uniform"])
def test_where_the_rate_is_zero_nothing_arrives_and_afterwards_it_goes_on(arrivals):
    silent = built(profile="spike", arrivals=arrivals, spike=Spike(at=0.25, lasts=0.5, factor=0.0))
    times = silent["scheduled_s"]
    assert not times.between(25.0 + 1e-6, 75.0 - 1e-6).any()
    assert ((times > 75) & (times < 80)).sum() == pytest.approx(500, rel=0.25)
    ends = built(profile="step", arrivals=arrivals, step=Step(at=0.5, factor=0.0))
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
@given(st.sampled_from(PROFILED), st.floats(0, 1), st.floats(0, 5), st.integers(0, 2**63 - 1))
def test_no_profile_leaves_the_run_or_goes_back_in_time(profile, at, factor, seed):
    base = workload(profile=profile, duration_s=10.0)
    chosen = replace(base, step=Step(at, factor), spike=Spike(at, (1 - at) / 2, factor))
    try:
        times = build_schedule(chosen, seed)["scheduled_s"].to_numpy()
    except ValueError:
        assert chosen.knots()[1][-1] < 30  # nothing falls into it only where hardly anything is asked
        return
    assert (np.diff(times) >= 0).all() and times[0] >= 0 and times[-1] <= 10.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rate_rps": 0.0}, "workload.rate_rps=0: must be between"),
        ({"rate_rps": float("nan")}, "workload.rate_rps=nan"),
        ({"profile": "sine"}, "workload.profile=sine: .* there are composed, constant, diurnal"),
        ({"arrivals": "bursty"}, "workload.arrivals=bursty: there is no bursty.py .* there are gamma, hawkes"),
        ({"warmup_s": 100.0}, "workload.warmup_s=100: must be below workload.duration_s=100"),
        ({"demand": DemandSettings(distribution="weibull")}, "workload.demand.distribution=weibull: must be one of expon"),
        ({"spike": Spike(factor=101)}, "workload.spike.factor=101: must be between 0 and 100"),
        ({"profile": "spike", "spike": Spike(at=0.5, lasts=0.6)}, r"workload.spike.lasts=0.6: must be at most 1 - at = 0\.5"),
    ],
)
def test_a_workload_that_makes_no_sense_is_refused_by_key(changes, words):
    with pytest.raises(ValueError, match=words):
        workload(**changes).validate()
