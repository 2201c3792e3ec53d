"""Closed forms of Markovian queues at rest: who waits, for how long, and who is turned away.

Names follow Kleinrock, Queueing Systems I (1975): arrival rate, service rate of one server, c servers, places K.
"""

import math

from analysis.distributions.roots import root


def erlang_b(servers: int, offered: float) -> float:
    """Blocking probability of M/G/c/c with `offered` = arrival rate / service rate erlangs (Erlang, 1917).

    By the recursion B(0) = 1, B(c) = a B(c-1) / (c + a B(c-1)), which does not overflow.
    """
    blocking = 1.0
    for number in range(1, servers + 1):
        blocking = offered * blocking / (number + offered * blocking)
    return blocking


def erlang_c(servers: int, offered: float) -> float:
    """Probability of waiting in M/M/c (Erlang, 1917); 1 where offered >= servers."""
    if offered >= servers:
        return 1.0
    blocking = erlang_b(servers, offered)
    return servers * blocking / (servers - offered * (1 - blocking))


def mmc_sojourn_mean_s(arrival_rate: float, service_rate: float, servers: int) -> float:
    """Mean sojourn of M/M/c, seconds; infinity where it is not stable. M/M/1 is servers = 1."""
    if arrival_rate >= servers * service_rate:
        return math.inf
    waiting = erlang_c(servers, arrival_rate / service_rate) / (servers * service_rate - arrival_rate)
    return waiting + 1 / service_rate


def mmc_sojourn_exceeds(t_s: float, arrival_rate: float, service_rate: float, servers: int) -> float:
    """P(sojourn > t) of a stable M/M/c (Gross and Harris, Fundamentals of Queueing Theory, section 2.3).

    Service is exponential; who waits does so for an exponential time of rate c mu - lambda besides.
    """
    waits = erlang_c(servers, arrival_rate / service_rate)
    spare = servers * service_rate - arrival_rate
    served = math.exp(-service_rate * t_s)
    if math.isclose(spare, service_rate):
        both = (1 + service_rate * t_s) * served
    else:
        both = (spare * served - service_rate * math.exp(-spare * t_s)) / (spare - service_rate)
    return (1 - waits) * served + waits * both


def mmc_sojourn_quantile_s(share: float, arrival_rate: float, service_rate: float, servers: int) -> float:
    """The sojourn that a `share` of the jobs of a stable M/M/c does not exceed, seconds."""
    most = 1 / service_rate
    while mmc_sojourn_exceeds(most, arrival_rate, service_rate, servers) > 1 - share:
        most *= 2
    return root(lambda t: mmc_sojourn_exceeds(t, arrival_rate, service_rate, servers) - (1 - share), 0.0, most)


def mmck_blocking(arrival_rate: float, service_rate: float, servers: int, waiting_places: int) -> float:
    """Share of jobs that M/M/c/K turns away, K = servers + waiting_places (stationary distribution of a birth-death
    process; arrivals see it, as they are Poisson)."""
    weights = [1.0]
    for number in range(1, servers + waiting_places + 1):
        weights.append(weights[-1] * arrival_rate / (min(number, servers) * service_rate))
    return weights[-1] / sum(weights)
