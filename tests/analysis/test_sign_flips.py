"""Tests that ask for no distribution, against published counts and another library."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.comparison.sign_flips import EXACT, least_p, sign_flip_p, signed_rank_p

DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
"""Differences of heights of crossed and self-fertilised maize, eighths of an inch (Darwin, 1876)."""


def test_darwins_maize_has_as_many_extreme_sums_as_fisher_counted():
    assert sign_flip_p(DARWIN) * 2**15 == pytest.approx(2 * 863)  # The Design of Experiments, section 21


@pytest.mark.parametrize("n", [2, 3, 7, 10])
def test_p_is_that_of_another_library(n):
    values = np.random.default_rng(n).normal(0.5, 1.0, n)
    reference = stats.permutation_test((values,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(values.tolist()) == pytest.approx(reference.pvalue)
    assert signed_rank_p(values.tolist()) == pytest.approx(stats.wilcoxon(values).pvalue)


def test_few_pairs_cannot_have_a_small_p():
    for n in (2, 5, 6):
        assert sign_flip_p([1.0] * n) == least_p(n) == 2.0 ** (1 - n)


def test_more_pairs_than_can_be_counted_agree_with_those_that_can():
    values = np.random.default_rng(3).normal(0.3, 1.0, EXACT + 1)
    many = sign_flip_p(values.tolist())
    flips = np.random.default_rng(4).choice([-1, 1], (40_000, len(values))) @ values
    drawn = float((np.abs(flips) >= abs(values.sum())).mean())
    assert many == pytest.approx(drawn, abs=4 * math.sqrt(drawn * (1 - drawn) / 40_000) + 0.1 * drawn)


def test_infinite_differences_have_a_rank():
    assert signed_rank_p([math.inf] * 6) == least_p(6)
    assert signed_rank_p([math.inf, math.inf, 0.1, 0.2, -0.05, 0.3]) == pytest.approx(
        stats.wilcoxon([9.0, 9.0, 0.1, 0.2, -0.05, 0.3], method="exact").pvalue, abs=0.04
    )
    assert signed_rank_p([0.0, 0.0]) == signed_rank_p([]) == 1.0


def test_equal_arms_are_told_apart_as_rarely_as_the_level_says():
    rng = np.random.default_rng(5)
    found = [sign_flip_p(rng.standard_t(2, 8).tolist()) for _ in range(2000)]
    assert np.mean(np.array(found) <= 0.05) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)
