"""The replicas' ledger: what the simulator's and live ones write down, and what is read from it."""

import asyncio
import os
import time

import numpy as np
import pandas as pd
import pytest
from starlette.requests import Request

from analysis.metrics.measured import in_numbers
from analysis.metrics.work import NAMES
from experiments.plan.config import RouterConfig
from experiments.plan.fault_plan import Fault
from experiments.plan.schedule import build_schedule
from record import work
from record.files import FolderError
from record.metrics import value_of
from record.reading import read
from record.schema import WORK_COLUMNS, WORK_ENDS
from services.backend.faults import parse
from services.backend.ledger import Ledger
from services.backend.replica import Replica
from services.backend.settings import ReplicaSettings
from services.backend.work import CpuWork, SleepWork
from services.backend.work_queue import NEVER
from tests.analysis import synthetic
from tests.experiments.simulated import configured, run
from tests.services.live import eventually

# -- in virtual time


def rows_of(config, faults=()):
    config.ledger = "always"
    stack = run(config, faults, build_schedule(config.workload, config.seed))
    return pd.DataFrame(stack.work, columns=list(WORK_COLUMNS)), stack


def test_where_nothing_fails_every_request_is_done_once_and_takes_its_demand():
    config = configured(0.8, replicas=3, requests=2000)
    rows, stack = rows_of(config)
    schedule = build_schedule(config.workload, config.seed)
    assert sorted(rows["request_id"]) == schedule["request_id"].tolist()
    assert (rows["end"] == "answered").all() and (rows["attempt"] == 1).all()
    took = rows.sort_values("request_id")["ended_s"].to_numpy() - rows.sort_values("request_id")["began_s"].to_numpy()
    assert np.allclose(took, schedule["demand_s"], atol=2e-6)
    assert stack.work is not None and configured().ledger == "auto" and run(configured(requests=50)).work is None


@pytest.mark.parametrize("on_hangup", ["cancel", "finish"])
def test_a_killed_replica_leaves_what_it_had_begun_and_what_is_given_up_ends_as_the_replica_is_told(on_hangup):
    config = configured(0.7, replicas=3, requests=3000, mean_ms=50.0, on_hangup=on_hangup, policy={"name": "round_robin"})
    config.router = RouterConfig()
    config.router.timeouts.attempt_s = 0.2
    config.router.ejection.enabled = False
    config.router.limits.standing_share = 0.0  # each comes to a replica, however long the line
    rows, _ = rows_of(config, [Fault(at_s=20.0, action="kill", target="r1", for_s=5.0)])
    killed = rows[rows["end"] == "killed"]
    assert len(killed) and set(killed["replica"]) == {"r1"} and set(killed["ended_s"]) == {20.0}
    assert killed["began_s"].notna().any() and (killed["began_s"].dropna() < 20.0).all()
    given_up = rows[rows["end"].isin(["cancelled", "unread"])]
    waited = given_up["ended_s"] - given_up["taken_s"]
    assert len(given_up) > 20
    if on_hangup == "cancel":
        assert set(given_up["end"]) == {"cancelled"} and waited.max() < 0.21
    else:
        assert set(given_up["end"]) == {"unread"} and waited.min() > 0.19
        assert given_up["began_s"].notna().all()
    # An attempt given up is followed by another one: nobody has the same number twice.
    assert not rows.duplicated(["request_id", "attempt"]).any()


def test_what_never_came_into_the_queue_is_a_row_without_service():
    config = configured(1.5, replicas=1, requests=500, limit=3)
    config.router = RouterConfig()
    faults = [Fault(at_s=5.0, action="error", target="r1", for_s=3.0, rate=0.5)]
    rows, stack = rows_of(config, faults)
    assert {"answered", "refused", "failed"} <= set(rows["end"])
    assert rows.loc[rows["end"].isin(["refused", "failed"]), "began_s"].isna().all()
    attempts = np.frombuffer(stack.records.attempts, dtype=np.int16)
    assert len(rows) == attempts.sum()  # each of the router's attempts is one row


# -- the lines of a live process


def merged(folder, events=(), t0=0.0):
    work.merge(folder, {"t0_monotonic": t0, "config": {}}, list(events))
    return pd.read_parquet(folder / "work.parquet").set_index("request_id") if (folder / "work.parquet").exists() else None


@pytest.fixture
def place(tmp_path):
    (tmp_path / "raw" / "work").mkdir(parents=True)
    return tmp_path


def test_lines_become_rows_and_the_last_one_of_an_attempt_counts(place):
    t0 = time.monotonic()
    ledger = Ledger(place / "raw" / "work", "r-1.b")
    assert ledger.entry("own-1", "1", "1", "GET") is None and ledger.entry("7", "1", "x", "GET") is None
    entries = [ledger.entry(str(number), "1", "2", "POST") for number in range(4)]
    now = time.monotonic()
    entries[0].taken(now + 0.1)
    entries[0].ended("answered", now + 0.2, now + 0.5)
    entries[1].ended("refused")
    entries[2].taken(now + 0.1)
    entries[2].is_unread = True
    entries[2].ended("answered", now + 0.1, now + 0.3)
    entries[3].taken(now + 9.0)
    entries[3].ended("cancelled", now + 9.0, now + 1.0)
    rows = merged(place, t0=t0)
    assert list(rows.columns) == list(WORK_COLUMNS)[1:]
    assert rows["end"].tolist() == ["answered", "refused", "unread", "cancelled"]
    assert set(rows["end"]) < set(WORK_ENDS)
    assert rows.loc[0, ["send", "attempt", "replica", "method"]].tolist() == [1, 2, "r-1.b", "POST"]
    assert rows.loc[0, "ended_s"] - rows.loc[0, "began_s"] == pytest.approx(0.3, abs=1e-5)
    assert rows.loc[[1, 3], "began_s"].isna().all()


def test_what_has_no_end_ended_with_its_process(place):
    t0 = time.monotonic()
    ledger = Ledger(place / "raw" / "work", "r1")
    ledger.entry("0", "1", "1", "POST").taken(time.monotonic() - 1)
    ledger.entry("1", "1", "1", "GET").taken(time.monotonic() + 100)
    dead = time.monotonic() - t0
    event = {"event": "fault_injected", "action": "kill", "target": "r1", "t_s": dead}
    rows = merged(place, [event], t0)
    assert rows["end"].tolist() == ["killed", "killed"] and rows["ended_s"].tolist() == pytest.approx([dead, dead])
    assert rows["began_s"].notna().tolist() == [True, False]
    (place / "work.parquet").unlink()
    assert (merged(place, [], t0)["ended_s"] <= dead).all()  # nobody says when: it lived until it wrote last


def test_a_ledger_that_was_full_or_torn_says_so_by_its_absence_or_loses_one_line(place, monkeypatch):
    monkeypatch.setattr("services.backend.ledger.MOST_LINES", 2)
    ledger = Ledger(place / "raw" / "work", "r1")
    for number in range(2):
        ledger.entry(str(number), "1", "1", "GET").taken(1.0)
    path = place / "raw" / "work" / f"r1-{os.getpid()}.lines"
    with path.open("a") as file:
        file.write("3 17.0 1")
    assert len(merged(place)) == 2
    (place / "work.parquet").unlink()
    for _ in range(3):
        ledger.entry("9", "1", "1", "GET").taken(1.0)
    assert path.read_text().splitlines()[-1].endswith("full") and len(path.read_text().splitlines()) == 3
    path.write_text(path.read_text().replace("3 17.0 1", ""))
    assert merged(place) is None


async def in_line(kind, place, demand_s):
    """Three requests at once for one slot; who works, and their tasks."""
    spent, ledger = kind(1, 5, 1.0), Ledger(place / "raw" / "work", "r1")
    entries = [ledger.entry(str(number), "1", "1", "POST") for number in range(3)]
    tasks = [asyncio.create_task(spent.serve(demand_s, NEVER, entry)) for entry in entries]
    await asyncio.sleep(0)
    return spent, tasks


async def end(tasks):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def killed(replica, t_s):
    return {"event": "fault_injected", "action": "kill", "target": replica, "t_s": t_s}


async def test_what_is_killed_in_line_had_not_begun_though_it_was_to_have_before_the_replica_became_slow(place):
    spent, tasks = await in_line(SleepWork, place, 1.0)
    spent.set_speed(1e-6)
    rows = merged(place, [killed("r1", time.monotonic() + 60)])  # a minute later, were it to live so long
    assert rows["end"].tolist() == ["killed"] * 3 and rows["began_s"].notna().tolist() == [True, False, False]
    await end(tasks)


async def test_what_is_killed_in_service_had_begun_though_its_turn_came_before_it_was_planned(place):
    _, tasks = await in_line(SleepWork, place, 50.0)
    await end(tasks[:1])
    rows = merged(place, [killed("r1", time.monotonic())])
    assert rows["end"].tolist() == ["cancelled", "killed", "killed"]
    assert rows["began_s"].notna().tolist() == [True, True, False]
    await end(tasks)


@pytest.mark.parametrize("kind", [SleepWork, CpuWork])
async def test_a_turn_that_comes_is_written_down_as_it_comes(place, kind):
    await asyncio.gather(*(await in_line(kind, place, 0.01))[1])
    lines = [line.split(" ") for line in next((place / "raw" / "work").iterdir()).read_text().splitlines()]
    began = [next(words[2] for words in lines if words[0] == number and words[2:4] != ["-", "-"]) for number in "123"]
    on_time = [
        any(words[:4] == [number, words[1], at, "-"] for words in lines)
        for number, at in zip("123", began, strict=True)
    ]
    assert on_time == [True] * 3 and began == sorted(began, key=float)
    assert merged(place)["end"].tolist() == ["answered"] * 3


def test_a_turn_that_comes_as_the_work_is_given_up_does_not_undo_its_end(place):
    entry = Ledger(place / "raw" / "work", "r1").entry("0", "1", "1", "GET")
    entry.ended("cancelled")
    entry.taken(time.monotonic())
    assert merged(place)["end"].tolist() == ["cancelled"]


@pytest.mark.parametrize("fault", [{"latency": {"added_ms": 60_000}}, {"hang": {}}])
async def test_what_waits_in_a_fault_when_its_replica_is_killed_is_a_row_without_service(place, fault):
    bodies = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive():
        return next(bodies, None) or await asyncio.get_running_loop().create_future()

    scope = {"type": "http", "method": "GET", "path": "/work", "headers": [(b"x-request-id", b"7")]}
    replica = Replica(ReplicaSettings(id="r1"), Ledger(place / "raw" / "work", "r1"))
    await replica.set_faults(parse(fault))
    task = asyncio.create_task(replica.work(Request(scope, receive)))

    async def has_come():
        return next((place / "raw" / "work").iterdir()).read_text()

    await eventually(has_come, "a line")
    rows = merged(place)
    assert rows.index.tolist() == [7] and rows["end"].tolist() == ["killed"] and rows["began_s"].isna().all()
    await end([task])


# -- what is read from it


def ledgered(folder, rows, posts=()):
    """A run of 100 requests, 0 to 19 in warm-up, all answered by r1 (even) and r2, with these rows of work."""
    requests = synthetic.even_requests()
    requests["replica"] = np.where(requests["request_id"] % 2, "r2", "r1")
    schedule = synthetic.schedule_at(requests["scheduled_s"].to_numpy(), key="k1")
    schedule["method"] = np.where(schedule["request_id"].isin(posts), "POST", "GET")
    made = synthetic.write(folder, requests, schedule=schedule)
    work.write(made, rows)
    return made


def row(request, replica="r1", attempt=1, began=3.0, ended=3.1, end="answered", taken=3.0):
    return (request, 1, attempt, replica, "GET", taken, began, ended, end)


def test_executions_duplicates_and_waste_are_counted_by_hand(tmp_path):
    rows = [
        *(row(request, "r2" if request % 2 else "r1") for request in range(100)),  # 0.1 s each
        row(20, "r2", ended=3.2, end="cancelled"),  # 0.2 s in vain, and a POST
        row(21, "r1", end="refused", began=None),  # no execution
        row(22, "r1", ended=3.05),  # answered on the same replica, before the one that counts: 0.05 s in vain
        row(5, "r2", end="killed"),  # in warm-up
    ]
    metrics = in_numbers(ledgered(tmp_path, rows, posts=[20, 21, 30])).metrics
    assert metrics["amplification"] == pytest.approx(83 / 80, abs=1e-6)
    assert metrics["executions_per_request"] == pytest.approx(82 / 80)
    assert (metrics["duplicate_requests"], metrics["duplicate_posts"]) == (2, 1)
    assert metrics["wasted_work_s"] == pytest.approx(0.25)
    assert metrics["wasted_work_share"] == pytest.approx(0.25 / 8.25, abs=1e-6)


def test_an_answer_that_came_to_nobody_is_work_in_vain(tmp_path):
    folder = ledgered(tmp_path, [row(request, "r2" if request % 2 else "r1") for request in range(100)])
    requests = pd.read_parquet(folder / "requests.parquet")
    requests.loc[40, "outcome"], requests.loc[41, "replica"] = "timeout", "r1"
    requests.loc[40, "completed_s"] = 14.5
    requests.to_parquet(folder / "requests.parquet", index=False)
    metrics = in_numbers(folder).metrics
    assert metrics["wasted_work_s"] == pytest.approx(0.2) and metrics["duplicate_posts"] is None


def test_a_run_without_a_ledger_says_nothing_of_it(tmp_path):
    metrics = in_numbers(synthetic.write(tmp_path, synthetic.even_requests())).metrics
    assert {value_of(metrics, name) for name in NAMES} == {None}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (row(100), "request_id 100 is not in schedule.parquet"),
        (row(1, began=2.0), "began before it came"),
        (row(1, end="lost"), "end 'lost' is none of"),
    ],
)
def test_a_ledger_of_another_run_or_one_that_cannot_be_is_refused(tmp_path, changed, words):
    with pytest.raises(FolderError, match=words):
        read(ledgered(tmp_path, [changed]))
