"""A board in words, as a picture, and as a line of a series."""

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import yaml

from analysis.pages import leaderboard_page
from analysis.standings import series
from analysis.standings.board import Spanned, verdict
from analysis.standings.gathering import CellRuns
from analysis.standings.markdown import markdown, short_markdown
from analysis.standings.protocol import read_protocol
from analysis.standings.text import best_told, how_to_read, left_out, lost_told, value_told
from record.files import FolderError
from tests.analysis.boards import PACK, board_of, cell, cells_of, protocol, rng_of, scattered


def night(day):
    """When its pack was begun."""
    return datetime(2026, 11, day, 2, tzinfo=UTC)


def test_a_series_is_one_line_a_pack_with_less_as_better_and_refuses_other_arms(tmp_path):
    rng = rng_of("series")
    board = board_of(cells_of({"a": scattered(1.1, 0.03, 5, rng), "b": scattered(4, 0.03, 5, rng)}), ["a", "b"])
    path = tmp_path / "nightly.csv"
    for day in (1, 2):
        series.append(board, path, night(day))
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert [row["time"] for row in rows] == ["2026-11-01 02:00:00 +0000", "2026-11-02 02:00:00 +0000"]
    assert float(rows[0]["hang__a__times_floor_p99_fault"]) == pytest.approx(board.rows[0].cell("a").value.value, rel=1e-5)
    told = yaml.safe_load((tmp_path / "nightly.otava.yaml").read_text())["tests"]["nightly"]
    assert told["time_column"] == "time" and told["attributes"] == ["commit"]
    assert {metric["direction"] for metric in told["metrics"].values()} == {-1}
    lost = {("hang", "a"): cell([None] * 5, failed=60, arm="a"), ("hang", "b"): cell([4.0] * 5, arm="b")}
    series.append(board_of(lost, ["a", "b"]), path, night(3))  # Otava takes no gap: the last value that was known, and what was lost
    last = list(csv.DictReader(io.StringIO(path.read_text())))[-1]
    assert last["hang__a__times_floor_p99_fault"] == rows[-1]["hang__a__times_floor_p99_fault"]
    assert float(last["hang__a__lost_share"]) == pytest.approx(0.03)
    other = board_of(cells_of({"a": [1.0, 1.1], "z": [2.0, 2.1]}), ["a", "z"], seeds=2)
    with pytest.raises(FolderError, match="other arms or pathologies"):
        series.append(other, path, night(4))


def test_a_series_has_one_line_a_pack_none_of_a_night_that_is_not_known_and_no_zero_for_what_was_not_served(tmp_path):
    rng = rng_of("nights")
    path = tmp_path / "nightly.csv"
    key = "hang__a__times_floor_p99_fault"
    lost = board_of({("hang", "a"): cell([None] * 5, failed=60, arm="a"), ("hang", "b"): cell([4.0] * 5, arm="b")}, ["a", "b"])
    known = board_of(cells_of({"a": scattered(1.5, 0.03, 5, rng), "b": scattered(4, 0.03, 5, rng)}), ["a", "b"])
    for day, board in ((1, lost), (2, lost), (3, known), (3, known), (4, lost)):
        series.append(board, path, night(day))
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert [row["time"][:10] for row in rows] == [f"2026-11-0{day}" for day in (1, 2, 3, 4)]
    assert {row[key] for row in rows} == {rows[2][key]} and float(rows[2][key]) == pytest.approx(1.5, rel=0.1)
    assert [float(row["hang__a__lost_share"]) for row in rows] == pytest.approx([0.03, 0.03, 0, 0.03])
    before = path.read_text()
    with pytest.raises(FolderError, match="nothing is known of a, hang"):
        series.append(board_of(cells_of({"a": [], "b": [4.0, 4.1]}), ["a", "b"], seeds=2), path, night(5))
    assert path.read_text() == before


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


def test_a_row_in_which_nobody_may_be_best_is_judged_and_undecided():
    rng = rng_of("nobody best")
    rows = [cells_of({"a": scattered(1.0, 0.01, 3, rng), "b": scattered(3.0, 0.01, 3, rng)}, row) for row in ("hang", "kill")]
    board = board_of(rows[0] | rows[1], ["a", "b"], seeds=3)
    nobody = replace(board.rows[0], best=(), is_decided=False)
    told = verdict([nobody, board.rows[1]], board.standings, "board", 0.05)
    assert told.startswith("Of 2 pathologies: a (2) better") and "; 1 undecided." in told
    assert best_told(nobody) == "undecided"


def test_a_pack_of_one_arm_says_that_there_is_no_other():
    board = board_of(cells_of({"a": [1.1] * 3}), ["a"], seeds=3)
    assert board.sentence() == "a alone: there is no other arm to hold it against."
    assert board.title == "pathologies: 1 arm, simulated"
    assert "; not compared (seeds" in markdown(board, PACK, [], [])


def test_where_a_p99_is_not_served_in_some_seed_the_row_says_so_in_place_of_a_bare_undecided():
    rng = rng_of("unserved")
    cells = cells_of({"a": scattered(1.1, 0.02, 5, rng)})
    cells["hang", "b"] = cell([*scattered(2, 0.02, 4, rng), None], failed=[0, 0, 0, 0, 8], arm="b")
    board = board_of(cells, ["a", "b"])
    row = board.rows[0]
    assert value_told(row, row.cell("b")) == "beyond 250 ms in 1 of 5 seeds"
    assert best_told(row) == "undecided: a, b (p99 of b not served in 1 of 5 seeds)"
    assert "the p99 lies among requests that were not served" in " ".join(how_to_read(board))
    assert "not served" not in " ".join(how_to_read(board_of(cells_of({"a": [1.1] * 3, "b": [1.1] * 3}), ["a", "b"], seeds=3)))


def test_lost_requests_are_told_without_those_that_the_floor_loses():
    cells = cells_of({"a": [1.1] * 3, "b": [1.1] * 3}, failed=5)
    for each in (one for runs in cells.values() for one in runs.by_seed.values()):
        each.metrics.update(offered_requests=200_000, floor_failed_requests=4)
    for each in cells["hang", "b"].by_seed.values():
        each.metrics["floor_failed_requests"] = 5
    row = board_of(cells, ["a", "b"], seeds=3).rows[0]
    assert lost_told(row, row.cell("a")) == "3 of 600,000 lost" and lost_told(row, row.cell("b")) == ""
