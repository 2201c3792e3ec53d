"""Random numbers that repeat: a hash of (seed, request, replica, attempt, purpose), not a generator's state."""

import hashlib
import math
from statistics import NormalDist

from services.backend.settings import ReplicaSettings

_NORMAL = NormalDist()


def uniform(seed: int, request_id: str, replica: str, attempt: str, purpose: str) -> float:
    """A number in (0, 1), the same for the same arguments on every machine."""
    text = f"{seed}|{request_id}|{replica}|{attempt}|{purpose}".encode()
    return (int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) + 0.5) / 2**64


def demand_ms(settings: ReplicaSettings, u: float) -> float:
    """The demand at quantile `u` of the replica's own distribution, milliseconds."""
    mean = settings.demand_mean_ms
    match settings.demand_distribution:
        case "exponential":
            return -math.log1p(-min(u, 1 - 1e-16)) * mean
        case "lognormal":
            z = _NORMAL.inv_cdf(min(max(u, 1e-16), 1 - 1e-16))
            sigma = settings.demand_sigma
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
