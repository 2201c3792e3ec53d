"""The keys explain themselves: docs/configuration.md is what the code says, and so is what a wrong value is answered."""

import json
import math
import random
import re
from typing import Any

import pytest

from experiments import keys as command
from experiments.plan.check import check
from experiments.plan.choices import GROUPS, choices
from experiments.plan.config import Config, ConfigError, DelaysConfig, EngineConfig, RouterConfig
from experiments.plan.fault_plan import Fault, FaultPlanSettings, taker_of
from experiments.plan.keys import find, keys_of, meaning
from experiments.plan.reference import COMMAND, markdown, sections
from experiments.plan.workload import RequestClass
from services.manager.scalers import SCALERS
from services.router.policies import POLICIES
from services.units import must_be, unit_of
from tests.running import ROOT, run


def test_the_page_of_the_keys_is_what_the_code_says():
    page = ROOT / "docs" / "configuration.md"
    assert page.read_text() == markdown(), f"a key has changed: {COMMAND}"


def test_every_key_has_a_meaning_and_every_number_its_bounds():
    lines = [line for section in sections() for line in section.lines]
    assert len(lines) > 120
    assert [line.path for line in lines if len(line.meaning) < 8] == []
    assert [line.path for line in lines if re.match(r"Of \w+=\w+: \W*$", line.meaning)] == []
    assert {line.path: line.must for line in lines}["policy.order"] == "one of fifo, lifo, deadline"
    assert [line.path for line in lines if "number" in line.kind and "list" not in line.kind and not line.must] == []


def test_the_page_leaves_no_key_out_and_says_the_default_that_a_run_has():
    shown = {line.path: line for section in sections() for line in section.lines}
    leaves = {key.path for key in keys_of() if key.section is None and key.path not in ("policy", "scaler")}
    assert leaves <= shown.keys()
    defaults = Config(policy={"name": "random"}, scaler={"name": "none"})
    assert check(defaults) == []  # the defaults themselves are right
    assert float(shown["workload.demand.mean_ms"].default) == defaults.workload.demand.mean_ms
    assert json.loads(shown["load.fit"].default) is defaults.load.fit


FLOATS = [key for key in keys_of() if float in (key.kind, key.item)]


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_no_key_takes_what_is_no_finite_number(value):
    # JSON has none: a run with one in its manifest was measured to its end, and could not be read.
    assert len(FLOATS) > 60
    for key in FLOATS:
        told = refused(key, value)
        assert told.startswith(key.path.replace("[]", "[0]") + "=") and "must be" in told


def refused(key, value):
    """What is answered to a configuration in which only this key is wrong."""
    config: Any = Config(policy={"name": "random"}, scaler={"name": "target_tracking"}, router=RouterConfig())
    if key.path.startswith("engine.delays."):
        config.engine = EngineConfig(name="sim", delays=DelaysConfig())
    config.faults, config.random_faults = [Fault(5.0, taker_of(key.name), "r1")], FaultPlanSettings(count=1)
    config.workload.classes = [RequestClass()]
    owner = config
    for part in key.path.split(".")[:-1]:
        owner = getattr(owner, part[:-2])[0] if part.endswith("[]") else getattr(owner, part)
    setattr(owner, key.name, [value] * len(config.replica_ids) if key.kind is list else value)
    with pytest.raises(ConfigError) as told:
        check(config)
    return str(told.value)


@pytest.mark.parametrize("point", [POLICIES, SCALERS], ids=lambda point: point.kind)
def test_no_option_of_a_plugin_does_either(point):
    taken = [(name, key) for name in point.usable() for key, x in point.options(name, "rng").items() if type(x) is float]
    assert taken
    for name, key in taken:
        for value in (math.inf, -math.inf, math.nan):
            with pytest.raises(ValueError, match=f"{key}=.*must be"):
                point.create(name, {key: value}, rng=random.Random(0))


def test_bounds_that_depend_on_other_keys_are_those_that_the_checks_hold():
    shown = {line.path: line.must for section in sections() for line in section.lines}
    assert shown["replicas"] == "between 1 and 64 (engine=local)"
    assert shown["policy.decay_s"] == "between 0.01 and 3600"
    assert shown["faults[].factor"] == "between 0.01 and 1000"


def test_a_key_is_found_however_an_item_of_a_list_is_written():
    assert find("faults[0].at_s") == find("faults.0.at_s") == find("faults[].at_s") is not None
    key = find("router.retry.max_attempts")
    assert key is not None and meaning(key.owner, key.name) == "Attempts a request, the first included."


@pytest.mark.parametrize(
    "key, value, kind, said",
    [
        ("workload.demand.mean_ms", "50ms", float, "must be milliseconds, a number, as workload.demand.mean_ms=50"),
        ("workload.demand.mean_ms", "0.05s", float, "must be milliseconds, a number, as workload.demand.mean_ms=50"),
        ("workload.duration_s", "2 min", float, "must be seconds, a number, as workload.duration_s=120"),
        ("workload.rate_rps", "80rps", float, "must be requests a second, a number, as workload.rate_rps=80"),
        ("replicas", "four", int, "must be a whole number, as replicas=7"),
        ("load.fit", "maybe", bool, "must be true or false, as load.fit=true"),
    ],
)
def test_a_value_of_the_wrong_kind_is_told_the_unit_and_what_was_meant(key, value, kind, said):
    assert must_be(key, value, kind, 7) == said


def test_units_are_the_ends_of_names():
    assert (unit_of("p99_ms"), unit_of("base_s"), unit_of("budget_min_per_s")) == ("milliseconds", "seconds", "times a second")
    assert unit_of("replicas") == unit_of("max_attempts") == ""


def test_the_command_shows_what_is_asked_for_and_sends_a_misspelt_word_to_the_nearest(capsys):
    assert command.main(["router.retry.max_attempts"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "router.retry.max_attempts = 3",
        "    a whole number; between 1 and 10",
        "    Attempts a request, the first included.",
    ]
    assert command.main(["max_attempst"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("max_attempst: no key is called so; did you mean") and "router.retry.max_attempts" in told


def test_the_help_says_what_it_is_with_examples_groups_keys_and_every_exit_status():
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for text in ("Runs an experiment", "+scenario=failover engine=sim", "-m ", "  failover  ", "peak_ewma, prequal,",
                 "experiments.keys", "docs/configuration.md", "--hydra-help",
                 "  2    The configuration is wrong; nothing was started."):  # fmt: skip
        assert text in done.stdout
    assert "powered by Hydra" not in done.stdout.lower()
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_start_parses_no_file_of_a_group_to_name_them_all(monkeypatch):
    monkeypatch.setattr("experiments.plan.choices.yaml.safe_load", lambda text: pytest.fail("parsed"))
    named = {choice.name: choice.about for group in GROUPS for choice in choices(group)}
    assert len(named) > 20 and named["failover"]
