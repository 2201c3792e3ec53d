"""The load process as the runner starts it, against real servers: what it sends, when, and what it writes down."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
from aiohttp import web

from experiments.load.command import locust_command
from tests.experiments.sending import Load, answer, schedule, serving
from tests.running import AT_MOST_S, ROOT, processes_of, wait_for


def test_every_request_leaves_at_its_moment_with_its_own_headers_and_the_answers_figures_are_kept(tmp_path):
    planned = schedule()
    with serving(answer) as server:
        load = Load(tmp_path, [server.url], planned)
        t0 = load.start()
        rows = load.end()
    assert rows["request_id"].tolist() == planned["request_id"].tolist()
    assert (rows["scheduled_s"] == planned["scheduled_s"]).all()
    assert (rows["outcome"] == "ok").all() and (rows["status"] == 200).all()
    first = rows.iloc[0]
    assert (first["replica"], first["attempts"], first["queue_s"], first["service_s"], first["router_s"]) == (
        "r7",
        2,
        0.0015,
        0.02,
        0.00025,
    )
    lateness = rows["sent_s"] - rows["scheduled_s"]
    assert (lateness >= 0).all() and lateness.quantile(0.1) < 0.02  # how many are: tests/measuring
    assert (rows["completed_s"] >= rows["sent_s"]).all()
    seen = {int(headers["X-Request-Id"]): (moment, path, headers) for moment, path, headers in server.seen}
    assert len(server.seen) == len(seen) == len(planned)
    for request_id, demand, key in planned[["request_id", "demand_s", "key"]].itertuples(index=False):
        moment, path, headers = seen[request_id]
        assert path == "/work" and float(headers["X-Aegis-Demand-Ms"]) == pytest.approx(demand * 1e3, abs=1e-3)
        assert headers["X-Aegis-Key"] == key
        assert moment - t0 >= planned["scheduled_s"][request_id] - 1e-3
    about = load.about()
    assert about["stopped"] == "complete" and about["sent"] == len(planned) and about["dropped"] == 0


def test_a_post_is_sent_as_such_with_its_body_and_the_next_request_is_read_right_behind_it(tmp_path):
    asked = {}

    async def take(request):
        asked[int(request.headers["X-Request-Id"])] = (request.method, len(await request.read()))
        return await answer(request)

    planned = schedule(post_share=0.5)
    with serving(take) as server:
        load = Load(tmp_path, [server.url], planned, body_bytes=70_000)
        load.start()
        rows = load.end()
    assert (rows["outcome"] == "ok").all()
    expected = [(method, 70_000 if method == "POST" else 0) for method in planned["method"]]
    assert [asked[number] for number in planned["request_id"]] == expected


def test_a_trace_says_how_long_each_body_is(tmp_path):
    asked = {}

    async def take(request):
        asked[int(request.headers["X-Request-Id"])] = len(await request.read())
        return await answer(request)

    planned = schedule(post_share=0.5)
    planned["size"] = (planned["method"] == "POST") * planned["request_id"] * 7
    with serving(take) as server:
        load = Load(tmp_path, [server.url], planned, body_bytes=70_000)
        load.start()
        rows = load.end()
    assert (rows["outcome"] == "ok").all()
    assert [asked[number] for number in planned["request_id"]] == planned["size"].tolist()


def test_clients_ask_again_as_they_are_told_and_a_request_ends_with_its_last_attempt(tmp_path):
    asked: dict[int, list[tuple[float, str | None]]] = {}

    async def third_time_lucky(request):
        number = int(request.headers["X-Request-Id"])
        asked.setdefault(number, []).append((time.monotonic(), request.headers.get("X-Aegis-Send")))
        if number % 4 == 0 and len(asked[number]) < 3:
            return web.Response(status=503)
        if number % 4 == 1 and len(asked[number]) < 2:
            await asyncio.sleep(60)
        return web.Response(status=500) if number % 4 == 2 else await answer(request)

    planned = schedule(rate_rps=40.0, duration_s=1.0, arrivals="uniform")
    retries = {"max_attempts": 3, "attempt_s": 2.0, "backoff_base_s": 0.05, "seed": 1}
    with serving(third_time_lucky) as server:
        load = Load(tmp_path, [server.url], planned, timeout_s=30.0, retries=retries)
        t0 = load.start()
        rows = load.end().set_index("request_id")
    kinds = rows.index.to_numpy() % 4
    assert [set(rows.loc[kinds == kind, "sends"]) for kind in range(4)] == [{3}, {2}, {3}, {1}]
    assert [set(rows.loc[kinds == kind, "outcome"]) for kind in range(4)] == [{"ok"}, {"ok"}, {"http_error"}, {"ok"}]
    for number, row in rows.iterrows():
        moments, said = zip(*asked[number], strict=True)
        assert said == (None, "2", "3")[: row["sends"]]
        assert moments[0] - t0 >= row["sent_s"] - 1e-3 and row["completed_s"] >= moments[-1] - t0
    again = [moments[1][0] - t0 - rows.loc[number, "sent_s"] for number, moments in asked.items() if number % 4 == 1]
    assert min(again) > 2.0 - 1e-3  # the first attempt was given up after 2 s, whatever became of those beside it


def test_a_server_that_stalls_does_not_hold_back_what_is_to_be_sent(tmp_path):
    release = threading.Event()

    async def stall(_request):
        await asyncio.to_thread(release.wait, 30)
        return web.Response()

    planned = schedule(rate_rps=40.0, duration_s=1.5)
    with serving(stall) as server:
        load = Load(tmp_path, [server.url], planned, timeout_s=20.0)
        load.start()
        wait_for(lambda: len(server.seen) == len(planned), "all were sent while none was answered")
        release.set()
        rows = load.end()
    assert (rows["outcome"] == "ok").all()
    assert (rows["completed_s"] - rows["sent_s"]).min() > 0
    assert rows["completed_s"].min() >= rows["sent_s"].max()


def test_every_way_to_fail_has_its_name_and_is_sent_once(tmp_path):
    async def various(request):
        match int(request.headers["X-Request-Id"]) % 4:
            case 0:
                return web.Response(status=503)
            case 1:
                await asyncio.sleep(60)
            case 2:
                request.transport.abort()
        return web.Response()

    planned = schedule(rate_rps=40.0, duration_s=1.0, arrivals="uniform")
    with serving(various) as server:
        load = Load(tmp_path, [server.url], planned, timeout_s=3.0)
        load.start()
        rows = load.end()
        assert len(server.seen) == len(planned) == 40
    names = ["http_error", "timeout", "reset", "ok"]
    assert rows["outcome"].tolist() == [names[request_id % 4] for request_id in rows["request_id"]]
    late = rows[rows["outcome"] == "timeout"]
    assert np.allclose(late["completed_s"] - late["sent_s"], 3.0)
    assert rows["completed_s"].notna().all()
    assert (rows.loc[rows["outcome"] == "http_error", "status"] == 503).all()


def test_nobody_listening_is_refused(tmp_path):
    with serving(answer) as server:
        url = server.url
    load = Load(tmp_path, [url], schedule(rate_rps=20.0, duration_s=1.0))
    load.start()
    assert set(load.end()["outcome"]) == {"refused"}


def test_beyond_the_cap_requests_are_dropped_and_told(tmp_path):
    async def never(_request):
        await asyncio.sleep(60)

    with serving(never) as server:
        load = Load(tmp_path, [server.url], schedule(rate_rps=40.0, duration_s=1.0), max_in_flight=5)
        load.start()
        rows = load.end()
    dropped = rows[rows["outcome"] == "dropped"]
    assert len(dropped) == len(rows) - 5 > 20 and dropped["sent_s"].isna().all() and dropped["completed_s"].isna().all()
    assert load.about()["dropped"] == len(dropped)


def test_a_server_that_means_something_else_by_the_headers_is_measured_all_the_same(tmp_path):
    async def odd(_request):
        headers = {"X-Aegis-Attempts": "99999", "X-Aegis-Queue-Ms": "soon", "X-Aegis-Service-Ms": "nan"}
        return web.Response(headers=headers)

    with serving(odd) as server:
        load = Load(tmp_path, [server.url], schedule(rate_rps=20.0, duration_s=0.5))
        load.start()
        rows = load.end()
    assert set(rows["outcome"]) == {"ok"}
    assert rows[["attempts", "queue_s", "service_s"]].isna().all(axis=None)


def test_two_processes_send_one_schedule_and_two_targets_take_turns(tmp_path):
    planned = schedule()
    with serving(answer) as first, serving(answer) as second:
        load = Load(tmp_path, [first.url, second.url], planned, shards=2)
        load.start()
        rows = load.end()
        assert rows["request_id"].tolist() == planned["request_id"].tolist()
        for server, parity in ((first, 0), (second, 1)):
            assert {int(headers["X-Request-Id"]) % 2 for _, _, headers in server.seen} == {parity}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_keeps_what_was_measured(tmp_path, number):
    with serving(answer) as server:
        load = Load(tmp_path, [server.url], schedule(duration_s=60.0))
        load.start()
        wait_for(lambda: len(server.seen) > 60, "requests were sent")  # the last of them may not be answered
        load.processes[0].send_signal(number)
        rows = load.end()
    assert 20 <= len(rows) < 3000 and (rows["outcome"] == "ok").sum() >= 20
    assert load.about()["stopped"] == "interrupted"


def test_a_load_that_loses_its_parent_writes_its_rows_and_ends(tmp_path):
    # A shell between this test and the load is its parent, and is killed.
    parent = (
        "import json, os, subprocess, sys; path = sys.argv[1]; config = json.load(open(path));"
        "config['parent_pid'] = os.getpid(); json.dump(config, open(path, 'w'));"
        "subprocess.Popen(sys.argv[2:], env={**os.environ, 'AEGIS_LOAD': path}).wait()"
    )
    planned = schedule(duration_s=60.0)
    planned.to_parquet(tmp_path / "schedule.parquet", index=False)
    with serving(answer) as server:
        config = {
            "schedule": str(tmp_path / "schedule.parquet"), "targets": [server.url], "timeout_s": 2.0, "shard": 0, "shards": 1,
            "output": str(tmp_path / "load-0.parquet"), "ready_file": str(tmp_path / "load-0.ready"),
            "start_file": str(tmp_path / "start.json"), "max_in_flight": 2000, "parent_pid": 0, "grace_s": 0.5,
        }  # fmt: skip
        (tmp_path / "load-0.config").write_text(json.dumps(config))
        process = subprocess.Popen(
            [sys.executable, "-c", parent, str(tmp_path / "load-0.config"), *locust_command()],
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for((tmp_path / "load-0.ready").exists, "ready")
        (tmp_path / "start.part").write_text(json.dumps({"t0": time.monotonic() + 0.3}))
        (tmp_path / "start.part").rename(tmp_path / "start.json")
        wait_for(lambda: len(server.seen) > 20, "requests were sent")
        process.kill()
        process.wait()
        wait_for((tmp_path / "load-0.json").exists, "the rows were written before the schedule is over")
        wait_for(lambda: not processes_of(tmp_path), "the load has ended")
    assert json.loads((tmp_path / "load-0.json").read_text())["stopped"] == "parent_gone"
    assert len(pd.read_parquet(tmp_path / "load-0.parquet")) >= 20


def test_a_schedule_that_cannot_be_read_is_said_in_one_line(tmp_path):
    with serving(answer) as server:
        load = Load(tmp_path, [server.url], schedule())
        (tmp_path / "schedule.parquet").write_text("no parquet")
        process = load.processes[0]
        said, _ = process.communicate(timeout=AT_MOST_S)
    assert process.returncode == 1
    assert "schedule.parquet" in said and "Traceback" not in said
