"""What an import says of a real proxy's log against what the client measured: count, rate, p50 and p99."""

import json

import numpy as np
import pytest

from experiments import import_log
from tests.measuring.measured import TRIES
from tests.proxied import PROXIES, Asked, traffic

COUNT, RATE_RPS = 500, 50.0
WITHIN = 0.01
RESOLUTION_S = 1e-3
"""All three write whole milliseconds, and nginx looks at the clock once a turn of its loop."""


def asked():
    """Poisson arrivals, exponential demands of 200 ms above 50 ms: 1 % is 2 ms of p50 and 10 ms of p99."""
    rng = np.random.default_rng(15)
    arrivals = np.cumsum(rng.exponential(1 / RATE_RPS, COUNT))
    return [Asked(float(at), float(demand)) for at, demand in zip(arrivals, 0.05 + rng.exponential(0.2, COUNT), strict=True)]


@pytest.mark.parametrize("name", PROXIES)
def test_an_import_says_what_the_client_measured(tmp_path, name):
    for attempt in range(TRIES):
        log, seen = traffic(name, tmp_path / f"{name}-{attempt}", asked())
        folder = tmp_path / f"my-traffic-{attempt}"
        assert import_log.main([str(log), "-o", str(folder)]) == 0
        about = json.loads((folder / "import.json").read_text())
        sent, taken = (np.array([getattr(each, key) for each in seen]) for key in ("sent_s", "taken_s"))
        assert about["format"] == name and about["requests"] == COUNT and about["broken"]["count"] == 0
        rate = (COUNT - 1) / (sent.max() - sent.min())
        p50, p99 = np.quantile(taken, (0.5, 0.99))
        told = about["taken_s"]
        print(f"{name}: rate {about['rate_rps']:.3f} of {rate:.3f}, p50 {told['p50']:.4f} of {p50:.4f}, "
              f"p99 {told['p99']:.4f} of {p99:.4f}")  # fmt: skip
        held = [
            abs(about["rate_rps"] / rate - 1) <= WITHIN,
            abs(told["p50"] - p50) <= WITHIN * p50 + RESOLUTION_S,
            abs(told["p99"] - p99) <= WITHIN * p99 + RESOLUTION_S,
        ]
        if all(held):
            return
    assert all(held), f"rate, p50, p99: {held}"
