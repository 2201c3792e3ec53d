"""The keys and types that mypy knows of a run's JSON are those that docs/results.md names and a real run leaves."""

import json
import re
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from record.metrics import Metrics
from record.shapes import ClockEntry, Event, Generator, Manifest, Sample
from tests.analysis.test_results_docs import as_regex, documented
from tests.running import ROOT, run

OF_SOME_RUNS = {"error", "clocks", "image"}
"""Of a failed run, of one on real clocks, and of one in containers."""
DECIDED_BY_THE_RUN = re.compile(r"share_.+|lateness_p99_ms_worker_\d+")
SIM = ["engine=sim", "tracking.enabled=false", "workload.duration_s=20", "workload.warmup_s=2"]


def section(name):
    text = re.split(r"^## ", (ROOT / "docs" / "results.md").read_text(), flags=re.M)
    return next(part for part in text if part.startswith(name))


def misfits(value: Any, hint: Any, where: str = "") -> list[str]:
    """What of a JSON value is not as its type says; keys that a TypedDict does not name are let pass."""
    if is_typeddict(hint):
        hints = get_type_hints(hint)
        missing = [f"{where}: lacks {key}" for key in hint.__required_keys__ if key not in value]
        return missing + [
            text for key in value if key in hints for text in misfits(value[key], hints[key], f"{where}.{key}")
        ]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return [] if any(not misfits(value, one, where) for one in arguments) else [f"{where}: {value!r} is no {hint}"]
    if origin is list and isinstance(value, list):
        return [text for one in value for text in misfits(one, arguments[0], where)]
    if origin in (dict, Mapping) and isinstance(value, dict):
        return [text for key, one in value.items() for text in misfits(one, arguments[1], f"{where}.{key}")]
    if hint is Any:
        return []
    if hint is float:
        hint = float | int  # JSON has one kind of number, and 3.0 may be written as 3
    if hint in (int, float | int) and isinstance(value, bool):
        return [f"{where}: {value!r} is no number"]
    if isinstance(value, NoneType if hint is None else origin or hint):
        return []
    return [f"{where}: {value!r} is no {hint}"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A real simulated run with a fault and a scaler."""
    place = tmp_path_factory.mktemp("run")
    fault = "faults=[{at_s: 8, action: pause, target: r1, for_s: 2}]"
    done = run("+scenario=autoscale", *SIM, fault, f"hydra.run.dir={place}")
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def lines(folder, name):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def test_the_manifest_has_the_keys_that_are_documented_and_no_other():
    named = set(documented("manifest.json"))
    assert get_type_hints(Manifest).keys() <= named
    assert named <= get_type_hints(Manifest).keys() | get_type_hints(Generator).keys()
    text = section("manifest.json")
    for shape in (Generator, ClockEntry):
        assert [key for key in get_type_hints(shape) if f"`{key}`" not in text] == []


def test_the_manifest_of_a_real_run_is_what_the_types_say(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest.keys() == get_type_hints(Manifest).keys() - OF_SOME_RUNS
    assert misfits(manifest, Manifest) == []


def test_the_metrics_have_the_keys_that_are_documented_and_those_of_a_real_run(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    fixed = {key for key in metrics if not DECIDED_BY_THE_RUN.fullmatch(key)}
    assert fixed == get_type_hints(Metrics).keys()
    assert misfits(metrics, Metrics) == []
    patterns = [as_regex(name) for name in documented("metrics.json")]
    assert [key for key in fixed if not any(pattern.fullmatch(key) for pattern in patterns)] == []


def test_events_and_samples_of_a_real_run_are_what_the_types_say(folder):
    events, samples = lines(folder, "events.jsonl"), lines(folder, "samples.jsonl")
    assert {"fault_injected", "scaling_decision", "readmitted"} <= {event["event"] for event in events}
    assert [text for event in events for text in misfits(event, Event, event["event"])] == []
    assert [text for sample in samples for text in misfits(sample, Sample)] == []
    assert all(sample.keys() == get_type_hints(Sample).keys() for sample in samples)
    written = section("events.jsonl") + section("samples.jsonl")
    keys = get_type_hints(Event).keys() | get_type_hints(Sample).keys()
    assert [key for key in keys if f"`{key}`" not in written] == []


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ({"t_s": "1"}, Sample),
        ({}, Sample),
        ({"t_s": 1, "cpu": {"router": "much"}}, Sample),
        ({"valid": None}, Metrics),
        ({"offered_requests": True}, Metrics),
        ({"config": {}, "generator": [{"shard": None}]}, Manifest),
    ],
)
def test_a_value_of_another_type_would_be_seen(value, shape):
    assert misfits(value, shape)
