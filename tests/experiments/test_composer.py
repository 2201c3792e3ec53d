"""A job that is given its values on another's composition is the one that Hydra composes of its overrides."""

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf, flag_override

from experiments.plan import store
from experiments.plan.installed import CONF
from experiments.plan.resolve import resolve
from experiments.plan.written import as_yaml
from experiments.run import scenarios
from experiments.sweep.composer import Composer

pytestmark = pytest.mark.slow  # Hydra composes each

SHAPES = {
    "numbers": ["seed=7", "workload.rate_rps=21.5", "load.timeout_s=3"],
    "an integer where a float belongs": ["workload.rate_rps=21"],
    "words, quoted and not": ["arm=x", "arm='a b, c'", "workload.arrivals=uniform"],
    "nothing": ["workload.rate_rps=20", "engine.image=null"],
    "a list": ["replica.speeds=[1,0.5,1]"],
    "a list in place of one": ["faults=[{at_s: 7, action: hang, target: r1, for_s: 2}]", "faults.0.at_s=8"],
    "an element of a list": ["faults.0.at_s=11"],
    "a section": ["workload={rate_rps: 9, demand: {mean_ms: 5}}"],
    "a section, then a key of it": ["router.retry={max_attempts: 2}", "router.retry.max_attempts=1"],
    "a key twice": ["seed=3", "seed=4"],
    "a value that follows from another": ["seed=3", "workload.rate_rps=${replicas}", "replicas=4"],
    "groups": ["policy=random", "scaler=queueing", "replicas=2"],
    "an option of a group that is chosen": ["policy=peak_ewma", "policy.decay_s=3"],
    "a group after a value of its own": ["policy.decay_s=3", "policy=peak_ewma"],
    "an entry of a group as a section": ["policy={name: random}"],
    "no router": ["router=none", "scaler=none", "replicas=2"],
    "a key that is added": ["++random_faults.count=0"],
    "a key that is there, added": ["+seed=3"],
    "a key that is taken away": ["~policy.decay_s", "policy=peak_ewma"],
    "a group that is taken away": ["~policy"],
    "a key that there is not": ["replica.speed=1"],
    "a word for a number": ["workload.rate_rps=abc"],
    "a number for a section": ["workload=3"],
    "a group's entry that there is not": ["policy=nosuch"],
    "a section for a list": ["faults={at_s: 3}"],
    "a value of Hydra's own": ["hydra.job.name=x", "seed=3"],
}


@pytest.fixture(scope="module")
def loader():
    store.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


@pytest.fixture(scope="module")
def composer(loader):
    return Composer(loader)


def by_hydra(loader, overrides):
    composed = loader.load_configuration("config", list(overrides), run_mode=RunMode.RUN)
    with flag_override(composed, ["readonly", "struct"], False):
        scenario = composed.hydra.runtime.choices["scenario"]
        del composed["hydra"]
    return composed, scenario


def outcome(compose):
    """What came of it: YAML, plan and scenario, or the type and the text of the error."""
    try:
        return compose()
    except Exception as error:  # of Hydra's, of ours, and what Hydra lets through
        return type(error), str(error)


def of_hydra(loader, overrides):
    composed, scenario = by_hydra(loader, overrides)
    return OmegaConf.to_yaml(composed), resolve(composed, overrides), scenario


def of_ours(composer, overrides):
    job = composer.compose(3, overrides)
    assert (job.number, job.overrides) == (3, tuple(overrides))
    return as_yaml(job.composed), job.plan, job.scenario


def test_every_scenario_given_values_is_what_hydra_composes(loader, composer):
    for name in scenarios():
        typed = [f"+scenario={name}", "seed=7", "workload.duration_s=90", "workload.warmup_s=6", "slo.p99_ms=321.5"]
        assert of_ours(composer, typed) == of_hydra(loader, typed)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_an_override_does_what_it_does_in_hydra(loader, composer, shape):
    typed = ["+scenario=failover", *SHAPES[shape]]
    assert outcome(lambda: of_ours(composer, typed)) == outcome(lambda: of_hydra(loader, typed))


def test_another_seed_of_an_arm_is_what_hydra_composes(loader, composer):
    for values in (["arm=b"], ["replicas=4", "arm=${seed}"], ["random_faults.count=0"]):
        for seed in ("seed=3", "seed=4", "seed=05", "++seed=6"):
            typed = ["+scenario=failure", seed, *values]
            assert of_ours(composer, typed) == of_hydra(loader, typed), typed


def test_what_a_job_was_given_is_not_left_to_the_next(loader, composer):
    first, second = ["+scenario=failover", "faults.0.at_s=11", "seed=9"], ["+scenario=failover", "seed=2"]
    of_ours(composer, first)
    assert of_ours(composer, second) == of_hydra(loader, second)
