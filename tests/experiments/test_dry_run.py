"""`--dry-run` says what would be measured, and leaves nothing behind."""

import pytest

from experiments.compare_urls import sweep_of
from experiments.plan import store
from experiments.plan.config import ConfigError
from experiments.sweep.dry_run import show
from experiments.sweep.resuming import resumed
from tests.experiments.test_resuming import left
from tests.running import run


@pytest.fixture(autouse=True)
def schema():
    store.register()


def said(capsys, *typed):
    show(list(typed))
    return capsys.readouterr().out


def test_a_run_is_told_by_its_utilisation_requests_and_minutes(capsys):
    text = said(capsys, "+scenario=failover")
    # 88 requests/s of 50 ms over 4 replicas of 2 slots; 88 x 30 s.
    assert "0.55" in text and "2,640" in text
    assert "1 run, about 2,640 requests, 0.5 min of load; about 0.7 min in all" in text


def test_a_fleet_that_scales_has_no_utilisation(capsys):
    row = next(line for line in said(capsys, "+scenario=autoscale").splitlines() if line.startswith("+scenario"))
    assert row.split()[-2:] == ["-", "2,304"]


def test_services_of_ones_own_have_no_known_utilisation_either(capsys):
    show(sweep_of(["http://[::1]:8001", "http://127.0.0.1:8002"], 2))
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if "[::1]:8001" in line)
    assert row.split()[-2] == "-"
    assert any(line.startswith("4 runs") for line in lines)


def test_a_profile_shows_its_peak(capsys):
    assert "0.72 (peak 1.35)" in said(capsys, "+scenario=routed", "workload=spike")


def test_a_sweep_is_told_arm_by_arm(capsys):
    text = said(capsys, "-m", "+scenario=routed", "seed=range(1,6)", "replicas=3,4")
    assert "replicas=3     5  1-5           0.60           1,800" in text
    assert "10 runs, about 18,000 requests, 4.2 min of load" in text


def test_a_sequential_sweep_says_when_it_may_end(capsys):
    typed = ["policy=random,peak_ewma", "repeat.until_ratio_ci=0.1", "repeat.max=10"]
    text = said(capsys, "-m", "+scenario=routed", *typed)
    assert "20 runs" in text and "at most: it ends after 4 and 10 pairs" in text


def test_a_map_lists_twenty_arms_and_the_number_of_the_others(capsys):
    text = said(capsys, "+scenario=retry_storm_map", "hydra/launcher=joblib")
    assert text.count("workload.rate_rps=") == 20 and "... and 15 more" in text and "105 runs" in text


def test_what_goes_on_is_told_without_what_there_is(tmp_path, capsys):
    left(tmp_path)
    text = said(capsys, *resumed([f"repeat.resume={tmp_path}", "repeat.max=5"]))
    assert "4 runs" in text and "4, 5" in text and "measured before: 6 runs, 3 pairs an arm" in text


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["+scenario=routed", "hydra/launcher=joblib"], "add -m"),
        (["-m", "+scenario=routed", "replicas=3,4", "hydra/launcher=joblib"], "engine=sim"),
        (["+scenario=routed", "repeat.until_ratio_ci=0.1"], "with -m and two arms"),
        (["-m", "+scenario=routed", "replicas=0,4"], "replicas=0"),
        (["+scenario=routed", "--cfg=job"], "does not go with --cfg=job"),
    ],
)
def test_what_is_wrong_is_wrong_here_too(typed, words):
    with pytest.raises(ConfigError, match=words):
        show(typed)


def test_nothing_is_started_and_nothing_written(tmp_path):
    done = run("--dry-run", "-m", "+scenario=routed", "replicas=3,4", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    assert done.returncode == 0 and done.stdout.endswith("nothing was started (--dry-run)\n"), done.stderr
    assert not (tmp_path / "sweep").exists()
    done = run("--dry-run", "+scenario=routed", "replicas=0", f"hydra.run.dir={tmp_path / 'run'}")
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, "")
    assert not list(tmp_path.iterdir())
