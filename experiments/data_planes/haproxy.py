"""HAProxy: `leastconn`, active checks and `observe layer7`."""

import shutil
from typing import ClassVar

from experiments.data_planes import HOST, Front
from services.processes import ServiceProcess

CONFIGURATION = """\
global
  nbthread 1
  maxconn 8000
defaults
  mode http
  timeout connect {connect_ms}ms
  timeout server {attempt_ms}ms
  timeout queue {overall_ms}ms
  timeout check {check_ms}ms
  timeout client 60s
  timeout http-request 30s
  timeout http-keep-alive 75s
  http-reuse always
  retries {retries}
  option redispatch 1
  retry-on all-retryable-errors
frontend data
  bind {host}:{port}
  default_backend replicas
backend replicas
  balance leastconn
{check}
{servers}
"""


class Haproxy:
    """One thread in the foreground."""

    name: ClassVar[str] = "haproxy"
    package: ClassVar[str] = "haproxy"

    def command(self, front: Front) -> list[str] | None:
        """Keywords: https://docs.haproxy.org/2.6/configuration.html."""
        program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
        if program is None:
            return None
        settings, health = front.settings, front.settings.health
        options = "observe layer7 on-error mark-down " if settings.ejection.enabled and health.enabled else ""
        options += f"error-limit {settings.ejection.consecutive_failures} " if options else ""
        interval = f"check inter {round(health.interval_s * 1e3)}ms "
        thresholds = f"fall {health.unhealthy_threshold} rise {health.healthy_threshold} "
        options = f"{interval}{thresholds}{options}" if health.enabled else ""
        servers = (f"  server r{n} {HOST}:{port} {options}".rstrip() for n, port in enumerate(front.replicas, 1))
        path = front.folder / "haproxy.cfg"
        path.write_text(
            CONFIGURATION.format(
                host=HOST,
                port=front.port,
                connect_ms=round(settings.timeouts.connect_s * 1e3),
                attempt_ms=round(settings.timeouts.attempt_s * 1e3),
                overall_ms=round(settings.timeouts.overall_s * 1e3),
                check_ms=round(health.timeout_s * 1e3),
                retries=settings.retry.max_attempts - 1,
                check="  option httpchk GET /readyz\n  http-check expect status 200" if health.enabled else "",
                servers="\n".join(servers),
            ),
            encoding="utf-8",
        )
        return [program, "-db", "-f", str(path)]

    async def began(self, process: ServiceProcess, front: Front) -> None:
        """Nothing is left to be done."""
