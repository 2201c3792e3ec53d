"""The pages that users open, in a real browser: Locust's web UI, MLflow's UI, the services' /docs."""

import json
import re
import signal
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from urllib.parse import urlsplit

import psutil
import pytest

from tests.ports import free_port, is_free
from tests.running import command, manifest, processes_of, run, wait_for
from tests.system.browsing import (
    answers,
    end,
    fill,
    get,
    line,
    open_browser,
    press,
    shows,
    spawn,
    text,
)

SMALL = ["+scenario=routed", "replicas=1"]
SHORT = [*SMALL, "workload.rate_rps=20", "workload.duration_s=2", "workload.warmup_s=0.5"]
ANSWERS_S = 90
"""`mlflow ui` may need a minute on two cores."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def browser(place):
    found = open_browser(place / "profile")
    yield found
    found.quit()


@pytest.fixture(scope="module")
def logged(place):
    """A short run that logs into a database of its own: future of (uri, folder)."""
    uri, folder = f"sqlite:///{place / 'mlflow.db'}", place / "short-run"

    def log():
        done = run(*SHORT, f"hydra.run.dir={folder}", env={"MLFLOW_TRACKING_URI": uri})
        assert done.returncode in (0, 3), done.stderr
        return uri, folder

    with ThreadPoolExecutor() as pool:
        yield pool.submit(log)


# -- Locust's web UI


class Session(NamedTuple):
    form: str
    counted: int
    failures: str
    stopped_at: int
    url: str
    port_was_free: bool
    other_url: str
    status: int
    other_status: int
    printed: str


def session_page(browser, url):
    """Start a load of three users, see requests counted, stop it; what was seen."""
    browser.get(url)
    shows(browser, r"(?i)number of users")
    form = text(browser)
    fill(browser, "userCount", 3)
    press(browser, "start")
    counted = int(shows(browser, r"(?is)\bGET\s+/work\s+(\d*[1-9]\d+)\b").group(1))
    failures = shows(browser, r"(?i)failures\s+(\d+%)").group(1)
    press(browser, "stop")
    shows(browser, r"(?i)status\s+stopped")
    return form, counted, failures


@pytest.fixture(scope="module")
def mlflow_ui(logged, place):
    """`mlflow ui` on that database, on its way: function that waits until it answers and returns its URL."""
    port, log = free_port(), place / "mlflow-ui.log"
    url = f"http://127.0.0.1:{port}"
    started = []

    def begin():
        arguments = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", logged.result()[0]]
        arguments += ["--port", str(port), "--workers", "1"]
        started.append(spawn(arguments, log, cwd=place, MLFLOW_DISABLE_TELEMETRY="true"))

    def answered():
        starting.result()
        wait_for(lambda: started[0].poll() is not None or answers(url), ANSWERS_S, f"{url} answers")
        assert started[0].poll() is None, log.read_text()
        return url

    with ThreadPoolExecutor() as pool:
        starting = pool.submit(begin)
        yield answered
    for process in started:
        end(process)


@pytest.fixture(scope="module")
def session(browser, mlflow_ui, place):
    """`load.ui=true` used to its end, beside a second one that finds the port taken (`mlflow ui` starts meanwhile)."""
    folders, logs = [place / "ui-1", place / "ui-2"], [place / "ui-1.log", place / "ui-2.log"]
    port_was_free = is_free(8089)
    started = []

    def begin(number):
        arguments = command(*SMALL, "load.ui=true", f"hydra.run.dir={folders[number]}")
        started.append(spawn(arguments, logs[number], MLFLOW_TRACKING_URI=f"sqlite:///{place / 'mlflow.db'}"))
        return line(started[number], logs[number], r"web UI: (http://\S+)")

    try:
        url = begin(0)
        wait_for(lambda: answers(url), 60, f"{url} answers")
        with ThreadPoolExecutor() as pool:
            other = pool.submit(begin, 1)
            form, counted, failures = session_page(browser, url)
            other_url = other.result()
        wait_for(lambda: answers(other_url), 60, f"{other_url} answers")
        stats = json.loads(get(f"{url}/stats/requests"))
        below = [child for process in started for child in psutil.Process(process.pid).children(recursive=True)]
        for process in started:
            process.send_signal(signal.SIGINT)
        status, other_status = (process.wait(40) for process in started)

        def left():
            alive = [p for p in below if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
            return alive + [p for folder in folders for p in processes_of(folder)]

        wait_for(lambda: not left(), 30, f"no process is left: {left()}")
    finally:
        for process in started:
            process.kill()
    return Session(
        form, counted, failures, stats["stats"][0]["num_requests"], url, port_was_free, other_url, status,
        other_status, logs[0].read_text(),
    )  # fmt: skip


def test_the_web_ui_starts_a_load_counts_its_requests_and_stops_it(session):
    assert session.counted >= 10
    assert session.failures == "0%"
    assert session.stopped_at >= session.counted


def test_the_web_ui_is_where_the_readme_says_and_elsewhere_when_that_is_taken(session):
    if session.port_was_free:
        assert session.url == "http://127.0.0.1:8089"
    assert session.other_url != session.url


def test_ctrl_c_ends_the_web_ui_in_order_and_leaves_no_process(session):  # which has waited for them
    assert (session.status, session.other_status) == (0, 0), session.printed
    assert "Traceback" not in session.printed


# -- the services' /docs


@pytest.fixture(scope="module")
def documented(place):
    """Router, manager and the manager's replica: the base URLs of the two that have /docs."""
    logs = place / "services"
    logs.mkdir()
    started = []

    def ready(name, *arguments, shows):
        log = logs / f"{name}.log"
        started.append(spawn([sys.executable, "-m", f"services.{name}", "--port", "0", *arguments], log))
        return line(started[-1], log, rf"ready .*{shows}=(\S+)")

    try:
        admin = ready("router", "--admin-port", "0", shows="admin")
        manager = ready("manager", "--router", admin, "--log-dir", str(logs), shows="url")
        yield {"manager": manager, "replica": json.loads(get(f"{manager}/status"))["replicas"][0]["url"]}
    finally:
        for process in reversed(started):
            end(process)


NAMED = {"replica": ("/work", "/faults"), "manager": ("/status", "/scale")}


@pytest.mark.parametrize("service", NAMED)
def test_docs_describe_every_route(documented, service):
    base = documented[service]
    described = json.loads(get(f"{base}/openapi.json"))
    assert set(NAMED[service]) <= set(described["paths"])
    assert described["info"]["title"] in get(f"{base}/docs")


@pytest.mark.parametrize("service", NAMED)
def test_docs_render_in_a_browser_without_the_internet(browser, documented, service):
    base = documented[service]
    loaded = re.findall(r'<(?:script|link)[^>]+(?:src|href)="([^"]+)"', get(f"{base}/docs"))
    foreign = [url for url in loaded if urlsplit(url).netloc and not url.startswith(base)]
    assert not foreign, f"{base}/docs is blank offline, it loads {foreign}"
    browser.get(f"{base}/docs")
    for path in NAMED[service]:
        shows(browser, re.escape(path))


# -- MLflow's UI


def test_a_session_of_the_web_ui_can_be_told_from_a_measurement_in_mlflow(session, mlflow_ui, place):
    url = mlflow_ui()
    asked = json.dumps({"experiment_ids": ["1"], "filter": "tags.mode = 'ui'"}).encode()
    request = urllib.request.Request(
        f"{url}/api/2.0/mlflow/runs/search", data=asked, headers={"Content-Type": "application/json"}
    )
    runs = json.loads(get(request))["runs"]
    tags = [{tag["key"]: tag["value"] for tag in r["data"]["tags"]} for r in runs]
    assert {one["aegis.run_id"] for one in tags} == {"ui-1", "ui-2"}
    assert not any("valid" in one for one in tags)
    assert {r["info"]["status"] for r in runs} == {"FINISHED"}
    assert not (place / "ui-1" / "metrics.json").exists()


def test_mlflow_ui_lists_the_run_and_shows_its_numbers_and_its_commit(mlflow_ui, browser, logged):
    url = mlflow_ui()
    _, folder = logged.result()
    run_id = json.loads((folder / "tracking.json").read_text())["mlflow_run_id"]
    browser.get(f"{url}/#/experiments/1/runs")
    shows(browser, r"\baegis\b")
    shows(browser, r"routed-short-run")
    browser.get(f"{url}/#/experiments/1/runs/{run_id}")
    shows(browser, r"latency_p99_ms")
    shows(browser, manifest(folder)["git"]["commit"][:7])
