"""Our distributions against printed tables, closed forms, exact fractions, and SciPy."""

import itertools
import math
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest
from scipy import special, stats

from analysis.comparison.ranks import kendall_tau, mean_ranks
from analysis.distributions.beta import beta_quantile, beta_tails
from analysis.distributions.discrete import binomial_tails, hypergeometric_tails
from analysis.distributions.normal import normal_tail, normal_tails
from analysis.distributions.roots import root
from analysis.distributions.student import student_p, student_quantile

REL = 1e-10
LEAST = 1e-290
"""Below, the last digits of any float are gone."""


@pytest.mark.parametrize(
    ("df", "at_975", "at_995"),
    [
        (1, 12.706, 63.657),
        (2, 4.303, 9.925),
        (4, 2.776, 4.604),
        (10, 2.228, 3.169),
        (30, 2.042, 2.750),
        (120, 1.980, 2.617),
    ],
)
def test_students_quantiles_are_those_of_the_printed_table(df, at_975, at_995):
    assert student_quantile(0.975, df) == pytest.approx(at_975, abs=5e-4)
    assert student_quantile(0.005, df) == pytest.approx(-at_995, abs=5e-4)
    assert student_p(at_975, df) == pytest.approx(0.05, abs=5e-5)


@pytest.mark.parametrize(
    ("share", "d1", "d2", "f"), [(0.95, 5, 10, 3.33), (0.99, 4, 20, 4.43), (0.95, 1, 1, 161.4), (0.99, 60, 120, 1.66)]
)
def test_quantiles_of_the_beta_distribution_give_the_printed_table_of_f(share, d1, d2, f):
    x = beta_quantile(share, d1 / 2, d2 / 2)
    assert d2 / d1 * x / (1 - x) == pytest.approx(f, abs=0.05 if f > 100 else 0.005)


@pytest.mark.parametrize(
    ("k", "n", "p", "at_most"),
    [(3, 10, 0.3, 0.6496), (5, 20, 0.5, 0.0207), (0, 15, 0.1, 0.2059), (18, 20, 0.9, 0.6083)],
)
def test_binomial_tails_are_those_of_the_printed_table(k, n, p, at_most):
    assert binomial_tails(k, n, p)[0] == pytest.approx(at_most, abs=5e-5)


@pytest.mark.parametrize(
    ("found", "everything", "marked", "drawn", "chance"),
    [
        (3, 8, 4, 4, 17 / 70),  # Fisher's lady tasting tea: three cups of four
        (4, 8, 4, 4, 1 / 70),
        (0, 8, 4, 4, 1.0),
        (5, 8, 4, 4, 0.0),
        (10, 30, 12, 13, 4.6518e-4),  # his twins of convicts: 10 of 13 and 2 of 17
    ],
)
def test_the_exact_test_of_two_shares_has_fishers_own_values(found, everything, marked, drawn, chance):
    assert hypergeometric_tails(found, everything, marked, drawn)[1] == pytest.approx(chance, rel=1e-4)


def test_student_agrees_with_its_closed_forms_however_far_out():
    for t in (1e-9, 0.3, 1.0, 7.0, 1e4, 1e9):
        assert student_p(t, 1) == pytest.approx(2 / math.pi * math.atan(1 / t), rel=1e-13)  # Cauchy's
        assert student_p(-t, 2) == pytest.approx(2 / (2 + t * t + t * math.sqrt(2 + t * t)), rel=1e-13)
    for share in (1e-12, 1e-4, 0.3, 0.4999999, 0.9, 1 - 1e-6):
        assert student_quantile(share, 1) == pytest.approx(
            -1 / math.tan(math.pi * share), rel=1e-9 if share > 0.49 else 1e-13
        )
    for z in (0.1, 1.0, 2.0, 6.0):  # 10^9 degrees of freedom: the normal distribution and its first correction
        density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        assert student_p(z, 1e9) == pytest.approx(2 * normal_tail(z) + density * (z**3 + z) / 2e9, rel=1e-13)


def test_student_says_what_is_certain_and_what_is_no_number():
    assert student_p(0.0, 4) == 1.0 and student_p(math.inf, 4) == 0.0 and math.isnan(student_p(math.nan, 4))
    assert student_quantile(0.5, 4) == 0.0
    assert (student_quantile(0.0, 4), student_quantile(1.0, 4)) == (-math.inf, math.inf)


def test_student_is_scipys_in_the_middle_and_in_the_tails():
    for df in (1, 2, 3, 4, 5, 7, 9, 19, 30, 99, 1000, 10**4, 10**6):
        ts = np.array([1e-6, 0.1, 0.5, 1, 2, 3, 6, 10, 30, 1e3, 1e6])
        expected = 2 * special.stdtr(df, -ts)
        some = expected > LEAST
        assert [student_p(t, df) for t in ts[some]] == pytest.approx(expected[some], rel=REL)
        # Near the middle SciPy's own keep fewer digits: Cauchy's quantiles above say whose are right.
        for share in (1e-12, 1e-8, 1e-4, 0.005, 0.025, 0.2, 0.4, 0.6, 0.8, 0.975, 0.999):
            assert student_quantile(share, df) == pytest.approx(special.stdtrit(df, share), rel=REL)


PARAMETERS = (0.5, 1, 2, 7, 33, 100, 999, 1e4, 1e6)


def test_both_tails_and_quantiles_of_the_beta_distribution_are_scipys():
    for a, b in itertools.product(PARAMETERS, PARAMETERS):
        mean = a / (a + b)
        x = mean + np.array([-30, -8, -3, -1, 0, 1, 3, 8, 30]) * math.sqrt(mean * (1 - mean) / (a + b + 1))
        x = x[(x > 0) & (x < 1)]
        ours = np.array([beta_tails(value, 1 - value, a, b) for value in x.tolist()]).T
        for found, expected in zip(ours, (special.betainc(a, b, x), special.betaincc(a, b, x)), strict=True):
            some = expected > LEAST
            assert found[some] == pytest.approx(expected[some], rel=REL)
        shares = [1e-8, 1e-3, 0.025, 0.5, 0.975, 1 - 1e-4]
        assert [beta_quantile(s, a, b) for s in shares] == pytest.approx(special.betaincinv(a, b, shares), rel=REL)


def test_the_beta_distribution_holds_beyond_where_scipys_does():
    for a in (0.5, 1e4, 1e8, 1e9):
        assert beta_tails(0.5, 0.5, a, a) == pytest.approx((0.5, 0.5), rel=1e-11)
    for b in (3.0, 1e4, 1e8):  # (1 - x)^b, and its quantile
        for x in (1e-3 / b, 1 / b, 2.9 / b):
            expected = -math.expm1(b * math.log1p(-x))
            assert beta_tails(x, 1 - x, 1, b) == pytest.approx((expected, 1 - expected), rel=1e-12)
            assert beta_quantile(expected, 1, b) == pytest.approx(x, rel=1e-12 if expected < 0.99 else 1e-11)
    assert (beta_tails(0.0, 1.0, 2, 3), beta_tails(1.0, 0.0, 2, 3)) == ((0.0, 1.0), (1.0, 0.0))
    assert (beta_quantile(0.0, 2, 3), beta_quantile(1.0, 2, 3)) == (0.0, 1.0)
    # A parameter that would be lost in the sum of both.
    assert beta_tails(1 - 1e-8, 1e-8, 1e6, 0.4677)[1] == pytest.approx(
        beta_tails(1e-8, 1 - 1e-8, 0.4677, 1e6)[0], rel=1e-13
    )
    # Quantiles that a normal approximation misses by far.
    for share, a, b in [(1e-9, 500, 0.5), (1e-100, 5000, 0.5), (1e-9, 0.5, 5000), (1e-280, 1e6, 1e6)]:
        x = beta_quantile(share, a, b)
        assert math.log(beta_tails(x, 1 - x, a, b)[0]) == pytest.approx(math.log(share), rel=1e-9)


def _ways(k: int, everything: int, marked: int, drawn: int) -> int:
    return math.comb(marked, k) * math.comb(everything - marked, drawn - k) if k <= drawn else 0


@pytest.mark.parametrize(
    ("everything", "marked", "drawn"), [(2, 1, 1), (30, 12, 13), (200, 199, 100), (2000, 40, 1000), (2000, 1500, 900)]
)
def test_hypergeometric_tails_are_those_of_exact_fractions(everything, marked, drawn):
    ways = [_ways(k, everything, marked, drawn) for k in range(drawn + 2)]
    total = math.comb(everything, drawn)
    for k in {-1, drawn + 1, *range(0, drawn + 1, max(1, drawn // 40)), round(drawn * marked / everything)}:
        exact = Fraction(sum(ways[: k + 1]), total), Fraction(sum(ways[max(0, k) :]), total)
        found = hypergeometric_tails(k, everything, marked, drawn)
        for ours, tail in zip(found, exact, strict=True):
            assert ours == pytest.approx(float(tail), rel=1e-12, abs=LEAST)


@pytest.mark.parametrize(("n", "p"), [(1, 0.3), (50, 1 / 8), (1000, 1 / 2), (1000, 1 / 1024), (777, 63 / 64)])
def test_binomial_tails_are_those_of_exact_fractions(n, p):
    share = Fraction(p)
    chances = [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]
    at_most = list(itertools.accumulate(chances))
    for k in {0, n, *range(0, n + 1, max(1, n // 60)), round(n * p)}:
        found = binomial_tails(k, n, p)
        assert found[0] == pytest.approx(float(at_most[k]), rel=1e-12, abs=LEAST)
        assert found[1] == pytest.approx(float(1 - at_most[k] + chances[k]), rel=1e-12, abs=LEAST)
    assert (binomial_tails(-1, n, p), binomial_tails(n + 1, n, p)) == ((0.0, 1.0), (1.0, 0.0))
    assert (binomial_tails(0, n, 0.0), binomial_tails(n, n, 1.0)) == ((1.0, 1.0), (1.0, 1.0))
    assert (binomial_tails(1, n + 1, 0.0), binomial_tails(1, n + 1, 1.0)) == ((1.0, 0.0), (0.0, 1.0))


def test_tails_of_counts_among_a_million_are_scipys():
    n, p = 10**6, 0.003
    for k in (2700, 2900, 3000, 3001, 3200, 3400):
        law = stats.binom(n, p)  # not scipy.special.bdtr, which keeps nine digits here
        assert binomial_tails(k, n, p) == pytest.approx((law.cdf(k), law.sf(k - 1)), rel=REL)
    for k in (1300, 1450, 1500, 1501, 1560, 1700):
        law = stats.hypergeom(2 * n, 3000, n)
        # SciPy's come from logarithms of factorials.
        assert hypergeometric_tails(k, 2 * n, 3000, n) == pytest.approx((law.cdf(k), law.sf(k - 1)), rel=1e-8)


def test_tails_of_counts_among_a_million_are_those_summed_with_forty_digits():
    # By mpmath 1.4.1, term by term.
    assert binomial_tails(2900, 10**6, 0.003)[0] == pytest.approx(0.03389007028075765, rel=1e-13)
    assert hypergeometric_tails(1450, 2 * 10**6, 3000, 10**6)[0] == pytest.approx(0.03522896482308043, rel=1e-13)


def test_the_normal_tail_has_its_digits_far_out():
    zs = np.array([-9.0, -1.0, 0.0, 0.5, 1.959963984540054, 6.0, 20.0, 37.0])
    assert normal_tails(zs) == pytest.approx(special.ndtr(-zs), rel=1e-12)
    assert normal_tail(1.959963984540054) == pytest.approx(0.025, rel=1e-14)
    assert normal_tail(-0.7) == pytest.approx(NormalDist().cdf(0.7), rel=1e-14)


def test_a_root_is_found_where_newton_and_secant_fail():
    assert root(lambda x: x**3 - 2, 0.0, 2.0) == pytest.approx(2 ** (1 / 3), rel=1e-15)
    assert root(lambda x: math.atan(x - 1e-3), -1e9, 1e8) == pytest.approx(1e-3, rel=1e-12)
    assert root(lambda x: x**9, -1.0, 1.3, within=1e-9) == pytest.approx(0.0, abs=1e-9)
    assert root(lambda x: -1.0 if x < 0.3 else 1.0, 0.0, 1.0) == pytest.approx(0.3, rel=1e-15)
    assert root(lambda x: x - 1, 1.0, 5.0) == 1.0
    with pytest.raises(ValueError, match="no change of sign between 2"):
        root(lambda x: x, 2.0, 3.0)


def test_ranks_and_kendalls_tau_are_scipys_with_ties_and_infinities():
    rng = np.random.default_rng(3)
    for n in (1, 2, 5, 12):
        for _ in range(20):
            a, b = rng.integers(0, 6, (2, n)).astype(float)
            a[a == 5], b[b == 0] = math.inf, -math.inf
            assert mean_ranks(a).tolist() == stats.rankdata(a).tolist()
            if n > 1:
                assert kendall_tau(a, b) == pytest.approx(stats.kendalltau(a, b).statistic, nan_ok=True)
    assert kendall_tau([1, 2, 3], [10, 20, 30]) == 1.0 and kendall_tau([1, 2, 3], [3, 2, 1]) == -1.0
