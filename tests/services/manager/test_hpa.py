"""The HPA against Kubernetes' own tests of it (vectors/kubernetes.json), and what is ours around it."""

import json
from pathlib import Path

import pytest

from services.manager import scalers
from services.manager.kubernetes.behavior import read
from services.manager.kubernetes.counting import Initialisation, Pod, grouped
from services.manager.limits import Limits
from services.manager.scalers import Observation, ReplicaLoad
from services.manager.settings import ScalingSettings

VECTORS = json.loads(Path(__file__).with_name("vectors").joinpath("kubernetes.json").read_text(encoding="utf-8"))
NOW = 1000.0
AT_ONCE = {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 100_000, "periodSeconds": 15}]}
UNLIMITED = {"scaleUp": AT_ONCE, "scaleDown": AT_ONCE}


def named(vectors):
    return pytest.mark.parametrize("vector", VECTORS[vectors], ids=lambda vector: vector["test"])


def observations(vector):
    """An old look, which has no means and not the new replicas, and the one that is asked about."""
    values, requests, states = vector["values"], vector["requests"], vector.get("states")
    is_whole = all(request % 1000 == 0 for request in requests)
    unit = 1000 if is_whole else 1
    loads, before = [], []
    for number, (value, request) in enumerate(zip(values, requests, strict=True)):
        state = states[number] if states else "ready"
        load = ReplicaLoad(
            f"r{number}", None if value is None else value / unit, request // unit, state in ("ready", "new")
        )
        loads.append(load)
        if state != "new":
            before.append(ReplicaLoad(load.id, None, load.slots, load.ready))
    total = vector["total"] / 1000 if "total" in vector else None
    return Observation(before, vector["current"], None), Observation(loads, vector["current"], total)


def decided(vector, behavior):
    scaler = scalers.create("hpa", {"metrics": vector["metrics"], "behavior": behavior, "initialization_s": 120.0})
    old, new = observations(vector)
    if not vector.get("first"):
        scaler.decide(old, 0.0)
    return scaler.decide(new, NOW)


@named("calculator")
def test_a_metric_asks_for_the_number_that_kubernetes_own_tests_expect(vector):
    wish = decided(vector, UNLIMITED)
    # None is "cannot tell", by which the number stays
    assert wish == vector["expected"]


@named("controller")
def test_a_sync_comes_to_the_number_that_kubernetes_own_tests_expect(vector):
    low, high = vector["bounds"]
    held = Limits(ScalingSettings(min_replicas=low, max_replicas=high))
    assert held.hold(decided(vector, vector.get("behavior", {})), vector["current"]).desired == vector["expected"]


@named("rules")
def test_policies_let_the_number_change_as_far_as_kubernetes_own_tests_expect(vector):
    content = {way: vector[way] for way in ("scaleUp", "scaleDown") if way in vector}
    behavior = read(content, "behavior")
    for key, sign in (("added_ago_s", 1), ("removed_ago_s", -1)):
        for ago_s, change in vector.get(key, []):
            behavior.note(sign * change, NOW - ago_s)
    low, high = vector["bounds"]
    limited = behavior.limited(vector["desired"], vector["current"], NOW)
    assert min(max(limited, low), high) == vector["expected"]


@named("stabilised")
def test_windows_hold_the_number_as_kubernetes_own_tests_expect(vector):
    windows = {"scaleUp": vector["up_s"], "scaleDown": vector["down_s"]}
    behavior = read({way: {"stabilizationWindowSeconds": s} for way, s in windows.items()}, "behavior")
    now = 10_000.0
    for ago_s, number in sorted(vector["recommended_ago_s"], reverse=True):
        behavior.stabilised(number, number, now - ago_s)
    assert behavior.stabilised(vector["desired"], vector["current"], now) == vector["expected"]


@named("groups")
def test_pods_are_grouped_as_kubernetes_own_tests_expect(vector):
    pods = [
        Pod(
            pod["id"],
            pod["value"],
            pending=pod.get("pending", False),
            ready=pod.get("ready", True),
            **{name: NOW - pod.get(f"{name[:-2]}_ago_s", 0.0) for name in ("started_s", "changed_s", "sampled_s")},
            window_s=pod.get("window_s", 0.0),
        )
        for pod in vector["pods"]
    ]
    found = grouped(pods, NOW, Initialisation(120.0, 10.0) if vector["cpu"] else None)
    assert len(found.counted) == vector["counted"]
    assert (sorted(found.unready), sorted(found.missing)) == (vector["unready"], vector["missing"])


def test_two_hundred_decisions_are_held_against_upstream():
    assert sum(len(VECTORS[name]) for name in ("calculator", "controller", "rules", "stabilised")) >= 200


def seen(*loads, current=None, slots=1):
    replicas = [ReplicaLoad(f"r{n}", load, slots, True) for n, load in enumerate(loads, 1)]
    known = [load for load in loads if load is not None]
    return Observation(replicas, len(loads) if current is None else current, sum(known) if known else None)


def metric(target, value, type_="Resource", name="in_flight"):
    return {"type": type_, "name": name, "target": target, "value": value}


def hpa(*metrics, behavior=UNLIMITED, **options):
    return scalers.create("hpa", {"metrics": list(metrics), "behavior": behavior, **options})


@pytest.mark.parametrize(
    ("target", "loads", "replicas"),
    [
        # Worked by hand. One that is missing counts as nothing on the way up: 270 / 4 = 67, 1.34 of the target, of four
        # 5.4. On the way down as the target: (60 + 50) / 4 = 27, 0.54, of four 2.2.
        (metric("AverageValue", 50), (90, 90, 90, None), 6),
        (metric("AverageValue", 50), (20, 20, 20, None), 3),
        # As per cent of slots it is all of what it is entitled to: (60 + 100) / 4 = 40, 0.8, of four 3.2.
        (metric("Utilization", 50), (0.9, 0.9, 0.9, None), 6),
        (metric("Utilization", 50), (0.2, 0.2, 0.2, None), 4),
    ],
)
def test_a_replica_without_numbers_counts_for_what_holds_the_change_back(target, loads, replicas):
    assert hpa(target).decide(seen(*loads), NOW) == replicas


def test_the_metric_that_asks_for_most_counts():
    total = metric("AverageValue", 2, "External")
    assert hpa(metric("Utilization", 60), total).decide(seen(0.6, 0.6, 0.6, 0.6), NOW) == 4
    assert hpa(metric("Utilization", 30), total).decide(seen(0.6, 0.6, 0.6, 0.6), NOW) == 8


def test_each_direction_has_its_tolerance():
    ways = {"scaleUp": {**AT_ONCE, "tolerance": 0.0}, "scaleDown": {**AT_ONCE, "tolerance": 0.5}}
    held = hpa(metric("Utilization", 50), behavior=ways)
    assert [held.decide(seen(*[load] * 4), NOW + n) for n, load in enumerate((0.51, 0.26, 0.24))] == [5, 4, 2]


def test_a_direction_that_is_disabled_does_not_change_the_number():
    ways = {"scaleUp": AT_ONCE, "scaleDown": {**AT_ONCE, "selectPolicy": "Disabled"}}
    held = hpa(metric("Utilization", 50), behavior=ways)
    assert held.decide(seen(0.0, 0.1), NOW) == 2
    assert held.decide(seen(1.0, 1.0), NOW + 1) == 4


def test_a_replica_that_has_just_become_ready_counts_as_idle_for_a_look():
    held = hpa(metric("Utilization", 50))
    assert held.decide(seen(0.9, 0.9), 0.0) == 4
    both = seen(0.9, 0.9, current=4).replicas
    new = [ReplicaLoad(id_, 0.3, 1, True) for id_ in ("r3", "r4")]
    grown = Observation([*both, *new], 4, None)
    # 1.8 over four: 45 %, the change would be turned round
    assert held.decide(grown, 15.0) == 4
    assert held.decide(grown, 30.0) == 5, "believed: 2.4 over four is 60 %"


def test_a_replica_that_starts_holds_back_with_the_slots_of_the_others():
    """Nobody knows its slots before it has registered; four in flight in its four would be 50 % of both."""
    held = hpa(metric("Utilization", 50))
    there = ReplicaLoad("r1", 4.0, 4, True)
    held.decide(Observation([there], 1, None), 0.0)
    assert held.decide(Observation([there, ReplicaLoad("r2", None, 1, False)], 2, 4.0), 400.0) == 2


def test_what_was_added_lately_is_taken_off_what_may_be_added():
    way = {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}]}
    held = hpa(metric("Value", 1, "External"), behavior={"scaleUp": way})
    current = [2]
    for now in range(0, 90, 15):
        current.append(int(held.decide(seen(*[9.0] * current[-1]), float(now))))
    assert current == [2, 6, 6, 6, 6, 10, 10]


def test_what_somebody_else_has_added_is_not_taken_off():
    """Upstream keeps account of its own changes alone."""
    way = {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}]}
    held = hpa(metric("AverageValue", 1, "External"), behavior={"scaleUp": way})
    assert held.decide(seen(1.0, 1.0), 0.0) == 2
    assert held.decide(seen(*[3.0] * 6), 15.0) == 10, "six since it was set by hand, and four"


def test_it_says_how_its_number_came_about():
    way = {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}]}
    held = hpa(metric("Utilization", 50), metric("AverageValue", 1, "External"), behavior={"scaleUp": way})
    held.decide(seen(4.0, 4.0), 0.0)
    assert held.why == "the metrics ask for 16, 8, the highest counts; scaleUp's policies: 6 by now"
    held.decide(seen(0.4, 0.4), 15.0)
    assert held.why == "the metrics ask for 2, 1, the highest counts"
    held = hpa(metric("Utilization", 50), behavior={})
    held.decide(seen(0.1, 0.1), 0.0)
    assert held.why == "the metric asks for 1; scaleDown.stabilizationWindowSeconds: 2"


@pytest.mark.parametrize("factor", [1.0, 15.0])
def test_a_time_factor_makes_its_windows_shorter_and_nothing_else(factor):
    held = hpa(metric("Utilization", 50), behavior={}, time_factor=factor)
    held.decide(seen(0.5, 0.5, 0.5, 0.5), 0.0)
    numbers = [held.decide(seen(0.1, 0.1, 0.1, 0.1), now / factor) for now in (15.0, 299.0, 301.0)]
    assert numbers == [4, 4, 1]


def test_a_reason_tells_a_number_that_stays_from_one_that_the_bounds_cut():
    limits = Limits(ScalingSettings(min_replicas=2, max_replicas=6))
    reasons = [limits.hold(wish, current).reason for wish, current in ((3.0, 3), (9.0, 6), (9.0, 3), (0.0, 4), (4.0, 3))]
    assert reasons == [
        "wish 3.00: stays at 3", "wish 9.00: bounded at 6", "wish 9.00: up from 3 to 6, bounded",
        "wish 0.00: down from 4 to 2, bounded", "wish 4.00: up from 3 to 4",
    ]  # fmt: skip


def test_its_numbers_are_not_bounded_twice():
    """The wrapper leaves tolerance, windows and rates to it."""
    settings = ScalingSettings(max_replicas=20, max_up=1, max_down=1, stabilization_down_s=60, tolerance=0.5)
    assert Limits(settings).hold(9.0, 4).desired == 9
    assert Limits(settings).hold(3.0, 4).desired == 3
    assert Limits(settings).hold(30.0, 4).desired == 20
    assert Limits(settings).hold(None, 4).kind == "no_numbers"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metrics": []}, r"scaler\.metrics=\[\]: must have one"),
        ({"metrics": [{"type": "Pods"}]}, r"scaler\.metrics\.0=.*: must be a section with type, name, target, value"),
        ({"metrics": [metric("Value", 1)]}, r"scaler\.metrics\.0\.target=Value: must be one of Utilization, AverageValue"),
        ({"metrics": [metric("Utilization", 60, name="rate_rps")]}, r"scaler\.metrics\.0\.name=rate_rps: must be one of in_flight, busy, cpu"),
        ({"metrics": [metric("Utilization", 60.5)]}, r"scaler\.metrics\.0\.value=60\.5: must be a whole number between"),
        (
            {"behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 1.5, "periodSeconds": 15}]}}},
            r"scaler\.behavior\.scaleUp\.policies\.0\.value=1\.5: must be a whole number between 1 and 100000",
        ),
        ({"behavior": {"scaleUp": {"stabilizationWindowSeconds": 0.5}}}, r"WindowSeconds=0\.5: must be a whole number"),
        ({"metrics": [metric("Utilization", 0)]}, r"scaler\.metrics\.0\.value=0: must be between 1 and 10000"),
        ({"behavior": {"up": {}}}, r"scaler\.behavior\.up: there is no such key; there are scaleUp, scaleDown"),
        ({"behavior": {"scaleUp": {"policies": []}}}, r"scaler\.behavior\.scaleUp\.policies=\[\]: must be a list"),
        (
            {"behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 0}]}}},
            r"scaler\.behavior\.scaleUp\.policies\.0\.periodSeconds=0: must be between 1 and 1800",
        ),
        ({"behavior": {"scaleDown": {"selectPolicy": "max"}}}, r"scaleDown\.selectPolicy=max: must be one of Max, Min"),
        ({"time_factor": 0.0}, r"scaler\.time_factor=0: must be between"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_key(options, words):
    with pytest.raises(ValueError, match=words):
        scalers.create("hpa", options)
