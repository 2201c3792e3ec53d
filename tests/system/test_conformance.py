"""Real proxies' decisions, and those of Aegis' own router, held against their policies: short live runs."""

import json
import re

import pytest
import yaml

from experiments import conformance
from experiments.conforming.judging import judge
from experiments.references import create
from tests.deciding import SERVERS, decisions
from tests.running import run

EQUAL, HEAVY = (1.0, 1.0, 1.0, 1.0), (3.0, 1.0, 1.0, 1.0)


def nginx(text, weights=EQUAL, *, rotates=False, zone=False, reuse=False):
    shares = iter(weights)
    text = re.sub(r"(server 127\S+)", lambda found: f"{found[1]} weight={next(shares):g}", text)
    text = text.replace("    least_conn;\n", "") if rotates else text
    text = text.replace("upstream replicas {", "upstream replicas {\n    zone all 64k;") if zone else text
    return text.replace("backlog=4096", "backlog=4096 reuseport") if reuse else text


def haproxy(text, weights=EQUAL, *, rotates=False):
    for number, weight in enumerate(weights, 1):
        text = re.sub(rf"(server r{number} \S+)", rf"\1 weight {weight:g}", text)
    return text.replace("leastconn", "roundrobin") if rotates else text


def envoy(text, policy):
    whole = yaml.safe_load(text)
    [cluster] = whole["static_resources"]["clusters"]
    cluster.pop("load_balancing_policy", None)
    cluster["lb_policy"] = policy
    return yaml.safe_dump(whole)


def two_workers(words):
    words = ["2" if before == "--concurrency" else word for before, word in zip(["", *words], words, strict=False)]
    return [word.replace("master_process off;", "worker_processes 2;") for word in words]


RIGHT = {
    "nginx least_conn": ("nginx", nginx, EQUAL, "nginx_least_conn", {}),
    "nginx weighted": ("nginx", lambda text: nginx(text, HEAVY, rotates=True), HEAVY, "nginx_round_robin", {}),
    "HAProxy leastconn": ("haproxy", haproxy, EQUAL, "haproxy_leastconn", {}),
    "HAProxy roundrobin": ("haproxy", lambda text: haproxy(text, HEAVY, rotates=True), HEAVY, "haproxy_roundrobin", {}),
    "Envoy LEAST_REQUEST": ("envoy", lambda text: envoy(text, "LEAST_REQUEST"), EQUAL, "envoy_least_request", {}),
    "Envoy ROUND_ROBIN": ("envoy", lambda text: envoy(text, "ROUND_ROBIN"), EQUAL, "envoy_round_robin", {}),
}


@pytest.mark.parametrize("case", RIGHT)
def test_a_real_proxy_decides_as_its_authors_say_and_not_as_others_do(tmp_path, case):
    name, edit, weights, reference, options = RIGHT[case]
    seen = decisions(name, tmp_path / "proxy", edit, count=250, weights=weights)
    found = judge(seen, create(reference, weights, options))
    assert found.first is None and found.judged >= 0.5 * found.decisions
    others = {"nginx_least_conn", "nginx_round_robin", "haproxy_leastconn", "haproxy_roundrobin"} - {reference}
    if case == "Envoy ROUND_ROBIN":  # with equal weights all three rotations are one
        others = {"nginx_least_conn", "haproxy_leastconn"}
    assert all(judge(seen, create(other, weights, {})).first is not None for other in others)
    log = [str(tmp_path / "proxy" / "access.log"), "--format", name,
           "--servers", (tmp_path / "proxy" / SERVERS).read_text(encoding="utf-8"),
           "--weights", ",".join(map(str, weights))]  # fmt: skip
    assert conformance.main([*log, "--policy", reference, "--from-start"]) == 0
    if name != "envoy":  # whose log does not tell when a host was picked: its service time holds the wait for it
        assert conformance.main([*log, "--policy", sorted(others)[0], "--from-start"]) == conformance.OTHERWISE


def two_threads(edit):
    return lambda text: edit(text).replace("nbthread 1", "nbthread 2")


APART = {
    "nginx round_robin": ("nginx", lambda text: nginx(text, rotates=True, reuse=True), "nginx_round_robin"),
    "nginx least_conn": ("nginx", lambda text: nginx(text, reuse=True), "nginx_least_conn"),
    "Envoy ROUND_ROBIN": ("envoy", lambda text: envoy(text, "ROUND_ROBIN"), "envoy_round_robin"),
}
TOGETHER = {
    "nginx round_robin": ("nginx", lambda text: nginx(text, rotates=True, reuse=True, zone=True), "nginx_round_robin", {}),
    "nginx least_conn": ("nginx", lambda text: nginx(text, reuse=True, zone=True), "nginx_least_conn", {}),
    "HAProxy leastconn": ("haproxy", two_threads(haproxy), "haproxy_leastconn", {}),
    "HAProxy roundrobin": ("haproxy", two_threads(lambda text: haproxy(text, rotates=True)), "haproxy_roundrobin", {}),
    "Envoy FULL_SCAN": ("envoy", None, "envoy_least_request", {"choices": 0}),
}


@pytest.mark.parametrize("case", APART)
def test_two_workers_decide_each_for_itself(tmp_path, case):
    """docs/conformance.md: what is found in real proxies."""
    name, edit, reference = APART[case]
    seen = decisions(name, tmp_path / "proxy", edit, two_workers, count=250)
    assert judge(seen, create(reference, EQUAL, {})).first is not None


@pytest.mark.parametrize("case", TOGETHER)
def test_two_workers_that_share_what_they_count_decide_as_one(tmp_path, case):
    name, edit, reference, options = TOGETHER[case]
    seen = decisions(name, tmp_path / "proxy", edit, two_workers, count=250)
    found = judge(seen, create(reference, EQUAL, options))
    assert found.first is None and found.judged >= 0.5 * found.decisions


def test_a_run_of_aegis_is_judged_by_its_decisions_and_from_outside(tmp_path, capsys):
    folder = tmp_path / "run"
    done = run(
        "+scenario=failover", "policy=least_request", "router.decisions=true", "ledger=always", "summary=never",
        "tracking.enabled=false", "counterfactual=never", "workload.rate_rps=60", "workload.duration_s=8",
        "workload.warmup_s=1", "faults=[{at_s: 3, action: kill, target: r2, for_s: 2}]", f"hydra.run.dir={folder}",
    )  # fmt: skip
    assert done.returncode in (0, 3), done.stdout + done.stderr
    assert conformance.main([str(folder), "--json"]) == 0
    told = json.loads((folder / "conformance.json").read_text(encoding="utf-8"))
    assert told["conforms"] and told["judged"] == told["decisions"] >= 400
    assert conformance.main([str(folder), "--policy", "least_request"]) == 0
    assert "could have been wrong" in capsys.readouterr().out
    assert conformance.main([str(folder), "--policy", "haproxy_roundrobin"]) == conformance.OTHERWISE
    assert re.search(r"first at decision \d+: request \d+, .* s, picked r\d", capsys.readouterr().out)

    path = folder / "logs" / "decisions.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    place, line = next((n, json.loads(text)) for n, text in enumerate(lines) if n > 900 and '"do":"pick"' in text)
    line["picked"] = "r1" if line["picked"] != "r1" else "r3"
    path.write_text("\n".join([*lines[:place], json.dumps(line), *lines[place + 1 :]]) + "\n", encoding="utf-8")
    assert conformance.main([str(folder)]) == conformance.OTHERWISE
    assert f"request {line['id']}, " in capsys.readouterr().out


def test_what_cannot_be_judged_is_refused_in_a_line(tmp_path, capsys):
    simulated = tmp_path / "sim"
    assert run("+scenario=routed", "engine=sim", "summary=never", "tracking.enabled=false", f"hydra.run.dir={simulated}",
               "workload.duration_s=5", "workload.warmup_s=1").returncode in (0, 3)  # fmt: skip
    for arguments, word in (
        ([str(tmp_path / "none")], "manifest.json"), ([str(simulated), "--policy", "random"], "was simulated"),
        ([str(simulated)], "router.decisions=true"), ([str(simulated), "--policy", "rand"], "nginx_least_conn"),
        ([str(simulated), "--policy", "random", "--option", "choices=2"], "choices"),
    ):  # fmt: skip
        assert conformance.main(arguments) == conformance.WRONG
        said = capsys.readouterr().err
        assert word in said and len(said.splitlines()) == 1
