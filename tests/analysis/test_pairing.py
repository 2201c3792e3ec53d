"""How much less paired differences scatter, on numbers whose answer is known."""

import numpy as np
import pytest
from scipy import stats

from analysis.comparison.pairing import spread


def pairs(n, seed, common=2.0, tails=None):
    """Two rows with a common part; unpaired variance 2 (common^2 + 1), paired 2."""
    rng = np.random.default_rng(seed)
    draws = (
        rng.standard_normal((3, n)) if tails is None else rng.standard_t(tails, (3, n)) / (tails / (tails - 2)) ** 0.5
    )
    return common * draws[0] + draws[1], common * draws[0] + draws[2]


def test_by_hand():
    found = spread([1.0, 2.0, 4.0], [1.5, 2.0, 3.0])
    assert found.paired == pytest.approx(np.std([-0.5, 0.0, 1.0], ddof=1))
    assert found.unpaired**2 == pytest.approx(np.var([1, 2, 4], ddof=1) + np.var([1.5, 2, 3], ddof=1))
    assert found.ratio == pytest.approx(found.paired / found.unpaired)
    assert found.low < found.ratio < found.high
    four = spread([1.0, 2.0, 4.0, 3.0], [1.5, 2.0, 3.0, 5.0])
    logs = np.log(
        [spread(np.delete([1.0, 2, 4, 3], i).tolist(), np.delete([1.5, 2, 3, 5], i).tolist()).ratio for i in range(4)]
    )
    error = (3 / 4 * ((logs - logs.mean()) ** 2).sum()) ** 0.5
    assert np.log(four.high / four.ratio) == pytest.approx(stats.t.ppf(0.975, 3) * error)


def test_unpaired_is_what_pairs_of_different_runs_have_on_average():
    first, second = pairs(40, 1)
    shifted = [np.var(first - np.roll(second, by), ddof=1) for by in range(40)]
    assert spread(first, second).unpaired ** 2 == pytest.approx(np.mean(shifted))


def test_runs_that_share_nothing_gain_nothing_and_those_that_share_much_gain_what_they_share():
    for common, truth in ((0.0, 1.0), (2.0, 5**-0.5), (10.0, 101**-0.5)):
        found = spread(*pairs(4000, 3, common))
        assert found.low < truth < found.high
        assert found.ratio == pytest.approx(truth, rel=0.05)


@pytest.mark.parametrize("tails", [None, 4.5])
def test_the_interval_covers_the_truth_as_often_as_it_says_also_with_heavy_tails(tails):
    covered = [found.low < 5**-0.5 < found.high for n in range(300) for found in [spread(*pairs(30, n, tails=tails))]]
    assert np.mean(covered) > 0.89


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ([1.0, 2.0], [1.0, 3.0], "three pairs"),
        ([1.0, 2.0, np.nan], [1.0, 2.0, 3.0], "finite"),
        ([1.0, 2.0, 3.0], [2.0, 3.0, 4.0], "do not vary"),
    ],
)
def test_what_has_no_spread_is_refused(first, second, words):
    with pytest.raises(ValueError, match=words):
        spread(first, second)
