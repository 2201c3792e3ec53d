"""When a replica is checked again. Pure, for the live router and the simulated one."""

import random

from services.router.settings import HealthCheckSettings

STARTING_S = 0.1
"""A replica that registers is waited for with short pauses: it is about to be ready."""


def pause_s(settings: HealthCheckSettings, healthy: bool | None, rng: random.Random) -> float:
    """Seconds until the next check of a replica; `healthy` as the fleet has it, None = no check has answered yet."""
    pause = settings.interval_s * rng.uniform(1 - settings.jitter, 1 + settings.jitter)
    return min(pause, STARTING_S) if healthy is None else pause
