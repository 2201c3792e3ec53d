"""Other data planes in the router's place: what is refused, what their programs take, what is made of what they say."""

import asyncio
import dataclasses
import json
import socket
import subprocess
import time
from typing import Any

import aiohttp
import pytest
from hydra import compose, initialize_config_dir

from analysis.comparison.arms import arms_of
from experiments.data_planes import DATA_PLANES, HOST, SLOW_START_S, Front, Member, Standing, found, local
from experiments.data_planes.haproxy import Haproxy
from experiments.data_planes.nginx import Nginx
from experiments.live import standing_in
from experiments.live.registry import Registry
from experiments.plan import store
from experiments.plan.check import check
from experiments.plan.config import ConfigError
from experiments.plan.data_planes import arms, check_installed
from experiments.plan.resolve import resolve
from record.shapes import has_own_router, stands_in, tells_rotation
from services.router.settings import RouterSettings
from tests.experiments.test_config import planned
from tests.experiments.test_external import configured
from tests.experiments.test_router_cost import ASKED, lacking
from tests.exported import policy
from tests.ports import free_row
from tests.running import AT_MOST_S, ROOT

ARMS = ("envoy", "haproxy", "nginx")
IN_PLACE = {"router__url": None, "replicas": 4, "router__data_plane": "envoy"}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"router__algorithm": "leastconn"}, "router.algorithm=leastconn: envoy has least_request, least_request_of_four"),
        ({"router__data_plane": "aegis", "router__algorithm": "random"}, "left out with Aegis' router, which has policy"),
        ({"router__data_plane": "nope"}, "there is no nope.py in experiments/data_planes/"),
        ({"router__data_plane": "aegis_interpreted"}, "it lacks algorithms, lacks, tells"),
        ({"engine__name": "sim"}, "router.data_plane=envoy: engine=sim cannot run it; take engine=local"),
        ({"engine__name": "compose"}, "engine=compose cannot run it; take engine=local"),
        ({"router__hedging__enabled": True}, "router.hedging.enabled=True: envoy has nothing like it; leave it out"),
        ({"router__data_plane": "nginx", "router__limits__adaptive": True}, "router.limits.adaptive=True: nginx has"),
        ({"counterfactual": "always"}, "counterfactual=always: must be auto or never"),
        (
            {"router__data_plane": "nginx", "scaler": {"name": "target_tracking", "target": 0.7}},
            "scaler=target_tracking: nginx counts no requests by replica",
        ),
        ({"scaler": {"name": "threshold", "metric": "p95_ms"}}, "p95_ms is read, which nobody knows"),
        ({"router__url": "http://127.0.0.1:1", "replicas": 0}, "router.data_plane=envoy: is of Aegis' own router"),
    ],
    ids=str,
)
def test_what_cannot_be_measured_is_one_line_with_the_way_out(keys, said):
    with pytest.raises(ConfigError) as caught:
        check(configured(**(IN_PLACE | keys)))
    assert said in str(caught.value) and "\n" not in str(caught.value), str(caught.value)


def test_a_policy_that_is_typed_does_nothing_and_is_refused_and_one_of_the_scenario_is_not():
    with pytest.raises(ConfigError, match=r"policy: is of Aegis' own router; haproxy has router.algorithm=leastconn"):
        planned("+scenario=routed", "router=haproxy", "policy=round_robin")
    plan = planned("+scenario=slow_dependency", "router=haproxy", "scaler=none")
    assert plan.config.stands_in and plan.config.own_router is None


def test_the_default_router_is_the_arm_aegis():
    arm, plain = (planned("+scenario=routed", f"router={name}") for name in ("aegis", "default"))
    assert arm.resolved == plain.resolved and not arm.config.stands_in
    assert {"aegis", *ARMS} <= set(arms())


@pytest.mark.parametrize("name", ARMS)
def test_a_program_that_is_missing_is_told_with_its_package(name, monkeypatch):
    plane = DATA_PLANES.create(name, {})
    variable = {"envoy": "ENVOY", "haproxy": "HAPROXY", "nginx": "NGINX_PROGRAM"}[name]
    monkeypatch.setenv(variable, "/no/such/program")
    with pytest.raises(ConfigError, match=f"router.data_plane={name}: is not installed; install {plane.package}"):
        check_installed(configured(**(IN_PLACE | {"router__data_plane": name})))


def test_a_program_is_looked_for_where_the_variable_says_before_anywhere_else(tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    mine.write_text("#!/bin/sh\n")
    mine.chmod(0o755)
    monkeypatch.setenv("ENVOY", str(mine))
    assert found("sh", "ENVOY") == str(mine)
    monkeypatch.delenv("ENVOY")
    assert found("sh", "ENVOY").endswith("/sh") and found("no-such-program", "ENVOY") is None


@pytest.mark.parametrize(
    ("name", "algorithm"), [(name, each) for name in ARMS for each in DATA_PLANES.find(name).algorithms], ids=str
)
def test_the_program_takes_its_configuration_with_each_algorithm(tmp_path, name, algorithm):
    plane = DATA_PLANES.create(name, {})
    members = tuple(Member(each.name, HOST, each.port, weight) for each, weight in zip(local([1024, 1025]), (1.0, 0.5), strict=True))
    front = Front(18080, members, RouterSettings(), "", tmp_path, algorithm, 18081, ("r1", "r2", "r3"))
    command = plane.command(front)
    if command is None:
        lacking(name, plane.package)
    answer = subprocess.run([*command, *ASKED[name]], capture_output=True, text=True, timeout=AT_MOST_S, check=False)
    assert answer.returncode == 0, answer.stderr
    assert plane.version()[0].isdigit()


def test_envoys_slow_start_is_an_algorithm_of_its_own_and_haproxys_stands_by_each_server(tmp_path):
    front = Front(18080, local([1024]), RouterSettings(), "", tmp_path)
    assert policy("adaptive")["slow_start_s"] == SLOW_START_S
    for algorithm, has_it in (("leastconn", True), ("roundrobin", False)):
        exported = dataclasses.replace(front, algorithm=algorithm).exported("haproxy")
        assert ("slowstart 5000ms" in exported.text) is has_it
        assert any("whole share at once" in each for each in exported.lost) is not has_it
    for algorithm, has_it in (("least_request", False), ("least_request_slow_start", True)):
        exported = dataclasses.replace(front, algorithm=algorithm).exported("envoy")
        assert ("slow_start_window: 5s" in exported.text) is has_it
        assert any("whole share at once" in each for each in exported.lost) is not has_it


@pytest.mark.parametrize(
    ("name", "own", "typed"),
    [
        ("nginx", "max_fails=1 fail_timeout=10s", "max_fails=4 fail_timeout=20s"),
        ("traefik", "maxFailedAttempts: 1\n          failureWindow: 10000ms", "maxFailedAttempts: 4\n          failureWindow: 20000ms"),
        ("caddy", "fail_duration 10000ms\n\t\tmax_fails 1", "fail_duration 20000ms\n\t\tmax_fails 4"),
        ("haproxy", "error-limit 5", "error-limit 4"),
        ("envoy", "base_ejection_time: 2s", "base_ejection_time: 20s"),
    ],
    ids=str,
)
def test_who_counts_failures_in_a_span_of_time_has_its_own_defaults_and_what_is_typed_holds(tmp_path, name, own, typed):
    """nginx, ngx_http_upstream_module: max_fails 1, fail_timeout 10 s; Traefik's PassiveServerHealthCheck likewise;
    Caddy's max_fails 1.
    """
    for words, text in (((), own), (("router.ejection.consecutive_failures=4", "router.ejection.base_s=20"), typed)):
        store.register()
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            config = resolve(compose("config", overrides=["+scenario=routed", f"router={name}", *words])).config
        exported = Front(18080, local([1024]), config.router, "", tmp_path).exported(name).text
        assert text in exported, exported


def registry():
    async def changed():
        return True

    return Registry(changed, "envoy")


def test_what_the_proxy_says_becomes_events_with_its_reason():
    kept = registry()
    kept.fleet.put("r1", 1.0, url="http://127.0.0.1:9001", weight=2.0, lease_s=3.0, state="ready", concurrency=2)
    assert kept.members == (Member("r1", "127.0.0.1", 9001, 2.0),)
    for now, standing in (
        (2.0, Standing(True, in_flight=4, requests=10)),
        (3.0, Standing(False, "consecutive_failures", 4, 15)),
        (4.0, Standing(True, in_flight=0, requests=15)),
        (5.0, Standing(False, "health_check", 0, 15)),
        (6.0, Standing(True, in_flight=0, requests=2)),
    ):
        kept.see({"r1": standing, "gone": standing}, now)
    told = [(e["event"], e["monotonic_s"], e.get("cause")) for e in kept.events.since(0)["events"]]
    assert told == [
        ("registered", 1.0, None),
        ("readmitted", 2.0, "first_check"),
        ("ejected", 3.0, "consecutive_failures"),
        ("readmitted", 4.0, "ejection_over"),
        ("ejected", 5.0, "health_check"),
        ("readmitted", 6.0, "health_check"),
    ]
    [replica] = kept.fleet.replicas.values()
    assert replica.requests_total == 15 + 2, "the proxy began anew in between"
    assert replica.in_flight_s == 4 * 2 and replica.busy_s == 2 * 2


async def test_what_is_under_way_is_null_until_a_proxy_says_it_and_known_of_one_that_counts_no_requests():
    """As Caddy, whose `/reverse_proxy/upstreams` has `num_requests` alone."""
    kept = registry()
    kept.fleet.put("r1", time.monotonic(), url="http://127.0.0.1:9001", lease_s=60.0, state="ready")
    where = await kept.serve()
    async with aiohttp.ClientSession() as session:
        for standing, known in ((Standing(True), None), (Standing(True, in_flight=3), 3), (Standing(True, in_flight=0), 0)):
            kept.see({"r1": standing}, time.monotonic())
            async with session.get(f"{where}/stats") as answer:
                assert (await answer.json())["in_flight"] == known
    await kept.close()


def test_a_proxys_ports_are_free_and_none_that_the_kernel_gives_away_while_it_is_down(monkeypatch):
    """Linux gives those from 32,768 on (ip(7), `ip_local_port_range`) to connections and to whoever binds port 0."""
    found = standing_in.free_ports(50)
    assert len(set(found)) == 50 and max(found) < 32_768
    first = free_row(2)
    with socket.create_server((HOST, first)):
        monkeypatch.setattr(standing_in, "PORTS", range(first, first + 2))
        assert standing_in.free_ports(2) == [first + 1]


def test_who_drains_stays_a_member_that_is_to_get_nothing_until_it_has_left():
    kept = registry()
    kept.fleet.put("r1", 1.0, url="http://127.0.0.1:9001", lease_s=3.0, state="ready")
    kept.fleet.put("r1", 2.0, url="http://127.0.0.1:9001", lease_s=8.0, state="draining")
    assert [each.draining for each in kept.members] == [True]
    kept.fleet.remove("r1", 3.0)
    assert kept.members == ()


def test_who_has_left_works_on_nothing_that_was_under_way_when_the_proxy_was_last_asked():
    kept = registry()
    kept.fleet.put("r1", 1.0, url="http://127.0.0.1:9001", lease_s=30.0, state="ready")
    kept.see({"r1": Standing(True, in_flight=2)}, 2.0)
    kept.fleet.put("r1", 3.0, url="http://127.0.0.1:9001", lease_s=30.0, state="draining")
    kept.see({"r1": Standing(False, in_flight=1)}, 4.0)
    kept.fleet.remove("r1", 5.0)
    kept.see({}, 6.0)
    assert kept.fleet.work_seconds(6.0) == kept.fleet.work_seconds(60.0) == 2 * 2 + 1 * 2


def test_who_came_back_elsewhere_while_the_proxy_was_asked_is_not_taken_for_who_was_there():
    kept = registry()
    for id_, port in (("r1", 9001), ("r2", 9002)):
        kept.fleet.put(id_, 1.0, url=f"http://127.0.0.1:{port}", lease_s=3.0, state="ready")
    told = kept.members
    kept.fleet.remove("r1", 2.0)
    kept.fleet.put("r1", 2.1, url="http://127.0.0.1:9003", lease_s=3.0, state="ready")
    kept.fleet.put("r2", 2.1, url="http://127.0.0.1:9002", lease_s=8.0, state="draining")
    standings = {"r1": Standing(True), "r2": Standing(True, in_flight=3)}
    assert kept.of_now(told, standings) == {"r2": Standing(True, in_flight=3)}
    kept.see(kept.of_now(told, standings), 2.2)
    assert [e["event"] for e in kept.events.since(0)["events"] if e["replica"] == "r1"][-1] == "registered"
    assert kept.fleet.replicas["r2"].in_flight == 3


async def test_an_answer_of_haproxy_that_is_cut_off_is_none(tmp_path):
    whole = "# pxname,svname,scur,stot,status,check_status\nreplicas,r1,1,7,UP,L7OK\n"
    said = [whole + "replicas,r2,1", whole + "\n"]

    async def answer(reader, writer):
        await reader.readline()
        writer.write(said.pop(0).encode())
        writer.close()

    server = await asyncio.start_server(answer, HOST, 0)
    front = Front(1, (), RouterSettings(), "", tmp_path, None, server.sockets[0].getsockname()[1], ("r1", "r2"))
    members = (Member("r1", HOST, 9001), Member("r2", HOST, 9002))
    with pytest.raises(OSError, match="cut off"):
        await Haproxy().look(front, members)
    assert await Haproxy().look(front, members) == {"r1": Standing(True, "", 1, 7)}
    server.close()


@pytest.mark.parametrize(
    ("name", "log", "text"),
    [
        ("nginx", "error.log", '[warn] upstream server temporarily disabled x, upstream: "http://127.0.0.1:9002/work"\n[wa'),
        ("caddy", "events.log", '{"name": "unhealthy", "data": {"host": "127.0.0.1:9002"}}\n{"na'),
    ],
)
async def test_what_an_earlier_process_had_found_is_not_taken_for_the_word_of_the_one_that_began(tmp_path, monkeypatch, name, log, text):
    async def upstreams(*_):
        return json.dumps([{"address": f"127.0.0.1:{port}", "num_requests": 0, "fails": 0} for port in (9001, 9002)])

    monkeypatch.setattr("experiments.data_planes.caddy._asked", upstreams)
    members = (Member("r1", HOST, 9001), Member("r2", HOST, 9002))
    front = Front(18080, members, RouterSettings(), "", tmp_path, None, 18081, ("r1", "r2"))
    (tmp_path / log).write_text(text)  # it was killed while it wrote
    plane = DATA_PLANES.create(name, {})
    if plane.command(front) is None:
        lacking(name, plane.package)
    assert {id_: each.in_rotation for id_, each in (await plane.look(front, members)).items()} == {"r1": True, "r2": True}
    with (tmp_path / log).open("a") as file:
        file.write(text)
    assert {id_: each.in_rotation for id_, each in (await plane.look(front, members)).items()} == {"r1": True, "r2": False}


async def test_a_server_that_nginx_has_taken_out_is_back_after_its_fail_timeout(tmp_path, monkeypatch):
    now = 100.0
    monkeypatch.setattr("experiments.data_planes.nginx.time.monotonic", lambda: now)
    settings = RouterSettings()
    front = Front(1, (), dataclasses.replace(settings, ejection=dataclasses.replace(settings.ejection, base_s=2.0)), "", tmp_path)
    members = (Member("r1", HOST, 9001), Member("r2", HOST, 9002))
    plane, log = Nginx(), tmp_path / "error.log"
    line = (
        "2026/01/01 00:00:00 [warn] 7#0: *5 upstream server temporarily disabled while reading response header from "
        'upstream, client: 127.0.0.1, server: , request: "GET /work HTTP/1.1", upstream: "http://127.0.0.1:9002/work"\n'
    )
    log.write_text(line[:40])  # it is being written

    async def standing():
        return {name: each.in_rotation for name, each in (await plane.look(front, members)).items()}

    assert await standing() == {"r1": True, "r2": True}
    log.write_text(line)
    assert await standing() == {"r1": True, "r2": False}
    now = 102.1
    assert await standing() == {"r1": True, "r2": True}


def test_arms_are_called_by_their_data_plane_and_runs_of_before_there_were_any_are_aegis(tmp_path):
    class Of:
        def __init__(self, router):
            self.manifest = {"scenario": "routed", "seed": 1, "config": {"router": router}}
            self.folder, self.is_simulated = tmp_path, False

    def called(*runs: Any):
        return [arm.label for arm in arms_of([(run, {"valid": True}) for run in runs])]

    old, aegis, envoy, maglev = (
        Of({"count": 1}),
        Of({"count": 1, "data_plane": "aegis", "algorithm": None}),
        Of({"count": 1, "data_plane": "envoy", "algorithm": None}),
        Of({"count": 1, "data_plane": "envoy", "algorithm": "maglev"}),
    )
    labels = called(old, aegis, envoy)
    assert labels == ["router=aegis", "router=envoy"]
    labels = called(Of(None), aegis, envoy)
    assert labels == ["router=none", "router=aegis", "router=envoy"]
    own = [{"ejection": {"base_s": seconds}} for seconds in (2.0, 10.0, 10.0)]  # conf/router/
    names = ("aegis", "nginx", "traefik")
    settled = [Of({"data_plane": name, "algorithm": None, **each}) for name, each in zip(names, own, strict=True)]
    assert called(*settled) == ["router=aegis", "router=nginx", "router=traefik"]
    longer = Of({"data_plane": "nginx", "algorithm": None, "ejection": {"base_s": 5.0}})
    assert called(settled[0], settled[1], longer)[1:] == [
        f"router=nginx, router.ejection.base_s={seconds}" for seconds in (10.0, 5.0)
    ]
    labels = called(aegis, maglev)
    assert labels == ["router=aegis, router.algorithm=none", "router=envoy, router.algorithm=maglev"]
    labels = called(envoy, maglev)
    assert labels == ["router.algorithm=none", "router.algorithm=maglev"]


def test_whose_word_there_is_follows_from_the_manifest():
    told: Any = {"config": {"router": {"data_plane": "envoy"}}, "data_plane": {"tells": True}}
    assert stands_in(told) == "envoy" and tells_rotation(told) and not has_own_router(told)
    assert not tells_rotation(told | {"data_plane": {"tells": False}})
    own: Any = {"config": {"router": {"data_plane": "aegis"}}}
    assert stands_in(own) is None and has_own_router(own) and tells_rotation(own)
