"""nginx: `least_conn`, passive failure detection alone (active checks are a part of the commercial form)."""

import shutil
from typing import ClassVar

from experiments.data_planes import HOST, Front
from services.processes import ServiceProcess

TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
CONFIGURATION = """\
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log warn;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_timeout 75s; keepalive_requests 10000000;
{temporary}
  upstream replicas {{
    least_conn;
{servers}
    keepalive 256; keepalive_requests 10000000;
  }}
  server {{
    listen {host}:{port} backlog=4096;
    location / {{
      proxy_pass http://replicas; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_connect_timeout {connect_ms}ms; proxy_send_timeout {attempt_ms}ms; proxy_read_timeout {attempt_ms}ms;
      proxy_next_upstream error timeout http_500 http_502 http_503 http_504;
      proxy_next_upstream_tries {attempts}; proxy_next_upstream_timeout {overall_ms}ms;
    }}
  }}
}}
"""


class Nginx:
    """One worker in the foreground."""

    name: ClassVar[str] = "nginx"
    package: ClassVar[str] = "nginx-light"

    def command(self, front: Front) -> list[str] | None:
        """Directives: https://nginx.org/en/docs/http/ngx_http_upstream_module.html and ..._proxy_module.html."""
        program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        if program is None:
            return None
        settings = front.settings
        limits = f"max_fails={settings.ejection.consecutive_failures} fail_timeout={settings.ejection.base_s:g}s"
        path = front.folder / "nginx.conf"
        path.write_text(
            CONFIGURATION.format(
                folder=front.folder,
                temporary="\n".join(f"  {name}_temp_path {front.folder}/{name};" for name in TEMPORARY),
                servers="\n".join(f"    server {HOST}:{port} {limits};" for port in front.replicas),
                host=HOST,
                port=front.port,
                connect_ms=round(settings.timeouts.connect_s * 1e3),
                attempt_ms=round(settings.timeouts.attempt_s * 1e3),
                overall_ms=round(settings.timeouts.overall_s * 1e3),
                attempts=settings.retry.max_attempts,
            ),
            encoding="utf-8",
        )
        return [program, "-c", str(path), "-p", str(front.folder), "-e", str(front.folder / "error.log")]

    async def began(self, process: ServiceProcess, front: Front) -> None:
        """Nothing is left to be done."""
