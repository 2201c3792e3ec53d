"""One step ahead: what a request's duration should be, given who was there when it came.

Of a request the recorded departures of those before it say how long it waits; what it asks for is drawn. So every
request is predicted from what truly happened until then, as a forecaster is judged (Dawid, Statistical theory: the
prequential approach, Journal of the Royal Statistical Society A 147, 1984). That holds under any balancing policy, and
knows the tail far better than a run of its own: the queue does not go another way.
"""

from collections.abc import Sequence

import numpy as np

from analysis.fitting.inversion import Floats, Ints

DRAWS = 60
"""Predictions, each with demands of its own."""


def predicted(
    waits_s: Floats, host: Ints, demands_s: Floats, speeds: Floats, shares: Sequence[float], rng: np.random.Generator
) -> Floats:
    """Quantiles of the durations, prediction by prediction, seconds; shape (DRAWS, len(shares)).

    Args:
        waits_s: of each request, by the departures before it, shape (n,).
        host: where it went, shape (n,).
        demands_s: that were seen elsewhere, at speed 1, shape (m,).
        speeds: of the hosts, as the log leaves them open, shape (some, hosts).
        shares: of the quantiles, 0 to 1.
        rng: draws demands and speeds.
    """
    found = np.empty((DRAWS, len(shares)))
    for number in range(DRAWS):
        speed = speeds[int(rng.integers(len(speeds)))]
        lasted_s = waits_s + rng.choice(demands_s, len(waits_s)) / speed[host]
        found[number] = np.quantile(lasted_s, shares)
    return found
