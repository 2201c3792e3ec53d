"""A share of the requests is POST: drawn from the seed, sent with a body, and never asked for twice once sent."""

import numpy as np
import pandas as pd
import pytest

from analysis.metrics.measured import in_numbers
from analysis.metrics.verdict import table_rows
from experiments.plan.config import RouterConfig
from experiments.plan.fault_plan import Fault
from experiments.plan.schedule import build_schedule
from experiments.plan.workload import WorkloadSettings
from record.files import FolderError
from record.reading import read
from record.schedule_hash import schedule_hash
from tests.analysis import synthetic
from tests.experiments.simulated import configured, run


def schedule(post_share, seed=1, **more):
    return build_schedule(WorkloadSettings(rate_rps=200.0, duration_s=50.0, post_share=post_share, **more), seed)


def test_without_post_requests_a_schedule_has_no_method_and_its_old_hash():
    plain = schedule(0.0)
    assert "method" not in plain
    assert schedule_hash(plain) == schedule_hash(build_schedule(WorkloadSettings(rate_rps=200.0, duration_s=50.0), 1))


def test_the_methods_have_a_stream_of_their_own_and_count_in_the_hash():
    plain, some, more = schedule(0.0), schedule(0.3), schedule(0.6)
    for each in (some, more):
        pd.testing.assert_frame_equal(each.drop(columns="method"), plain)
    assert (some["method"] == "POST").mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / len(some)))
    assert ((some["method"] == "POST") <= (more["method"] == "POST")).all()  # a larger share keeps those there were
    assert (schedule(1.0)["method"] == "POST").all()
    assert not some["method"].equals(schedule(0.3, seed=2)["method"].reindex(some.index))
    assert len({schedule_hash(each) for each in (plain, some, more)}) == 3


def of_methods(stack, planned):
    attempts = np.frombuffer(stack.records.attempts, dtype=np.int16)
    failed = np.frombuffer(stack.records.outcome, dtype=np.int8) != 0
    is_post = (planned["method"] == "POST").to_numpy()
    return attempts, failed, is_post


@pytest.mark.parametrize(("action", "is_sent"), [("reset", True), ("refuse", False)])
def test_a_post_is_tried_again_only_where_nothing_of_it_was_sent(action, is_sent):
    config = configured(0.5, replicas=3, requests=3000, mean_ms=20.0, policy={"name": "round_robin"})
    config.router = RouterConfig()
    config.router.health.enabled = config.router.ejection.enabled = False
    config.workload.post_share = 0.5
    planned = build_schedule(config.workload, config.seed)
    fault = Fault(at_s=5.0, action=action, target="r1", for_s=5.0)
    attempts, failed, is_post = of_methods(run(config, [fault], planned), planned)
    assert (attempts[~is_post] > 1).sum() > 30 and not failed[~is_post].any()
    if is_sent:
        assert (attempts[is_post] == 1).all() and failed[is_post].sum() > 30
    else:
        assert (attempts[is_post] > 1).sum() > 30 and not failed[is_post].any()


def test_no_second_attempt_is_made_beside_a_post_that_is_slow():
    config = configured(0.3, replicas=3, requests=2000, mean_ms=20.0)
    config.router = RouterConfig()
    config.router.hedging.enabled = True
    config.workload.post_share = 0.5
    planned = build_schedule(config.workload, config.seed)
    attempts, _, is_post = of_methods(run(config, [], planned), planned)
    assert (attempts[~is_post] > 1).any() and (attempts[is_post] == 1).all()


def written(folder, *, lost_gets=0, lost_posts=0, posts=300):
    """1,000 requests outside warm-up, the first `posts` of them POST."""
    requests = synthetic.even_requests(duration_s=102.0, rate=10)
    measured = requests.index[requests["scheduled_s"] >= 2.0]
    methods = pd.Series("GET", index=requests.index, dtype=object)
    methods[measured[:posts]] = "POST"
    lost = [*measured[:lost_posts], *measured[posts : posts + lost_gets]]
    requests.loc[lost, "outcome"], requests.loc[lost, "status"] = "http_error", 502
    planned = synthetic.schedule_at(requests["scheduled_s"].to_numpy(), key="k1").assign(method=methods)
    about = synthetic.manifest(config={"workload": {"rate_rps": 10.0, "duration_s": 102.0, "warmup_s": 2.0}})
    return synthetic.write(folder, requests, about=about, schedule=planned)


def test_lost_requests_are_told_by_method_with_the_rule_of_three(tmp_path):
    metrics = in_numbers(written(tmp_path / "run", lost_posts=6)).metrics
    assert metrics["post_requests"] == 300
    assert (metrics["failed_get_requests"], metrics["failed_post_requests"]) == (0, 6)
    assert metrics["failed_get_upper_share"] == pytest.approx(3 / 700, rel=0.01)
    assert metrics["failed_get_upper_share"] == pytest.approx(1 - 0.05 ** (1 / 700), rel=1e-3)
    # Clopper and Pearson, one-sided, 6 of 300: scipy.stats.beta.ppf(0.95, 7, 294) = 0.039060
    assert metrics["failed_post_upper_share"] == pytest.approx(0.0391, abs=2e-4)
    rows = table_rows(read(tmp_path / "run").manifest, metrics)
    assert rows[5:7] == [
        ("failed GET", "0 of 700 (at most 0.43 %, with 95 % certainty)"),
        ("failed POST", "6 of 300 (at most 3.91 %, with 95 % certainty)"),
    ]
    all_lost = in_numbers(written(tmp_path / "all", posts=5, lost_posts=5)).metrics
    assert all_lost["failed_post_upper_share"] == 1.0


def test_without_post_requests_nothing_is_said_of_them(tmp_path):
    metrics = in_numbers(synthetic.write(tmp_path, synthetic.even_requests())).metrics
    assert (metrics["post_requests"], metrics["failed_post_requests"], metrics["failed_post_upper_share"]) == (0, None, None)
    assert metrics["failed_get_requests"] == 0


def test_a_method_that_there_is_not_is_a_damaged_schedule(tmp_path):
    requests = synthetic.even_requests()
    planned = synthetic.schedule_at(requests["scheduled_s"].to_numpy(), key="k1").assign(method="PSOT")
    with pytest.raises(FolderError, match=r"schedule.parquet: method 'PSOT' is none of GET, POST"):
        read(synthetic.write(tmp_path, requests, schedule=planned))
