"""Boards: who is best, harm first, what is undecided, and how often a board is wrong; with answers from outside."""

import numpy as np
import pytest
from scipy import stats

from analysis.comparison.arms import ComparisonError
from analysis.comparison.statistics import Verdict
from analysis.comparison.verdicts import best_set
from analysis.standings import against
from analysis.standings.board import Cell, Spanned
from analysis.standings.gathering import CellRuns
from analysis.standings.markdown import markdown
from analysis.standings.measures import IN_TIME
from analysis.standings.ranking import mean_rank
from analysis.standings.text import best_told, how_to_read
from tests.analysis.boards import PACK, board_of, cell, cells_of, one, protocol, rng_of, scattered, written

AUC = """
0.763 0.768 0.771 0.798
0.599 0.591 0.590 0.569
0.954 0.971 0.968 0.967
0.628 0.661 0.654 0.657
0.882 0.888 0.886 0.898
0.936 0.931 0.916 0.931
0.661 0.668 0.609 0.685
0.583 0.583 0.563 0.625
0.775 0.838 0.866 0.875
1.000 1.000 1.000 1.000
0.940 0.962 0.965 0.962
0.619 0.666 0.614 0.669
0.972 0.981 0.975 0.975
0.957 0.978 0.946 0.970
"""
"""Demsar, Statistical comparisons of classifiers over multiple data sets, JMLR 7 (2006), table 6: areas under the curve
of four classifiers on 14 data sets. (Its ranks of the last but one count its last two as 2 and 3, as they differ beyond
three digits; here they are equal, and share 2.5.)"""
RANKS = (3.143, 2.000, 2.893, 1.964)
"""Its mean ranks."""


def test_mean_ranks_are_those_of_demsars_table():
    table = np.array([[float(word) for word in line.split()] for line in AUC.strip().splitlines()])
    ranks = [
        [mean_rank([Cell("x", "undecided", judged=1 / value, lost=Spanned(0.0)) for value in row], at, is_in_time=False)
         for at in range(4)]
        for row in table
    ]  # fmt: skip
    assert np.mean(ranks, axis=0) == pytest.approx(RANKS, abs=0.5 / 14 + 5e-4)
    assert [round(float(mean), 3) for mean in np.mean(ranks, axis=0)][:2] == list(RANKS[:2])


def test_an_arm_that_is_better_than_all_others_is_best_and_alone():
    rng = rng_of("alone")
    board = board_of(cells_of({"a": scattered(1.1, 0.03, 5, rng), "b": scattered(4, 0.03, 5, rng)}), ["a", "b"])
    row = board.rows[0]
    assert row.best == ("a",) and row.is_decided
    assert [each.state for each in row.cells] == ["best", "worse"]
    assert "Of 1 pathology: a (1) better than every other. At most 5 %" in board.sentence()


def test_arms_that_cannot_be_told_apart_are_undecided_and_those_that_differ_by_less_than_matters_equivalent():
    rng = rng_of("apart")
    unclear = board_of(cells_of({"a": scattered(1.1, 0.4, 3, rng), "b": scattered(1.3, 0.4, 3, rng)}), ["a", "b"], seeds=3)
    assert [each.state for each in unclear.rows[0].cells] == ["undecided", "undecided"]
    assert not unclear.rows[0].is_decided and "1 undecided" in unclear.sentence()
    base = scattered(1.1, 0.3, 6, rng)
    alike = board_of(cells_of({"a": base, "b": [v * (1 + 0.002 * i) for i, v in enumerate(base)]}), ["a", "b"], seeds=6)
    assert [each.state for each in alike.rows[0].cells] == ["equivalent", "equivalent"]


def test_who_loses_more_than_matters_is_never_best_however_fast():
    rng = rng_of("harm")
    values = {"fast": scattered(1.0, 0.02, 3, rng), "slow": scattered(3.0, 0.02, 3, rng)}
    cells = {("hang", "fast"): cell(values["fast"], failed=[0, 60, 9], arm="fast"), ("hang", "slow"): cell(values["slow"], arm="slow")}
    row = board_of(cells, ["fast", "slow"], seeds=3).rows[0]
    assert "fast" not in row.best and row.cell("fast").state in ("loses more", "worse")
    assert row.cell("fast").lost.value == pytest.approx(69 / 6000)


def test_where_more_is_asked_than_can_be_done_what_is_served_in_time_decides_alone():
    runs = {
        ("overload", arm): cell([0.0] * 5, failed=failed, measure=IN_TIME, arm=arm, row="overload")
        for arm, failed in (("sheds", 400), ("queues", 0))
    }
    for seed in range(1, 6):
        runs["overload", "sheds"].by_seed[seed].metrics["served_share"] = 0.8 + 0.002 * seed
        runs["overload", "queues"].by_seed[seed].metrics["served_share"] = 0.2 + 0.002 * seed
    row = board_of(runs, ["sheds", "queues"], measure=IN_TIME).rows[0]
    assert row.best == ("sheds",)  # it refuses a fifth, and serves four times as many in time


def test_a_quantile_among_what_was_not_served_is_worse_than_any_number_and_told_as_beyond():
    rng = rng_of("beyond")
    cells = {("hang", "a"): cell(scattered(1.1, 0.02, 7, rng), arm="a"), ("hang", "b"): cell([None] * 7, failed=60, arm="b")}
    row = board_of(cells, ["a", "b"], seeds=7).rows[0]
    assert row.best == ("a",) and row.cell("b").beyond_ms == 250.0


def test_what_cannot_be_asked_is_empty_with_its_reason_and_takes_part_in_nothing():
    rng = rng_of("empty")
    cells = cells_of({"a": scattered(1.1, 0.03, 5, rng), "b": scattered(4, 0.03, 5, rng)})
    board = board_of(cells, ["a", "b", "c"], refused=[("hang", "c", "policy: is of Aegis' own router")])
    empty = board.rows[0].cell("c")
    assert (empty.state, empty.reason) == ("not asked", "policy: is of Aegis' own router")
    assert board.rows[0].best == ("a",)
    told = markdown(board, PACK, [], [])
    assert "cannot be asked" in told and "policy: is of Aegis' own router" in told


def test_intervals_hold_together_each_is_students_at_the_level_over_the_number_of_intervals():
    """Bonferroni over two intervals of each of four cells, the measure's and that of lost requests: SciPy's t at
    0.05 / 8, on the logarithms; of a share that holds lost requests one."""
    rng = rng_of("level")
    cells = cells_of({"a": scattered(1.1, 0.1, 5, rng), "b": scattered(2, 0.1, 5, rng)}) | cells_of(
        {"a": scattered(1.1, 0.1, 5, rng), "b": scattered(2, 0.1, 5, rng)}, row="kill"
    )
    board = board_of(cells, ["a", "b"])
    logs = np.log([one.metrics["times_floor_p99_fault"] for one in cells["hang", "a"].by_seed.values()])
    low, high = stats.t.interval(1 - 0.05 / 8, 4, logs.mean(), logs.std(ddof=1) / np.sqrt(5))
    shown = board.rows[0].cell("a").value
    assert (shown.low, shown.high) == pytest.approx((np.exp(low), np.exp(high)))
    row = board_of(cells, ["a", "b"], family="pathology").rows[0].cell("a").value
    assert row.high < shown.high
    lost = board.rows[0].cell("a").lost
    assert lost.high == pytest.approx(stats.beta.ppf(1 - 0.05 / 16, 1, 5 * 2_000))  # Clopper and Pearson
    shares = {("all", arm): cell([0.5] * 5, measure=IN_TIME, arm=arm, row="all") for arm in "ab"}
    alone = board_of(shares, ["a", "b"], measure=IN_TIME).rows[0].cell("a").value  # all were served
    assert (1 - alone.low) == pytest.approx(stats.beta.ppf(1 - 0.05 / 4, 1, 5 * 2_000)) and alone.high == 1


def test_boards_of_equal_arms_are_wrong_as_seldom_as_they_say():
    """Holm's bound: at most 5 % of boards of four equal arms under three pathologies hold a verdict; of 120 boards 12 or
    more would come by chance once in a hundred."""
    wrong = 0
    for number in range(120):
        rng = rng_of(f"equal {number}")
        cells = {}
        for row in ("hang", "kill", "flap"):
            load = [rng.gauss(0, 0.2) for _ in range(5)]
            for arm in "abcd":
                cells |= cells_of({arm: [v * np.exp(x) for v, x in zip(scattered(1.2, 0.1, 5, rng), load, strict=True)]}, row)
        wrong += any(c.state == "worse" for row in board_of(cells, list("abcd")).rows for c in row.cells)
    assert wrong < 12


def test_runs_of_one_seed_that_were_asked_differently_are_refused():
    cells = cells_of({"a": [1.0, 1.1], "b": [2.0, 2.1]})
    cells["hang", "b"].by_seed[2].run.manifest["schedule_hash"] = "another"
    with pytest.raises(ComparisonError, match="different schedules"):
        board_of(cells, ["a", "b"], seeds=2)


def test_seeds_added_after_an_end_are_judged_at_a_smaller_level():
    rng = rng_of("looks")
    cells = cells_of({"a": scattered(1.1, 0.1, 6, rng), "b": scattered(1.2, 0.1, 6, rng)})
    at_once = board_of(cells, ["a", "b"], seeds=6).level
    for each in cells.values():
        for seed in (4, 5, 6):
            each.by_seed[seed].run.manifest["looks"] = [3]
    later = board_of(cells, ["a", "b"], seeds=6)
    assert later.level < at_once == 0.05
    assert "At most 6 % of such boards, all their extensions together, hold a wrong difference" in later.sentence()
    told = " ".join(how_to_read(later))
    assert f"with {100 - 100 * later.level:.1f} % over" in told and f"family of {100 * later.level:.1f} %" in told


def test_an_arm_that_was_compared_with_nobody_is_not_called_best_as_others():
    base = scattered(1.1, 0.3, 6, rng_of("nobody"))
    cells = cells_of({"a": base, "b": [v * (1 + 0.002 * i) for i, v in enumerate(base)]})
    cells["hang", "c"] = CellRuns({7: one(1.0, seed=7, arm="c")}, unmeasured=[1, 2, 3, 4, 5, 6])
    row = board_of(cells, ["a", "b", "c"], seeds=7).rows[0]
    assert [each.state for each in row.cells] == ["undecided", "undecided", "not compared"] and not row.is_decided
    assert {each.verdict for each in row.judgements if each.metric != "error_rate"} == {"equivalent"}  # of a and b


def test_a_set_of_best_arms_is_equivalent_only_where_all_pairs_of_it_are():
    alike: dict[tuple[str, str], Verdict] = {("a", "b"): "equivalent"}
    assert best_set(["a", "b"], alike).are_equivalent
    assert not best_set(["a", "b", "c"], alike).are_equivalent
    assert not best_set(["a", "b", "c"], alike | {("a", "c"): "equivalent"}).are_equivalent
    assert best_set(["a", "b", "c"], alike | {("a", "c"): "equivalent", ("b", "c"): "equivalent"}).are_equivalent


def test_one_pair_of_runs_is_no_verdict_whatever_was_lost_in_it(tmp_path):
    """20 of 1,620 requests lost against none is p = 2e-6 by Fisher's exact test, were they independent."""
    assert stats.fisher_exact([[20, 1600], [0, 1620]]).pvalue < 1e-5
    rng = rng_of("one pair")
    cells = cells_of({"a": scattered(1.1, 0.03, 5, rng)})
    cells["hang", "b"] = CellRuns({1: one(1.2, failed=20, arm="b")}, unmeasured=[2, 3, 4, 5])
    row = board_of(cells, ["a", "b"]).rows[0]
    assert not row.judgements and [each.state for each in row.cells] == ["not compared", "not compared"]
    plan = protocol(["a"])
    then = written(tmp_path / "then", plan, cells_of({"a": scattered(1.1, 0.03, 5, rng)}))
    lost = {("hang", "a"): CellRuns({1: one(1.2, failed=20)})}
    now = written(tmp_path / "now", plan, lost)
    with pytest.raises(ComparisonError, match=r"1 seed.s. with a valid run in both, 2 are needed"):
        against.changes((then, plan), (now, plan))
    lost["hang", "a"].by_seed |= {seed: one(9.0 + seed / 10, seed=seed, failed=20 + seed) for seed in (2, 3, 4, 5)}
    now = written(tmp_path / "worse", plan, lost)
    assert [each.arm for each in against.changes((then, plan), (now, plan)).worse] == ["a"]


def test_slower_replicas_buy_nothing_by_a_higher_floor():
    """At half the speed floor and p99 are twice as high: the multiple is the same, each request takes twice as long."""
    values = scattered(1.2, 0.05, 5, rng_of("floors"))
    slow = {seed: one(v * 0.9, seed=seed, arm="slow", floor_ms=200.0) for seed, v in enumerate(values, 1)}
    cells = {**cells_of({"fast": values}), ("hang", "slow"): CellRuns(slow)}
    board = board_of(cells, ["slow", "fast"])
    row = board.rows[0]
    assert row.best == ("fast",) and row.cell("slow").state == "worse"
    assert row.cell("slow").value.value < row.cell("fast").value.value, "as it is shown"
    assert [each.mean_rank for each in board.standings] == [2, 1]
    assert [each.metric for each in row.judgements] == ["latency_p99_ms_fault", "error_rate"]
    assert row.judgements[0].effect == pytest.approx(1 / 1.8)
    told = " ".join(how_to_read(board))
    assert "hang: the floor of fast is 0.50 times that of slow" in told
    assert "different floors" not in " ".join(how_to_read(board_of(cells_of({"a": values, "b": values}), ["a", "b"])))


def test_a_floor_that_both_have_cancels_to_the_last_digit():
    rng = rng_of("common")
    ours, theirs = scattered(1.1, 0.1, 5, rng), scattered(1.4, 0.1, 5, rng)
    row = board_of(cells_of({"a": ours, "b": theirs}), ["a", "b"]).rows[0]
    logs = np.log(np.array(theirs) / np.array(ours))
    low, high = stats.t.interval(1 - row.judgements[0].level, 4, logs.mean(), logs.std(ddof=1) / np.sqrt(5))
    told = row.judgements[0]
    assert (told.effect, told.low, told.high) == pytest.approx(tuple(np.exp([logs.mean(), low, high])))


def test_what_is_lost_in_a_seed_that_the_other_arm_has_not_is_held_against_nobody():
    """Both lose as much wherever both were measured; in a seed in which b's run is not valid a lost 60 of 2,000."""
    base = scattered(1.1, 0.3, 6, rng_of("unpaired"))
    cells = {("hang", "a"): cell([*base, 1.1], failed=[2] * 6 + [60], arm="a")}
    cells["hang", "b"] = cell([v * (1 + 0.002 * i) for i, v in enumerate(base)], failed=2, arm="b")
    cells["hang", "b"].unmeasured.append(7)
    board = board_of(cells, ["a", "b"], seeds=7)
    assert board.rows[0].cell("a").state == "equivalent" and "Not best for what" not in board.sentence()
    cells["hang", "b"].by_seed[7] = one(1.1, seed=7, failed=2, arm="b")
    assert board_of(cells, ["a", "b"], seeds=7).rows[0].cell("a").state == "loses more"


def test_an_arm_that_nobody_beats_but_that_was_not_shown_to_beat_all_is_not_called_better_than_every_other():
    """c beats b by the ratio of 1.5, a beats c by 1.1 with little scatter; a against b is too noisy to tell."""
    noise = [-0.5, 0.4, 0.1, -0.3, 0.3, 0.2]
    of = {"c": [1.1 * np.exp(x) for x in noise]}
    of["a"] = [v / 1.1 * np.exp(0.001 * i) for i, v in enumerate(of["c"])]
    of["b"] = [v * 1.5 * np.exp(0.001 * i) for i, v in enumerate(of["c"])]
    of["a"][5] *= 1.001
    cells = cells_of({arm: values for arm, values in of.items() if arm != "b"})
    cells["hang", "b"] = CellRuns({s: one(of["b"][s - 1], seed=s, arm="b") for s in (1, 2, 3, 4, 5, 6)})
    for seed in (2, 3, 4, 5, 6):  # a and b share one seed, each has its own with c
        cells["hang", "a" if seed > 3 else "b"].by_seed.pop(seed)
    board = board_of(cells, ["a", "b", "c"], seeds=6)
    row = board.rows[0]
    assert {(j.reference, j.arm): j.verdict for j in row.judgements if j.metric != "error_rate"} == {
        ("a", "c"): "worse", ("b", "c"): "better",
    }  # fmt: skip
    assert row.best == ("a",) and row.cell("a").state == "undecided" and row.cell("b").state == "worse"
    assert "better than every other anywhere" in board.sentence() and "a (1) better" not in board.sentence()
    assert best_told(row) == "a, but not shown to be better than every other"


def test_alike_are_arms_by_an_interval_that_holds_together_with_all_others():
    """Of ten rows nine are rejected, so that Holm leaves 5 % to the tenth, whose interval lies within 5 % then. But it is
    one of ten chances to call arms alike that are not, and at 0.5 % its interval reaches further (SciPy's t)."""
    rng = rng_of("bonferroni")
    logs = np.array([-0.035, 0.035] * 3)
    half = [stats.t.ppf(1 - level / 2, 5) * logs.std(ddof=1) / np.sqrt(6) for level in (0.05, 0.005)]
    assert half[0] < np.log(1.05) < half[1]
    base = scattered(1.1, 0.3, 6, rng)
    cells = cells_of({"a": base, "b": [v * np.exp(x) for v, x in zip(base, logs, strict=True)]}, "alike")
    for row in range(9):
        cells |= cells_of({"a": scattered(1.1, 0.02, 6, rng), "b": scattered(4, 0.02, 6, rng)}, f"row {row}")
    board = board_of(cells, ["a", "b"], seeds=6)
    assert sum(row.best == ("a",) for row in board.rows) == 9
    told = board.rows[0].judgements[0]
    assert (told.verdict, told.level) == ("inconclusive", 0.005) and told.high == pytest.approx(np.exp(half[1]))
    alone = board_of(cells, ["a", "b"], seeds=6, family="pathology").rows[0]
    assert [each.state for each in alone.cells] == ["equivalent", "equivalent"]
