"""HAProxy: active checks, `observe layer7`, retries on another server. Written for 2.6.

Keywords: https://docs.haproxy.org/2.6/configuration.html.
"""

from collections.abc import Iterator
from typing import ClassVar

from experiments.exporting import (
    KEY,
    Deployment,
    Exported,
    handling_lost,
    in_comments,
    is_address,
    joined,
    milliseconds,
    policy_lost,
    slow_start_lost,
    slow_start_s,
    whole_weights,
)
from services.router.retries import IDEMPOTENT
from services.router.settings import RouterSettings

WEIGHTS = 256
BUFFER_BYTES = 15_360
"""What may be sent again, its head included: `tune.bufsize` less `tune.maxrewrite`."""
BALANCE = {"round_robin": "roundrobin", "random": "random(1)", "consistent_hash": f"hdr({KEY})"}
"""The other policies: `leastconn`."""
ALGORITHMS = {"leastconn": "leastconn", "roundrobin": "roundrobin", "random": "random(2)", "hash": f"hdr({KEY})"}
"""`random` is of the less loaded of two, its own default."""
TURNS = "roundrobin"
"""Without `slowstart`: after weights have changed nobody can say where its rotation stands (docs/conformance.md)."""
LEAST = ("least_request", "late_binding")
"""Policies that are not lost by it: in the second a server takes as many as it has slots, and the rest waits."""
CONFIGURATION = """\
global
  nbthread 1
  maxconn 8000
  spread-checks {jitter}
defaults
  mode http
  timeout connect {connect_ms}ms
  timeout server {attempt_ms}ms
  timeout queue {queue_ms}ms
  timeout check {check_ms}ms
  timeout client {idle_ms}ms
  timeout http-request {head_ms}ms
  timeout http-keep-alive 75s
  http-reuse always
  retries {retries}
{buffered}{redispatch}  retry-on all-retryable-errors
frontend data
  bind {listens}
  default_backend replicas
backend replicas
{balance}
  http-request disable-l7-retry unless {{ method {idempotent} }}
{check}{servers}
"""


class Haproxy:
    """One frontend before one backend."""

    name: ClassVar[str] = "haproxy"
    file: ClassVar[str] = "haproxy.cfg"

    def render(self, deployment: Deployment) -> Exported:
        """On one thread, as the router."""
        settings, health = deployment.settings, deployment.settings.health
        lost = tuple(_lost(deployment))
        waits_s = float(deployment.policy.get("longest_s", 0)) or settings.timeouts.overall_s
        text = CONFIGURATION.format(
            listens=joined(deployment.host, deployment.port),
            jitter=min(50, round(100 * health.jitter)),
            connect_ms=milliseconds(settings.timeouts.connect_s),
            attempt_ms=milliseconds(settings.timeouts.attempt_s),
            queue_ms=milliseconds(waits_s),
            check_ms=milliseconds(health.timeout_s),
            idle_ms=milliseconds(settings.timeouts.idle_s),
            head_ms=milliseconds(settings.timeouts.head_s),
            retries=settings.retry.max_attempts - 1,
            buffered="  option http-buffer-request\n" if settings.retry.max_attempts > 1 else "",
            redispatch="  option redispatch 1\n" if settings.retry.other_replica else "",
            balance=_balance(deployment),
            idempotent=" ".join(sorted(IDEMPOTENT)),
            check="  option httpchk GET /readyz\n  http-check expect status 200\n" if health.enabled else "",
            servers="\n".join(_servers(deployment)),
        )
        return Exported(in_comments(lost) + text, lost)


def _lost(deployment: Deployment) -> Iterator[str]:
    settings, policy = deployment.settings, deployment.policy
    if deployment.algorithm is not None:
        pass  # what was asked for is what there is
    elif policy["name"] not in (*BALANCE, *LEAST):
        yield policy_lost(policy, "leastconn")
    elif policy.get("choices"):
        yield f"policy.choices={policy['choices']}: leastconn looks at all servers"
    elif policy["name"] == "late_binding":
        yield f"who waits is bounded in time alone, not in number (policy.limit={policy['limit']})"
        if policy["order"] != "fifo":
            yield f"who waits is served in the order of arrival (policy.order={policy['order']})"
    if deployment.algorithm == TURNS:
        yield from slow_start_lost(deployment)
    yield from handling_lost(deployment)
    if settings.ejection.enabled:
        yield from _ejection_lost(settings)
    if settings.health.enabled and settings.health.panic_threshold > 0:
        yield "where no server passes its checks, none is asked (router.health.panic_threshold)"
    if settings.retry.max_attempts > 1:
        yield "nothing bounds the retries of all requests together (router.retry.budget)"
        if settings.retry.max_body_bytes > BUFFER_BYTES:
            yield (
                f"a request of over {BUFFER_BYTES:,} bytes is not tried again "
                f"(tune.bufsize; router.retry.max_body_bytes={settings.retry.max_body_bytes})"
            )
        if not settings.retry.other_replica:
            yield "a retry always goes to the same server (router.retry.other_replica=false)"
        elif settings.retry.backoff_base_s:
            yield "a retry elsewhere is made at once (router.retry.backoff_base_s)"
    if settings.limits.replica_requests and policy["name"] != "late_binding":
        yield "who finds all servers at their limit waits and is not refused (router.limits.replica_requests)"
    if not all(is_address(upstream.host) for upstream in deployment.upstreams):
        yield "names are looked up when it starts, and then no more"
    yield "where a kept connection is cut, the client of a POST is cut off as well, without an answer"
    yield "nothing bounds a request as a whole, only its attempts and its waiting (router.timeouts.overall_s)"
    if settings.limits.adaptive:
        yield "the limit on what is under way does not follow latency (router.limits.adaptive)"


def _ejection_lost(settings: RouterSettings) -> Iterator[str]:
    if not settings.health.enabled:
        yield "no server is taken out for failing at work, which takes checks (router.ejection)"
        return
    yield "who fails at work is out until its checks pass again, not for a time (router.ejection.base_s)"
    yield "all servers may be out at once (router.ejection.max_share)"
    if settings.retry.max_attempts > 1:
        yield "a failure that is tried again takes nobody out: it is not observed (router.ejection)"


def _balance(deployment: Deployment) -> str:
    policy = deployment.policy
    if deployment.algorithm is not None:
        ring = "\n  hash-type consistent" if deployment.algorithm == "hash" else ""
        return f"  balance {ALGORITHMS[deployment.algorithm]}{ring}"
    lines = [f"  balance {BALANCE.get(policy['name'], 'leastconn')}"]
    if policy["name"] == "consistent_hash":
        lines += ["  hash-type consistent", f"  hash-balance-factor {round(100 * float(policy['balance_factor']))}"]
    return "\n".join(lines)


def _servers(deployment: Deployment) -> Iterator[str]:
    settings = deployment.settings
    health, most = settings.health, settings.limits.replica_requests
    words = []
    if health.enabled:
        words.append(f"check inter {milliseconds(health.interval_s)}ms")
        words.append(f"fall {health.unhealthy_threshold} rise {health.healthy_threshold}")
        if settings.ejection.enabled:
            words.append(f"observe layer7 on-error mark-down error-limit {settings.ejection.consecutive_failures}")
    if (starts_s := slow_start_s(deployment)) > 0 and deployment.algorithm != TURNS:
        words.append(f"slowstart {milliseconds(starts_s)}ms")
    if deployment.policy["name"] == "late_binding":
        most = deployment.slots
    if most:
        words.append(f"maxconn {most}")
    weights = whole_weights(deployment.upstreams, WEIGHTS)
    for upstream, weight in zip(deployment.upstreams, weights, strict=True):
        own = [f"weight {weight}"] if len(set(weights)) > 1 else []
        yield " ".join([f"  server {upstream.name} {joined(upstream.host, upstream.port)}", *own, *words])
