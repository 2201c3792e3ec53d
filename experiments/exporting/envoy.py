"""Envoy: active checks, outlier detection, retries under a budget. Written for 1.40.

Fields: https://www.envoyproxy.io/docs/envoy/latest/api-v3/api.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import yaml

from experiments.exporting import (
    KEY,
    Deployment,
    Exported,
    ExportError,
    handling_lost,
    in_comments,
    is_address,
    policy_lost,
    slow_start_lost,
    slow_start_s,
    whole_weights,
)
from services.router.retries import IDEMPOTENT
from services.router.settings import RouterSettings

TYPE = "type.googleapis.com/envoy.extensions"
SHORTEST_BACKOFF_S = 0.001
"""Envoy takes no pause of 0."""
WEIGHTS = 1000
MOST_REQUESTS = 10_000
"""Where nothing else limits them; Envoy's 1,024 would."""
SLOW_START = "least_request_slow_start"
DRAWN = {"least_request": 2, "least_request_of_four": 4, SLOW_START: 2}
"""How many hosts each draws, with replacement. The more, the less is sent to a slow one; and of the nine draws of a
retry the more are of the host that has failed at once, since nothing is in flight there: with four of four hosts 1 in
30 such retries, with all of them every one.
"""
ALGORITHMS = (*DRAWN, "least_request_of_all", "round_robin", "random", "ring_hash", "maglev")
"""The first, of the two that it draws, is its own way with least_request; the last two go by KEY. Its slow start is a
word of its own, since with it another balancer balances: from the moment when one has come to the next change among
all, it goes by weights that fall with what is in flight (a schedule by earliest deadline), no draw of two.
"""
LEAST_BUDGET = 10
"""Retries at a time, at the least, of a budget that counts the last seconds' requests: of the few that are under way
20 % is none, and its own 3 lose a kill's (`max_retries: 10` of its FAQ on transient failures).
"""
RETRIED = [500, 502, 503, 504]
"""As the router: 503, a full queue, elsewhere."""


class Envoy:
    """One listener before one cluster."""

    name: ClassVar[str] = "envoy"
    file: ClassVar[str] = "envoy.yaml"

    def render(self, deployment: Deployment) -> Exported:
        """As YAML, which Envoy reads from files that end so.

        Raises:
            ExportError: it is to listen at a name.
        """
        if not is_address(deployment.host):
            raise ExportError(f"--listen={deployment.host}:{deployment.port}: Envoy listens at an address, no name")
        lost = tuple(_lost(deployment))
        resources = {"static_resources": {"listeners": [_listener(deployment)], "clusters": [_cluster(deployment)]}}
        return Exported(in_comments(lost) + yaml.safe_dump(resources, sort_keys=False, width=120), lost)


def _lost(deployment: Deployment) -> Iterator[str]:
    settings, policy = deployment.settings, deployment.policy
    if deployment.algorithm is not None:
        pass  # what was asked for is what there is
    elif policy["name"] == "weighted_utilisation":
        yield "policy=weighted_utilisation takes ORCA load reports; replicas must send them (endpoint-load-metrics)"
    elif "lb_policy" not in _balancing(deployment) and policy["name"] not in ("least_request", "random"):
        yield policy_lost(policy, "the fewest requests in flight, of all replicas")
    if len(set(whole_weights(deployment.upstreams, WEIGHTS))) > 1:
        balancing = _balancing(deployment)
        if balancing.get("lb_policy") == "RANDOM":
            yield "RANDOM takes no weights: every replica gets the same share (replica.weights)"
        elif "load_balancing_policy" in balancing and policy["name"] != "weighted_utilisation":
            yield "with weights it is a weighted round robin, in which a weight falls with what is in flight"
    if deployment.algorithm != SLOW_START:
        yield from slow_start_lost(deployment)
    yield from handling_lost(deployment)
    if settings.retry.max_attempts > 1:
        if settings.retry.budget == "window":
            yield "retries are a share of what is under way, not of the last seconds' requests (router.retry.budget)"
        if settings.retry.budget == "throttle":
            yield "retries are a share of what is under way; there is no throttle (router.retry.budget)"
        yield "a request that may not be sent twice is not tried again, also where none of it had left"
        if settings.retry.other_replica and "FULL_SCAN" in str(_balancing(deployment)):
            yield "a retry goes to the same server where it alone has the fewest in flight (router.retry.other_replica)"
    if settings.limits.adaptive:
        yield "the limit on what is under way follows the least latency seen (Gradient), not its long mean (Gradient2)"
    if settings.limits.replica_requests:
        yield "circuits break for all replicas together, not for each (router.limits.replica_requests)"


def _address(host: str, port: int) -> dict[str, Any]:
    return {"address": {"socket_address": {"address": host, "port_value": port}}}


def _seconds(value: float) -> str:
    return f"{value:g}s"


def _balancing(deployment: Deployment) -> dict[str, Any]:
    policy = deployment.policy
    match deployment.algorithm:
        case "round_robin" | "random" | "ring_hash" | "maglev":
            return {"lb_policy": deployment.algorithm.upper()}
        case str(name) if name in DRAWN:
            fields: dict[str, Any] = {"choice_count": DRAWN[name]}
            if name == SLOW_START:
                fields["slow_start_config"] = {"slow_start_window": _seconds(slow_start_s(deployment))}
            return _typed("least_request", "LeastRequest", fields)
        case "least_request_of_all":
            return _typed("least_request", "LeastRequest", {"selection_method": "FULL_SCAN"})
    match policy["name"]:
        case "round_robin":
            return {"lb_policy": "ROUND_ROBIN"}
        case "random":
            return {"lb_policy": "RANDOM"}
        case "consistent_hash":
            factor = round(100 * float(policy["balance_factor"]))
            common = {"consistent_hashing_lb_config": {"hash_balance_factor": factor}}
            return {"lb_policy": "RING_HASH", "common_lb_config": common}
        case "weighted_utilisation":
            return _typed(
                "client_side_weighted_round_robin",
                "ClientSideWeightedRoundRobin",
                {
                    "blackout_period": _seconds(policy["blackout_s"]),
                    "weight_expiration_period": _seconds(policy["expiration_s"]),
                    "weight_update_period": _seconds(policy["update_s"]),
                    "error_utilization_penalty": policy["error_penalty"],
                },
            )
    choices = policy.get("choices", 0) if policy["name"] == "least_request" else 0
    looks_at = {"choice_count": choices} if choices else {"selection_method": "FULL_SCAN"}
    return _typed("least_request", "LeastRequest", looks_at)


def _typed(name: str, kind: str, fields: dict[str, Any]) -> dict[str, Any]:
    config = {"@type": f"{TYPE}.load_balancing_policies.{name}.v3.{kind}", **fields}
    extension = {"name": f"envoy.load_balancing_policies.{name}", "typed_config": config}
    return {"load_balancing_policy": {"policies": [{"typed_extension_config": extension}]}}


def _cluster(deployment: Deployment) -> dict[str, Any]:
    settings = deployment.settings
    budget = {
        "budget_percent": {"value": min(100.0, 100 * settings.retry.budget_ratio)},
        "min_retry_concurrency": max(
            settings.retry.budget_min_concurrent, LEAST_BUDGET if settings.retry.budget == "window" else 0
        ),
    }
    most = settings.limits.replica_requests * len(deployment.upstreams) or MOST_REQUESTS
    limits = {
        "max_connections": MOST_REQUESTS,
        "max_pending_requests": MOST_REQUESTS,
        "max_requests": most,
        "retry_budget": budget,
    }
    cluster: dict[str, Any] = {
        "name": "replicas",
        **_found(deployment),
        **_balancing(deployment),
        "connect_timeout": _seconds(settings.timeouts.connect_s),
        "load_assignment": {"cluster_name": "replicas", "endpoints": [{"lb_endpoints": _endpoints(deployment)}]},
        "circuit_breakers": {"thresholds": [limits]},
    }
    if settings.health.enabled:
        cluster["health_checks"] = [_check(settings)]
        panic = {"healthy_panic_threshold": {"value": 100 * settings.health.panic_threshold}}
        cluster["common_lb_config"] = {**cluster.get("common_lb_config", {}), **panic}
    if settings.ejection.enabled:
        ejection = settings.ejection
        cluster["outlier_detection"] = {
            "consecutive_5xx": ejection.consecutive_failures,
            "consecutive_gateway_failure": ejection.consecutive_failures,
            "enforcing_consecutive_gateway_failure": 100,
            "enforcing_success_rate": 0,
            "always_eject_one_host": True,
            "interval": "0.5s",
            "base_ejection_time": _seconds(ejection.base_s),
            "max_ejection_time": _seconds(ejection.max_s),
            "max_ejection_percent": round(100 * ejection.max_share),
            "successful_active_health_check_uneject_host": False,  # it may be healthy to checks, and fail at work
        }
    return cluster


def _found(deployment: Deployment) -> dict[str, str]:
    """Names are asked for again and again, and each address behind one is a replica."""
    if all(is_address(upstream.host) for upstream in deployment.upstreams):
        return {"type": "STATIC"}
    return {"type": "STRICT_DNS", "dns_lookup_family": "V4_PREFERRED"}


def _endpoints(deployment: Deployment) -> list[dict[str, Any]]:
    endpoints: list[dict[str, Any]] = [{"endpoint": _address(each.host, each.port)} for each in deployment.upstreams]
    weights = whole_weights(deployment.upstreams, WEIGHTS)
    if len(set(weights)) > 1:
        for endpoint, weight in zip(endpoints, weights, strict=True):
            endpoint["load_balancing_weight"] = weight
    return endpoints


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


def _route(deployment: Deployment) -> dict[str, Any]:
    timeouts = deployment.settings.timeouts
    route: dict[str, Any] = {
        "cluster": "replicas",
        "timeout": _seconds(timeouts.overall_s),
        "idle_timeout": _seconds(max(timeouts.idle_s, timeouts.overall_s)),
        "retry_policy": _retries(deployment.settings),
    }
    if deployment.policy["name"] == "consistent_hash" or deployment.algorithm in ("ring_hash", "maglev"):
        route["hash_policy"] = [{"header": {"header_name": KEY}}]
    return route


def _retries(settings: RouterSettings) -> dict[str, Any]:
    retry = settings.retry
    pause_s = max(SHORTEST_BACKOFF_S, retry.backoff_base_s)
    policy: dict[str, Any] = {
        "retry_on": "connect-failure,reset,retriable-status-codes",
        "retriable_status_codes": RETRIED,
        "num_retries": retry.max_attempts - 1,
        "per_try_timeout": _seconds(settings.timeouts.attempt_s),
        "retry_back_off": {
            "base_interval": _seconds(pause_s),
            "max_interval": _seconds(max(pause_s, retry.backoff_max_s if retry.backoff_base_s else 0.01)),
        },
        "retriable_request_headers": [
            {"name": ":method", "string_match": {"safe_regex": {"regex": "|".join(sorted(IDEMPOTENT))}}}
        ],
    }
    if retry.other_replica:
        kind = f"{TYPE}.retry.host.previous_hosts.v3.PreviousHostsPredicate"
        policy["host_selection_retry_max_attempts"] = 8
        policy["retry_host_predicate"] = [
            {"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": {"@type": kind}}
        ]
    return policy


def _limit(settings: RouterSettings) -> dict[str, Any]:
    limits = settings.limits
    kind = f"{TYPE}.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency"
    gradient = {
        "sample_aggregate_percentile": {"value": 50},
        "concurrency_limit_params": {
            "max_concurrency_limit": limits.most,
            "concurrency_update_interval": _seconds(limits.window_s),
        },
        "min_rtt_calc_params": {"interval": "60s", "request_count": 50, "min_concurrency": limits.least},
    }
    return {"name": "limit", "typed_config": {"@type": kind, "gradient_controller_config": gradient}}


def _listener(deployment: Deployment) -> dict[str, Any]:
    settings = deployment.settings
    filters = [{"name": "router", "typed_config": {"@type": f"{TYPE}.filters.http.router.v3.Router"}}]
    if settings.limits.adaptive:
        filters.insert(0, _limit(settings))
    routes = [{"match": {"prefix": "/"}, "route": _route(deployment)}]
    manager = {
        "@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "data",
        "generate_request_id": False,
        "request_headers_timeout": _seconds(settings.timeouts.head_s),
        "http_filters": filters,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
    }
    return {
        "name": "data",
        **_address(deployment.host, deployment.port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
