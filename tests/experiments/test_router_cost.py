"""What a request costs: the peers' configurations by their own word, and one short round of all with real processes."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from experiments import router_cost
from experiments.data_planes import DATA_PLANES, Front, local
from experiments.router_cost import Arm, Cost, settings_for, table
from services.router.settings import RouterSettings
from tests.running import AT_MOST_S, ROOT

PEERS = ("nginx", "haproxy", "envoy", "traefik", "caddy")
ASKED = {"nginx": ("-t",), "haproxy": ("-c",), "envoy": ("--mode", "validate")}
"""Traefik has no such word (it is started in tests/experiments/test_exporting.py), and Caddy's is another command."""


def lacking(program, package):
    (pytest.fail if os.environ.get("AEGIS_CI") == "1" else pytest.skip)(f"{program} is not installed ({package})")


def planned(name, folder, **settings):
    plane = DATA_PLANES.create(name, {})
    front = Front(18080, local([19001, 19002]), dataclasses.replace(RouterSettings(), **settings), "", folder)
    command = plane.command(front)
    return command if command is not None else lacking(name, plane.package)


def written(name, folder, **settings):
    planned(name, folder, **settings)
    [path] = [path for path in folder.iterdir() if path.suffix in (".conf", ".cfg", ".yaml") or path.name == "Caddyfile"]
    return path.read_text()


@pytest.mark.parametrize("checked", [True, False], ids=["with checks and ejection", "without"])
@pytest.mark.parametrize("name", ASKED)
def test_the_peer_itself_takes_its_configuration(tmp_path, name, checked):
    defaults = RouterSettings()
    command = planned(
        name,
        tmp_path,
        health=dataclasses.replace(defaults.health, enabled=checked),
        ejection=dataclasses.replace(defaults.ejection, enabled=checked),
    )
    answer = subprocess.run([*command, *ASKED[name]], capture_output=True, text=True, timeout=AT_MOST_S, check=False)
    assert answer.returncode == 0, answer.stderr


def test_the_peers_are_told_what_the_router_is_told(tmp_path):
    defaults = RouterSettings()
    told = {
        "timeouts": dataclasses.replace(defaults.timeouts, connect_s=0.25, attempt_s=1.75, overall_s=6.5),
        "retry": dataclasses.replace(defaults.retry, max_attempts=4),
        "ejection": dataclasses.replace(defaults.ejection, consecutive_failures=7),
    }
    folders = {name: tmp_path / name for name in PEERS}
    for folder in folders.values():
        folder.mkdir()
    nginx = written("nginx", folders["nginx"], **told)
    for phrase in ("connect_timeout 250ms", "read_timeout 1750ms", "upstream_timeout 6500ms", "_tries 4", "fails=7"):
        assert phrase in nginx
    haproxy = written("haproxy", folders["haproxy"], **told)
    for phrase in ("connect 250ms", "server 1750ms", "retries 3", "error-limit 7", "inter 500ms", "fall 2"):
        assert phrase in haproxy
    resources = yaml.safe_load(written("envoy", folders["envoy"], **told))["static_resources"]
    cluster, text = resources["clusters"][0], json.dumps(resources["listeners"])
    assert cluster["connect_timeout"] == "0.25s" and cluster["outlier_detection"]["consecutive_5xx"] == 7
    assert all(phrase in text for phrase in ('"timeout": "6.5s"', '"per_try_timeout": "1.75s"', '"num_retries": 3'))
    http = yaml.safe_load(written("traefik", folders["traefik"], **told))["http"]
    balancer, retry = http["services"]["replicas"]["loadBalancer"], http["middlewares"]["again"]["retry"]
    forwarding = http["serversTransports"]["replicas"]["forwardingTimeouts"]
    assert (forwarding["dialTimeout"], forwarding["responseHeaderTimeout"], retry["timeout"]) == ("250ms", "1750ms", "6500ms")
    assert (retry["attempts"], balancer["passiveHealthCheck"]["maxFailedAttempts"]) == (4, 7)
    assert (balancer["healthCheck"]["interval"], balancer["healthCheck"]["path"]) == ("500ms", "/readyz")
    caddy = written("caddy", folders["caddy"], **told)
    for phrase in ("dial_timeout 250ms", "header_timeout 1750ms", "try_duration 6500ms", "retries 3", "max_fails 7", "fails 2"):
        assert phrase in caddy


def test_checks_of_a_thousand_replicas_are_no_more_than_those_of_four():
    few, many = settings_for(4).health, settings_for(1000).health
    assert few == RouterSettings().health
    assert 1000 / many.interval_s == pytest.approx(4 / few.interval_s)
    settings_for(1000).validate()


def test_the_table_orders_by_cost_and_shows_the_spread():
    text = table({
        Arm("aegis", "random"): [Cost(30, 0.3, 2), Cost(50, 0.5, 3), Cost(40, 0.4, 9)],
        Arm("nginx", "", "1.22.1"): [Cost(20, 0.1, -1)],
    })  # fmt: skip
    assert text.splitlines()[2:] == [
        "| nginx 1.22.1 | 20 (20 to 20) | 0.10 (0.10 to 0.10) | -1.00 (-1.00 to -1.00) |",
        "| aegis random | 40 (30 to 50) | 0.40 (0.30 to 0.50) | 3.00 (2.00 to 9.00) |",
    ]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--policies", "fastest"], "there is no fastest.py"),
        (["--peers", "custom"], "invalid choice: 'custom'"),
        (["--peers", "squid"], "invalid choice: 'squid'"),
        (["--replicas", "1001"], "invalid choice: 1001"),
        (["--policies", "--peers"], "nothing to measure"),
    ],
)
def test_wrong_words_are_refused_in_a_line(capsys, monkeypatch, typed, said):
    monkeypatch.setattr("shutil.which", lambda *_, **__: "/bin/true")
    with pytest.raises(SystemExit) as ended:
        router_cost.main(typed)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_without_wrk_it_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(SystemExit):
        router_cost.main([])
    assert "wrk is not installed (Debian: wrk)" in capsys.readouterr().err


def test_one_round_of_all_has_a_row_for_each():
    if shutil.which("wrk") is None:
        lacking("wrk", "wrk")
    command = [sys.executable, "-m", "experiments.router_cost", "--rounds", "1", "--seconds", "1"]
    answer = subprocess.run(
        [*command, "--policies", "least_request"], cwd=ROOT, capture_output=True, text=True, timeout=AT_MOST_S, check=False
    )
    assert answer.returncode == 0, answer.stderr
    rows = re.findall(r"^\| (\w[^|]*) \| (\d+) \(", answer.stdout, re.MULTILINE)
    there = {name for name in PEERS if f"left out, not installed: {name}" not in answer.stderr}
    called = {name: DATA_PLANES.create(name, {}).version().split()[0] for name in there}  # by its own word
    assert {name for name, _ in rows} == {"aegis least_request", *(f"{name} {called[name]}" for name in there)}
    assert all(0 < int(cpu) < 1_000_000 for _, cpu in rows)
    if os.environ.get("AEGIS_CI") == "1":
        assert there == set(PEERS)
