"""A scaler as Kubernetes' HorizontalPodAutoscaler."""

import dataclasses

import pytest
import yaml

from experiments.exporting import EXPORTERS, ExportError
from tests.exported import asked, deployment
from tests.running import ROOT


def test_an_hpa_has_the_target_and_the_rates_and_refuses_another_scaler():
    wanted = dataclasses.replace(deployment(), scaler={"name": "target_tracking", "target": 0.6}, target="shop")
    manifest = yaml.safe_load(EXPORTERS.create("hpa", {}).render(wanted).text)
    spec = manifest["spec"]
    assert (manifest["apiVersion"], spec["scaleTargetRef"]["name"]) == ("autoscaling/v2", "shop")
    assert spec["metrics"][0]["pods"]["target"] == {"type": "AverageValue", "averageValue": "1200m"}  # 0.6 of two slots
    assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == wanted.scaling.stabilization_down_s
    assert spec["behavior"]["scaleUp"]["policies"][0]["value"] == wanted.scaling.max_up
    with pytest.raises(ExportError, match="scaler=none"):
        EXPORTERS.create("hpa", {}).render(deployment())


@pytest.mark.parametrize(
    ("metric", "target", "wanted"),
    [
        ("busy", 0.6, ("pods", "aegis_replica_busy_slots", {"type": "AverageValue", "averageValue": "1200m"})),
        ("rate_rps", 10.0, ("pods", "aegis_replica_requests_per_second", {"type": "AverageValue", "averageValue": "10000m"})),
        ("offered_rps", 10.0, ("external", "aegis_router_requests_per_second", {"type": "AverageValue", "averageValue": "10000m"})),
        ("p95_ms", 200.0, ("external", "aegis_router_request_duration_p95_ms", {"type": "Value", "value": "200000m"})),
    ],
)  # fmt: skip
def test_an_hpa_follows_the_signal_that_was_tracked(metric, target, wanted):
    scaler = {"name": "target_tracking", "target": target, "metric": metric}
    exported = EXPORTERS.create("hpa", {}).render(dataclasses.replace(deployment(), scaler=scaler))
    (made,) = yaml.safe_load(exported.text)["spec"]["metrics"]
    section, name, goal = wanted
    assert made == {"type": section.capitalize(), section: {"metric": {"name": name}, "target": goal}}
    assert name in exported.lost[0] and "aegis_replica_in_flight_requests" not in exported.text


def test_an_hpa_of_a_run_by_an_hpa_is_the_same_but_for_slots():
    slow = {"stabilizationWindowSeconds": 60.0, "tolerance": 0.05}
    fast = {"policies": [{"type": "Pods", "value": 2.0, "periodSeconds": 30.0}]}
    scaler = {
        "name": "hpa",
        "metrics": [
            {"type": "Resource", "name": "in_flight", "target": "Utilization", "value": 60},
            {"type": "External", "name": "rate_rps", "target": "AverageValue", "value": 12.5},
        ],
        "behavior": {"scaleDown": slow, "scaleUp": fast},
        "time_factor": 15.0,
    }
    exported = EXPORTERS.create("hpa", {}).render(dataclasses.replace(deployment(), scaler=scaler))
    assert ".0\n" not in exported.text, "int32 there"
    spec = yaml.safe_load(exported.text)["spec"]
    pods, external = spec["metrics"]
    assert pods["pods"]["target"] == {"type": "AverageValue", "averageValue": "1200m"}  # 60 % of two slots
    assert external["external"]["target"] == {"type": "AverageValue", "averageValue": "12500m"}
    up, down = spec["behavior"]["scaleUp"], spec["behavior"]["scaleDown"]
    assert up["policies"] == [{"type": "Pods", "value": 2, "periodSeconds": 30}]
    assert down["policies"] == [{"type": "Percent", "value": 100, "periodSeconds": 15}]
    assert "tolerance" not in up and down["tolerance"] == "50m" and down["stabilizationWindowSeconds"] == 60
    lost = "\n".join(exported.lost)
    assert "15 times as fast" in lost and "HPAConfigurableTolerance" in lost and "slots are no resource" in lost
    assert "sync-period" not in lost, "a second at fifteen times is its own 15 s"


@pytest.mark.parametrize("name", ["target_tracking", "hpa"])
def test_kubernetes_own_schema_takes_an_hpa(tmp_path, name):
    scaler = yaml.safe_load((ROOT / "conf" / "scaler" / f"{name}.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "hpa.yaml"
    path.write_text(EXPORTERS.create("hpa", {}).render(dataclasses.replace(deployment(), scaler=scaler)).text, encoding="utf-8")
    asked("kubernetes-validate", path)
