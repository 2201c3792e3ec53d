"""Delays of the simulator: what is drawn is what was fitted."""

import numpy as np
import pandas as pd
import pytest
import yaml

from experiments.calibration.simulator import as_override, from_runs, overhead_s
from experiments.plan.delays import Delay, fit
from tests.running import run


def test_a_fit_finds_what_was_drawn():
    drawn = Delay(2.5, 0.4).draw(np.random.default_rng(1), 50_000)
    found = fit(drawn)
    assert found.median_ms == pytest.approx(2.5, rel=0.02)
    assert found.sigma == pytest.approx(0.4, rel=0.02)
    assert np.quantile(drawn, 0.9) == pytest.approx(Delay(2.5, 0.4).at(0.9), rel=0.02)
    assert Delay(2.5, 0.0).at(0.99) == 0.0025
    assert Delay(0.0, 0.3).draw(np.random.default_rng(1), 3).tolist() == [0.0] * 3


def requests(client_ms, router_ms, count=2000):
    rng = np.random.default_rng(2)
    queue, service = rng.exponential(0.01, count), rng.exponential(0.05, count)
    way = Delay(client_ms, 0.2).draw(rng, count)
    router = Delay(router_ms, 0.3).draw(rng, count) if router_ms else np.full(count, np.nan)
    sent = np.arange(count) * 0.01
    return pd.DataFrame(
        {
            "sent_s": sent, "queue_s": queue, "service_s": service, "router_s": router, "outcome": "ok",
            "attempts": 1.0 if router_ms else np.nan,
            "completed_s": sent + queue + service + way + np.nan_to_num(router),
        }
    )  # fmt: skip


def test_the_delays_of_a_live_system_are_taken_apart():
    baseline, routed = requests(2.0, None), requests(5.0, 1.0)
    found = from_runs(baseline, routed, np.array([0.9, 1.0, 1.1]))
    assert found["client"].median_ms == pytest.approx(2.0, rel=0.03)
    assert found["client"].sigma == pytest.approx(0.2, rel=0.1)
    assert found["router"].median_ms == pytest.approx(1.0, rel=0.03)
    assert found["replica"].median_ms == pytest.approx(3.0, rel=0.05)
    assert found["startup"].median_ms == pytest.approx(1000)


def test_who_was_retried_or_failed_says_nothing_of_the_network():
    rows = requests(2.0, 1.0, 10)
    rows.loc[0, "attempts"], rows.loc[1, "outcome"] = 2, "timeout"
    assert len(overhead_s(rows)) == 8


def test_delays_that_were_measured_where_nothing_can_be_written_are_told_as_hydra_takes_them():
    measured = {name: Delay(0.25 + number, 0.5) for number, name in enumerate(("client", "router", "replica", "startup"))}
    done = run("+scenario=routed", "engine=sim", as_override(measured), "--cfg", "job", "--package", "engine")
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["delays"] == {name: vars(delay) for name, delay in measured.items()}
