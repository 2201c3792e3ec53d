"""A sweep says where it stands: which job of how many, its arm, and the time that is probably left."""

from dataclasses import replace

import pytest

from experiments.plan import store
from experiments.sweep.course import course_of
from experiments.sweep.dry_run import sweep_of

SWEEP = ["-m", "+scenario=routed", "seed=1,2", "policy=round_robin,peak_ewma", "workload.duration_s=20"]


@pytest.fixture(autouse=True)
def _schema():
    store.register()


def test_a_live_sweep_names_job_arm_and_seed_and_the_time_left_from_the_first_job_on():
    jobs = sweep_of(SWEEP).jobs
    course = course_of(jobs, is_budget=False)
    assert course.begins(jobs[0]) == "job 1 of 4, policy=round_robin, seed=1, about 2 min left"
    assert course.begins(jobs[3]).startswith("job 4 of 4, policy=peak_ewma, seed=2, about ")
    assert course.ended(jobs[3]) == "job 4 of 4, policy=peak_ewma, seed=2"


def test_what_is_left_follows_the_pace_of_the_jobs_that_are_done():
    course = course_of(sweep_of(SWEEP).jobs, is_budget=False)
    assert course.left_s(0, course.began_s) == sum(course.expected_s) == 120
    assert course.left_s(2, course.began_s + 120) == 120  # each took twice as long as was expected
    assert course.left_s(4, course.began_s + 200) == 0


def test_a_simulated_sweep_does_not_guess_before_a_job_is_done():
    jobs = sweep_of([*SWEEP, "engine=sim"]).jobs
    course = course_of(jobs, is_budget=False)
    assert course.left_s(0, course.began_s) is None
    assert course.begins(jobs[0]) == "job 1 of 4, policy=round_robin, seed=1"
    assert course.left_s(1, course.began_s + 3) == 9


def test_a_budget_is_said_to_be_one():
    jobs = sweep_of([*SWEEP, "engine=sim"]).jobs
    course = replace(course_of(jobs, is_budget=True), began_s=0.0)
    assert course.begins(jobs[0]).startswith("job 1 of at most 4, policy=round_robin")
