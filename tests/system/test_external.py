"""A service and a proxy of the user's own under the whole instrument, with real processes."""

import contextlib
import json
import shutil
import subprocess
import sys
import urllib.error
import urllib.request

import pandas as pd
import pytest

from tests.ports import free_ports, free_row
from tests.running import AT_MOST_S, BUSY, PATIENT, ROOT, events, manifest, metrics, run, start, wait_for

SHORT = [
    "tracking.enabled=false", "summary=never", "workload.rate_rps=40", "workload.warmup_s=0.5", PATIENT,
    *BUSY,
]  # fmt: skip
SERVICE = """\
import asyncio, pathlib, sys
from aiohttp import web

down = pathlib.Path(sys.argv[2])

async def answer(request):
    if request.headers.get("Authorization") != "Bearer s3cret":
        return web.Response(status=401)
    await asyncio.sleep(float(sys.argv[3]))
    return web.Response(status=503 if down.exists() else 200, text="ok", headers={"Server": "shop/7"})

app = web.Application()
app.router.add_get("/items/{key}", answer)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
"""
NGINX = """\
daemon off; master_process on; pid {folder}/pid; error_log {folder}/error.log warn; worker_processes 1;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  upstream replicas {{ server 127.0.0.1:{one}; server 127.0.0.1:{two}; keepalive 16; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://replicas; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""
SLOWER_S = 0.2
"""More than a busy machine adds to a median."""
PROGRAM = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


@contextlib.contextmanager
def running(command, port):
    """A process of the user's, once it answers HTTP; ended in order."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers():
        assert process.poll() is None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return True
        except OSError:
            return False

    try:
        wait_for(answers, "the service answers")
        yield process
    finally:
        process.terminate()
        process.wait(AT_MOST_S)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Two versions of a service, the second slower by `SLOWER_S`, that want a token: their addresses and a folder."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "service.py").write_text(SERVICE)
    (folder / "headers").write_text("Authorization: Bearer s3cret\n")
    ports = free_ports(2)
    commands = [
        [sys.executable, str(folder / "service.py"), str(port), str(folder / f"down-{number}"), str(number * SLOWER_S)]
        for number, port in enumerate(ports)
    ]
    with running(commands[0], ports[0]), running(commands[1], ports[1]):
        yield [f"http://127.0.0.1:{port}" for port in ports], folder


def asked(folder):
    return [f"load.headers_file={folder / 'headers'}", 'load.path="/items/{key}"']


@pytest.fixture(scope="module")
def measured(shop, tmp_path_factory):
    """A run of the first version, which a command takes down for a second."""
    (url, _), folder = shop
    place = tmp_path_factory.mktemp("alone")
    hurt = f"inject: 'touch {folder}/down-0; echo it is down', heal: 'rm {folder}/down-0'"
    done = run(
        "+scenario=routed", "router=external", f"router.url={url}", *SHORT, *asked(folder), "workload.duration_s=5",
        f"faults=[{{at_s: 2, action: command, {hurt}, for_s: 1}}]", f"hydra.run.dir={place}",
    )  # fmt: skip
    assert done.returncode in (0, 3), done.stdout + done.stderr
    return place, done, url


def test_a_service_alone_is_measured_and_what_it_does_not_tell_is_null(measured):
    place, done, url = measured
    found, about = metrics(place), manifest(place)
    assert about["server"] == "shop/7" and about["config"]["replicas"] == 0
    # It counts from when the command begins: requests may be ahead of what it does.
    assert found["error_rate_fault"] > 0 and found["error_rate_steady"] == 0 and found["latency_p50_ms"] is not None
    assert found["requests_fault"] > 0 and found["error_rate_http_error"] == found["error_rate"]
    for key in ("retried_requests", "queue_p50_ms", "floor_p99_ms", "replica_seconds", "detection_s"):
        assert found[key] is None
    assert found["cpu_router_cores"] > 0  # it was found by its port
    assert any(text.startswith(f"{url} is not of Aegis") for text in found["warnings"])
    assert "replicas=0 instead of 4" in done.stderr and f"in 5 s, {url}" in done.stdout


def test_a_command_has_its_moments_its_output_and_its_phase(measured):
    place, _, _ = measured
    told = [event for event in events(place) if event["event"].startswith("fault_")]
    assert [(event["event"], event["action"], event["target"], event["planned_s"]) for event in told] == [
        ("fault_injected", "command", "system", 2.0), ("fault_healed", "command", "system", 3.0)
    ]  # fmt: skip
    assert "it is down" in (place / "logs" / "command-0.log").read_text()
    rows = pd.read_parquet(place / "requests.parquet")
    assert set(rows.loc[rows["status"] == 503, "phase"]) <= {"fault", "recovery"}  # one may be under way at the heal


def test_the_token_is_in_no_file_of_the_run(measured):
    place, done, _ = measured
    assert "s3cret" not in done.stdout + done.stderr
    for path in place.rglob("*"):
        assert path.is_dir() or b"s3cret" not in path.read_bytes(), path


def test_without_the_token_a_run_fails_in_one_line(shop, tmp_path):
    (url, _), _ = shop
    done = run(
        "+scenario=routed", "router=external", f"router.url={url}", *SHORT, "load.path=/items/a", "replicas=0",
        f"hydra.run.dir={tmp_path}",
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("routed failed: ") and "is answered 401: load.headers_file" in done.stderr


def test_a_command_that_fails_makes_the_run_invalid_and_a_killed_runner_still_heals(shop, tmp_path):
    (url, _), folder = shop
    healed = tmp_path / "healed"
    faults = (
        "faults=[{at_s: 0.2, action: command, inject: 'echo no such pod; exit 7'},"
        f"{{at_s: 0.3, action: command, inject: 'true', heal: 'touch {healed}', for_s: 50}}]"
    )
    process = start(
        "+scenario=routed", "router=external", f"router.url={url}", *SHORT, *asked(folder), "workload.duration_s=60",
        faults, f"hydra.run.dir={tmp_path / 'run'}",
    )  # fmt: skip
    path = tmp_path / "run" / "events.jsonl"
    wait_for(lambda: path.exists() and '"event": "fault_injected"' in path.read_text(), "both commands ran")
    process.kill()
    process.communicate(timeout=AT_MOST_S)
    wait_for(healed.exists, "the guardian healed it")
    wait_for(lambda: manifest(tmp_path / "run")["exit_reason"] == "killed", "the folder is closed")
    (failed,) = [event for event in events(tmp_path / "run") if event["event"] == "fault_failed"]
    assert failed["reason"] == "exit status 7 of: echo no such pod; exit 7 (no such pod)"
    replayed = subprocess.run(
        [sys.executable, "-m", "experiments.replay", str(tmp_path / "run")], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert replayed.returncode == 2 and "run commands" in replayed.stderr and "--commands" in replayed.stderr


def test_two_versions_are_compared_by_their_addresses(shop, tmp_path):
    urls, folder = shop
    done = subprocess.run(
        [sys.executable, "-m", "experiments.compare_urls", *urls, "--repeats", "1", *SHORT, *asked(folder),
         "workload.duration_s=2", f"hydra.sweep.dir={tmp_path}"],
        cwd=ROOT, capture_output=True, text=True, timeout=AT_MOST_S, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 3), done.stdout + done.stderr
    runs = sorted(path.parent for path in tmp_path.glob("*/manifest.json"))
    assert len(runs) == 2 and len({(manifest(r)["schedule_hash"], manifest(r)["seed"]) for r in runs}) == 1
    (medians,) = [row for row in json.loads((tmp_path / "comparison.json").read_text())
                  if row["metric"] == "latency_p50_ms"]  # fmt: skip
    assert urls[0] in medians["reference"] and urls[1] in medians["arm"] and medians["ratio"] > 1


@pytest.mark.skipif(PROGRAM is None, reason="nginx is not installed")
def test_nginx_before_our_replicas_loses_one_and_it_is_known_who_served(tmp_path):
    first = free_row(3)
    port = first + 2
    conf = tmp_path / "nginx.conf"
    conf.write_text(NGINX.format(folder=tmp_path, one=first, two=first + 1, port=port))
    with running([PROGRAM, "-c", str(conf), "-p", str(tmp_path), "-e", str(tmp_path / "error.log")], port):
        done = run(
            "+scenario=routed", "router=external", f"router.url=http://127.0.0.1:{port}", "replicas=2", *SHORT,
            f"router.replica_port={first}", "workload.duration_s=4.5", "workload.demand.mean_ms=10",
            "faults=[{at_s: 2, action: kill, target: r1}]", f"hydra.run.dir={tmp_path / 'run'}",
        )  # fmt: skip
    assert done.returncode in (0, 3), done.stdout + done.stderr
    found = metrics(tmp_path / "run")
    assert found["share_r1"] > 0 and found["share_r2"] > found["share_r1"]
    assert found["floor_p99_ms"] is not None and found["queue_p50_ms"] is not None and found["utilisation"] > 0
    assert found["cpu_router_cores"] is not None and found["cpu_replicas_cores"] > 0
    for key in ("retried_requests", "detection_s", "faults_undetected", "false_ejections", "amplification"):
        assert found[key] is None
    rows = pd.read_parquet(tmp_path / "run" / "requests.parquet")
    killed_s = next(event["t_s"] for event in events(tmp_path / "run") if event["event"] == "fault_injected")
    late = rows[rows["sent_s"] > killed_s]
    assert set(late.loc[late["outcome"] == "ok", "replica"]) == {"r2"}
    assert manifest(tmp_path / "run")["server"].startswith("nginx/")
