"""A sweep's jobs: what is refused before the first, in which order they run, and where they go."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from experiments.plan import store
from experiments.plan.config import ConfigError
from experiments.plan.installed import CONF
from experiments.plan.resolve import resolve
from experiments.plan.written import as_yaml
from experiments.sweep.jobs import by_seed, consecutive, planned
from record.place import hold
from tests.running import job_of, manifest, run

SIM = [
    "+scenario=routed", "engine=sim", "workload.duration_s=3", "workload.warmup_s=0", "tracking.enabled=false",
    "summary=never",
]  # fmt: skip


def jobs_of(*overrides):
    store.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return planned(GlobalHydra.instance().config_loader(), list(overrides))


def places(jobs):
    return [[job.order for job in same] for _, same in by_seed(jobs)]


def test_which_arm_of_a_seed_comes_first_is_drawn_from_the_seed_and_repeats():
    sweep = ["+scenario=routed", "seed=range(40)", "policy=round_robin,peak_ewma"]
    found = places(jobs_of(*sweep))
    assert found == places(jobs_of(*sweep))
    assert all(sorted(orders) == [0, 1] for orders in found)
    assert 10 <= sum(orders == [0, 1] for orders in found) <= 30  # a coin: outside in one of 1,000 draws


def test_an_order_does_not_depend_on_which_other_seeds_there_are_nor_on_what_is_typed_first():
    few, many = (places(jobs_of("+scenario=routed", seeds, "replicas=2,3,4")) for seeds in ("seed=2", "seed=1,2"))
    assert few[0] == many[1]
    turned = jobs_of("+scenario=routed", "replicas=2,3,4", "seed=1,2")
    assert [job.number for job in turned] == list(range(6))
    assert [job.config.replicas for job in turned] == [2, 2, 3, 3, 4, 4]
    assert places(turned) == many


def test_jobs_fall_into_runs_of_consecutive_numbers():
    jobs = jobs_of("+scenario=routed", "seed=range(6)")
    found = consecutive(jobs[number] for number in (5, 0, 1, 3))
    assert [[job.number for job in group] for group in found] == [[0, 1], [3], [5]]


def test_arms_that_differ_in_values_are_composed_as_hydra_composes_each():
    sweep = ["+scenario=failover", "policy=random,peak_ewma", "replicas=3,4", "faults.0.at_s=11"]
    sweep += ["workload.rate_rps=30", "workload={rate_rps: 9}", "replica.speeds=[]", "++random_faults.count=0"]
    for arguments in (sweep[:-1], sweep):  # a key that is added is composed by Hydra itself
        jobs = jobs_of(*arguments)
        store.register()
        with initialize_config_dir(str(CONF), version_base="1.3"):
            for job in jobs:
                composed = compose("config", list(job.overrides))
                assert OmegaConf.to_yaml(composed) == as_yaml(job.composed)
                assert resolve(composed, job.overrides) == job.plan


def test_a_wrong_value_in_a_sweep_is_told_in_hydras_words():
    with pytest.raises(ConfigCompositionException, match=r"Could not override 'replica\.speed'"):
        jobs_of("+scenario=routed", "replica.speed=1,2")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["workload.utilisation=0.8", "replica.speeds=[1,1],[0.5,0.5]"], r"64, 32 requests/s.*give workload\.rate_rps"),
        (["workload.utilisation=0.8", "replicas=2,4"], r"give workload\.rate_rps"),
        (["faults=[],[{at_s:9,action:kill,target:r1}]"], r"latency_p99_ms, served_share.*set comparison\.primary"),
        (["random_faults.count=0,1"], r"set comparison\.primary"),
        (["load.ui=true,false"], r"load\.ui=true"),
    ],
)
def test_arms_that_could_not_be_compared_are_refused_before_anything_starts(overrides, words):
    with pytest.raises(ConfigError, match=words):
        jobs_of("+scenario=routed", *overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ["workload.utilisation=0.5,0.8", "policy=round_robin,peak_ewma"],
        ["workload.utilisation=0.5,0.8", "replicas=2,4"],
        ["workload=constant,spike"],
        ["faults=[],[{at_s:9,action:kill,target:r1}]", "comparison.primary=latency_p99_ms"],
        ["workload.utilisation=0.8", "replica.speeds=[2,1],[1,2]"],
    ],
)
def test_sweeps_that_differ_in_the_load_on_purpose_are_let_pass(overrides):
    assert len(jobs_of("+scenario=routed", *overrides)) > 1


def test_several_scenarios_in_one_sweep_are_let_pass():
    assert len(jobs_of("+scenario=baseline,routed,mm1")) == 3


def test_each_job_s_folder_begins_with_what_differs_and_orders_it_by_its_number_though_it_was_measured_in_another_order(tmp_path):
    done = run("-m", *SIM, "seed=1,2", "replicas=3,4", f"hydra.sweep.dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    runs = [manifest(job_of(tmp_path, number)) for number in range(4)]
    assert [found["config"]["replicas"] for found in runs] == [3, 4] * 2
    assert [found["seed"] for found in runs] == [1, 1, 2, 2]
    assert all(found["looks"] == [] for found in runs)
    by_time = sorted(runs, key=lambda found: found["started_at"])
    assert [found["seed"] for found in by_time] == [1, 1, 2, 2]
    assert [found["order"] for found in by_time] == [0, 1] * 2
    assert {found["config"]["replicas"] for found in by_time[::2]} == {3, 4}
    assert "replicas=4 and replicas=3" in done.stdout  # the reference is the one named first
    assert "hydra.sweep" not in str(runs[0]["overrides"])
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {
        "replicas=3,seed=1,job=0", "replicas=4,seed=1,job=1", "replicas=3,seed=2,job=2", "replicas=4,seed=2,job=3",
    }  # fmt: skip


def test_parallel_jobs_go_in_one_launch_and_say_their_place(tmp_path):
    done = run("-m", *SIM, "seed=1,2", "replicas=3,4", "hydra/launcher=joblib", f"hydra.sweep.dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert [manifest(job_of(tmp_path, number))["order"] for number in range(4)] == [0, 1, 0, 1]


def test_another_sweeper_can_be_chosen(tmp_path):
    done = run("-m", *SIM, "replicas=3,4", "hydra/sweeper=basic", f"hydra.sweep.dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert [manifest(tmp_path / str(number))["order"] for number in range(2)] == [None, None]


def test_folders_that_are_named_on_the_command_line_are_named_so(tmp_path):
    done = run("-m", *SIM, "replicas=3,4", f"hydra.sweep.dir={tmp_path}", "hydra.sweep.subdir='mine-${replicas}'")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"mine-3", "mine-4"}
    assert "replicas=4 and replicas=3" in done.stdout


def test_another_sweep_into_the_same_place_takes_the_folders_of_its_numbers(tmp_path):
    (tmp_path / "0").mkdir()  # of a sweep of before
    (tmp_path / "policy=random,seed=1,job=1").mkdir()
    for folder in tmp_path.iterdir():
        (folder / "manifest.json").write_text('{"exit_reason": "complete"}')
    done = run("-m", *SIM, "replicas=3,4", f"hydra.sweep.dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"replicas=3,seed=1,job=0", "replicas=4,seed=1,job=1"}


def test_runs_of_an_earlier_sweep_that_would_stay_and_be_compared_are_told(tmp_path):
    for number in (1, 2, 3):
        (tmp_path / f"replicas=4,seed={number},job={number}").mkdir()
    done = run("-m", *SIM, "replicas=3,4", f"hydra.sweep.dir={tmp_path}")
    assert done.returncode == 2 and len(list(tmp_path.glob("*/manifest.json"))) == 0
    assert f"{tmp_path}: replicas=4,seed=2,job=2 and 1 more of an earlier sweep would be compared with these" in done.stderr


def test_a_folder_in_which_a_sweep_is_going_on_is_not_taken(tmp_path):
    (tmp_path / ".statuses").write_text("1\n")
    held = hold(tmp_path)
    try:
        done = run("-m", *SIM, "replicas=3,4", f"hydra.sweep.dir={tmp_path}")
    finally:
        held.release()
    assert done.returncode == 2
    assert done.stderr == f"{tmp_path}: another sweep writes here; choose another hydra.sweep.dir\n"
    assert (tmp_path / ".statuses").read_text() == "1\n"


def test_a_folder_in_which_a_run_is_going_on_is_not_taken(tmp_path):
    (tmp_path / "0").mkdir()
    held = hold(tmp_path / "0")
    try:
        done = run("-m", *SIM, "replicas=3,4", f"hydra.sweep.dir={tmp_path}")
    finally:
        held.release()
    assert done.returncode == 2
    assert done.stderr == f"{tmp_path / '0'}: another run writes here; choose another hydra.sweep.dir\n"


def test_looking_in_between_does_not_go_with_folders_of_other_names(tmp_path):
    done = run(
        "-m", *SIM, "replicas=3,4", "repeat.until_ratio_ci=0.1", f"hydra.sweep.dir={tmp_path}",
        "hydra.sweep.subdir='x-${hydra:job.num}'",
    )  # fmt: skip
    assert done.returncode == 2 and done.stderr.startswith("hydra.sweep.subdir: does not go with repeat.until_ratio_ci")
