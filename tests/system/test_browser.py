"""The pages that users open, in a real browser: Locust's web UI, MLflow's UI, the services' /docs."""

import json
import re
import signal
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import pytest

from experiments.tracking.address import UI, pages
from tests.ports import free_port, is_free
from tests.running import AT_MOST_S, PATIENT, command, descendants, is_alive, manifest, processes_of, run, wait_for
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
from tests.system.tracked import POLICIES, compared_sweep, log_sweep

SMALL = ["+scenario=routed", "replicas=1", PATIENT]
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
    """A run and a sweep with an invalid run, in a database of their own: future of (uri, run's folder, sweep's)."""
    uri, folder = f"sqlite:///{place / 'mlflow.db'}", place / "short-run"

    def log():
        done = run(*SHORT, f"hydra.run.dir={folder}", env={"MLFLOW_TRACKING_URI": uri})
        assert done.returncode in (0, 3), done.stderr
        sweep = compared_sweep(place / "sweep", seeds=3, invalid=(5,))
        done = log_sweep(sweep, env={"MLFLOW_TRACKING_URI": uri})
        assert done.returncode == 0, done.stderr
        return uri, folder, sweep

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
        wait_for(lambda: started[0].poll() is not None or answers(url), f"{url} answers")
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
        wait_for(lambda: answers(url), f"{url} answers")
        with ThreadPoolExecutor() as pool:
            other = pool.submit(begin, 1)
            form, counted, failures = session_page(browser, url)
            other_url = other.result()
        wait_for(lambda: answers(other_url), f"{other_url} answers")
        stats = json.loads(get(f"{url}/stats/requests"))
        below = [child for process in started for child in descendants(process)]
        for process in started:
            process.send_signal(signal.SIGINT)
        status, other_status = (process.wait(AT_MOST_S) for process in started)

        def left():
            alive = [p for p in below if is_alive(p)]
            return alive + [p for folder in folders for p in processes_of(folder)]

        wait_for(lambda: not left(), f"no process is left: {left()}")
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
    _, folder, _ = logged.result()
    browser.get(page_of(folder, url))
    shows(browser, r"latency_p99_ms")
    shows(browser, manifest(folder)["git"]["commit"][:7])
    shows(browser, r"schedule \([0-9a-f]{36}\)")
    shows(browser, r"\bVALID\b|\bINVALID\b")  # its description is its verdict


def page_of(folder, url, which=0):
    """The address that is printed of what lies in a folder, of this server: its own page, or the list of all (1)."""
    printed = [line.split()[-1] for line in pages(folder) if "/#/" in line]
    return printed[which].replace(UI, url)


def test_the_list_that_a_run_names_shows_scenario_arm_seed_and_validity(mlflow_ui, browser, logged):
    url = mlflow_ui()
    _, folder, _ = logged.result()
    browser.get(page_of(folder, url, 1))
    shows(browser, r"routed-short-run")
    shows(browser, r"(?s)scenario\s+arm\s+seed\s+valid\s")
    shows(browser, r"round_robin")  # the sweep's arms
    shows(browser, r"5 of 6")


def test_the_page_of_a_sweep_says_what_it_found_of_which_runs_and_with_which_settings(mlflow_ui, browser, logged):
    url = mlflow_ui()
    _, _, sweep = logged.result()
    browser.get(page_of(sweep, url))
    shows(browser, r"BETTER\. policy=peak_ewma is better than policy=round_robin")
    shows(browser, r"(?s)policy=peak_ewma against policy=round_robin.*\blatency_p99_ms \(primary\).*\bx 0\.\d+ \[")
    shows(browser, r"5 of 6 runs are valid")
    shows(browser, r"vs/peak_ewma/latency_p50_ms")
    shows(browser, r"workload\.duration_s")
    for arm in POLICIES.split(","):
        shows(browser, rf"policy={arm}, seed=2")


def test_the_page_of_an_invalid_run_is_no_finished_one(mlflow_ui, browser, logged):
    url = mlflow_ui()
    _, _, sweep = logged.result()
    browser.get(page_of(sweep / "5", url))
    shows(browser, r"INVALID\. ")
    shows(browser, r"(?s)Status\s+Failed")


def test_two_arms_can_be_compared_in_mlflow(mlflow_ui, browser, logged):
    url = mlflow_ui()
    _, _, sweep = logged.result()
    runs = [json.loads((sweep / job / "tracking.json").read_text())["mlflow_run_id"] for job in "01"]
    browser.get(f"{url}/#/compare-runs?runs={quote(json.dumps(runs))}&experiments={quote(json.dumps(['1']))}")
    shows(browser, r"Comparing 2 Runs")
    shows(browser, r"(?s)policy=round_robin, seed=0\s+policy=peak_ewma, seed=0")
    shows(browser, r"(?s)\blatency_p99_ms\b")
