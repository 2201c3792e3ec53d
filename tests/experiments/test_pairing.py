"""The experiment on what pairing is worth, short, as a user runs it."""

import pytest

from analysis.comparison.pairing import spread
from experiments.pairing import CONTRASTS, LOADS, log_p99, main

pytestmark = pytest.mark.slow


def test_the_table_has_a_row_for_every_contrast_and_load_and_is_the_same_again(tmp_path, capsys):
    printed = []
    for _ in range(2):
        main(["--seeds", "4", "--requests", "300", "--output", str(tmp_path / "table.md")])
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] == (tmp_path / "table.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed[0].splitlines()[2:]]
    assert [(name, load) for name, load, *_ in rows] == [(name, f"{load:g}") for load in LOADS for name in CONTRASTS]
    assert {len(row) for row in rows} == {8}


def test_demands_in_common_narrow_a_small_change_and_arrivals_alone_hardly_do():
    faster, reference = next(iter(CONTRASTS.values()))
    first = [log_p99(faster, 0.8, 1000, seed, anew=False) for seed in range(16)]
    ratio = {
        anew: spread(first, [log_p99(reference, 0.8, 1000, seed, anew=anew) for seed in range(16)]).ratio
        for anew in (False, True)
    }
    assert ratio[False] < 0.5 < 0.7 < ratio[True]


def test_demands_drawn_anew_are_others_and_everything_else_repeats():
    (arm, reference), *_ = CONTRASTS.values()
    once, again = (log_p99(reference, 0.8, 500, 3, anew=False) for _ in range(2))
    assert once == again != log_p99(reference, 0.8, 500, 3, anew=True)
    assert log_p99(arm, 0.8, 500, 3, anew=False) < once


@pytest.mark.parametrize(("asked", "words"), [(["--seeds", "2"], "--seeds=2"), (["--requests", "9"], "--requests=9")])
def test_too_little_is_refused_in_a_line(asked, words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(asked)
    assert caught.value.code == 2
    assert f"{words}: must be at least" in capsys.readouterr().err.splitlines()[-1]
