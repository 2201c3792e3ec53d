"""The configuration: every file composes, every option is read, and what is wrong is said in one line."""

import dataclasses
import inspect
import itertools
import random
import shlex
from copy import deepcopy

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from experiments import evidence
from experiments.plan import config as configuration
from experiments.plan import store
from experiments.plan.config import Config
from experiments.plan.profiles import PROFILES
from experiments.plan.replica_options import replica_options
from experiments.plan.resolve import as_composed, resolve
from services.manager import scalers
from services.manager.engines import replica_flags
from services.router import policies
from tests.running import ROOT

CONF = ROOT / "conf"
FILES = sorted(path.relative_to(CONF).as_posix() for path in CONF.rglob("*.yaml"))
SCENARIOS = sorted(path.stem for path in (CONF / "scenario").glob("*.yaml"))


def composed(*overrides):
    store.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=list(overrides))


def planned(*overrides):
    return resolve(composed(*overrides), overrides)


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_every_file_begins_with_a_command_that_uses_it(file, tmp_path, monkeypatch):
    (tmp_path / "rates.txt").write_text("1\n2\n")
    (tmp_path / "proxy.conf.j2").write_text("{{ port }}\n")
    monkeypatch.chdir(tmp_path)
    first = (CONF / file).read_text().removeprefix("# @package _global_\n").splitlines()[0]
    if file == "hydra/help/aegis.yaml":
        assert first == "# python -m experiments.run --help"  # what that shows: test_keys.py
        return
    if file.startswith("tuning"):
        words = first.removeprefix("# python -m experiments.evidence ").replace("conf/", f"{CONF}/").split()
        assert evidence.main([*words, "--suite", "hang", "--dry-run"]) == 0
        return
    assert first.startswith("# python -m experiments.run +scenario=")
    overrides = shlex.split(first.removeprefix("# python -m experiments.run "))
    group, _, name = file.removesuffix(".yaml").rpartition("/")
    assert not group or f"{group}={name}" in [override.lstrip("+") for override in overrides]
    planned(*overrides)


EACH_ONCE = list(zip(SCENARIOS, itertools.cycle(policies.POLICIES.files()), strict=False))
"""Each scenario with some policy, each policy with some scenarios: none sets what another does, as the next test shows."""


@pytest.mark.slow  # a composition each
@pytest.mark.parametrize(("scenario", "policy"), EACH_ONCE)
def test_every_scenario_runs_with_other_policies(scenario, policy):
    assert planned(f"+scenario={scenario}", f"policy={policy}").config.policy["name"] == policy


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_sets_no_key_that_a_group_file_sets(scenario):
    content = yaml.safe_load((CONF / "scenario" / f"{scenario}.yaml").read_text())
    for group in ("policy", "scaler", "engine"):
        files = [yaml.safe_load(path.read_text()) for path in (CONF / group).glob("*.yaml")]
        assert not content.get(group, {}).keys() & {key for file in files for key in file}
    assert "profile" not in content["workload"]


@pytest.mark.parametrize(("group", "point"), [("policy", policies.POLICIES), ("scaler", scalers.SCALERS)])
def test_every_policy_and_scaler_has_a_file_with_its_options_and_their_defaults(group, point):
    known = point.usable()
    files = {path.stem: yaml.safe_load(path.read_text()) for path in (CONF / group).glob("*.yaml")}
    assert files.keys() == known.keys()
    for name, content in files.items():
        parameters = inspect.signature(known[name]).parameters.values()
        assert content == {"name": name} | {p.name: p.default for p in parameters if p.default is not p.empty}


def test_every_profile_has_a_file_with_its_parameters_and_their_defaults():
    files = {path.stem: yaml.safe_load(path.read_text()) for path in (CONF / "workload").glob("*.yaml")}
    by_profile = {"file" if name == "trace" else name: content for name, content in files.items()}
    assert by_profile.keys() == PROFILES.usable().keys() and len(by_profile) == len(files)
    for name, content in by_profile.items():
        defaults = dataclasses.asdict(PROFILES.find(name)())
        assert content == {"profile": name} | ({name: defaults} if defaults else {})


def fields(cls, prefix=""):
    for field in dataclasses.fields(cls):
        yield field.name
        for inner in (field.default_factory() if callable(field.default_factory) else None,):
            if dataclasses.is_dataclass(inner):
                yield from fields(type(inner), f"{prefix}{field.name}.")


def test_no_key_is_read_by_nobody():
    places = [*ROOT.glob("services/**/*.py"), *ROOT.glob("experiments/**/*.py"), *ROOT.glob("analysis/**/*.py"), *ROOT.glob("record/*.py")]
    source = "\n".join(path.read_text() for path in places)
    unread = [
        name
        for name in set(fields(Config))
        if f".{name}" not in source and f'"{name}"' not in source and f"{name}=" not in source
    ]
    assert unread == []


def test_random_faults_repeat_with_the_seed_and_differ_without():
    config = composed("+scenario=failure")  # composing takes a hundred times as long as drawing

    def drawn(seed):
        varied = deepcopy(config)
        varied.seed = seed
        return [fault.as_dict() for fault in resolve(varied, ()).faults]

    assert drawn(1) == drawn(1) != drawn(2)
    for seed in range(20):
        faults = drawn(seed)
        assert len(faults) == 5 and len({fault["target"] for fault in faults}) == 2
        assert all(fault["at_s"] + fault["for_s"] <= 40 for fault in faults)


def test_a_kill_and_a_restart_are_one_fault_that_lasts_until_then():
    faults = "faults=[{at_s: 5, action: kill, target: [r1, r2]}, {at_s: 9, action: restart, target: r1}]"
    folded = planned("+scenario=routed", faults).faults
    assert [(f.target, f.at_s, f.for_s) for f in folded] == [("r1", 5, 4), ("r2", 5, None)]


@pytest.mark.parametrize(
    ("typed", "replicas"),
    [
        (["replica.speeds=[1,1,0.2]"], 3),
        (["replica.speeds=[1,1,0.2,1]", "replicas=4"], 4),
        (["replica.speeds=[]"], 4),
        (["policy=round_robin"], 4),
        (["replica.speeds=[1,1,1,1,1,1]", "scaler=target_tracking"], 4),
    ],
)
def test_speeds_alone_say_how_many_replicas_there_are(typed, replicas):
    plan = planned("+scenario=routed", *typed)
    assert plan.config.replicas == plan.resolved["replicas"] == replicas


def test_another_number_of_replicas_than_the_scenarios_is_said():
    six = resolve(composed("+scenario=routed", "replicas=6", "replica.speeds=[1,1]"), ["replica.speeds=[1,1]"])
    assert six.notes == ("replica.speeds lists 2 replicas: replicas=2 instead of 6",)
    for same in ([], ["replica.speeds=[1,1,1,0.3]"], ["replica.speeds=[1,1]", "replicas=2"]):
        assert planned("+scenario=routed", *same).notes == ()
    assert planned("+scenario=routed", "replica.speeds=[1,1]").with_seed(2).notes != ()
    with pytest.raises(configuration.ConfigError, match=r"replica\.speeds=.*6 numbers.*replicas=2"):
        planned("+scenario=routed", "replicas=6", "replica.speeds=[1,1]")


@pytest.mark.parametrize(
    ("typed", "weights"),
    [
        ([], []),
        (["replica.weights=[5,1,1,0.5]"], [5, 1, 1, 0.5]),
        (["replica.weights=by_speed", "replica.speeds=[1,1,0.2,1]"], [1, 1, 0.2, 1]),
        (["replica.weights=by_speed"], []),
    ],
)
def test_weights_are_typed_or_follow_the_speeds_and_reach_the_replicas_command_line(typed, weights):
    options = replica_options(planned("+scenario=routed", *typed).config)
    assert options["weights"] == weights
    for number, weight in enumerate(weights or [1.0] * 4, 1):
        flags = replica_flags(f"r{number}", options)
        assert float(flags[flags.index("--weight") + 1]) == weight
        assert "--weights" not in flags and "--speeds" not in flags


@pytest.mark.parametrize(
    ("typed", "primary"),
    [
        (["+scenario=routed"], "latency_p99_ms"),
        (["+scenario=failover"], "served_share"),
        (["+scenario=failure"], "served_share"),
        (["+scenario=failover", "comparison.primary=latency_p50_ms"], "latency_p50_ms"),
        (["+scenario=failover", "faults=[]"], "latency_p99_ms"),
        (["+scenario=omission"], "latency_p99_ms"),
        (["+scenario=autoscale"], "scaling_regret"),
    ],
)
def test_where_something_fails_the_verdict_is_about_what_was_served(typed, primary):
    plan = planned(*typed)
    assert plan.primary == plan.config.comparison.primary == plan.resolved["comparison"]["primary"] == primary


def test_a_plan_leaves_what_it_is_made_of_as_it_was():
    given = composed("+scenario=failover", "workload.utilisation=0.5", "replica.speeds=[1,1]")
    before = OmegaConf.to_yaml(given)
    plan = resolve(given, ["replica.speeds=[1,1]"])
    assert plan.config.workload.rate_rps == plan.resolved["workload"]["rate_rps"] == 40  # half of 2 x 2 slots of 50 ms
    assert OmegaConf.to_yaml(given) == before
    other = plan.with_seed(2).with_rate(20)
    assert (other.resolved["seed"], other.resolved["workload"]["rate_rps"]) == (2, 20)
    assert (plan.config.seed, plan.resolved["seed"], plan.config.workload.rate_rps) == (1, 1, 40)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_manifests_configuration_is_the_same_plan_again(scenario):
    plan = planned(f"+scenario={scenario}")
    again = resolve(as_composed(plan.resolved))
    assert again == plan


def test_a_wanted_width_with_faults_says_which_metric_has_one():
    with pytest.raises(configuration.ConfigError, match=r"served_share.*comparison\.primary=latency_p99_ms"):
        planned("+scenario=failover", "repeat.until_ratio_ci=0.1")


def test_a_policys_options_are_checked_by_the_policy_itself():
    with pytest.raises(ValueError, match=r"policy\.decay_s"):
        policies.create("peak_ewma", {"decay_s": -1.0}, random.Random(0))
    with pytest.raises(ValueError, match=r"scaler\.target"):
        scalers.create("target_tracking", {"target": -1.0})
