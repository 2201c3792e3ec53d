"""How many pods a metric asks for (replica_calculator.go); unready and missing ones count as what holds it back."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

FULL = 100
"""Per cent."""


@dataclass(frozen=True, slots=True)
class Tolerances:
    """Shares of the target within which a metric changes nothing (`--horizontal-pod-autoscaler-tolerance`: 0.1)."""

    down: float = 0.1
    up: float = 0.1

    def hold(self, ratio: float) -> bool:
        """Whether a metric over its target is near enough to 1."""
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(frozen=True, slots=True)
class Pod:
    """What is known of one pod; times in seconds."""

    id: str
    value: int | None
    """Of the metric, thousandths; None = there is none of this pod."""
    request: int = 1000
    """What it is entitled to, thousandths."""
    pending: bool = False
    """It does not run yet."""
    ready: bool | None = True
    """None = nothing has been said of it."""
    started_s: float = 0.0
    changed_s: float = 0.0
    """When it became ready, or ceased to be."""
    sampled_s: float = 0.0
    window_s: float = 0.0
    """When its metric was taken, and over how long it was averaged."""


@dataclass(frozen=True, slots=True)
class Initialisation:
    """When a new pod's CPU is not believed, seconds: kube-controller-manager's flags and defaults."""

    period_s: float = 300.0
    """`--horizontal-pod-autoscaler-cpu-initialization-period`."""
    readiness_s: float = 30.0
    """`--horizontal-pod-autoscaler-initial-readiness-delay`."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Pods by what is made of them."""

    counted: Mapping[str, int]
    """The metric of those that have one and are believed."""
    unready: frozenset[str]
    missing: frozenset[str]


def grouped(pods: Sequence[Pod], now: float, new: Initialisation | None) -> Groups:
    """Who is counted, who unready, who missing; `new` = the metric is CPU, None = any other.

    Of any other metric readiness is not asked: a pod that has it counts.
    """
    counted, unready, missing = {}, set(), set()
    for pod in pods:
        if pod.pending:
            unready.add(pod.id)
        elif pod.value is None:
            missing.add(pod.id)
        elif new is not None and not _is_believed(pod, now, new):
            unready.add(pod.id)
        else:
            counted[pod.id] = pod.value
    return Groups(counted, frozenset(unready), frozenset(missing))


def _is_believed(pod: Pod, now: float, new: Initialisation) -> bool:
    """Whether its CPU is that of its work, not of its start."""
    if pod.ready is None:
        return False
    if pod.started_s + new.period_s > now:
        return pod.ready and pod.sampled_s >= pod.changed_s + pod.window_s
    return pod.ready or pod.started_s + new.readiness_s <= pod.changed_s


def by_utilisation(
    pods: Sequence[Pod], target: int, current: int, tolerances: Tolerances, now: float, new: Initialisation | None
) -> int | None:
    """Pods for a mean utilisation of `target` per cent of what they are entitled to; None = no pod has the metric."""
    requests = {pod.id: pod.request for pod in pods}

    def ratio(metrics: Mapping[str, int]) -> float:
        used, entitled = sum(metrics.values()), sum(requests[id_] for id_ in metrics)
        return (used * FULL // entitled) / target

    def fallback(id_: str) -> int:
        return requests[id_] * max(FULL, target) // FULL

    return _count(grouped(pods, now, new), ratio, fallback, current, tolerances)


def by_average(
    pods: Sequence[Pod], target: int, current: int, tolerances: Tolerances, now: float, new: Initialisation | None
) -> int | None:
    """Pods for a mean of `target` thousandths each; None = no pod has the metric."""

    def ratio(metrics: Mapping[str, int]) -> float:
        return (sum(metrics.values()) // len(metrics)) / target

    return _count(grouped(pods, now, new), ratio, lambda _: target, current, tolerances)


def _count(
    groups: Groups,
    ratio_of: Callable[[Mapping[str, int]], float],
    fallback: Callable[[str], int],
    current: int,
    tolerances: Tolerances,
) -> int | None:
    """The number by the ratio, and by the ratio of the doubtful case where there is doubt."""
    if not groups.counted:
        return None
    ratio = ratio_of(groups.counted)
    is_held_back = bool(groups.unready) and ratio > 1.0
    if not is_held_back and not groups.missing:
        return current if tolerances.hold(ratio) else math.ceil(ratio * len(groups.counted))
    metrics = dict(groups.counted)
    if ratio < 1.0:
        metrics |= {id_: fallback(id_) for id_ in groups.missing}
    elif ratio > 1.0:
        metrics |= dict.fromkeys(groups.missing, 0)
    if is_held_back:
        metrics |= dict.fromkeys(groups.unready, 0)
    doubtful = ratio_of(metrics)
    if tolerances.hold(doubtful) or (ratio < 1.0 < doubtful) or (doubtful < 1.0 < ratio):
        return current
    number = math.ceil(doubtful * len(metrics))
    if (doubtful < 1.0 and number > current) or (doubtful > 1.0 and number < current):
        return current  # the number of those that are measured would turn it round
    return number


def by_total(total: int, target: int, current: int, ready: int, tolerances: Tolerances) -> int:
    """Pods where a `total` is to be `target` (`Value`), both in thousandths: as many times those that are ready.

    Of no pods, the ratio itself, without tolerance.
    """
    ratio = total / target
    if current == 0:
        return math.ceil(ratio)
    return current if tolerances.hold(ratio) else math.ceil(ratio * ready)


def by_total_each(total: int, target: int, present: int, tolerances: Tolerances) -> int:
    """Pods where each is to have `target` of a `total` (`AverageValue`), both in thousandths."""
    if present and tolerances.hold(total / (target * present)):
        return present
    return math.ceil(total / target)


def most(numbers: Sequence[int | None], current: int) -> int | None:
    """The highest of several metrics' numbers; None = there is none, or one is missing, and the rest ask for fewer."""
    known = [number for number in numbers if number is not None]
    if not known or (len(known) < len(numbers) and max(known) < current):
        return None
    return max(known)
