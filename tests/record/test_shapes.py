"""The keys and types that mypy knows of a run's JSON are those that docs/results.md names and a real run leaves."""

import json
import re
from dataclasses import fields
from typing import get_type_hints

import pytest

from experiments.plan.config import Config
from record.metrics import Metrics
from record.misfits import misfits
from record.shapes import ClockEntry, DataPlane, Event, Generator, Input, Manifest, Plugin, Sample, Sections
from tests.analysis.test_results_docs import as_regex, documented
from tests.running import ROOT, run

OF_SOME_RUNS = {"router_compiled", "error", "clocks", "image", "tier", "server", "data_plane", "first_start_s"}
"""Of a failed run, of one on real clocks, of one in containers, and of ones whose router is not of Aegis."""
NO_SECTION = {"arm", "seed", "replicas", "faults", "summary", "counterfactual", "ledger", "expect"}
DECIDED_BY_THE_RUN = re.compile(r"(pick_)?share_.+|lateness_p99_ms_worker_\d+")
SIM = ["engine=sim", "tracking.enabled=false", "workload.duration_s=20", "workload.warmup_s=2"]


def section(name):
    text = re.split(r"^## ", (ROOT / "docs" / "results.md").read_text(), flags=re.M)
    return next(part for part in text if part.startswith(name))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A real simulated run with a fault and a scaler."""
    place = tmp_path_factory.mktemp("run")
    fault = "faults=[{at_s: 8, action: pause, target: r1, for_s: 2}]"
    done = run("+scenario=autoscale", *SIM, fault, f"hydra.run.dir={place}")
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def lines(folder, name):
    return [json.loads(line) for line in (folder / name).read_text().splitlines() if line]


def test_the_manifest_has_the_keys_that_are_documented_and_no_other():
    named = set(documented("manifest.json"))
    assert get_type_hints(Manifest).keys() <= named
    assert named <= get_type_hints(Manifest).keys() | get_type_hints(Generator).keys()
    text = section("manifest.json")
    for shape in (Generator, ClockEntry, Plugin, Input, DataPlane):
        assert [key for key in get_type_hints(shape) if f"`{key}`" not in text] == []


def test_the_sections_that_readers_look_into_are_those_of_the_configuration():
    sections = {field.name for field in fields(Config) if field.name not in NO_SECTION}
    assert get_type_hints(Sections).keys() == sections


def test_the_manifest_of_a_real_run_is_what_the_types_say(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest.keys() == get_type_hints(Manifest).keys() - OF_SOME_RUNS
    assert list(misfits(manifest, Manifest)) == []


def test_the_metrics_have_the_keys_that_are_documented_and_those_of_a_real_run(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    fixed = {key for key in metrics if not DECIDED_BY_THE_RUN.fullmatch(key)}
    assert fixed == get_type_hints(Metrics).keys()
    assert list(misfits(metrics, Metrics)) == []
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
    assert list(misfits(value, shape))
