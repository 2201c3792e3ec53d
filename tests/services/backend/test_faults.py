"""What each fault does to a request, and the draws that decide."""

import statistics
from random import Random

import pytest

from services.backend import faults
from services.backend.draws import demand_ms
from services.backend.settings import ReplicaSettings
from services.draws import uniform

KINDS = list(faults.PARAMETERS)


def never(_purpose):
    return 0.999_999


def always(_purpose):
    return 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_works_without_parameters(kind):
    assert faults.parse({kind: {}}) == {kind: {"rate": 1.0, "check_rate": 1.0} if kind == "error" else faults.PARAMETERS[kind]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"eror": {}}, ["eror", "error", "lie"]),
        ({"slow": {"rate": 1}}, ["slow.rate", "factor"]),
        ({"refuse": {"rate": 1}}, ["refuse.rate", "no parameters"]),
        ({"lie": {"check_rate": 2}}, ["lie.check_rate=2", "between 0 and 1"]),
        ({"error": {"rate": 1.5}}, ["error.rate=1.5", "between 0 and 1"]),
        ({"slow": {"factor": 0}}, ["slow.factor=0", "0.01"]),
        ({"slow": {"factor": float("nan")}}, ["slow.factor=nan"]),
        ({"slow": {"factor": "5"}}, ["slow.factor=5", "number"]),
        ({"error": {"rate": True}}, ["error.rate=True"]),
        ({"error": 0.5}, ["error", "object"]),
        (["error"], ["object"]),
    ],
)
def test_a_wrong_fault_is_refused_with_the_choices(body, words):
    with pytest.raises(ValueError) as caught:
        faults.parse(body)
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize(
    ("kind", "to_work", "to_a_check"),
    [
        ("error", {"status": 500}, {"status": 500}),
        ("lie", {"status": 500}, {}),
        ("latency", {"added_s": 0.2}, {"added_s": 0.2}),
        ("hang", {"hang": True}, {"hang": True}),
        ("reset", {"reset": True}, {"reset": True}),
        ("slow", {}, {}),
        ("refuse", {}, {}),
    ],
)
def test_what_a_fault_does_to_work_and_to_a_health_check(kind, to_work, to_a_check):
    active = faults.parse({kind: {}})
    assert faults.effects(active, always, 0.0, check=False) == faults.Effects(**to_work)
    assert faults.effects(active, always, 0.0, check=True) == faults.Effects(**to_a_check)


@pytest.mark.parametrize(
    ("kind", "given", "of_work", "of_checks"),
    [
        ("error", {"rate": 0.3}, 0.3, 0.3),
        ("error", {"rate": 0.3, "check_rate": 0}, 0.3, 0),  # the checks are spared
        ("error", {"rate": 0, "check_rate": 0.3}, 0, 0.3),  # they alone are hit
        ("lie", {"rate": 0.3}, 0.3, 0),
        ("lie", {"rate": 0, "check_rate": 1}, 0, 1),
        ("lie", {"rate": 0.6, "check_rate": 0.1}, 0.6, 0.1),
    ],
)
def test_failing_has_a_rate_for_work_and_one_for_health_checks(kind, given, of_work, of_checks):
    active = faults.parse({kind: given})

    def failed(*, check):
        draws = (lambda purpose, n=n: uniform(1, str(n), "r1", "1", purpose) for n in range(10_000))
        return sum(faults.effects(active, draw, 0.0, check=check).status == 500 for draw in draws) / 10_000

    assert failed(check=False) == pytest.approx(of_work, abs=0.02)
    assert failed(check=True) == pytest.approx(of_checks, abs=0.02)


@pytest.mark.parametrize("kind", ["latency", "hang", "reset", "error", "lie"])
def test_a_share_hits_that_share(kind):
    name = "rate" if kind in ("error", "lie") else "share"
    active = faults.parse({kind: {name: 0.3}})

    def of_request(n):
        return lambda purpose: uniform(1, str(n), "r1", "1", purpose)

    hit = sum(faults.effects(active, of_request(n), 0.0, check=False) != faults.NONE for n in range(10_000))
    assert hit / 10_000 == pytest.approx(0.3, abs=0.02)
    assert faults.effects(active, never, 0.0, check=False) == faults.NONE


def test_flap_is_good_in_the_first_half_of_every_period():
    active = faults.parse({"flap": {"period_s": 2}})
    statuses = [faults.effects(active, always, t, check=True).status for t in (0.0, 0.9, 1.1, 1.9, 2.1, 3.5)]
    assert statuses == [None, None, 503, 503, None, 503]


def test_draws_repeat_and_differ_by_every_part_of_their_key():
    key = (1, "7", "r1", "1", "error")
    others = [(2, "7", "r1", "1", "error"), (1, "8", "r1", "1", "error"), (1, "7", "r2", "1", "error")]
    others += [(1, "7", "r1", "2", "error"), (1, "7", "r1", "1", "hang")]
    assert uniform(*key) == uniform(*key)
    assert len({uniform(*key), *(uniform(*other) for other in others)}) == 6


@pytest.mark.parametrize(
    ("distribution", "sigma", "deviation"),
    [("exponential", 1.0, 1.0), ("lognormal", 1.0, 1.311), ("lognormal", 0.5, 0.533), ("constant", 1.0, 0.0)],
)
def test_a_drawn_demand_has_its_mean_and_spread(distribution, sigma, deviation):
    settings = ReplicaSettings(demand_mean_ms=50.0, demand_distribution=distribution, demand_sigma=sigma)
    drawn = [demand_ms(settings, (n + 0.5) / 100_000) for n in range(100_000)]
    assert statistics.fmean(drawn) == pytest.approx(50, rel=0.01)
    assert statistics.pstdev(drawn) / 50 == pytest.approx(deviation, rel=0.05)
    assert demand_ms(settings, 5e-324) >= 0 and demand_ms(settings, 1 - 2**-53) < 1e6


def test_a_seed_draws_the_strengths_that_it_drew_in_earlier_runs():
    rng = Random("x7")
    assert {kind: faults.strength(kind, rng) for kind in faults.PARAMETERS} == {
        "error": {"rate": 0.52},
        "slow": {"factor": 3.9},
        "latency": {"added_ms": 300.0, "share": 0.75},
        "hang": {"share": 0.41},
        "reset": {"share": 0.88},
        "refuse": {},
        "flap": {"period_s": 1.2},
        "lie": {},
        "cache_loss": {},
    }


@pytest.mark.parametrize("kind", faults.PARAMETERS)
def test_what_is_drawn_is_a_fault_that_a_replica_takes(kind):
    rng = Random(kind)
    for _ in range(200):
        drawn = faults.strength(kind, rng)
        assert faults.parse({kind: drawn})[kind].items() >= drawn.items()
