"""What the load generator can do here, and what is made of it."""

import json

import pytest

from experiments import calibrate
from experiments.calibration import machine as calibration
from experiments.calibration.machine import Calibration, Step
from experiments.lateness import lateness_ms
from experiments.plan.config import Config, ConfigError, ValidityConfig
from experiments.plan.profiles.spike import Spike
from experiments.plan.workload import WorkloadSettings


def step(rate, *, workers=1, late=1.0, sent=1000, cores=0.3):
    return Step(workers, rate, 1000, sent, late / 4, late, cores, 0.5)


def known(*steps, is_quick=False):
    return Calibration(calibration.machine(), "2026-01-01T00:00:00+00:00", is_quick, list(steps))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "FOLDER", tmp_path)
    return tmp_path


def asking(rate, **load):
    config = Config(workload=WorkloadSettings(rate_rps=rate), policy={}, scaler={"name": "none"})
    for key, value in load.items():
        setattr(config.load, key, value)
    return config


@pytest.mark.parametrize(
    ("second", "most"),
    [
        (step(200), 200),
        (step(200, late=30), 100),
        (step(200, sent=990), 100),
        (step(200, cores=0.95), 100),
    ],
    ids=["all pass", "too late", "not all were sent", "no spare core"],
)
def test_the_most_that_is_sent_ends_below_the_first_rate_that_fails(second, most):
    found = known(step(100), second, step(300))
    assert found.most_rps(1, ValidityConfig()) == (300 if most == 200 else most)


def test_more_processes_may_send_more_and_unknown_numbers_count_as_the_next_lower(folder):
    found = known(step(100), step(200, late=30), step(100, workers=2), step(200, workers=2))
    limits = ValidityConfig()
    assert (found.most_rps(1, limits), found.most_rps(2, limits), found.most_rps(4, limits)) == (100, 200, 200)


def test_a_load_beyond_the_machine_is_refused_with_the_reason_and_the_ways_out(folder):
    calibration.save(known(step(100), step(200, late=30), step(100, workers=2), step(300, workers=2)))
    calibration.check(asking(100))
    with pytest.raises(ConfigError) as error:
        calibration.check(asking(150))
    for words in (
        "workload.rate_rps=150",
        "sends 100 on time",
        "lower the rate",
        "load.workers=2 (300)",
        "load.force=true",
    ):
        assert words in str(error.value)
    calibration.check(asking(150, force=True))
    calibration.check(asking(150, workers=2))


def test_the_peak_of_a_profile_counts(folder):
    calibration.save(known(step(100), step(200)))
    config = asking(90)
    config.workload.profile, config.workload.spike = "spike", Spike(factor=3)
    with pytest.raises(ConfigError, match="up to 270"):
        calibration.check(config)


@pytest.mark.parametrize("content", [None, "{", json.dumps({"steps": []})])
def test_without_a_calibration_that_can_be_read_nothing_is_refused(folder, content):
    if content is not None:
        calibration.save(known(step(1)))
        next(folder.glob("*.json")).write_text(content)
    calibration.check(asking(50_000))
    assert calibration.load() is None


def test_a_quick_one_refuses_nothing_and_fits_the_rate(folder):
    calibration.save(known(step(400, late=90), step(200), is_quick=True))
    calibration.check(asking(300))
    assert calibration.fitted_rps(asking(100), calibration.load()) == pytest.approx(50)
    assert calibration.fitted_rps(asking(20), calibration.load()) == 20


@pytest.mark.slow
def test_calibrating_sends_real_load_and_keeps_what_it_found(folder, capsys):
    assert calibrate.main(["--rates", "40", "80", "--workers", "1", "--seconds", "1.5"]) == 0
    found = calibration.load()
    assert [s.rate_rps for s in found.steps] == [40, 80]
    assert all(s.sent == s.offered > 20 and 0 < s.lateness_p50_ms <= s.lateness_p99_ms for s in found.steps)
    assert all(s.cpu_ms_per_request > 0 for s in found.steps)
    most = found.most_rps(1, ValidityConfig())  # whatever the machine was busy with
    assert f"load.workers=1: up to {most:g} requests/s leave on time" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--rates", "0"], ["--workers", "0"], ["--seconds", "x"]])
def test_wrong_arguments_are_refused(arguments):
    with pytest.raises(SystemExit) as error:
        calibrate.main(arguments)
    assert error.value.code == 2


def test_lateness_is_counted_from_an_even_schedule_that_the_earliest_arrivals_set():
    even = [5 + k / 100 for k in range(1000)]
    assert lateness_ms(even, 100) == pytest.approx((0, 0), abs=0.01)
    late = [moment + (0.02 if k % 10 == 0 else 0) for k, moment in enumerate(even)]
    p50, p99 = lateness_ms(late, 100)
    assert p50 < 11
    assert p99 > 9
