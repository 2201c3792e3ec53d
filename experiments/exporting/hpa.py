"""Kubernetes' HorizontalPodAutoscaler, `autoscaling/v2`.

Fields: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/horizontal-pod-autoscaler-v2/.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import yaml

from experiments.exporting import Deployment, Exported, ExportError, in_comments
from services.manager.kubernetes.behavior import DEFAULTS
from services.manager.pacing import interval_s
from services.manager.scalers import SCALERS
from services.manager.settings import ScalingSettings
from services.manager.signals import BY_REPLICA, ITSELF, OF_SLOTS

METRICS = {
    "in_flight": "aegis_replica_in_flight_requests",
    "busy": "aegis_replica_busy_slots",
    "cpu": "process_cpu_cores",
    "rate_rps": "aegis_replica_requests_per_second",
    "queue": "aegis_replica_waiting_requests",
    "offered_rps": "aegis_router_requests_per_second",
    "p95_ms": "aegis_router_request_duration_p95_ms",
}
"""What replicas and router export to Prometheus: `..._per_second` and cores are rates of
`aegis_replica_requests_total`, `aegis_router_requests_total` and `process_cpu_seconds_total`, the last one is a
quantile of the router's histogram; an adapter (prometheus-adapter) makes them metrics of pods, or external ones."""
SYNC_S = 15.0
"""`--horizontal-pod-autoscaler-sync-period`."""
MOST_S = 1800
"""The longest period that a policy may have there."""
TOLERANCE = 0.1
"""`--horizontal-pod-autoscaler-tolerance`."""
GATE = "(--horizontal-pod-autoscaler-tolerance, or behavior's own with HPAConfigurableTolerance)"


class Hpa:
    """For a Deployment, whose name is the target's."""

    name: ClassVar[str] = "hpa"
    file: ClassVar[str] = "hpa.yaml"

    def render(self, deployment: Deployment) -> Exported:
        """`target_tracking`, which is its formula, or `hpa`, which is all of it.

        Raises:
            ExportError: of another scaler.
        """
        scaler, scaling = deployment.scaler, deployment.scaling
        if scaler["name"] == "target_tracking":
            signal = scaler.get("metric", "in_flight")  # runs of before there were others do not say it
            metrics = [_tracked(signal, scaler["target"], deployment.slots)]
            every_s = _own_interval_s(scaler, scaling)
            behavior = {
                "scaleUp": _rules(scaling.stabilization_up_s, scaling.max_up, every_s),
                "scaleDown": _rules(scaling.stabilization_down_s, scaling.max_down, every_s),
            }
            lost = (*_lost_by_tracking(signal, scaling), *_lost_of_time(scaler, scaling))
        elif scaler["name"] == "hpa":
            metrics = [_metric(each, deployment.slots) for each in scaler["metrics"]]
            behavior = {way: _as_it_is({**DEFAULTS[way], **scaler["behavior"].get(way, {})}) for way in DEFAULTS}
            lost = (*_lost_by_hpa(scaler), *_lost_of_time(scaler, scaling))
        else:
            raise ExportError(f"scaler={scaler['name']}: an HPA can carry scaler=hpa and scaler=target_tracking alone")
        manifest = {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": deployment.target},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment.target},
                "minReplicas": scaling.min_replicas,
                "maxReplicas": scaling.max_replicas,
                "metrics": metrics,
                "behavior": behavior,
            },
        }
        return Exported(in_comments(lost) + yaml.safe_dump(manifest, sort_keys=False, width=120), lost)


def _factor(scaler: Mapping[str, Any]) -> float:
    """1 of runs of before it was an option of all."""
    return float(scaler.get("time_factor", 1.0))


def _own_interval_s(scaler: Mapping[str, Any], scaling: ScalingSettings) -> float:
    """Between two decisions, in the scaler's own time."""
    factor = _factor(scaler)
    return factor * (scaling.interval_s or interval_s(SCALERS.find(scaler["name"]), factor))


def _quantity(amount: float) -> str:
    return f"{round(1e3 * amount)}m"


def _of_pods(name: str, amount: float) -> dict[str, Any]:
    target = {"type": "AverageValue", "averageValue": _quantity(amount)}
    return {"type": "Pods", "pods": {"metric": {"name": METRICS[name]}, "target": target}}


def _tracked(name: str, target: float, slots: int) -> dict[str, Any]:
    """The signal of `target_tracking`: of what each pod has a share, that is to be so much in the mean."""
    if name in BY_REPLICA:
        return _of_pods(name, target * slots if name in OF_SLOTS else target)
    kind = "Value" if name in ITSELF else "AverageValue"
    return _metric({"type": "External", "name": name, "target": kind, "value": target}, slots)


def _metric(metric: Mapping[str, Any], slots: int) -> dict[str, Any]:
    """Slots are no resource that Kubernetes knows: a share of them is so many requests a pod."""
    name, target, value = metric["name"], metric["target"], metric["value"]
    if metric["type"] != "External":
        return _of_pods(name, value / 100 * slots if target == "Utilization" else value)
    field = "value" if target == "Value" else "averageValue"
    wanted = {"type": target, field: _quantity(value)}
    return {"type": "External", "external": {"metric": {"name": METRICS[name]}, "target": wanted}}


def _as_it_is(rules: Mapping[str, Any]) -> dict[str, Any]:
    """One direction, its tolerance only where it is another one than the controller's."""
    content = {key: value for key, value in rules.items() if key != "tolerance"}
    content["stabilizationWindowSeconds"] = math.ceil(content["stabilizationWindowSeconds"])
    whole = ("value", "periodSeconds")  # int32 there: 15.0 is refused
    content["policies"] = [{**policy, **{key: int(policy[key]) for key in whole}} for policy in content["policies"]]
    return content if rules["tolerance"] == TOLERANCE else {**content, "tolerance": _quantity(rules["tolerance"])}


def _rules(window_s: float, most: int, interval_s: float) -> dict[str, Any]:
    policy = {"type": "Pods", "value": most, "periodSeconds": min(MOST_S, max(1, round(interval_s)))}
    return {"stabilizationWindowSeconds": math.ceil(window_s), "selectPolicy": "Max", "policies": [policy]}


def _lost_by_tracking(metric: str, scaling: ScalingSettings) -> Iterator[str]:
    kind = "a metric of the pods" if metric in BY_REPLICA else "an external metric"
    yield f"{METRICS[metric]} must be {kind}: Prometheus and an adapter for it, whose delay comes on top"
    if scaling.tolerance != TOLERANCE:
        yield f"the tolerance is {TOLERANCE:g} {GATE}, not autoscaling.tolerance={scaling.tolerance:g}"
    yield "a fleet that has just grown has tolerance, too, which here it has not until it was seen at its new size"


def _lost_of_time(scaler: Mapping[str, Any], scaling: ScalingSettings) -> Iterator[str]:
    factor = _factor(scaler)
    if factor != 1:
        yield f"its seconds are Kubernetes'; those of the run passed {factor:g} times as fast (scaler.time_factor)"
    if (every_s := _own_interval_s(scaler, scaling)) != SYNC_S:
        yield (
            f"decisions are {SYNC_S:g} s apart (--horizontal-pod-autoscaler-sync-period), "
            f"not {every_s:g} (autoscaling.interval_s)"
        )


def _lost_by_hpa(scaler: Mapping[str, Any]) -> Iterator[str]:
    names = sorted({METRICS[metric["name"]] for metric in scaler["metrics"]})
    yield f"{' and '.join(names)} must be metrics: Prometheus and an adapter for it, whose delay comes on top"
    if any(metric["type"] == "Resource" for metric in scaler["metrics"]):
        yield "slots are no resource: a pod that is not ready, or has just become so, counts with what it has in flight"
    if any(scaler["behavior"].get(way, {}).get("tolerance", TOLERANCE) != TOLERANCE for way in DEFAULTS):
        yield "behavior's tolerance takes the feature gate HPAConfigurableTolerance (Kubernetes 1.33)"
