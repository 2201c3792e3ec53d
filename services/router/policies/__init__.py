"""Balancing policies, one a file: `mine.py` has a class with `name = "mine"`; its keyword arguments are its options.

A policy is a plain object: it is told the time, draws from the generator it was given, and does no I/O.

    pick(candidates, request, now) -> Pick
    on_start(replica, now); on_finish(replica, outcome, latency, now)     exactly once per attempt

What replicas report of themselves and what probes find is told to one that asks: `services.router.policy.Policy`.
"""

import random
from typing import Any, cast

from services.plugins import Point
from services.router.policy import OUTCOMES, Candidate, Outcome, Pick, Policy, Report, RequestInfo, drawn, kept, two_of

__all__ = [
    "OUTCOMES", "POLICIES", "Candidate", "Outcome", "Pick", "Policy", "Report", "RequestInfo", "create", "drawn",
    "kept", "two_of",
]  # fmt: skip

POLICIES = Point(__name__, __path__, "policies", "policy", ("pick", "on_start", "on_finish"))


def create(name: str, options: dict[str, Any], rng: random.Random) -> Policy:
    """The policy `name` with its options.

    Raises:
        ValueError: an unknown name or option, or a wrong value; names the choices.
    """
    return cast(Policy, POLICIES.create(name, options, rng=rng))
