"""Signals in virtual time, against queueing theory; and what a late or missing signal does to a scaler."""

from collections import Counter

import pytest
from hydra import compose, initialize_config_dir

from experiments.plan import store
from experiments.plan.check import check
from experiments.plan.config import ConfigError
from experiments.plan.resolve import resolve
from services.manager import scalers
from services.manager.observation import percentile
from services.manager.settings import SignalSettings
from tests.experiments.simulated import configured, run
from tests.running import ROOT


class Watching:
    """Wants what there is, and keeps what it saw."""

    def __init__(self):
        self.seen = []

    def decide(self, observation, now):
        self.seen.append(observation)
        return float(observation.current)


def watched(monkeypatch, config):
    """What a scaler saw over a run."""
    watching = Watching()
    monkeypatch.setattr(scalers, "create", lambda *_: watching)
    config.scaler = {"name": "test"}
    run(config)
    return watching.seen


def mean(values):
    known = [value for value in values if value is not None]
    return sum(known) / len(known)


def test_signals_of_an_mm1_queue_are_those_of_theory(monkeypatch):
    # rho = 0.6, service 0.1 s: utilisation rho, in line rho^2 / (1 - rho), sojourn exponential with mean 0.25 s
    config = configured(0.6, requests=60_000)
    seen = watched(monkeypatch, config)[3:-1]
    assert mean([each.busy for each in seen]) == pytest.approx(0.6, rel=0.03)
    assert mean([each.queue for each in seen]) == pytest.approx(0.9, rel=0.1)
    assert mean([each.in_flight for each in seen]) == pytest.approx(1.5, rel=0.1)
    assert mean([each.offered_rps for each in seen]) == pytest.approx(6.0, rel=0.03)
    answered = Counter()
    for each in seen:
        answered.update(each.latencies)
    assert percentile(answered, 0.95) == pytest.approx(1e3 * 0.25 * 2.9957, rel=0.08)
    assert {each.cpu for each in seen} == {None}


def test_a_pipeline_that_is_not_set_changes_no_decision(monkeypatch):
    def decided(**signal):
        config = configured(0.7, replicas=3, slots=2, requests=2000)
        config.scaler = {"name": "target_tracking", "target": 0.6}
        config.autoscaling.signal = SignalSettings(**signal)
        made = run(config).manager.deciding.decisions(0)["decisions"]
        return [(d["monotonic_s"], d["desired"], d["raw_desired"]) for d in made]

    assert decided() == decided(delay_s=0.0, resolution_s=0.0)
    assert decided() != decided(delay_s=5.0)
    assert decided(gaps=0.3) == decided(gaps=0.3)


def composed(*overrides):
    store.register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return resolve(compose("config", overrides=["+scenario=autoscale", "engine=sim", *overrides]))


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["scaler=target_tracking", "scaler.metric=cpu"], "scaler: cpu is read, which replica.kind=sleep does not burn"),
        (["scaler=hpa", "autoscaling.signal.gaps=2"], "autoscaling.signal.gaps=2"),
        (["scaler=hpa", "autoscaling.signal.missing=[[9,3]]"], "autoscaling.signal.missing.0=[9, 3]"),
    ],
)
def test_what_cannot_be_seen_is_refused_before_anything_starts(overrides, says):
    with pytest.raises(ConfigError) as error:
        check(composed(*overrides).config)
    assert says in str(error.value)


def test_a_run_is_told_of_its_pipeline_on_the_command_line():
    plan = composed("scaler=hpa", "autoscaling.signal.delay_s=60", "autoscaling.signal.missing=[[10,20],[30.5,40]]")
    signal = plan.config.autoscaling.signal
    assert (signal.delay_s, signal.missing) == (60.0, [[10, 20], [30.5, 40]])
