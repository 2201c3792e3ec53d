"""A real Prometheus at a real stack: everything that is scraped, discovered, recorded and asked for."""

import json
import math
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from types import SimpleNamespace

import pytest
import yaml

from analysis import boards
from tests.ports import free_port
from tests.running import AT_MOST_S, ROOT, wait_for
from tests.services.live import Service
from tests.system.browsing import answers, binary, end, get, spawn

FOLDER = ROOT / "monitoring" / "prometheus"


def configured(folder, front, manager):
    """The configuration with the run's addresses in it, beside the rules."""
    text = (FOLDER / "prometheus.yml").read_text()
    for name, url in (("router:8081", front.admin), ("manager:8082", manager.url)):
        assert name in text
        text = text.replace(name, url.removeprefix("http://"))
    assert not re.search(r"(router|manager):\d", text)
    (folder / "prometheus.yml").write_text(text)
    (folder / "rules.yml").write_text((FOLDER / "rules.yml").read_text())


class Load(threading.Thread):
    """Twenty light requests a second, of every kind there is, until `stop`."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.stopping, self.statuses = url, threading.Event(), []

    def run(self):
        number = 0
        while not self.stopping.wait(0.05):
            number += 1
            # A POST is not retried once it was sent, so that faults reach the client; a wrong header is a 422.
            headers = {"X-Aegis-Demand-Ms": "nonsense" if number % 20 == 0 else str(5 + number % 10)}
            method = "POST" if number % 4 == 0 else "GET"
            try:
                request = urllib.request.Request(f"{self.url}/work", headers=headers, method=method)
                with urllib.request.urlopen(request, timeout=60) as response:
                    self.statuses.append(response.status)
            except urllib.error.HTTPError as error:
                self.statuses.append(error.code)

    def stop(self):
        self.stopping.set()
        self.join(AT_MOST_S)


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A router, a manager that keeps two replicas, load, and Prometheus, which sees all of it."""
    program = binary("prometheus", "prometheus")
    folder = tmp_path_factory.mktemp("monitoring")
    content = {"scaling": {"min_replicas": 2, "max_replicas": 3}, "replica": {"concurrency": 2}, "replicas": 2}
    (folder / "manager.json").write_text(json.dumps(content))
    started = []
    try:
        front = Service("router", "--port", 0, "--admin-port", 0, "--policy", "round_robin")
        started.append(front)
        manager = Service(
            "manager", "--port", 0, "--router", front.admin, "--config", folder / "manager.json", "--log-dir", folder
        )
        started.append(manager)
        configured(folder, front, manager)
        port = free_port()
        prometheus = spawn(
            [
                program, "--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{port}",
                "--storage.tsdb.path=data", "--log.level=warn",
            ],
            folder / "prometheus.log", cwd=folder,
        )  # fmt: skip
        load = Load(front.url)
        load.start()
        began = time.time()
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(lambda: answers(f"{url}/-/ready"), f"Prometheus: {(folder / 'prometheus.log').read_text()}")
            yield SimpleNamespace(url=url, front=front, manager=manager, load=load, began=began)
        finally:
            load.stop()
            end(prometheus)
    finally:
        for service in reversed(started):
            service.stop()


def api(stack, path, **query):
    found = json.loads(get(f"{stack.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"))
    assert found["status"] == "success", found
    return found["data"]


def targets(stack):
    """Health by instance."""
    return {t["labels"]["instance"]: t["health"] for t in api(stack, "targets", state="active")["activeTargets"]}


def put(url, body):
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method="PUT")
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.status


def values(stack, expr):
    """Finite values of a query since the stack began, by Prometheus' range query at the scrapes' pace."""
    found = boards.query_range(
        stack.url, boards.expand(expr, boards.SCRAPE_S), stack.began, time.time(), boards.SCRAPE_S
    )
    return [float(value) for series in found for _, value in series["values"] if math.isfinite(float(value))]


@pytest.fixture(scope="module")
def hurt(stack):
    """The stack after a replica came, failed at work, and was killed; Prometheus has seen it all."""
    wait_for(lambda: targets(stack) == dict.fromkeys(("router", "manager", "r1", "r2"), "up"), "all are scraped")
    guest = Service(
        "backend", "--port", 0, "--admin-port", 0, "--router", stack.front.admin, "--id", "guest", "--speed", 0.5
    )
    try:
        wait_for(lambda: targets(stack).get("guest") == "up", "the guest is scraped")
        put(f"{guest.admin}/faults", {"lie": {}})
        wait_for(lambda: values(stack, 'aegis_router_replica_ejections_total{replica="guest"} > 0'), "an ejection")
        wait_for(lambda: values(stack, 'aegis_replica_fault_active{kind="lie"} == 1'), "the fault is seen")
        wait_for(lambda: 500 in stack.load.statuses, "a request that is not retried has failed")
        guest.process.send_signal(signal.SIGKILL)
        # Its own lease may be over before the next scrape is; with this one it is seen to be down for sure.
        put(f"{stack.front.admin}/replicas/guest", {"lease_s": 3000})
        wait_for(lambda: targets(stack).get("guest") == "down", "the guest is seen to be down")
        # A board looks every other second: the guest is a target until one of its steps has fallen in there.
        down = 'up{replica="guest"} == 0 and on (replica) aegis_router_replica_state'
        wait_for(lambda: values(stack, down), "a board sees the guest down")
        put(f"{stack.front.admin}/replicas/guest", {"lease_s": 1})
        wait_for(lambda: "guest" not in targets(stack), "the guest is no target any more")
    finally:
        guest.stop()
    return stack


def test_a_replica_that_comes_and_goes_appears_in_the_targets_and_vanishes_with_its_series(hurt):
    assert sorted(targets(hurt)) == ["manager", "r1", "r2", "router"]
    for instance in ("r1", "r2"):
        (series,) = api(hurt, "query", query=f'aegis_replica_slots{{replica="{instance}"}}')["result"]
        assert series["metric"]["instance"] == instance and series["metric"]["job"] == "aegis-replicas"
        assert not [label for label in series["metric"] if "meta" in label or label in ("state", "url")]

    def now(expr):
        return api(hurt, "query", query=expr)["result"]

    wait_for(lambda: not now('{__name__=~"aegis_.+", replica="guest"}'), "no series of the guest is left")


def queries():
    for name in boards.names():
        board = boards.load(name)
        for panel in board["panels"]:
            for target in panel["targets"]:
                yield name, panel["title"], target["expr"]
        for annotation in boards.annotations(board):
            yield name, annotation["name"], annotation["expr"]


@pytest.mark.parametrize(("board", "title", "expr"), list(queries()), ids=lambda text: text[:50])
def test_every_query_of_every_board_has_an_answer(hurt, board, title, expr):
    wait_for(lambda: values(hurt, expr), f"{board}, {title}: {expr} has values")


@pytest.mark.parametrize("name", boards.names())
def test_every_variable_of_a_board_has_choices(hurt, name):
    for variable in boards.load(name)["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"]).groups()
            series = api(hurt, "series", **{"match[]": boards.expand(metric, boards.SCRAPE_S)})
            found = {one[label] for one in series}
            assert found >= {"r1", "r2"} if label == "replica" else found == {"aegis"}


def test_every_rule_works_and_is_about_something_that_is_there(hurt):
    groups = yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        if "record" in rule:
            wait_for(lambda name=rule["record"]: values(hurt, name), f"{rule['record']} has values")
            wait_for(lambda expr=rule["expr"]: values(hurt, expr), f"{rule} has values")
        else:  # what does not fire has no result; what is compared must have one
            compared = re.fullmatch(r"(.+) (==|!=|>|<) [\d.]+", rule["expr"], flags=re.S).group(1)
            wait_for(lambda expr=compared: values(hurt, expr), f"{rule} compares values")
    for group in api(hurt, "rules")["groups"]:
        for rule in group["rules"]:
            assert rule["health"] == "ok", rule


def test_every_metric_is_documented_and_every_documented_metric_is_there(hurt):
    names = set(api(hurt, "label/__name__/values"))
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in names if name.startswith("aegis_")}
    text = (ROOT / "docs" / "monitoring.md").read_text()
    assert shown == set(re.findall(r"^\| `(aegis_\w+)`", text, flags=re.M))


def test_the_killed_replica_and_its_ejection_raise_alerts(hurt):
    for name in ("AegisReplicaEjected", "AegisReplicaLost"):
        wait_for(lambda name=name: values(hurt, f'ALERTS{{alertname="{name}", alertstate="firing"}}'), name)


def test_a_board_is_drawn_as_a_picture(hurt, tmp_path):
    path = tmp_path / "board.png"
    command = [sys.executable, "-m", "analysis.boards", hurt.url, path, "--last", "60"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=AT_MOST_S, check=False)
    assert done.returncode == 0, done.stderr
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 50_000


def test_what_prometheus_counts_is_what_the_clients_got(hurt):
    statuses = hurt.load.statuses
    wait_for(lambda: len(statuses) > 200, "many requests")
    hurt.load.stop()
    assert {200, 422, 500} <= set(statuses)
    expected = Counter(f"{status // 100}xx" for status in statuses)

    def counted():
        found = api(hurt, "query", query="sum by (outcome) (aegis_router_requests_total) > 0")["result"]
        return {series["metric"]["outcome"]: int(series["value"][1]) for series in found}

    wait_for(lambda: counted() == expected, f"{expected} is counted")
