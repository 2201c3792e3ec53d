"""The runs of a pack that are measured again, and those that are not: what ends, and what is never asked twice."""

import json
import shutil

import pytest

from analysis import summary
from analysis.standings.gathering import gather_cell, measured_in
from experiments.trials.arms import parse_arms
from experiments.trials.measuring import Campaign, in_order
from experiments.trials.planning import Asked, planned
from experiments.trials.suites import scenarios_of
from record.files import FolderError
from tests.experiments.test_evidence import spoil


@pytest.fixture(scope="module")
def trials():
    """One simulated run."""
    first = planned(Asked(scenarios_of("hang"), parse_arms(["policy=random"]), ("engine=sim", "workload.rate_rps=20"), 14))
    return in_order(first.jobs, [1], "runs", {"hang": first.rows[0].measure}, is_virtual=True)


def folder_in(pack, attempt=1):
    return pack / "runs" / "hang" / f"random,seed=1{f',try={attempt}' if attempt > 1 else ''}"


def test_a_run_of_which_no_metrics_can_be_made_is_a_failed_try_and_not_measured_for_ever(tmp_path, trials, monkeypatch):
    def damaged(*_, **__):
        raise FolderError("x: a value cannot be used")

    with monkeypatch.context() as patched:
        patched.setattr(summary, "summarise", damaged)
        Campaign(tmp_path, trials, 2, is_virtual=True).measure()
    found = gather_cell(tmp_path, "hang", "random", (1,))
    assert found.failing == [1] and len(found.failed) == 2 and "no metrics could be made" in found.failed[0]
    assert not folder_in(tmp_path, 3).exists()
    Campaign(tmp_path, trials, 3, is_virtual=True).measure()  # a larger --tries tries it again
    assert gather_cell(tmp_path, "hang", "random", (1,)).by_seed.keys() == {1}


def test_a_damaged_try_before_a_valid_one_is_not_measured_again(tmp_path, trials):
    campaign = Campaign(tmp_path, trials, 3, is_virtual=True)
    campaign.measure()
    first, second = folder_in(tmp_path), folder_in(tmp_path, 2)
    shutil.copytree(first, second)
    (first / "manifest.json").write_text("{")
    assert campaign.next_folder(trials[0]) is None
    assert gather_cell(tmp_path, "hang", "random", (1,)).folders == [second]
    shutil.rmtree(second)
    assert campaign.next_folder(trials[0]) == first


def test_metrics_that_lack_what_a_board_needs_are_told_in_a_line(tmp_path, trials):
    campaign = Campaign(tmp_path, trials, 3, is_virtual=True)
    campaign.measure()
    path = folder_in(tmp_path) / "metrics.json"
    content = json.loads(path.read_text())
    for wrong, why in (({"valid": True}, "lacks invalid_reasons"), (content | {"failed_requests": "few"}, "failed_requests")):
        path.write_text(json.dumps(wrong))
        with pytest.raises(FolderError, match=why):
            measured_in(folder_in(tmp_path))
        assert why in gather_cell(tmp_path, "hang", "random", (1,)).failed[0]
        assert campaign.next_folder(trials[0]) == folder_in(tmp_path), "it is measured anew"


def test_a_simulated_run_that_is_not_valid_comes_out_the_same_again_and_is_not_tried(tmp_path, trials):
    Campaign(tmp_path, trials, 1, is_virtual=True).measure()
    spoil(folder_in(tmp_path))
    assert Campaign(tmp_path, trials, 9, is_virtual=True).next_folder(trials[0]) is None
    assert Campaign(tmp_path, trials, 9, is_virtual=False).next_folder(trials[0]) == folder_in(tmp_path, 2)
