"""Sweeps whose number of pairs is left to the data: they end when they should, and say what they know."""

import json

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from experiments.plan import store
from experiments.plan.config import ConfigError
from experiments.plan.installed import CONF
from experiments.sweep.jobs import by_seed, planned
from experiments.sweep.repeating import Repetition
from experiments.sweep.sweep import begun
from record.naming import by_number
from tests.analysis import synthetic
from tests.running import SHORT, manifest, run

SWEEP = ["+scenario=routed", "policy=round_robin,peak_ewma"]
FAILED, INVALID = 1, 3


class Sweep:
    """Feeds a repetition with runs that need no measuring."""

    def __init__(self, folder, until=0.05, most=20):
        self.repetition = Repetition(until=until, most=most)
        self.folder, self.folders, self.repeat = folder, [], {"until_ratio_ci": until, "max": most}

    def pair(self, seed, ratio, *, status=0):
        """Measure a pair, the arm's latencies `ratio` times the reference's; return whether it is enough."""
        for arm, latency in (("round_robin", 0.1), ("peak_ewma", 0.1 * ratio)):
            config = {"policy": {"name": arm}, "repeat": self.repeat}
            about = synthetic.manifest(
                seed=seed, config=config,
                exit_reason="failed" if status == FAILED else "complete",
                generator=[{"stopped": "interrupted" if status == INVALID else "complete"}],
            )  # fmt: skip
            folder = self.folder / f"{seed}-{arm}"
            synthetic.write(folder, synthetic.even_requests(latency_s=latency), about=about)
            self.folders.append(folder)
        return self.repetition.is_enough(self.folders, pairs=len(self.folders) // 2, has_failed=status == FAILED)

    def pairs(self, ratios):
        """Measure pairs until it is enough; return how many there were."""
        return next(seed + 1 for seed, ratio in enumerate(ratios) if self.pair(seed, ratio))


def test_a_sweep_ends_at_the_first_planned_look_at_which_the_interval_is_narrow(tmp_path, capsys):
    assert Sweep(tmp_path).pairs([0.8, 0.81] * 10) == 8
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(
        "look 1 of 2, 8 pairs measured: policy=peak_ewma over policy=round_robin: latency p99 x 0.805"
    )
    assert lines[0].endswith("wanted: 1.05")
    assert lines[1].startswith("BETTER. policy=peak_ewma is better than policy=round_robin")
    assert "(8 pairs, 97.4 % interval, look 1 of 2)" in lines[1]


def test_it_goes_on_while_the_interval_is_wide_and_ends_inconclusive_with_its_budget(tmp_path, capsys):
    assert Sweep(tmp_path, most=10).pairs([0.5, 2.0] * 5) == 10
    printed = capsys.readouterr().out
    assert [line[:11] for line in printed.splitlines()[:2]] == ["look 1 of 2", "look 2 of 2"]
    assert "INCONCLUSIVE. " in printed


def test_an_interval_that_is_narrow_between_two_looks_does_not_end_it(tmp_path, capsys):
    # Four wide pairs, then equal ones: were there a look after each pair, it would end before the tenth.
    assert Sweep(tmp_path, until=0.5, most=10).pairs([0.6, 1.6, 0.6, 1.6, *[1.0] * 6]) == 10


def test_an_invalid_run_loses_its_pair_and_the_sweep_goes_on(tmp_path, capsys):
    sweep = Sweep(tmp_path)
    sweep.pair(0, 5.0, status=INVALID)
    for seed in range(1, 7):
        sweep.pair(seed, 0.8 + 0.01 * (seed % 2))
    assert sweep.pair(7, 0.8)
    printed = capsys.readouterr().out
    assert "look 1 of 2, 8 pairs measured" in printed and "(7 pairs, 97.4 % interval, look 1 of 2" in printed
    assert "eft out whole: 1 pair(s)" in printed


def test_a_failed_run_ends_it_after_its_seed_with_what_is_known(tmp_path, capsys):
    sweep = Sweep(tmp_path)
    for seed in range(3):
        sweep.pair(seed, 0.8 + 0.01 * (seed % 2))
    assert sweep.pair(3, 1.0, status=FAILED)
    printed = capsys.readouterr().out
    assert "not at a planned look, 4 pairs measured" in printed and "BETTER. " in printed
    assert len(list(tmp_path.iterdir())) == 8


def test_what_is_wrong_with_the_runs_ends_it_in_a_line(tmp_path, capsys):
    assert Repetition(until=0.05, most=3).is_enough([tmp_path / "none"] * 6, pairs=3, has_failed=False)
    assert capsys.readouterr().err.count("\n") == 1


def jobs_of(*overrides):
    store.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return planned(GlobalHydra.instance().config_loader(), [*SWEEP, *overrides])


def test_the_jobs_are_those_of_an_ordinary_sweep_over_the_seeds_of_the_whole_budget():
    jobs = jobs_of("seed=7", "repeat.until_ratio_ci=0.1", "repeat.max=4")
    assert begun(jobs).repetition == Repetition(until=0.1, most=4)
    assert [job.number for job in jobs] == list(range(8))
    assert [(seed, len(same)) for seed, same in by_seed(jobs)] == [(7, 2), (8, 2), (9, 2), (10, 2)]
    assert [job.config.policy["name"] for job in jobs] == ["round_robin", "peak_ewma"] * 4
    assert all(f"seed={job.config.seed}" in job.overrides and job.plan.resolved["seed"] == job.config.seed for job in jobs)


def test_a_sweep_without_a_wanted_width_is_left_alone():
    for typed in ("repeat.max=5", "repeat.until_ratio_ci=null"):
        jobs = jobs_of(typed)
        assert len(jobs) == 2 and begun(jobs).repetition is None


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["seed=1,2"], "seed=1,2: with repeat.until_ratio_ci give the first seed only"),
        (["seed=range(10)"], "give the first seed only"),
        (["policy=peak_ewma"], "one arm only"),
        (["repeat.max=5,6"], "repeat.max=5,6: must be the same for all arms"),
        (["repeat.max=2"], "repeat.max=2: must be between 3"),
        (["repeat.until_ratio_ci=0"], r"repeat.until_ratio_ci=0: must be above 0"),
        (["repeat.until_ratio_ci=1.5"], r"repeat.until_ratio_ci=1.5: must be above 0 and below 1"),
        (["comparison.primary=error_rate"], "comparison.primary=error_rate: must be compared by a ratio"),
        (["seed=9223372036854775800"], "seed=9223372036854775808"),
    ],
)
def test_a_repetition_that_cannot_be_is_refused_before_anything_starts(overrides, words):
    with pytest.raises(ConfigError, match=words.replace("(", r"\(")):
        jobs_of("repeat.until_ratio_ci=0.05", *overrides)


def test_a_wanted_width_without_a_sweep_is_status_2(tmp_path):
    done = run("+scenario=routed", "repeat.until_ratio_ci=0.05", f"hydra.run.dir={tmp_path / 'run'}")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "with -m and two arms" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_sweep_measures_pair_after_pair_into_one_folder_and_ends_by_itself(tmp_path):
    done = run(
        "-m", "+scenario=baseline", "engine=sim", "seed=5", "replica.concurrency=2,3", *SHORT, "replicas=1",
        "repeat.until_ratio_ci=0.99", "repeat.max=4", f"hydra.sweep.dir={tmp_path}",
    )  # fmt: skip
    assert done.returncode in (0, 3), done.stderr
    jobs = list(by_number(tmp_path))
    assert jobs in (list(range(6)), list(range(8)))  # enough at the look at 3 pairs, or the budget of 4
    arms = [manifest(folder) for folder in by_number(tmp_path).values()]
    assert [arm["config"]["replica"]["concurrency"] for arm in arms] == [2, 3] * (len(jobs) // 2)
    assert [arm["seed"] for arm in arms] == [5 + job // 2 for job in jobs]
    assert [{arms[job]["order"], arms[job + 1]["order"]} for job in jobs[::2]] == [{0, 1}] * (len(jobs) // 2)
    assert "look 1 of 2, 3 pairs measured: replica.concurrency=3" in done.stdout
    assert json.dumps(arms[0]["config"]["repeat"], sort_keys=True) == '{"max": 4, "until_ratio_ci": 0.99}'
