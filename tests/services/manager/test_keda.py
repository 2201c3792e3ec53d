"""KEDA's two stages: the operator against its own tests (vectors/keda.json), and the HPA that it hands over to."""

import json
from pathlib import Path

import pytest

from services.manager import scalers
from services.manager.limits import Limits
from services.manager.scalers import Observation, ReplicaLoad
from services.manager.scalers.keda import Keda
from services.manager.settings import ScalingSettings

VECTORS = json.loads(Path(__file__).with_name("vectors").joinpath("keda.json").read_text(encoding="utf-8"))["act"]


def keda(**options):
    return scalers.create("keda", options)


def seen(current, rate_rps):
    return Observation([ReplicaLoad(f"r{n}", 0.0, 1, True) for n in range(current)], current, 0.0, rate_rps)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["test"])
def test_the_operator_sets_the_number_that_kedas_own_tests_expect(vector):
    scaler = Keda(min_replicas=vector["min_replicas"], idle_replicas=vector["idle_replicas"])
    assert scaler.act(vector["active"], vector["current"], 0.0) == vector["expected"]


def numbers(scaler, rates, *, step_s=15.0, low=1, high=10):
    """The numbers that become of it, under bounds."""
    held, current, course = Limits(ScalingSettings(min_replicas=low, max_replicas=high)), low, []
    for number, rate in enumerate(rates):
        current = held.hold(scaler.decide(seen(current, rate), number * step_s), current).desired
        course.append(current)
    return course


def test_it_sleeps_wakes_to_its_minimum_and_hands_over_to_the_hpa():
    scaler = keda(threshold=5.0, min_replicas=3, idle_replicas=0, cooldown_s=30.0)
    # asleep; a request: three; forty a second: seven, as the policies let it, then eight
    assert numbers(scaler, [0, 0, 1, 40, 40]) == [1, 1, 3, 7, 8]
    # calm again: the HPA holds its window of 300 s, the operator only its 30 s
    assert numbers(keda(min_replicas=3, idle_replicas=0, cooldown_s=30.0), [1, 40, 40, 0, 0, 0, 0]) == [
        3, 7, 8, 8, 8, 1, 1,
    ]  # fmt: skip


def test_nobody_is_let_sleep_before_the_cooldown_is_over():
    rates = [10.0] + [0.0] * 30
    course = numbers(keda(threshold=5.0, cooldown_s=300.0, behavior={"scaleDown": {"stabilizationWindowSeconds": 0}}), rates)
    assert course[0] == 2 and set(course[1:]) == {1}
    scaler = keda(threshold=5.0, cooldown_s=300.0)
    wishes = [scaler.decide(seen(2, rate), 15.0 * number) for number, rate in enumerate(rates)]
    assert wishes.index(0.0) == 21, "later than 300 s after the last activity"


def test_below_its_activation_a_trigger_is_not_active():
    assert numbers(keda(activation=5.0, min_replicas=2, idle_replicas=0), [4.0, 5.0, 5.1]) == [1, 1, 2]


def test_without_numbers_it_cannot_tell():
    assert keda().decide(seen(3, None), 0.0) is None


def test_more_idle_than_awake_makes_no_sense():
    with pytest.raises(ValueError, match=r"scaler\.idle_replicas=2: must be below scaler\.min_replicas=2"):
        keda(min_replicas=2, idle_replicas=2)
