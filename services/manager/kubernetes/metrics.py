"""The metrics of an HPA, read of what the manager sees, in the API's words (MetricSpec of autoscaling/v2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.bounds import Bounds, Choices
from services.manager.kubernetes import counting
from services.manager.kubernetes.behavior import number, whole
from services.manager.kubernetes.counting import Initialisation, Pod, Tolerances
from services.manager.observation import Observation, ReplicaLoad
from services.manager.signals import BY_REPLICA, ITSELF, OF_SLOTS, SIGNALS

MILLI = 1000
TARGETS = {
    "Resource": ("Utilization", "AverageValue"),
    "Pods": ("AverageValue",),
    "External": ("Value", "AverageValue"),
}
"""Which targets each type takes."""
NAMES = {"Resource": BY_REPLICA, "Pods": BY_REPLICA, "External": SIGNALS}
"""Which signals each type takes."""
KEYS = ("type", "name", "target", "value")


@dataclass(frozen=True, slots=True)
class Metric:
    """One of them, and what it is to be."""

    type: str
    name: str
    target: str
    value: float
    """Per cent for Utilization, else the amount."""

    def count(
        self,
        observation: Observation,
        states: Mapping[str, Pod],
        tolerances: Tolerances,
        now: float,
        new: Initialisation,
    ) -> int | None:
        """Replicas that it asks for; None = it is not there."""
        current = observation.current
        if self.type == "External":
            total = getattr(observation, self.name)
            if total is None:
                return None
            amount, target = milli(total), milli(self.value)
            if self.target == "Value":
                return counting.by_total(amount, target, current, observation.ready, tolerances)
            return counting.by_total_each(amount, target, len(observation.replicas), tolerances)
        each = observation.slots_each
        pods = [self._pod(replica, states[replica.id], each) for replica in observation.replicas]
        resource = new if self.type == "Resource" else None
        if self.target == "Utilization":
            return counting.by_utilisation(pods, round(self.value), current, tolerances, now, resource)
        return counting.by_average(pods, milli(self.value), current, tolerances, now, resource)

    def _pod(self, replica: ReplicaLoad, state: Pod, each: float) -> Pod:
        """`each`: the slots of one that has not said yet how many it has."""
        value = getattr(replica, self.name)
        is_pending = value is None and not replica.ready
        return replace(
            state,
            value=None if value is None else milli(value),
            request=milli(each if is_pending or replica.slots is None else replica.slots),
            pending=is_pending,
        )


def milli(value: float) -> int:
    """Whole thousandths."""
    return round(value * MILLI)


def read_metrics(content: Sequence[Any], key: str) -> list[Metric]:
    """The metrics that are asked for.

    Raises:
        ValueError: with the key below `key`, its value and what it must be.
    """
    if not content:
        example = "[{type: Resource, name: in_flight, target: Utilization, value: 60}]"
        raise ValueError(f"{key}=[]: must have one at least, as {example}")
    return [_metric(each, f"{key}.{place}") for place, each in enumerate(content)]


def _metric(content: object, key: str) -> Metric:
    if not isinstance(content, Mapping) or set(content) != set(KEYS):
        raise ValueError(f"{key}={content}: must be a section with {', '.join(KEYS)}")
    Choices(*TARGETS).check(f"{key}.type", content["type"])
    name, target = content["name"], content["target"]
    Choices(*NAMES[content["type"]]).check(f"{key}.name", name)
    Choices(*TARGETS[content["type"]]).check(f"{key}.target", target)
    if target == "Utilization" and name not in OF_SLOTS:
        must = f"one of {', '.join(OF_SLOTS)} where target=Utilization, which is of slots"
        raise ValueError(f"{key}.name={name}: must be {must}")
    if name in ITSELF and target != "Value":
        raise ValueError(f"{key}.target={target}: must be Value where name={name}, of which replicas have no share")
    value = number(content["value"], f"{key}.value")
    if target == "Utilization":
        whole(value, f"{key}.value", Bounds(1, 10_000))
    Bounds(0.001, 1e9).check(f"{key}.value", value)
    return Metric(content["type"], content["name"], content["target"], float(value))
