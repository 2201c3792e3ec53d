"""Caddy: active and passive checks, retries where no answer came. Written for 2.11.

Directives: https://caddyserver.com/docs/caddyfile/directives/reverse_proxy. Retries by the status of an answer
(https://github.com/caddyserver/caddy/pull/7569) are in no release yet: 2.11.7 refuses the condition.

Two more things than are said in the head of each file: Go's transport sends a request without a body again where a kept
connection is closed before its answer begins, besides the attempts, and every request is told whom it comes from
(`X-Forwarded-...`, `Via`).
"""

from collections.abc import Iterator
from typing import ClassVar

from experiments.exporting import (
    KEY,
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
from services.router.retries import IDEMPOTENT
from services.router.settings import KEEPALIVE_S

WEIGHTS = 1000
CLIENT_IDLE_S = 75
"""As the other programs here; Caddy's own is five minutes."""
BALANCE = ("round_robin", "random", "least_request", "consistent_hash")
"""The other policies: `least_conn`."""
HASH = f"header {KEY} {{\n\t\t\tfallback random_choose 2\n\t\t}}"
"""By the key; who has none goes to the less loaded of two."""
ALGORITHMS = {
    "least_conn": "least_conn",
    "random_choose": "random_choose 2",
    "round_robin": "round_robin",
    "random": "random",
    "first": "first",
    "header": HASH,
}
TURNS = "weighted_round_robin"
"""What becomes of `round_robin` where there are weights; the others take none."""
CONFIGURATION = """\
{{
{lines}	auto_https off
	servers {{
		protocols h1
		timeouts {{
			read_header {head_ms}ms
			idle {client_ms}ms
		}}
	}}
}}
http://:{port} {{
	bind {host}
	reverse_proxy {{
		to {servers}
		lb_policy {balance}
{retries}{checks}{ejection}		transport http {{
			versions 1.1
			compression off
			dial_timeout {connect_ms}ms
			response_header_timeout {attempt_ms}ms
			read_timeout {idle_ms}ms
			write_timeout {idle_ms}ms
			keepalive {keepalive_ms}ms
			keepalive_idle_conns_per_host 256
		}}
	}}
}}
"""


class Caddy:
    """One site before one pool."""

    name: ClassVar[str] = "caddy"
    file: ClassVar[str] = "Caddyfile"

    def render(self, deployment: Deployment) -> Exported:
        """As a Caddyfile, whose site answers to every name."""
        timeouts = deployment.settings.timeouts
        lost = tuple(_lost(deployment))
        text = CONFIGURATION.format(
            lines="".join(f"\t{line}\n" for line in deployment.lines),
            host=deployment.host,
            port=deployment.port,
            servers=" ".join(joined(upstream.host, upstream.port) for upstream in deployment.upstreams),
            balance=_balance(deployment),
            retries=_indented(_retries(deployment)),
            checks=_indented(_checks(deployment)),
            ejection=_indented(_ejection(deployment)),
            head_ms=milliseconds(timeouts.head_s),
            client_ms=milliseconds(CLIENT_IDLE_S),
            connect_ms=milliseconds(timeouts.connect_s),
            attempt_ms=milliseconds(timeouts.attempt_s),
            idle_ms=milliseconds(max(timeouts.idle_s, timeouts.attempt_s)),
            keepalive_ms=milliseconds(KEEPALIVE_S),
        )
        return Exported(in_comments(lost) + text, lost)


def _indented(lines: Iterator[str]) -> str:
    return "".join(f"\t\t{line}\n" for line in lines)


def _weights(deployment: Deployment) -> list[int]:
    weights = whole_weights(deployment.upstreams, WEIGHTS)
    return weights if len(set(weights)) > 1 else []


def _balance(deployment: Deployment) -> str:
    policy = deployment.policy
    if deployment.algorithm is not None:
        named = ALGORITHMS[deployment.algorithm]
    elif policy["name"] == "least_request" and policy.get("choices"):
        named = f"random_choose {policy['choices']}"
    elif policy["name"] == "consistent_hash":
        named = HASH
    else:
        named = policy["name"] if policy["name"] in ALGORITHMS else "least_conn"
    weights = _weights(deployment)
    return f"{TURNS} {' '.join(map(str, weights))}" if weights and named == "round_robin" else named


def _retries(deployment: Deployment) -> Iterator[str]:
    retry, timeouts = deployment.settings.retry, deployment.settings.timeouts
    if retry.max_attempts == 1:
        return
    yield f"lb_retries {retry.max_attempts - 1}"
    yield f"lb_try_duration {milliseconds(timeouts.overall_s)}ms"
    yield f"lb_try_interval {milliseconds(retry.backoff_base_s)}ms"
    yield "lb_retry_match {"
    yield f"\tmethod {' '.join(sorted(IDEMPOTENT))}"
    yield "}"
    if retry.max_body_bytes:
        yield f"request_buffers {retry.max_body_bytes + 1}"


def _checks(deployment: Deployment) -> Iterator[str]:
    health = deployment.settings.health
    if health.enabled:
        yield "health_uri /readyz"
        yield "health_status 200"
        yield f"health_interval {milliseconds(health.interval_s)}ms"
        yield f"health_timeout {milliseconds(health.timeout_s)}ms"
        yield f"health_fails {health.unhealthy_threshold}"
        yield f"health_passes {health.healthy_threshold}"


def _ejection(deployment: Deployment) -> Iterator[str]:
    ejection, limits = deployment.settings.ejection, deployment.settings.limits
    if ejection.enabled:
        yield f"fail_duration {milliseconds(ejection.base_s)}ms"
        yield f"max_fails {ejection.consecutive_failures}"
        yield "unhealthy_status 5xx"
    if limits.replica_requests:
        yield f"unhealthy_request_count {limits.replica_requests}"


def _lost(deployment: Deployment) -> Iterator[str]:
    settings, policy = deployment.settings, deployment.policy
    if deployment.algorithm is not None:
        pass  # what was asked for is what there is
    elif policy["name"] not in BALANCE:
        yield policy_lost(policy, "least_conn: the fewest requests in flight, of all servers")
    elif policy["name"] == "consistent_hash":
        yield f"policy.balance_factor={policy['balance_factor']:g}: nothing bounds what one server gets"
    if _weights(deployment) and not (named := _balance(deployment)).startswith(TURNS):
        yield f"{named.split()[0]} takes no weights (replica.weights)"
    yield from slow_start_lost(deployment)
    yield from handling_lost(deployment)
    if settings.health.enabled:
        if settings.health.unhealthy_threshold > 1:
            yield "failed checks add up over those that passed between them (router.health.unhealthy_threshold)"
        if settings.health.jitter:
            yield "checks are made of all servers at once, after intervals that are all the same (router.health.jitter)"
        if settings.health.panic_threshold > 0:
            yield "where no server passes its checks, all are answered 503 (router.health.panic_threshold)"
    if settings.ejection.enabled:
        yield "max_fails counts failures within fail_duration, not in a row; no ejection is longer (router.ejection)"
        yield "all servers may be out at once, and then every request is answered 503 (router.ejection.max_share)"
    if settings.retry.max_attempts > 1:
        yield "an answer of 500, 502, 503 or 504 is not tried again: a retry takes that none came (router.retry)"
        yield "nothing bounds the retries of all requests together (router.retry.budget)"
        if settings.retry.other_replica:
            yield "a retry goes to whomever balancing picks, the same server included (router.retry.other_replica)"
        yield "the pause before a retry is always the same, and at least 1 ms (router.retry.backoff_base_s)"
    if settings.limits.adaptive:
        yield "the limit on what is under way does not follow latency (router.limits.adaptive)"
    yield "after router.timeouts.overall_s no attempt is begun, but the last one may take longer"
