"""The faults a replica plays on itself: which are set, and what they do to one request. Pure."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from random import Random
from statistics import NormalDist

_NORMAL = NormalDist()

PARAMETERS: dict[str, dict[str, float | None]] = {
    "error": {"rate": 1.0, "check_rate": None},
    "slow": {"factor": 5.0},
    "latency": {"added_ms": 200.0, "share": 1.0, "sigma": 0.0, "tail_index": 0.0},
    "hang": {"share": 1.0},
    "reset": {"share": 1.0},
    "refuse": {},
    "flap": {"period_s": 2.0},
    "lie": {"rate": 1.0, "check_rate": 0.0},
    "cache_loss": {},
}
"""Every kind with its parameters and their defaults; None = as `rate`. `rate` is the share of the requests that fail,
`check_rate` that of the health checks: 0 spares them, and with `rate` 0 they alone are hit."""
BOUNDS: dict[str, tuple[float, float]] = {
    "rate": (0.0, 1.0),
    "check_rate": (0.0, 1.0),
    "share": (0.0, 1.0),
    "factor": (0.01, 1000.0),
    "added_ms": (0.0, 60_000.0),
    "sigma": (0.0, 3.0),
    "tail_index": (0.0, 10.0),
    "period_s": (0.1, 600.0),
}
"""Smallest and largest value of a parameter."""
DRAWS: dict[str, Callable[[Random], float]] = {
    "rate": lambda rng: round(rng.uniform(0.3, 1.0), 2),
    "share": lambda rng: round(rng.uniform(0.3, 1.0), 2),
    "factor": lambda rng: round(rng.uniform(3, 8), 1),
    "added_ms": lambda rng: float(rng.randrange(100, 401, 50)),
    "period_s": lambda rng: round(rng.uniform(1.0, 2.0), 1),
}
"""How a parameter is drawn for a random fault. Seeds are compared across versions, so a change here changes runs."""
NOT_DRAWN = {"error": ("check_rate",), "lie": ("rate", "check_rate"), "latency": ("sigma", "tail_index")}
"""Parameters that keep their defaults in a random fault: they came after seeds had been drawn without them."""

FaultSet = dict[str, dict[str, float]]


def parse(body: object) -> FaultSet:
    """The active set that a `PUT /faults` asks for, defaults filled in.

    Raises:
        ValueError: an unknown kind or parameter, or a value out of bounds; names the choices.
    """
    if not isinstance(body, dict):
        raise ValueError('the body must be an object such as {"slow": {"factor": 5}}')
    parsed: FaultSet = {}
    for kind, given in body.items():
        if kind not in PARAMETERS:
            raise ValueError(f"{kind}: there are {', '.join(PARAMETERS)}")
        if not isinstance(given, dict):
            raise ValueError(f"{kind}: must be an object of parameters, {{}} for the defaults")
        check_parameters(kind, given, PARAMETERS[kind], BOUNDS)
        filled = parsed[kind] = {}
        for name, default in PARAMETERS[kind].items():
            filled[name] = float(given.get(name, filled["rate"] if default is None else default))
        if kind == "latency":
            _check_spread(filled["sigma"], filled["tail_index"])
    return parsed


def check_parameters(
    kind: str, given: Mapping[str, object], known: Collection[str], bounds: Mapping[str, tuple[float, float]]
) -> None:
    """Hold the parameters `given` to a fault against those that its kind has, and their smallest and largest values.

    Raises:
        ValueError: an unknown one, or a value out of bounds; names the choices.
    """
    for name, value in given.items():
        if name not in known:
            raise ValueError(f"{kind}.{name}: {kind} takes {', '.join(known) or 'no parameters'}")
        low, high = bounds[name]
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"{kind}.{name}={value}: must be a number between {low:g} and {high:g}")


def _check_spread(sigma: float, tail_index: float) -> None:
    if 0 < tail_index <= 1:
        raise ValueError(f"latency.tail_index={tail_index:g}: must be above 1, or there is no mean; 0 = no tail")
    if sigma > 0 and tail_index > 0:
        raise ValueError(f"latency.sigma={sigma:g}: goes without latency.tail_index={tail_index:g}; set one of them")


def added_s(latency: dict[str, float], u: float) -> float:
    """What `latency` adds at the quantile `u` of (0, 1), seconds; its mean is `added_ms`, however it is spread.

    With `sigma` it is lognormal, with `tail_index` a Pareto: P(more than x) = (x_m / x)^tail_index from
    x_m = added_ms (1 - 1 / tail_index) on (Crovella and Bestavros found 1.1 to 1.5 on the web, SIGMETRICS 1996).
    """
    mean_s, sigma, index = latency["added_ms"] / 1e3, latency["sigma"], latency["tail_index"]
    if sigma > 0:
        return mean_s * math.exp(sigma * _NORMAL.inv_cdf(u) - sigma**2 / 2)
    if index > 0:
        return mean_s * (1 - 1 / index) * math.pow(1 - u, -1 / index)
    return mean_s


def described() -> dict[str, dict[str, str]]:
    """Every kind with its parameters and what each is by default, for people."""
    return {
        kind: {name: "rate" if default is None else f"{default:g}" for name, default in defaults.items()}
        for kind, defaults in PARAMETERS.items()
    }


def strength(kind: str, rng: Random) -> dict[str, float]:
    """The parameters of a random fault, drawn in the order in which the kind has them."""
    return {name: DRAWS[name](rng) for name in PARAMETERS[kind] if name not in NOT_DRAWN.get(kind, ())}


@dataclass(frozen=True, slots=True)
class Effects:
    """What happens to one request: first `added_s`, then of `hang`, `reset`, `status` the first that is set."""

    added_s: float = 0.0
    status: int | None = None
    """Answer with this status instead of working."""
    hang: bool = False
    reset: bool = False


NONE = Effects()


def speed_under(active: FaultSet, speed: float) -> float:
    """What is left of a replica's speed."""
    return speed / active["slow"]["factor"] if "slow" in active else speed


def effects(active: FaultSet, draw: Callable[[str], float], elapsed_s: float, *, check: bool) -> Effects:
    """What the active faults do to a request.

    Args:
        active: the set, as `parse` returns it (`slow`, `refuse` and `cache_loss` act elsewhere).
        draw: a uniform number for a purpose.
        elapsed_s: seconds since the set was put, for `flap` (good in the first half of each period).
        check: whether it is a health check, for which `error` and `lie` have a rate of their own.
    """
    if not active:
        return NONE
    latency = active.get("latency")
    delay_s = added_s(latency, draw("added")) if latency and draw("latency") < latency["share"] else 0.0
    status = None
    if "flap" in active and (elapsed_s / active["flap"]["period_s"]) % 1.0 >= 0.5:
        status = 503
    for kind in ("error", "lie"):
        if kind in active and draw(kind) < active[kind]["check_rate" if check else "rate"]:
            status = 500
    return Effects(
        added_s=delay_s,
        status=status,
        hang="hang" in active and draw("hang") < active["hang"]["share"],
        reset="reset" in active and draw("reset") < active["reset"]["share"],
    )
