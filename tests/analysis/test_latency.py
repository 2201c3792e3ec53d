"""Quantiles in which a request that was not served ranks last, against numpy, published data and survival analysis."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from record.latency import quantile, quantiles_by

SHARES = (0.0, 0.5, 0.9, 0.99, 0.999, 1.0)
AIRPLANE_COMPONENTS_H = [0.22, 0.50, 0.88, 1.00, 1.32, 1.33, 1.54, 1.76, 2.50, 3.00, *[np.inf] * 3]
"""Hours to failure of 13 components in a test that ended with the tenth failure (Mann and Fertig, Technometrics 15,
1973): the other three lasted longer."""


@given(st.lists(st.floats(0.01, 1e5), min_size=1, max_size=300), st.sampled_from(SHARES))
@settings(deadline=None)
def test_where_all_were_served_it_is_the_usual_quantile(latencies, share):
    assert quantile(np.array(latencies), share) == pytest.approx(np.quantile(latencies, share))


@pytest.mark.parametrize(
    ("share", "expected"), [(0.25, 1.00), (0.5, 1.54), (0.6, 1.908), (0.75, 3.00), (0.76, np.inf), (0.9, np.inf)]
)
def test_published_censored_data_have_quantiles_up_to_the_last_that_was_seen(share, expected):
    assert quantile(np.array(AIRPLANE_COMPONENTS_H), share) == pytest.approx(expected)


@pytest.mark.parametrize("unserved", range(12))
def test_the_median_is_that_of_kaplan_and_meier_and_there_is_none_when_half_are_censored(unserved):
    rng = np.random.default_rng(unserved)
    served = np.sort(rng.exponential(100, 11 - unserved))
    found = quantile(np.append(served, np.full(unserved, np.inf)), 0.5)
    if unserved == 11:
        assert found == np.inf
        return
    censored = np.full(unserved, served[-1] + 1)
    survival = stats.ecdf(stats.CensoredData(uncensored=served, right=censored)).sf
    below = survival.quantiles[survival.probabilities <= 0.5]
    expected = below[0] if len(below) and below[0] <= served[-1] else np.inf
    assert found == expected


def test_an_interpolation_that_touches_an_unserved_request_is_no_number():
    assert quantile(np.array([1.0, 2.0, np.inf, np.inf]), 0.5) == np.inf
    assert quantile(np.array([1.0, 2.0, 3.0, np.inf]), 0.5) == 2.5
    assert quantile(np.append(np.arange(100.0), np.inf), 0.99) == 99.0  # (101 - 1) x 0.99: the last that was served
    assert np.isnan(quantile(np.array([]), 0.5))


def test_groups_have_each_their_own():
    rng = np.random.default_rng(1)
    latencies, groups = rng.exponential(100, 500), rng.integers(-1, 6, 500)
    groups[groups == 3] = 4
    for share, found in zip((0.5, 0.9), quantiles_by(latencies, groups, 5, (0.5, 0.9)), strict=True):
        expected = [np.quantile(latencies[groups == k], share) if (groups == k).any() else np.nan for k in range(5)]
        assert found == pytest.approx(expected, nan_ok=True)
