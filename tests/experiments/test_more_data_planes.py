"""Traefik, Caddy and programs of one's own as arms: what is refused, what their programs take, what a template is given."""

import dataclasses
from typing import Any

import pytest

from analysis.comparison.arms import arms_of
from experiments.data_planes import DATA_PLANES, HOST, Front, Member, said
from experiments.exporting import EXPORTERS
from experiments.plan.check import check
from experiments.plan.config import ConfigError
from experiments.plan.data_planes import arms, check_installed
from services.router.settings import RouterSettings
from tests.experiments.test_data_planes import IN_PLACE
from tests.experiments.test_external import configured
from tests.exported import asked, deployment

IN_GO = ("traefik", "caddy")


@pytest.mark.parametrize(
    ("name", "algorithm"), [(name, each) for name in IN_GO for each in DATA_PLANES.find(name).algorithms], ids=str
)
def test_the_program_takes_each_algorithm_and_nothing_is_said_to_be_lost_of_a_policy(tmp_path, name, algorithm):
    exporter = EXPORTERS.create(name, {})
    exported = exporter.render(dataclasses.replace(deployment("peak_ewma"), algorithm=algorithm))
    assert not any("policy" in each for each in exported.lost) and algorithm in exported.text
    path = tmp_path / exporter.file
    path.write_text(exported.text, encoding="utf-8")
    asked(name, path)


@pytest.mark.parametrize(("name", "variable"), [("traefik", "TRAEFIK"), ("caddy", "CADDY")])
def test_a_program_that_is_missing_is_told_with_its_package(name, variable, monkeypatch):
    monkeypatch.setenv(variable, "/no/such/program")
    with pytest.raises(ConfigError, match=f"router.data_plane={name}: is not installed; install {name}-bin"):
        check_installed(configured(**(IN_PLACE | {"router__data_plane": name})))


def template(folder, text="{{ port }}"):
    path = folder / "proxy.conf.j2"
    path.write_text(text, encoding="utf-8")
    return str(path)


def custom(folder, text="{{ port }}", **keys):
    own = {"data_plane": "custom", "command": "no-such-proxy -f {config}", "template": template(folder, text), "replica_port": 9001}
    return configured(**(IN_PLACE | {f"router__{key}": value for key, value in {**own, **keys}.items()}))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"command": None}, "router.data_plane=custom: needs router.command, see docs/data_planes.md"),
        ({"template": None}, "router.data_plane=custom: needs router.template, see docs/data_planes.md"),
        ({"replica_port": 65_533}, "replicas=4: must be at most 3 with router.replica_port=65533"),
        ({"algorithm": "least"}, "router.algorithm=least: router.template does not ask for `algorithm`"),
        ({"data_plane": "caddy"}, "goes with router="),
        ({"data_plane": "aegis", "replica_port": None}, "goes with router=custom"),
        ({"data_plane": "traefik", "command": None, "template": None, "replica_port": None, "algorithm": "least"},
         "router.algorithm=least: traefik has p2c, wrr, leasttime, hrw"),
        ({"data_plane": "caddy", "command": None, "template": None, "replica_port": None, "algorithm": "p2c"},
         "router.algorithm=p2c: caddy has least_conn, random_choose, round_robin, random, first, header"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_measured_is_one_line_with_the_way_out(tmp_path, keys, said):
    with pytest.raises(ConfigError) as caught:
        check(custom(tmp_path, **keys))
    assert said in str(caught.value) and "\n" not in str(caught.value), str(caught.value)


def test_an_algorithm_of_a_data_plane_with_one_way_alone_is_one_line(monkeypatch):
    monkeypatch.setattr(DATA_PLANES.find("envoy"), "algorithms", ())
    with pytest.raises(ConfigError, match=r"router\.algorithm=mine: envoy has one way alone; leave it out"):
        check(configured(**(IN_PLACE | {"router__algorithm": "mine"})))


def test_a_program_of_ones_own_is_looked_for_and_takes_any_algorithm_that_its_template_asks_for(tmp_path):
    assert {"custom", *IN_GO} <= set(arms())
    config = custom(tmp_path, "{{ algorithm }}", algorithm="mine")
    check(config)
    with pytest.raises(ConfigError, match=r"install the program that router\.command names"):
        check_installed(config)
    check_installed(custom(tmp_path, command="true -f {config}"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"command": "proxy"}, "router.command=proxy: must name the configuration, as `PROGRAM -f {config}`"),
        ({"command": "proxy '{config}"}, "router.command=proxy '{config}: No closing quotation"),
        ({"template": "/no/such/file"}, "router.template=/no/such/file: cannot be read"),
        ({"text": "{{ prot }}"}, "proxy.conf.j2: 'prot' is undefined"),
        ({"text": "a\n{% for each in replicas %}"}, "proxy.conf.j2: line 2: Unexpected end of template"),
        ({"text": "{{ timeouts.never_s | ms }}"}, "proxy.conf.j2: 'dict object' has no attribute 'never_s'"),
    ],
    ids=str,
)
def test_a_program_of_ones_own_that_cannot_be_configured_is_one_line(tmp_path, options, said):
    known = {"command": "proxy -f {config}", "template": template(tmp_path, options.get("text", "")), "replica_port": 9001}
    with pytest.raises(ValueError, match="router") as caught:
        DATA_PLANES.create("custom", {**known, **{k: v for k, v in options.items() if k != "text"}})
    assert said in str(caught.value) and "\n" not in str(caught.value), str(caught.value)


def test_a_template_is_given_port_replicas_and_time_outs(tmp_path):
    text = "{{ host }}:{{ port }}{% for r in replicas %} {{ r.id }}={{ r.port }}{% endfor %} {{ timeouts.attempt_s | ms }}\n"
    plane = DATA_PLANES.create(
        "custom", {"command": "true -f {config} -d {folder} -p {port}", "template": template(tmp_path, text), "replica_port": 9001}
    )
    front = Front(8000, (Member("r1", HOST, 1),), RouterSettings(), "", tmp_path, ids=("r1", "r2"))
    _, _, config, _, folder, _, port = plane.command(front)
    assert (folder, port) == (str(tmp_path), "8000")
    assert (tmp_path / "config.j2").read_text() == "127.0.0.1:8000 r1=9001 r2=9002 2000\n" and config.endswith("config.j2")


def test_two_builds_of_one_program_are_two_arms(tmp_path):
    class Build:
        def __init__(self, command):
            router = {"data_plane": "custom", "algorithm": None, "command": command, "template": "t.j2"}
            self.manifest = {"scenario": "routed", "seed": 1, "config": {"router": router}}
            self.folder, self.is_simulated = tmp_path, False

    builds: Any = (Build("a/proxy -f {config}"), Build("b/proxy -f {config}"))
    labels = [arm.label for arm in arms_of([(run, {"valid": True}) for run in builds])]
    assert labels == ["router.command=a/proxy -f {config}", "router.command=b/proxy -f {config}"]


def test_the_first_line_of_a_version_is_told():
    assert said(["printf", "Proxy  1.2\\nbuilt with much\\n"], lines=1) == "Proxy 1.2"
    assert said(["printf", "Proxy 1.2\\nbuilt\\n"]) == "Proxy 1.2 built"


@pytest.mark.parametrize(
    ("name", "variable", "says", "least", "why"),
    [
        ("nginx", "NGINX_PROGRAM", "nginx version: nginx/{}", ("1.18.0", "1.19.5"), "its -e"),
        ("haproxy", "HAPROXY", "HAProxy version {}-0ubuntu0.22.04.3 2023/12/04 - https://haproxy.org/", ("2.4.22", "2.5"), "its set-var-fmt"),
        ("envoy", "ENVOY", "envoy  version: 0123456789abcdef/{}/Clean/RELEASE/BoringSSL", ("1.30.9", "1.31"), "its always_eject_one_host"),
        ("traefik", "TRAEFIK", "Version:      {}\nCodename:     x", ("3.6.12", "3.7"), "its retry by status"),
        ("caddy", "CADDY", "v{} h1:x", ("2.7.6", "2.8"), "its health_fails"),
    ],
    ids=str,
)  # fmt: skip
def test_a_version_that_does_not_take_the_configuration_is_one_line_with_the_one_that_does(
    tmp_path, monkeypatch, name, variable, says, least, why
):
    program = tmp_path / "proxy"
    monkeypatch.setenv(variable, str(program))
    config = configured(**(IN_PLACE | {"router__data_plane": name}))
    old, new = least

    def installed(version):
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{says.format(version)}\nEND\n", encoding="utf-8")
        program.chmod(0o755)

    installed(old)
    with pytest.raises(ConfigError) as caught:
        check_installed(config)
    said = str(caught.value)
    assert f"{name} {old}" in said and said.endswith(f" is too old: {new} at least ({why})") and "\n" not in said
    for version in (new, f"{new}.1", "unknown"):
        installed(version)
        check_installed(config)
