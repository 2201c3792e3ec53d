"""The picture of many arms says first which is how far from the reference, in what counts and in latency."""

import pytest

from analysis.comparison.gathering import compare_runs
from analysis.metrics.measured import numbers_of
from analysis.pages import comparison_page
from record.reading import read
from tests.analysis import synthetic

POLICIES = ("round_robin", "peak_ewma", "least_request", "random")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("arms")
    found = []
    for seed in (1, 2):
        for number, policy in enumerate(POLICIES):
            requests = synthetic.even_requests(latency_s=0.1 + 0.01 * number)
            about = synthetic.manifest(seed=seed, config={"policy": {"name": policy}})
            run = read(synthetic.write(folder / str(4 * seed + number), requests, about=about))
            found.append((run, numbers_of(run).metrics))
    return found


def titles(runs, monkeypatch, tmp_path):
    """Of the page's panels; nothing is rendered."""
    drawn = []
    monkeypatch.setattr(comparison_page, "save", lambda fig, path: drawn.append(fig))
    (comparison,) = compare_runs(runs)
    comparison_page.draw_comparison(comparison, tmp_path / "comparison.png")
    (fig,) = drawn
    return [axes.get_title(loc="left") for axes in fig.axes]


def test_each_arm_stands_against_the_reference_in_the_primary_metric_lost_requests_and_latencies(
    runs, monkeypatch, tmp_path
):
    found = titles(runs, monkeypatch, tmp_path)
    assert "Latency p99, each arm over A" in found and "Failed requests, each arm over A" in found
    assert [title for title in found if "against" in title] == ["B against A", "C against A", "D against A"]


def test_two_arms_need_no_overview(runs, monkeypatch, tmp_path):
    two = [(run, metrics) for run, metrics in runs if run.manifest["config"]["policy"]["name"] in POLICIES[:2]]
    assert not [title for title in titles(two, monkeypatch, tmp_path) if "each arm" in title or "against" in title]
