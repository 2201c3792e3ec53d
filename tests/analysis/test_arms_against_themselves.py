"""An arm against itself: how often the protocol errs, what is missing of it, and whom it leaves without verdicts."""

import pytest
from scipy import stats

from analysis.standings import against, same
from analysis.standings.judging import judge_board
from analysis.standings.measures import FAULT, MEASURES
from analysis.standings.same import groups_of, is_false, labelled
from analysis.standings.text import left_out
from tests.analysis.boards import PACK, SMALLEST, cell, cells_of, one, protocol, rng_of, scattered, written


@pytest.mark.parametrize("pairs", [3, 5, 10])
def test_an_arm_against_itself_is_told_apart_as_often_as_theory_says(pairs):
    """Student's t on normal differences errs with 5 % at every number of pairs (Student 1908), less what the smallest
    effect takes: 600 trials have 45 and more false ones by chance once in a hundred."""
    rng = rng_of(f"itself {pairs}")
    runs = [one(value, seed=seed) for seed, value in enumerate(scattered(1.3, 0.3, 1200 * pairs, rng))]
    groups = groups_of(runs, pairs, rng)
    assert len(groups) == 600 and all(len(group) == pairs for group in groups)
    wrong = sum(is_false(labelled("a", group, rng), MEASURES[FAULT], SMALLEST) for group in groups)
    assert 12 <= wrong < 45


def test_an_arm_that_differs_from_itself_too_often_fails_and_gets_no_verdict():
    """Exact interval of 9 false of 20 (Clopper and Pearson; SciPy's binomtest): 23.1 to 68.5 %."""
    failed = same.Same("a", 20, 9, ("hang",) * 9)
    exact = stats.binomtest(9, 20).proportion_ci(method="exact")
    assert failed.interval == pytest.approx((exact.low, exact.high)) and failed.has_failed
    assert not same.Same("a", 20, 2, ("hang",) * 2).has_failed  # 10 % seen, but down to 1.2 % is not ruled out
    rng = rng_of("excused")
    cells = cells_of({"a": scattered(1.1, 0.03, 5, rng), "b": scattered(4, 0.03, 5, rng), "c": scattered(9, 0.03, 5, rng)})
    board = judge_board(PACK, protocol("abc"), cells, excused=["a"])
    assert board.rows[0].cell("a").state == "no verdict" and board.rows[0].best == ("b",)
    assert board.sentence().endswith(" Not judged, since they differ from themselves too often: a.")


def test_missing_runs_of_an_arm_against_itself_are_missing():
    """Live: two of five second runs are not there, and one that is was not valid at first."""
    rng = rng_of("twins")
    plan = protocol(["a"], is_virtual=False, groups=1)
    cells = cells_of({"a": scattered(1.1, 0.03, 5, rng)})
    again = {("hang", "a"): cell(scattered(1.1, 0.03, 3, rng))}
    again["hang", "a"].unmeasured += [4, 5]
    again["hang", "a"].invalid += ["x: late"]
    found = same.assess(plan, cells, again, SMALLEST)
    assert found[0].trials == 1 and found[0].sentence().endswith("; 2 of its runs are missing")
    board = judge_board(PACK, plan, cells)
    assert left_out(board, found) == ["a against itself: 2 run(s) of which nothing valid is there, as x: late"]


def test_an_arm_that_failed_against_itself_is_not_held_against_an_earlier_pack(tmp_path):
    rng = rng_of("excused then")
    plan = protocol(["a", "b"])
    then = written(tmp_path / "then", plan, cells_of({"a": scattered(1, 0.03, 5, rng), "b": scattered(1, 0.03, 5, rng)}))
    now = written(tmp_path / "now", plan, cells_of({"a": scattered(9, 0.03, 5, rng), "b": scattered(9, 0.03, 5, rng)}))
    assert [each.arm for each in against.changes((then, plan), (now, plan)).worse] == ["a", "b"]
    changes = against.changes((then, plan), (now, plan), {"a"})
    assert [each.arm for each in changes.worse] == ["b"]
    assert "a: not judged, since it differs from itself too often (A/A)" in changes.sentences()


def test_three_false_ones_of_ten_fail_an_arm_and_none_of_sixty_leaves_six_percent_possible():
    """Clopper and Pearson: 3 of 10 from 6.67 %, 2 of 10 from 2.52 %; none of 60 up to 5.96 % (SciPy)."""
    exact = stats.binomtest(3, 10).proportion_ci(method="exact")
    assert exact.low == pytest.approx(0.0667, abs=5e-5)
    assert same.Same("a", 10, 3, ()).has_failed and not same.Same("a", 10, 2, ()).has_failed
    assert same.Same("a", 60, 0, ()).interval[1] == pytest.approx(0.0596, abs=5e-5)
