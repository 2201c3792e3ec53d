"""What a run of its length has probably not seen of its own load: said before it begins, never a reason against it."""

from math import sqrt

from experiments.plan.workload import ClassDemandSettings, WorkloadSettings

MOST_SPREAD = 0.1
"""A standard deviation of the number of requests, in parts of it, that is not worth a word."""
LIGHT = ("exponential", "constant")
"""Distributions of demand that any run has seen."""
LEAST_SEEN = 10.0
"""Requests of those that have half of the second moment: the fewest that are not worth a word."""


def cautions(workload: WorkloadSettings) -> list[str]:
    """A line each.

    Args:
        workload: checked.
    """
    return [*_of_arrivals(workload), *_of_demand(workload)]


def _of_arrivals(workload: WorkloadSettings) -> list[str]:
    """Bursts: the variance of a count is the index of dispersion times its mean."""
    if workload.trace is not None or workload.process().dispersion(workload.peak_rps()) <= 1:
        return []
    requests = workload.expected_requests()
    dispersion = workload.process().dispersion(requests / workload.duration_s)
    spread = sqrt(dispersion / requests) if requests > 0 else 0.0
    if spread <= MOST_SPREAD:
        return []
    needed_s = workload.duration_s * (spread / MOST_SPREAD) ** 2
    return [
        f"workload.arrivals={workload.arrivals}: short for such bursts, the load of a run differs from seed to seed by "
        f"{spread:.0%} (standard deviation); {MOST_SPREAD:.0%} takes workload.duration_s={needed_s:.3g}"
    ]


def _of_demand(workload: WorkloadSettings) -> list[str]:
    has_own = workload.trace is not None and workload.recorded().demand_s is not None
    kinds: list[tuple[str, ClassDemandSettings, float]] = [("workload.demand", workload.demand, 1.0)]
    if workload.classes:
        shares = workload.shares()
        kinds = [(f"workload.classes[{i}].demand", each.demand, shares[i]) for i, each in enumerate(workload.classes)]
    return [] if has_own else [line for kind in kinds for line in _of_tail(workload, *kind)]


def _of_tail(workload: WorkloadSettings, key: str, demand: ClassDemandSettings, share: float) -> list[str]:
    """Of the demand of a share of the requests."""
    if demand.distribution in LIGHT:
        return []
    from experiments.plan.demands import rare_share

    seen = rare_share(demand) * share * workload.expected_requests()
    if seen >= LEAST_SEEN or not seen:
        return []
    needed_s = workload.duration_s * LEAST_SEEN / seen
    return [
        f"{key}.distribution={demand.distribution}: short for such a tail, {seen:.2g} requests are expected of those "
        f"that have half of the second moment, by which others wait; {LEAST_SEEN:g} take "
        f"workload.duration_s={needed_s:.3g}"
    ]
