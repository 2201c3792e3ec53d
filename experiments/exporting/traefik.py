"""Traefik: checks, passive failure detection, retries by status. Written for 3.7.

Fields: https://doc.traefik.io/traefik/v3.7/reference/routing-configuration/http/load-balancing/service/ and
https://doc.traefik.io/traefik/v3.7/reference/routing-configuration/http/middlewares/retry/. One file is both what it is
started with (`--configFile`) and what its file provider reads and watches: each takes its own part of it.

Two more things than are said in the head of each file: Go's transport sends a request without a body again where a kept
connection is closed before its answer begins, besides the attempts, and every request is told whom it comes from
(`X-Forwarded-...`).
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import yaml

from experiments.exporting import (
    Deployment,
    Exported,
    handling_lost,
    in_comments,
    joined,
    milliseconds,
    policy_lost,
    slow_start_lost,
    whole_weights,
)
from services.router.settings import KEEPALIVE_S

WEIGHTS = 1000
IDLE_CONNECTIONS = 256
"""Kept to each server; Go's transport would keep two."""
CLIENT_IDLE_S = 75
"""As the other programs here; Traefik's own is 180 s."""
RETRIED = ["500", "502-504"]
"""As the router: 503, a full queue, elsewhere."""
STRATEGIES = {
    "wrr": "a weighted round robin",
    "p2c": "the fewest requests in flight of two drawn at random",
    "leasttime": "mean time to the first byte times requests in flight",
}
BALANCE = {"round_robin": "wrr", "peak_ewma": "leasttime", "weighted_latency": "leasttime"}
"""The other policies: `p2c`. `hrw` goes by the client's address alone, no header, so that nothing here becomes it."""
ALGORITHMS = ("p2c", "wrr", "leasttime", "hrw")
WEIGHTLESS = ("p2c",)


class Traefik:
    """One router before one service."""

    name: ClassVar[str] = "traefik"
    file: ClassVar[str] = "traefik.yaml"

    def render(self, deployment: Deployment) -> Exported:
        """As YAML. It asks nobody for new versions, and tells nobody that it is used."""
        timeouts = deployment.settings.timeouts
        lost = tuple(_lost(deployment))
        limits = {"readTimeout": _time(timeouts.head_s), "idleTimeout": _time(CLIENT_IDLE_S)}
        address = joined(deployment.host, deployment.port)
        whole = {
            "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
            "entryPoints": {"data": {"address": address, "transport": {"respondingTimeouts": limits}}},
            "providers": {"file": {"filename": self.file}},
            "http": _http(deployment),
        }
        started = f"# It is started in the folder of this file: traefik --configFile={self.file}\n"
        return Exported(in_comments(lost) + started + yaml.safe_dump(whole, sort_keys=False, width=120), lost)


def _time(seconds: float) -> str:
    return f"{milliseconds(seconds)}ms"


def _strategy(deployment: Deployment) -> str:
    return deployment.algorithm or BALANCE.get(deployment.policy["name"], "p2c")


def _http(deployment: Deployment) -> dict[str, Any]:
    timeouts, retry = deployment.settings.timeouts, deployment.settings.retry
    router: dict[str, Any] = {"rule": "PathPrefix(`/`)", "entryPoints": ["data"], "service": "replicas"}
    forwarding = {
        "dialTimeout": _time(timeouts.connect_s),
        "responseHeaderTimeout": _time(timeouts.attempt_s),
        "idleConnTimeout": _time(KEEPALIVE_S),
    }
    http: dict[str, Any] = {
        "routers": {"data": router},
        "services": {"replicas": {"loadBalancer": _balancer(deployment)}},
        "serversTransports": {
            "replicas": {"maxIdleConnsPerHost": IDLE_CONNECTIONS, "forwardingTimeouts": forwarding},
        },
    }
    if retry.max_attempts > 1:
        again: dict[str, Any] = {
            "attempts": retry.max_attempts,
            "timeout": _time(timeouts.overall_s),
            "status": RETRIED,
            "maxRequestBodyBytes": retry.max_body_bytes,
        }
        if retry.backoff_base_s:
            again["initialInterval"] = _time(retry.backoff_base_s)
        http["middlewares"] = {"again": {"retry": again}}
        router["middlewares"] = ["again"]
    return http


def _balancer(deployment: Deployment) -> dict[str, Any]:
    health, ejection = deployment.settings.health, deployment.settings.ejection
    balancer: dict[str, Any] = {
        "strategy": _strategy(deployment),
        "serversTransport": "replicas",
        "servers": list(_servers(deployment)),
    }
    if health.enabled:
        balancer["healthCheck"] = {
            "path": "/readyz",
            "interval": _time(health.interval_s),
            "unhealthyInterval": _time(health.interval_s),
            "timeout": _time(health.timeout_s),
            "status": 200,
        }
    if ejection.enabled:
        balancer["passiveHealthCheck"] = {
            "maxFailedAttempts": ejection.consecutive_failures,
            "failureWindow": _time(ejection.base_s),
        }
    return balancer


def _servers(deployment: Deployment) -> Iterator[dict[str, Any]]:
    weights = whole_weights(deployment.upstreams, WEIGHTS)
    for upstream, weight in zip(deployment.upstreams, weights, strict=True):
        own = {"weight": weight} if len(set(weights)) > 1 else {}
        yield {"url": f"http://{joined(upstream.host, upstream.port)}", **own}


def _lost(deployment: Deployment) -> Iterator[str]:
    settings, policy, strategy = deployment.settings, deployment.policy, _strategy(deployment)
    if deployment.algorithm is not None:
        pass  # what was asked for is what there is
    elif policy["name"] not in ("round_robin", "least_request"):
        yield policy_lost(policy, f"{strategy}: {STRATEGIES[strategy]}")
    elif policy["name"] == "least_request" and policy.get("choices") != 2:
        yield f"policy.choices={policy.get('choices', 0)}: p2c looks at two servers"
    if len(set(whole_weights(deployment.upstreams, WEIGHTS))) > 1 and strategy in WEIGHTLESS:
        yield f"{strategy} takes no weights (replica.weights)"
    yield from slow_start_lost(deployment)
    yield from handling_lost(deployment)
    yield from _health_lost(deployment)
    if settings.retry.max_attempts > 1:
        yield "nothing bounds the retries of all requests together (router.retry.budget)"
        yield "all methods but POST, PATCH and LOCK may be sent twice, also those that are none of HTTP's own"
        if settings.retry.other_replica:
            yield "a retry goes to whomever the strategy picks, the same server included (router.retry.other_replica)"
        if settings.retry.backoff_base_s:
            yield "the longest pause before a retry is twice the first (router.retry.backoff_max_s)"
    if settings.limits.replica_requests:
        yield "nothing limits what is under way at a server (router.limits.replica_requests)"
    if settings.limits.adaptive:
        yield "the limit on what is under way does not follow latency (router.limits.adaptive)"
    yield "after router.timeouts.overall_s no attempt is begun, but the last one may take longer"
    yield "a request's head and body together have router.timeouts.head_s; nothing bounds the pauses in an answer"


def _health_lost(deployment: Deployment) -> Iterator[str]:
    health, ejection = deployment.settings.health, deployment.settings.ejection
    if health.enabled:
        if (health.unhealthy_threshold, health.healthy_threshold) != (1, 1):
            yield "one failed check takes a server out, one passed brings it back (router.health.unhealthy_threshold)"
        yield "checks are made one after the other: who does not answer holds up the others (router.health.timeout_s)"
        if health.jitter:
            yield "the intervals between checks are all the same (router.health.jitter)"
        if health.panic_threshold > 0:
            yield "where no server passes its checks, all are answered 503 (router.health.panic_threshold)"
    if ejection.enabled:
        yield f"of failures in a row those of the last {ejection.base_s:g} s count (failureWindow; router.ejection)"
        if health.enabled:
            yield "who fails at work is out until its next check has passed, not for a time (router.ejection.base_s)"
        else:
            yield "no ejection is longer than the first (router.ejection.max_s)"
        yield "all servers may be out at once, and then every request is answered 503 (router.ejection.max_share)"
