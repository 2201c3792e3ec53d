"""nginx: passive failure detection alone (active checks are a part of the commercial form). Written for 1.22.

Directives: https://nginx.org/en/docs/http/ngx_http_upstream_module.html and ngx_http_proxy_module.html.
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
    whole_weights,
)
from services.router.settings import RouterSettings

WEIGHTS = 1000
TRIED_ELSEWHERE = "error timeout http_500 http_502 http_503 http_504"
"""Of what may be sent twice: without `non_idempotent`, no POST."""
BALANCE = {
    "round_robin": "",
    "random": "    random;\n",
    "consistent_hash": f"    hash $http_{KEY.lower().replace('-', '_')} consistent;\n",
}
"""The other policies: `least_conn`."""
ALGORITHMS = {
    "least_conn": "    least_conn;\n",
    "round_robin": BALANCE["round_robin"],
    "random": BALANCE["random"],
    "random_two": "    random two least_conn;\n",
    "hash": BALANCE["consistent_hash"],
}
CONFIGURATION = """\
events {{ worker_connections 8192; }}
http {{
{lines}  access_log off; keepalive_timeout 75s; keepalive_requests 10000000; client_header_timeout {head_ms}ms;
  client_max_body_size 0;
  upstream replicas {{
{balance}{servers}
    keepalive 256; keepalive_requests 10000000;
  }}
  server {{
    listen {listens} backlog=4096;
    location / {{
      proxy_pass http://replicas; proxy_http_version 1.1;
      proxy_set_header Connection ""; proxy_set_header Host $http_host;
      proxy_connect_timeout {connect_ms}ms; proxy_send_timeout {attempt_ms}ms; proxy_read_timeout {attempt_ms}ms;
      proxy_next_upstream {next_upstream};
      proxy_next_upstream_tries {attempts}; proxy_next_upstream_timeout {overall_ms}ms;
    }}
  }}
}}
"""


class Nginx:
    """One server before one upstream."""

    name: ClassVar[str] = "nginx"
    file: ClassVar[str] = "nginx.conf"

    def render(self, deployment: Deployment) -> Exported:
        """What is about processes (`worker_processes`, `pid`, logs) is left to the command line, or put before it."""
        settings = deployment.settings
        lost = tuple(_lost(deployment))
        text = CONFIGURATION.format(
            lines="".join(f"  {line}\n" for line in deployment.lines),
            listens=joined(deployment.host, deployment.port),
            balance=_balance(deployment),
            servers="\n".join(_servers(deployment)),
            head_ms=milliseconds(settings.timeouts.head_s),
            connect_ms=milliseconds(settings.timeouts.connect_s),
            attempt_ms=milliseconds(settings.timeouts.attempt_s),
            overall_ms=milliseconds(settings.timeouts.overall_s),
            next_upstream=TRIED_ELSEWHERE if settings.retry.max_attempts > 1 else "off",
            attempts=settings.retry.max_attempts,
        )
        return Exported(in_comments(lost) + text, lost)


def _balance(deployment: Deployment) -> str:
    policy = deployment.policy
    if deployment.algorithm is not None:
        return ALGORITHMS[deployment.algorithm]
    if policy["name"] == "least_request" and policy.get("choices") == 2:
        return ALGORITHMS["random_two"]
    return BALANCE.get(policy["name"], "    least_conn;\n")


def _lost(deployment: Deployment) -> Iterator[str]:
    settings, policy = deployment.settings, deployment.policy
    if deployment.algorithm is not None:
        pass  # what was asked for is what there is
    elif policy["name"] not in (*BALANCE, "least_request"):
        yield policy_lost(policy, "least_conn")
    elif policy["name"] == "consistent_hash":
        yield f"policy.balance_factor={policy['balance_factor']:g}: nothing bounds what one server gets"
        yield f"requests without {KEY} all go to one server, not to the less loaded of two"
    elif policy.get("choices", 0) > 2:
        yield f"policy.choices={policy['choices']}: least_conn looks at all servers"
    if settings.health.enabled:
        yield "there are no active checks (router.health): who fails is found by failing requests"
    yield from slow_start_lost(deployment)
    yield from handling_lost(deployment)
    if settings.ejection.enabled:
        ejection_s = settings.ejection.base_s
        if ejection_s != fail_timeout_s(settings):
            yield f"fail_timeout is in whole seconds (router.ejection.base_s={ejection_s:g})"
        yield "all servers may be out at once, and then every request is answered 502 (router.ejection.max_share)"
        yield "a 5xx that is not tried again is no failure: of a POST, of the last attempt (router.ejection)"
        yield "max_fails counts failures within fail_timeout, not in a row; no ejection is longer (router.ejection)"
    if settings.retry.max_attempts > 1:
        yield "nothing bounds the retries of all requests together (router.retry.budget), which are made at once"
        yield "all methods but POST, PATCH and LOCK may be sent twice, also those that are none of HTTP's own"
    if not settings.retry.other_replica:
        yield "a retry always goes to another server (router.retry.other_replica=false)"
    if not all(is_address(upstream.host) for upstream in deployment.upstreams):
        yield "names are looked up when it starts, and then no more"
    yield "proxy_read_timeout bounds the pause between two reads, not an attempt (router.timeouts.attempt_s)"
    if settings.limits.adaptive:
        yield "the limit on what is under way does not follow latency (router.limits.adaptive)"


def _servers(deployment: Deployment) -> Iterator[str]:
    ejection, limits = deployment.settings.ejection, deployment.settings.limits
    words = "max_fails=0"
    if ejection.enabled:
        words = f"max_fails={ejection.consecutive_failures} fail_timeout={fail_timeout_s(deployment.settings)}s"
    if limits.replica_requests:
        words += f" max_conns={limits.replica_requests}"
    weights = whole_weights(deployment.upstreams, WEIGHTS)
    for upstream, weight in zip(deployment.upstreams, weights, strict=True):
        own = f"weight={weight} " if len(set(weights)) > 1 else ""
        yield f"    server {joined(upstream.host, upstream.port)} {own}{words};"


def fail_timeout_s(settings: RouterSettings) -> int:
    """How long a server that has failed is left out, whole seconds."""
    return max(1, round(settings.ejection.base_s))
