"""Erlang's formulas for servers with one line before them (M/M/m). Pure.

Erlang (1917); as in Kleinrock, Queueing Systems I (1975), 3.5, and, for the recursion, Jagerman (1974).
"""

import math

MOST = 100_000
"""No more servers are looked at."""


def waits(servers: int, load: float) -> float:
    """Erlang C: the share of requests that wait. `load`: arrivals a second x seconds of service, below `servers`."""
    if load <= 0:
        return 0.0
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = _blocked(blocked, number, load)
    return _waits(blocked, servers, load)


def _blocked(of_fewer: float, servers: int, load: float) -> float:
    """Erlang B, of one server more."""
    return load * of_fewer / (servers + load * of_fewer)


def _waits(blocked: float, servers: int, load: float) -> float:
    """Erlang C by B."""
    return blocked / (1 - load / servers * (1 - blocked))


def in_system(servers: int, load: float) -> float:
    """Requests that wait or are served, on average; infinite where there is no end to the line."""
    if load >= servers:
        return math.inf
    return load + waits(servers, load) * load / (servers - load)


def load_of(servers: int, in_flight: float) -> float:
    """The load at which `in_flight` requests wait or are served on average: below `servers`, however many they are."""
    low, high = 0.0, min(float(servers), in_flight)
    for _ in range(60):
        middle = (low + high) / 2
        if in_system(servers, middle) < in_flight:
            low = middle
        else:
            high = middle
    return low


def fewest(load: float, service_s: float, wait_s: float, share: float, each: int) -> int:
    """The fewest groups of `each` servers at which that share of requests waits for `wait_s` at most; as many as `MOST`
    servers are, where those do not do."""
    blocked = 1.0
    for servers in range(1, MOST + 1 if load < MOST else 1):
        blocked = _blocked(blocked, servers, load)
        if servers % each or servers <= load:
            continue
        late = _waits(blocked, servers, load) * math.exp(-(servers - load) * wait_s / service_s)
        if 1 - late >= share:
            return servers // each
    return math.ceil(MOST / each)
