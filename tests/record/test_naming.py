"""A sweep's folders: their names begin with what differs, and their order is that of the jobs' numbers."""

import pytest

from record.files import find
from record.naming import by_number, job_folder, number_of


@pytest.mark.parametrize(
    ("differs", "name"),
    [
        ((), "seed=7,job=3"),
        (("policy=peak_ewma",), "policy=peak_ewma,seed=7,job=3"),
        (("+scenario=mm1", "replicas=4"), "scenario=mm1,replicas=4,seed=7,job=3"),
        (("replica.speeds=[1, 0.5]",), "replica.speeds=1,0.5,seed=7,job=3"),
        (("workload.trace='/data/$HOME/a b.csv'",), "workload.trace=-data-HOME-ab.csv,seed=7,job=3"),
        (('faults=[{at_s: 2, action: "kill"}]',), "faults=at_s-2,action-kill,seed=7,job=3"),
        (("a=é\n`id`;..",), "a=-id-..,seed=7,job=3"),
    ],
)
def test_a_name_says_what_differs_and_can_be_typed_without_quotes(differs, name):
    assert job_folder(differs, 7, 3) == name
    assert number_of(name) == 3


def test_a_long_name_is_cut_and_the_same_arm_keeps_its_beginning():
    arm, other = (f"replica.speeds=[{','.join(['1'] * 200 + [last])}]" for last in "23")
    first, second, third = job_folder([arm], 1, 0), job_folder([arm], 2, 4), job_folder([other], 1, 1)
    assert max(map(len, (first, second, third))) < 143
    assert first.removesuffix(",seed=1,job=0") == second.removesuffix(",seed=2,job=4")
    assert first.removesuffix(",seed=1,job=0") != third.removesuffix(",seed=1,job=1")


def test_folders_are_in_the_order_of_the_jobs_whatever_they_are_called_also_beside_those_of_before(tmp_path):
    names = ["0", "1", "b=1,seed=1,job=2", "a=1,seed=1,job=3", "b=1,seed=2,job=10", "a=1,seed=2,job=11"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").touch()
    (tmp_path / "notes").mkdir()
    assert [path.name for path in find([tmp_path])] == names
    assert {number: path.name for number, path in by_number(tmp_path).items()} == dict(
        zip((0, 1, 2, 3, 10, 11), names, strict=True)
    )
