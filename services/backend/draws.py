"""What a replica draws: a hash of (seed, request, replica, attempt, purpose), not a generator's state."""

import math
from statistics import NormalDist

from services.backend.settings import ReplicaSettings
from services.draws import uniform

_NORMAL = NormalDist()


def demand_ms(settings: ReplicaSettings, u: float) -> float:
    """The demand at quantile `u` of the replica's own distribution, milliseconds."""
    return drawn_ms(settings.demand_distribution, settings.demand_mean_ms, settings.demand_sigma, u)


def drawn_ms(distribution: str, mean: float, sigma: float, u: float) -> float:
    """The quantile `u` of a distribution of that mean, which is also its unit; `sigma` is lognormal's only."""
    match distribution:
        case "exponential":
            return -math.log1p(-min(u, 1 - 1e-16)) * mean
        case "lognormal":
            z = _NORMAL.inv_cdf(min(max(u, 1e-16), 1 - 1e-16))
            return mean * math.exp(sigma * z - sigma**2 / 2)
        case _:
            return mean


def attempt_demand_ms(settings: ReplicaSettings, asked_ms: float | None, request_id: str, attempt: str) -> float:
    """The demand of one attempt: `asked_ms`, or drawn by the replica (none was asked, or `replica_noise` hits it)."""
    key = (settings.seed, request_id, settings.id, attempt)
    noise = settings.replica_noise
    if asked_ms is not None and (noise <= 0 or uniform(*key, "noise") >= noise):
        return asked_ms
    return demand_ms(settings, uniform(*key, "demand"))
