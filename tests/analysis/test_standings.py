"""Boards: who is best, harm first, what is undecided, and how often a board is wrong; with answers from outside."""

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import yaml
from scipy import stats

from analysis.comparison.arms import ComparisonError
from analysis.comparison.verdicts import Smallest, best_set
from analysis.pages import leaderboard_page
from analysis.standings import against, same, series
from analysis.standings.board import Cell, Spanned, verdict
from analysis.standings.gathering import CellRuns
from analysis.standings.judging import judge_board
from analysis.standings.measures import IN_TIME
from analysis.standings.protocol import read_protocol
from analysis.standings.ranking import mean_rank
from analysis.standings.same import groups_of, is_false, labelled
from analysis.standings.text import best_told, how_to_read, left_out, lost_told, markdown, short_markdown, value_told
from record.files import FolderError
from tests.analysis.boards import PACK, cell, one, protocol, rng_of, scattered, written

SMALLEST = Smallest(0.05, 0.001, 1.0, 1.0)
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


def board_of(cells, arms, **more):
    rows = tuple(dict.fromkeys(row for row, _ in cells))
    return judge_board(PACK, protocol(arms, rows, **more), cells)


def cells_of(values, row="hang", **more):
    return {(row, arm): cell(v, arm=arm, row=row, **more) for arm, v in values.items()}


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
    assert lost.high == pytest.approx(stats.beta.ppf(1 - 0.05 / 8, 1, 5 * 2_000), rel=0.01)  # Clopper and Pearson
    shares = {("all", arm): cell([0.5] * 5, measure=IN_TIME, arm=arm, row="all") for arm in "ab"}
    alone = board_of(shares, ["a", "b"], measure=IN_TIME).rows[0].cell("a").value  # all were served
    assert (1 - alone.low) == pytest.approx(stats.beta.ppf(1 - 0.05 / 2, 1, 5 * 2_000), rel=0.01) and alone.high == 1


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
    assert "At most 6 % of such boards, all their extensions together, hold a wrong verdict" in later.sentence()
    told = " ".join(how_to_read(later))
    assert f"with {100 - 100 * later.level:.1f} % over" in told and f"family of {100 * later.level:.1f} %" in told


@pytest.mark.parametrize("pairs", [3, 5, 10])
def test_an_arm_against_itself_is_told_apart_as_often_as_theory_says(pairs):
    """Student's t on normal differences errs with 5 % at every number of pairs (Student 1908), less what the smallest
    effect takes: 600 trials have 45 and more false ones by chance once in a hundred."""
    rng = rng_of(f"itself {pairs}")
    runs = [one(value, seed=seed) for seed, value in enumerate(scattered(1.3, 0.3, 1200 * pairs, rng))]
    groups = groups_of(runs, pairs, rng)
    assert len(groups) == 600 and all(len(group) == pairs for group in groups)
    wrong = sum(is_false(labelled("a", group, rng), "times_floor_p99_fault", SMALLEST) for group in groups)
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


def test_a_series_is_one_line_a_pack_with_less_as_better_and_refuses_other_arms(tmp_path):
    rng = rng_of("series")
    board = board_of(cells_of({"a": scattered(1.1, 0.03, 5, rng), "b": scattered(4, 0.03, 5, rng)}), ["a", "b"])
    path = tmp_path / "nightly.csv"
    for day in (1, 2):
        series.append(board, path, datetime(2026, 11, day, 2, tzinfo=UTC))
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert [row["time"] for row in rows] == ["2026-11-01 02:00:00 +0000", "2026-11-02 02:00:00 +0000"]
    assert float(rows[0]["hang__a__times_floor_p99_fault"]) == pytest.approx(board.rows[0].cell("a").value.value, rel=1e-5)
    told = yaml.safe_load((tmp_path / "nightly.otava.yaml").read_text())["tests"]["nightly"]
    assert told["time_column"] == "time" and told["attributes"] == ["commit"]
    assert {metric["direction"] for metric in told["metrics"].values()} == {-1}
    lost = {("hang", "a"): cell([None] * 5, failed=60, arm="a"), ("hang", "b"): cell([4.0] * 5, arm="b")}
    series.append(board_of(lost, ["a", "b"]), path)  # Otava takes no gap: the last value that was known, and what was lost
    last = list(csv.DictReader(io.StringIO(path.read_text())))[-1]
    assert last["hang__a__times_floor_p99_fault"] == rows[-1]["hang__a__times_floor_p99_fault"]
    assert float(last["hang__a__lost_share"]) == pytest.approx(0.03)
    other = board_of(cells_of({"a": [1.0, 1.1], "z": [2.0, 2.1]}), ["a", "z"], seeds=2)
    with pytest.raises(FolderError, match="other arms or pathologies"):
        series.append(other, path)


def test_the_text_for_a_pull_request_is_short_and_says_the_verdict_the_arms_and_the_command():
    rng = rng_of("short")
    cells = cells_of({"a": scattered(1.1, 0.03, 5, rng), "b": scattered(4, 0.03, 5, rng)})
    board = board_of(cells, ["a", "b"])
    text = short_markdown(board, PACK, [], ["nobody was tuned"])
    assert board.sentence() in text and "policy=a" in text and "python -m experiments.evidence" in text
    assert len(text) < 3_000


def test_a_protocol_is_read_as_it_was_written(tmp_path):
    before = protocol("ab", refused=[("hang", "b", "why")])
    before.write(tmp_path)
    assert read_protocol(tmp_path) == before
    (tmp_path / "evidence.json").write_text("{}")
    with pytest.raises(FolderError, match="is not what"):
        read_protocol(tmp_path)


def test_the_verdict_names_who_is_best_of_how_many_rows_and_no_arm_with_none():
    rng = rng_of("verdict")
    cells = cells_of({"a": scattered(1.1, 0.03, 5, rng), "b": scattered(4, 0.03, 5, rng), "c": scattered(9, 0.03, 5, rng)})
    same_values = scattered(1.1, 0.03, 5, rng)
    cells |= cells_of({"a": same_values, "b": same_values, "c": same_values}, row="kill")
    told = board_of(cells, ["a", "b", "c"]).sentence()
    assert told.startswith("Of 2 pathologies: a (1) better than every other; a (1), b (1), c (1) as good as the best. At most")


def test_of_a_pack_that_is_not_whole_it_is_said_in_a_line_what_was_not_come_to():
    rng = rng_of("partial")
    cells = cells_of({"a": scattered(1.1, 0.03, 5, rng), "b": scattered(4, 0.03, 5, rng)})
    cells["kill", "a"] = cell(scattered(1.1, 0.03, 5, rng), arm="a", row="kill")
    cells["kill", "b"] = cells["flap", "a"] = cells["flap", "b"] = CellRuns(unmeasured=[1, 2, 3, 4, 5])
    cells["stall", "a"] = cells["stall", "b"] = CellRuns(invalid=["x: late"], unmeasured=[1, 2, 3, 4, 5])
    board = board_of(cells, ["a", "b"])
    assert board.sentence().startswith("Provisional: 15 of 40 runs. Of 1 pathology: a (1) better than every other")
    told = left_out(board, [])
    assert told[:2] == ["stall, a: x: late", "stall, b: x: late"]
    assert told[2] == "not measured yet: kill (b); flap (all arms)"
    assert told[3] == "2 run(s) whose instrument did not work (a 1, b 1), as x: late"
    assert "valid is there (a 10, b 15): their pairs are left out; " in told[-1] and "--tries what failed (one whose" in told[-1]
    live = replace(board, protocol=replace(board.protocol, is_virtual=False))
    assert left_out(live, [])[-1].endswith("with a larger --tries what was not valid")
    assert "| not yet |" in markdown(board, PACK, [], [])


@pytest.mark.parametrize(("value", "told"), [(1.284, "1.28"), (0.994, "0.99"), (12.34, "12.3"), (147.97, "148"), (1234.4, "1,234")])
def test_a_ratio_is_told_to_three_digits(value, told):
    row = board_of(cells_of({"a": [value] * 3, "b": [value] * 3}), ["a", "b"], seeds=3).rows[0]
    assert value_told(row, row.cell("a"), spanned=False) == told


def test_requests_that_a_percentage_does_not_show_are_counted():
    """25 of 690,432 are 0.0036 %, which two digits show as none; 73 of 86,381 are 0.08 %."""
    row = board_of(cells_of({"a": [1.1] * 3, "b": [1.1] * 3}), ["a", "b"], seeds=3).rows[0]
    few = replace(row.cell("a"), lost=Spanned(25 / 690_432, 0.0, 0.001), lost_requests=25, requests=690_432)
    assert lost_told(row, few) == "25 of 690,432 lost" and lost_told(row, few, spanned=False) == "25 lost"
    some = replace(few, lost=Spanned(73 / 86_381), lost_requests=73, requests=86_381)
    assert lost_told(row, some) == lost_told(row, some, spanned=False) == "lost 0.08 %"


def test_sizes_of_a_fleet_are_told_as_such():
    cells = cells_of({"a": [1.1] * 3, "b": [1.1] * 3})
    board = board_of(cells, ["a", "b"], seeds=3)
    sized = replace(board.rows[0], plan=replace(board.rows[0].plan, replicas=64))
    assert verdict([sized] * 3, board.standings, "board", 0.05).startswith("Of 3 pathologies and sizes of the fleet: ")


def test_six_arms_are_as_wide_as_a_readme_is_shown(tmp_path):
    """GitHub uses 980 pixels and 45 of padding on each side (the readme of github-markdown-css)."""
    arms = ["aegis", "envoy", "haproxy", "nginx", "traefik", "caddy"]
    rng = rng_of("width")
    cells = cells_of({arm: scattered(1.2, 0.1, 5, rng) for arm in arms})
    leaderboard_page.draw(board_of(cells, arms), [], tmp_path / "board.png")
    size = (tmp_path / "board.png").read_bytes()[16:24]  # of the header, PNG 11.2.2
    assert int.from_bytes(size[:4], "big") <= 980 - 2 * 45


def test_an_arm_that_was_compared_with_nobody_is_not_called_best_as_others():
    base = scattered(1.1, 0.3, 6, rng_of("nobody"))
    cells = cells_of({"a": base, "b": [v * (1 + 0.002 * i) for i, v in enumerate(base)]})
    cells["hang", "c"] = CellRuns({7: one(1.0, seed=7, arm="c")}, unmeasured=[1, 2, 3, 4, 5, 6])
    row = board_of(cells, ["a", "b", "c"], seeds=7).rows[0]
    assert row.cell("c").state == "undecided" and not row.is_decided
    assert {each.verdict for each in row.judgements if each.metric != "error_rate"} == {"equivalent"}  # of a and b


def test_a_set_of_best_arms_is_equivalent_only_where_all_pairs_of_it_are():
    alike = {("a", "b"): "equivalent"}
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
    assert not row.judgements and [each.state for each in row.cells] == ["undecided", "undecided"]
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


def test_a_row_in_which_nobody_may_be_best_is_judged_and_undecided():
    rng = rng_of("nobody best")
    rows = [cells_of({"a": scattered(1.0, 0.01, 3, rng), "b": scattered(3.0, 0.01, 3, rng)}, row) for row in ("hang", "kill")]
    board = board_of(rows[0] | rows[1], ["a", "b"], seeds=3)
    nobody = replace(board.rows[0], best=(), is_decided=False)
    told = verdict([nobody, board.rows[1]], board.standings, "board", 0.05)
    assert told.startswith("Of 2 pathologies: a (2) better") and "; 1 undecided." in told
    assert best_told(nobody) == "undecided"


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


def test_three_false_ones_of_ten_fail_an_arm_and_none_of_sixty_leaves_five_percent_possible():
    """Clopper and Pearson: 3 of 10 from 6.67 %, 2 of 10 from 2.52 % (SciPy); none of 60 up to 5 % (rule of three)."""
    exact = stats.binomtest(3, 10).proportion_ci(method="exact")
    assert exact.low == pytest.approx(0.0667, abs=5e-5)
    assert same.Same("a", 10, 3, ()).has_failed and not same.Same("a", 10, 2, ()).has_failed
    assert same.Same("a", 60, 0, ()).interval[1] == pytest.approx(0.05)


def test_a_pack_of_one_arm_says_that_there_is_no_other():
    board = board_of(cells_of({"a": [1.1] * 3}), ["a"], seeds=3)
    assert board.sentence() == "a alone: there is no other arm to hold it against."
    assert board.title == "pathologies: 1 arm, simulated"
