"""What the reader of an evidence pack is shown is all that was found, no more than was found, and enough to do it again."""

import json
import math
import shlex
import subprocess
from dataclasses import replace

import pytest
from scipy import stats

from analysis.comparison.text import level_told
from analysis.leaderboard import finish
from analysis.pages.html import document
from analysis.pages.html.document import Document, Section
from analysis.pages.html.of_evidence import anchors_of, effect_told
from analysis.standings import same
from analysis.standings.board import Judgement, verdict
from analysis.standings.gathering import CellRuns, gather
from analysis.standings.judging import judge_board
from analysis.standings.markdown import markdown, short_markdown
from analysis.standings.measures import FAULT, IN_TIME
from analysis.standings.protocol import read_protocol
from analysis.standings.text import commands, how_to_read, question, signs, value_told
from analysis.tables.export import Sheet, escaped
from record import provenance
from tests.analysis.boards import PACK, board_of, cell, cells_of, one, protocol, rng_of, scattered, written

BEYOND = "latency_p99_beyond_ms_fault"


def made_at(cells, commit="0123456789abcdef", *, dirty=False):
    """The same runs, of a commit."""
    for runs in cells.values():
        for each in runs.by_seed.values():
            each.run.manifest.update(git={"commit": commit, "dirty": dirty}, started_at="2026-12-01T02:00:00+00:00")
    return cells


def two_arms(name):
    rng = rng_of(name)
    return cells_of({"a": scattered(1.1, 0.03, 5, rng), "b": scattered(4, 0.03, 5, rng)})


@pytest.fixture
def packs(tmp_path):
    """Of one arm, then and now: worse by the factor 3 under `hang`, alike under `kill`, undecided under `flap`."""
    base = scattered(1.1, 0.05, 5, rng_of("then"))
    rows = {"hang": 3.0, "kill": 1.0, "flap": 1.0}
    spread = {"hang": 0.002, "kill": 0.002, "flap": 0.4}
    at = (1, -1, 1, -1, 0)
    plan = protocol(["a"], rows)
    then = {(row, "a"): cell(base, row=row) for row in rows}
    now = {(row, "a"): cell([v * by * math.exp(spread[row] * x) for v, x in zip(base, at, strict=True)], row=row)
           for row, by in rows.items()}  # fmt: skip
    places = written(tmp_path / "then", plan, made_at(then, "1111111111aa")), written(tmp_path / "now", plan, made_at(now))
    return places


def test_what_got_worse_stands_first_in_every_text_with_the_pack_and_commit_that_it_is_held_against(packs, capsys):
    then, now = packs
    assert finish(now, then, None) == 4
    told = f"Against {then} (commit 1111111111), of 3 cells: 1 worse, 0 better, 1 equivalent, 1 inconclusive. Worse: a under hang."
    again = f"python -m analysis.leaderboard {now} --against {then}"
    for name in ("evidence.md", "leaderboard.md"):
        text = (now / name).read_text()
        assert text.index(escaped(told)) < text.index("a alone: there is no other arm"), name
        assert "inconclusive: a, flap" in text and "worse: a, hang: " in text and again in text, name
    page = (now / "evidence.html").read_text()
    assert page.index(f'<p class="verdict">{told}</p>') < page.index("a alone: there is no other arm")
    assert f"<p>{told}</p>" in page and again in page, "in its section, and in the command that draws it again"
    assert "inconclusive: a, flap" in capsys.readouterr().out
    assert finish(now, None, None) == 0 and "Against" not in (now / "evidence.md").read_text()


def test_the_text_for_a_pull_request_says_what_its_numbers_mean_and_of_which_commit_they_are():
    board = board_of(made_at(two_arms("means")), ["a", "b"])
    text = short_markdown(board, PACK, [], ["nobody was tuned"])
    for part in (
        f"### {board.title}", "Which of a, b loses the least and stays nearest", "as a multiple of the floor's",
        "Lost requests come first", "best: better than every other arm; worse: another one is better",
        "Commit: 0123456789.", "git checkout 0123456789\n",
    ):  # fmt: skip
        assert part in text, part
    assert "Intervals" not in text and "[" not in text, "none is shown"
    assert "Intervals hold together" in markdown(board, PACK, [], [])
    assert len(text) < 3_000


def test_a_commit_that_is_not_all_of_the_code_is_marked_as_git_marks_it(tmp_path, monkeypatch):
    """`git describe --dirty` of a real tree."""
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]

    def described():
        words = [*git, "describe", "--always", "--abbrev=10", "--dirty"]
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip()

    (tmp_path / "a.py").write_text("x = 1\n")
    for words in (["init", "--quiet"], ["add", "a.py"], ["commit", "--quiet", "--message", "One"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(provenance, "ROOT", tmp_path.resolve())
    assert provenance.state_of(provenance.provenance()) == described()
    (tmp_path / "a.py").write_text("x = 2\n")
    state = provenance.state_of(provenance.provenance())
    assert state == described() and state.endswith("-dirty")

    board = board_of(made_at(two_arms("dirty"), dirty=True), ["a", "b"])
    assert board.commits == ("0123456789-dirty",)
    told = short_markdown(board, PACK, [], [])
    assert "Commit: 0123456789-dirty (with changes that were not committed)." in told and "git checkout" not in told
    assert "\n# commit 0123456789-dirty, with changes that were not committed\n" in told
    assert commands(board_of(two_arms("none"), ["a", "b"]), PACK)[0] == "python -m experiments.evidence", "of no commit"


def test_all_commands_of_a_pack_are_told_in_their_order_as_a_shell_takes_them():
    earlier = (("env", "ENVOY=/opt/a b/envoy", "python", "-m", "experiments.evidence", "--aa", "4"),)
    board = board_of(two_arms("commands"), ["a", "b"])
    told = commands(replace(board, protocol=replace(board.protocol, earlier=earlier)), PACK)
    assert [shlex.split(line) for line in told] == [
        list(earlier[0]), ["python", "-m", "experiments.evidence"], ["python", "-m", "analysis.leaderboard", "pack"],
    ]  # fmt: skip


def test_a_protocol_has_its_earlier_commands_and_one_of_before_that_has_none(tmp_path):
    plan = replace(protocol("ab"), earlier=(("python", "--aa", "4"), ("python",)))
    plan.write(tmp_path)
    assert read_protocol(tmp_path) == plan
    path = tmp_path / "evidence.json"
    content = json.loads(path.read_text())
    content.pop("earlier")
    path.write_text(json.dumps(content))
    assert read_protocol(tmp_path) == replace(plan, earlier=())


@pytest.mark.parametrize(
    ("level", "told"),
    [(0.05, "95 %"), (0.025, "97.5 %"), (0.05 / 3, "98.3 %"), (0.01, "99 %"), (0.0005, "99.95 %"), (0.05 / 150, "99.967 %"),
     (0.05 / 1500, "99.9967 %")],
)  # fmt: skip
def test_the_level_of_an_interval_is_never_told_as_certainty(level, told):
    """Of 6 arms under 10 pathologies 15 pairs, each by one measure: Holm's first level is 0.05 / 150."""
    assert level_told(level) == told


def test_effects_have_their_unit():
    ratio = Judgement("a", "b", "latency_p99_ms_fault", 4.0213, 3.5, None, 5, 0.05 / 150, "worse")
    assert [effect_told(ratio, each) for each in (ratio.effect, ratio.low, ratio.high)] == ["x 4.021", "x 3.5", None]
    for metric in ("error_rate", IN_TIME):
        assert effect_told(replace(ratio, metric=metric), -0.00345) == "-0.345 points"


def test_where_only_one_arm_is_left_to_be_judged_it_is_said_and_not_that_runs_are_missing():
    cells = two_arms("excused")
    board = judge_board(PACK, protocol("ab"), cells, excused=["a"])
    assert board.sentence() == (
        "Nothing is decided: no pathology has two seeds with valid runs of two arms that are judged. Not judged, since "
        "they differ from themselves too often: a."
    )
    assert board.rows[0].cell("b").state == "not compared"
    assert "not compared: no other arm that is judged has two seeds in common with it" in how_to_read(board)[-1]
    lone = board_of({**cells_of({"a": [1.1, 1.2]}), ("hang", "b"): CellRuns(unmeasured=[1, 2])}, ["a", "b"], seeds=2)
    assert "has two seeds with valid runs of two arms." in lone.sentence()


def with_bounds(*bounds):
    """An arm of five seeds, of which the last ones' p99 is among what was not served, beyond these, ms."""
    runs = cell([1.1] * (5 - len(bounds)) + [None] * len(bounds), failed=[0] * (5 - len(bounds)) + [60] * len(bounds), arm="b")
    for seed, bound in enumerate(bounds, 6 - len(bounds)):
        runs.by_seed[seed].metrics[BEYOND] = bound
    return runs


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        ((900.0, 2345.0), "beyond 900 ms in 2 of 5 seeds"),
        ((0.0,) * 5, "nothing served in 5 of 5 seeds"),
        ((0.0, 2345.0, 900.0), "beyond 900 ms in 2 of 5 seeds, nothing served in 1 of 5 seeds"),
    ],
)
def test_a_p99_is_told_to_lie_beyond_no_more_than_it_does_in_each_seed(bounds, told):
    row = board_of({**cells_of({"a": [1.1] * 5}), ("hang", "b"): with_bounds(*bounds)}, ["a", "b"]).rows[0]
    assert value_told(row, row.cell("b")) == told


def test_a_cell_without_a_number_says_why():
    """The floor may lose so much that it has no p99 where an arm has one; in a phase without a request nobody has."""
    cells = cells_of({"a": [1.1] * 5, "b": [1.2] * 5})
    cells["hang", "a"].by_seed[1].metrics[FAULT] = None
    cells["hang", "b"].by_seed[2].metrics.update({FAULT: None, "latency_p99_ms_fault": None})
    board = board_of(cells, ["a", "b"])
    row = board.rows[0]
    assert value_told(row, row.cell("a")) == "no floor in 1 of 5 seeds"
    assert value_told(row, row.cell("b")) == "nothing asked in 1 of 5 seeds"
    assert "'No floor' in some seeds: there the floor loses" in how_to_read(board)[0]


def test_a_page_without_charts_is_made_without_what_draws_them(packs, capsys, monkeypatch):
    then, now = packs
    monkeypatch.setattr(document, "find_spec", lambda name: None if name == "vl_convert" else name)
    assert document.missing() == "needs vl-convert: pip install 'aegis-bench[report]'"
    finish(now, then, None)
    assert (now / "evidence.html").exists() and "note: no evidence.html" not in capsys.readouterr().err
    (now / "evidence.html").unlink()
    monkeypatch.setattr(document, "find_spec", lambda name: None)
    assert finish(now, then, None) == 4
    assert "note: no evidence.html: needs jinja2: pip install" in capsys.readouterr().err
    assert not (now / "evidence.html").exists() and (now / "evidence.md").exists()


def test_arms_that_differ_by_a_sign_have_anchors_of_their_own():
    names = ["policy.decay_s=1e-3", "policy.decay_s=1e+3", "schön"]
    anchors = anchors_of(board_of(cells_of({name: [1.1, 1.2] for name in names}), names, seeds=2))
    assert len(set(anchors.values())) == 3 and anchors["hang", "schön"] == "cell-3-hang-schön"


def test_a_cell_of_which_no_run_can_be_drawn_says_so(packs):
    _, now = packs
    (now / "runs" / "kill" / "a,seed=1").rename(now / "not there any more")
    finish(now, None, None)
    page = (now / "evidence.html").read_text()
    why = "of simulated runs that of seed 1 alone keeps its requests, and valid are those of 2, 3, 4, 5"
    assert f"No picture of kill, a: {why}." in page
    assert "No picture of hang, a: requests.parquet is missing from its valid runs (1, 2, 3, 4, 5)." in page


@pytest.mark.parametrize(("share", "told"), [(0.9996, "99.96 %"), (0.99996, "99.99 %"), (1.0, "100.00 %"), (0.5, "50.00 %")])
def test_a_share_served_in_time_is_all_only_where_it_is(share, told):
    shares = {("all", arm): cell([0.5] * 5, measure=IN_TIME, arm=arm, row="all") for arm in "ab"}
    for each in shares["all", "a"].by_seed.values():
        each.metrics.update(served_share=share, offered_requests=100_000)
    board = board_of(shares, ["a", "b"], measure=IN_TIME)
    row = board.rows[0]
    assert value_told(row, row.cell("a"), spanned=False) == told
    assert "What is served within the objective has no lost requests in it." in how_to_read(board)[0]


def test_what_a_folder_says_is_no_markup_and_names_no_place_outside_the_pack(tmp_path):
    """CommonMark 0.31, 2.4: a backslash before any punctuation of ASCII makes it literal; 4.5: a fence ends by as many."""
    plan, bad = protocol("ab", seeds=6), one(1.1, seed=6)
    bad.metrics.update(valid=False, invalid_reasons=["late <b>*now*</b> | [x](http://y)"])
    pack = written(tmp_path / "my pack", plan, two_arms("markup"))
    written(pack, plan, {("hang", "a"): CellRuns({6: bad})})
    (pack / "runs" / "hang" / "a,seed=2" / "manifest.json").write_text("{")
    found = gather(pack, plan)
    assert found["hang", "a"].invalid == ["runs/hang/a,seed=6: late <b>*now*</b> | [x](http://y)"]
    assert found["hang", "a"].failed[0].startswith("runs/hang/a,seed=2/manifest.json: cannot be read")
    board = judge_board(pack, plan, found)
    for text in (markdown(board, pack, [], []), short_markdown(board, pack, [], [])):
        assert r"late \<b\>\*now\*\</b\> \| \[x\](http://y)" in text and "<b>" not in text
        assert f"python -m analysis.leaderboard {shlex.quote(str(pack))}" in text and text.count(str(tmp_path)) == 1
    hostile = replace(board, protocol=replace(plan, command=("python", "```\n# <b>")))
    text = short_markdown(hostile, pack, [], [])
    assert text.count("````") == 2 and text.endswith("\n````\n")


def test_one_row_one_arm_and_runs_to_come_are_called_so():
    board = board_of({**cells_of({"a": [1.1] * 3}), ("kill", "a"): CellRuns(unmeasured=[1, 2, 3])}, ["a"], seeds=3)
    assert question(board).startswith("What does a lose, and how near does it stay to what could be reached")
    assert signs(board, "not measured") == ["not yet"]
    assert "not yet: its runs were not come to so far" in how_to_read(board)[-1] and "no valid run" not in how_to_read(board)[-1]
    failed = replace(board.rows[1].cells[0], invalid=("x: late",))
    mixed = replace(board, rows=(*board.rows, replace(board.rows[1], cells=(failed,))))
    assert signs(mixed, "not measured") == ["not yet", "no valid run"]
    both = board_of(cells_of({"a": [1.1] * 3, "b": [1.1] * 3}), ["a", "b"], seeds=3)
    sized = replace(both.rows[0], plan=replace(both.rows[0].plan, replicas=64))
    assert verdict([sized], both.standings, "board", 0.05).startswith("Of 1 pathology and size of the fleet: ")


def test_an_interval_of_an_arm_against_itself_says_how_sure_it_is():
    """2 of 20 by Clopper and Pearson (SciPy)."""
    exact = stats.binomtest(2, 20).proportion_ci(method="exact")
    told = same.Same("a", 20, 2, ("hang",) * 2).sentence()
    assert told.endswith(f"10.0 % (95 % interval: {100 * exact.low:.1f} to {100 * exact.high:.1f})")


def test_paper_says_how_much_of_a_folded_section_it_leaves_out():
    folded = Section("Comparisons", folded=[Sheet("All", ("a",), [(1,), (2,)])], is_for_screens=True)
    assert folded.left_out == "2 rows, on the page itself."
    page = document.render(Document("t", "s", ["v"], True, [folded]), "")
    assert "2 rows, on the page itself." in page
