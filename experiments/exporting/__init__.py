"""What was measured, as other programs are configured; one a file: `mine.py` has a class with `name = "mine"`.

    name, file             of its file; what its configuration is called
    render(deployment)     the configuration, and what of the run it cannot carry over

`python -m experiments.export` writes them, and `experiments.data_planes` runs programs with them, so that what was
measured beside the router is what is exported. Pure.
"""

import ipaddress
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar, Protocol

from services.manager.settings import ScalingSettings
from services.plugins import Point
from services.router.settings import RouterSettings

EXPORTERS = Point(__name__, __path__, "exporters", "--to", ("render",), ("file",))
KEY = "X-Aegis-Key"
"""The header that `policy=consistent_hash` goes by."""
LOOKS_AT = {
    "adaptive": "an ejection by how much its latency stands out from the fleet's, and one line where slots are slower",
    "c3": "latency and queues as replicas report them",
    "join_idle_queue": "who has said to be idle",
    "late_binding": "one line at the router, from which a request goes where a slot is free",
    "peak_ewma": "latency, as a moving average that follows peaks at once",
    "prequal": "probes of load and latency",
    "weighted_latency": "latency",
    "weighted_utilisation": "utilisation as replicas report it",
}
"""What policies go by besides requests in flight."""


@dataclass(frozen=True)
class Upstream:
    """A replica."""

    name: str
    host: str
    """A name or an address; IPv6 without brackets."""
    port: int
    weight: float = 1.0


@dataclass(frozen=True)
class Deployment:
    """What is to be carried over."""

    host: str
    port: int
    """Where the proxy listens."""
    upstreams: tuple[Upstream, ...]
    settings: RouterSettings
    policy: Mapping[str, Any]
    slots: int = 1
    """Requests that a replica serves at a time."""
    scaler: Mapping[str, Any] = field(default_factory=lambda: {"name": "none"})
    scaling: ScalingSettings = field(default_factory=ScalingSettings)
    target: str = "replicas"
    """Of an autoscaler: the name of the Deployment that it scales."""
    beside: tuple[str, ...] = ()
    """What else the run had that is no setting of its router, a sentence each."""
    lines: tuple[str, ...] = ()
    """Of one's own, in the program's words, for what nginx calls `http`: where files are to lie."""
    algorithm: str | None = None
    """How it balances, by a name of its exporter's ALGORITHMS; None = as near to `policy` as it can."""


@dataclass(frozen=True)
class Exported:
    """A configuration."""

    text: str
    lost: tuple[str, ...]
    """What it does otherwise than the run that it comes from, a sentence each."""


class ExportError(ValueError):
    """The run has nothing that could be carried over; the text is one line that says why."""


class Exporter(Protocol):
    """The shape of every program."""

    name: ClassVar[str]
    file: ClassVar[str]

    def render(self, deployment: Deployment) -> Exported:
        """The configuration.

        Raises:
            ExportError: there is nothing of what it configures.
        """


def is_address(host: str) -> bool:
    """Whether it is an IP address; else it is a name, which has to be looked up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def joined(host: str, port: int) -> str:
    """`HOST:PORT`, an IPv6 address in brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def whole_weights(upstreams: Sequence[Upstream], most: int) -> list[int]:
    """The weights as whole numbers from 1 to `most`, in lowest terms.

    Of the very same ratios where there are such numbers (3 : 1 : 1 stays so, 0.5 : 0.25 is 2 : 1); else those out of a
    hundred whose shares come near.
    """
    largest = max(upstream.weight for upstream in upstreams)
    shares = [upstream.weight / largest for upstream in upstreams]
    exact = [Fraction(share).limit_denominator(most) for share in shares]
    unit = math.lcm(*(each.denominator for each in exact))
    if unit <= most and all(math.isclose(each, share) for each, share in zip(exact, shares, strict=True)):
        return [int(each * unit) for each in exact]
    whole = [max(1, round(min(most, 100) * share)) for share in shares]
    divisor = math.gcd(*whole)
    return [weight // divisor for weight in whole]


def milliseconds(seconds: float) -> int:
    """At least one: 0 means "never" or "for ever" to most programs."""
    return max(1, round(1e3 * seconds))


def in_comments(lines: Sequence[str]) -> str:
    """What could not be carried over, for the head of a file."""
    if not lines:
        return ""
    told = ("What this does otherwise than what was measured:", *lines)
    return "".join(f"# {' '.join(line.split())}\n" for line in told)


def policy_lost(policy: Mapping[str, Any], instead: str) -> str:
    """The sentence on a policy that a program has not."""
    name = policy["name"]
    about = f", which goes by {LOOKS_AT[name]}" if name in LOOKS_AT else ""
    return f"there is no policy={name}{about}; here {instead}"


def slow_start_s(deployment: Deployment) -> float:
    """Over how many seconds one that comes gets its share; 0 = at once."""
    return float(deployment.policy.get("slow_start_s", 0))


def slow_start_lost(deployment: Deployment) -> Iterator[str]:
    """What a program without a slow start does otherwise."""
    if slow_start_s(deployment) > 0:
        yield "one that joins or comes back gets its whole share at once (policy.slow_start_s)"


def handling_lost(deployment: Deployment) -> Iterator[str]:
    """What the run had and the router can, and no other program here."""
    settings = deployment.settings
    yield from deployment.beside
    if settings.ejection.enabled:
        yield "an answer of 503 is a failure that may take its sender out; to the router it is a full queue"
    if settings.ejection.enabled and settings.ejection.refused:
        yield "a refused connection is one failure of a row; the router ejects at once"
    if settings.hedging.enabled:
        yield "no second attempt is made beside a slow one (router.hedging)"
    if settings.timeouts.adaptive_factor > 0:
        yield "the time-out of an attempt does not follow latency (router.timeouts.adaptive_factor)"
    if settings.timeouts.told:
        yield "replicas are not told how long an attempt is waited for (router.timeouts.told)"
    if settings.limits.standing_share:
        yield "nobody is refused for the line that stands before him or grows (router.limits.standing_share)"
