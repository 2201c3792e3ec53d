"""A replica as a process: work, faults, and its life with a router."""

import asyncio
import json
import signal
import subprocess
import sys
import time

import aiohttp
import pytest

from services.backend.renewal import Leaving, may_leave
from services.backend.settings import DRAIN_S, SETTLE_S
from tests.ports import free_ports
from tests.running import AT_MOST_S, ROOT
from tests.services.live import Service, backend, client, eventually, json_of, router, until
from tests.services.router.raw import together, working


@pytest.fixture(scope="module")
def one():
    with backend("--id", "b1", "--concurrency", 2, "--queue-limit", 1) as started:
        yield started


async def work(session, started, demand=1.0, method="GET", **headers):
    headers = {"X-Aegis-Demand-Ms": str(demand), **headers}
    async with session.request(method, f"{started.url}/work", headers=headers) as response:
        return response.status, await response.json(), response.headers


async def faults(session, started, **active):
    async with session.put(f"{started.admin}/faults", json=active) as response:
        return response.status, await response.json()


@pytest.fixture(autouse=True)
async def healed(request, anyio_backend):
    yield
    if "one" in request.fixturenames:
        async with client() as session:
            async with session.delete(f"{request.getfixturevalue('one').admin}/faults") as response:
                assert response.status == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_work_takes_its_demand_and_says_what_it_took(one, method):
    async with client() as session:
        status, body, headers = await work(session, one, 30, method, **{"X-Request-Id": "q1"})
        assert status == 200
        assert body["replica"] == headers["X-Aegis-Replica"] == "b1" and body["request_id"] == "q1"
        assert float(headers["X-Aegis-Service-Ms"]) == 30.0 and float(headers["X-Aegis-Queue-Ms"]) == 0.0
        assert headers["X-Aegis-In-Flight"] == "1"


async def test_without_a_demand_it_draws_its_own(one):
    async with client() as session:
        drawn = {(await json_of(session, f"{one.url}/work"))["service_ms"] for _ in range(3)}
        assert len(drawn) == 3


@pytest.mark.parametrize("demand", ["-1", "60001", "nan", "inf", "much"])
async def test_a_demand_out_of_bounds_is_422_with_the_bounds(one, demand):
    async with client() as session:
        status, body, _ = await work(session, one, demand)
        assert status == 422
        assert "between 0 and 60000" in body["error"]


async def in_flight(session, started, count):
    async def there():
        return (await json_of(session, f"{started.admin}/probe"))["in_flight"] == count or None

    await eventually(there, f"{count} in flight")


async def test_the_queue_is_first_in_first_out_and_its_overflow_503_at_once(one):
    async with client() as session:
        began = time.monotonic()
        serving = [asyncio.create_task(work(session, one, 60_000)) for _ in range(2)]
        await in_flight(session, one, 2)
        waiting = asyncio.create_task(work(session, one, 10))
        await in_flight(session, one, 3)
        probe = await json_of(session, f"{one.url}/probe")
        assert probe["waiting"] == 1 and 0 < probe["wait_ms"] <= 60_010
        status, _, headers = await work(session, one, 10)
        assert status == 503 and headers["X-Aegis-In-Flight"] == "4"
        serving[1].cancel()  # who is in front gives up
        status, body, _ = await waiting
        assert status == 200 and 0 < body["queue_ms"] <= (time.monotonic() - began) * 1e3
        serving[0].cancel()
        await in_flight(session, one, 0)


async def test_a_client_that_hangs_up_frees_its_slot(one):
    async with client() as session:
        blocked = [asyncio.create_task(work(session, one, 30_000)) for _ in range(2)]
        await in_flight(session, one, 2)
        for task in blocked:
            task.cancel()
        await in_flight(session, one, 0)
        status, body, _ = await work(session, one, 5)
        assert status == 200 and body["queue_ms"] == 0.0


@pytest.mark.parametrize(
    ("active", "work_status", "ready_status"),
    [
        ({"error": {}}, 500, 500),
        ({"error": {"check_rate": 0}}, 500, 200),
        ({"error": {"rate": 0, "check_rate": 1}}, 200, 500),
        ({"lie": {}}, 500, 200),
        ({"slow": {"factor": 2}}, 200, 200),
    ],
)
async def test_a_fault_is_seen_by_work_and_by_the_health_check_as_it_should(one, active, work_status, ready_status):
    async with client() as session:
        status, set_ = await faults(session, one, **active)
        assert status == 200 and set_.keys() == active.keys()
        assert await json_of(session, f"{one.url}/faults") == set_
        status, body, _ = await work(session, one, 20)
        assert status == work_status
        if "slow" in active:
            assert body["service_ms"] == 40.0
        async with session.get(f"{one.url}/readyz") as response:
            assert response.status == ready_status


async def test_hang_never_answers_and_reset_cuts_the_connection(one):
    async with client() as session:
        await faults(session, one, hang={})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.4):
                await work(session, one)
        await faults(session, one, reset={})
        with pytest.raises(aiohttp.ClientConnectionError):
            await work(session, one)


async def test_refuse_closes_the_port_and_heals_on_the_admin_port(one):
    async with client() as session:
        assert (await faults(session, one, refuse={}))[0] == 200
        with pytest.raises(aiohttp.ClientConnectorError):
            await work(session, one)
        async with session.delete(f"{one.admin}/faults"):
            assert (await work(session, one))[0] == 200


async def test_refuse_without_an_admin_port_is_409_since_it_could_not_be_healed():
    started = Service("backend", "--port", 0)
    try:
        async with client() as session:
            async with session.put(f"{started.url}/faults", json={"refuse": {}}) as response:
                assert response.status == 409 and "--admin-port" in await response.text()
    finally:
        started.stop()


async def test_a_wrong_fault_is_422_and_changes_nothing(one):
    async with client() as session:
        await faults(session, one, slow={"factor": 2})
        status, body = await faults(session, one, slow={"factor": 0})
        assert status == 422 and "slow.factor=0" in json.dumps(body)
        assert await json_of(session, f"{one.url}/faults") == {"slow": {"factor": 2.0}}


async def test_a_paused_replica_goes_on_where_it_was(one):
    async with client() as session:
        asked = asyncio.create_task(work(session, one, 1000))
        await in_flight(session, one, 1)
        one.process.send_signal(signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(asked), 1.3)
        one.process.send_signal(signal.SIGCONT)
        status, body, _ = await asked
        assert status == 200 and body["service_ms"] > 1300


async def test_cpu_work_burns_cpu_in_its_slots():
    with backend("--kind", "cpu", "--concurrency", 1) as started:
        answers = await together(started, *[working(300)] * 2)
        told = [json.loads(body) for _, _, body in answers]
        assert [status for status, *_ in answers] == [200, 200]
        assert told[0]["service_ms"] >= 299 and max(each["queue_ms"] for each in told) >= 150


async def test_metrics_count_requests_by_their_end(one):
    async with client() as session:
        await work(session, one)
        async with session.get(f"{one.admin}/metrics") as response:
            text = await response.text()
        assert (
            'aegis_replica_requests_total{code="200",outcome="ok"}' in text
            and "aegis_replica_queue_seconds_bucket" in text
        )


async def test_it_registers_renews_and_leaves_in_order_without_losing_a_request():
    async def seen(session, front, count):
        return (await json_of(session, f"{front.admin}/stats"))["requests_total"] >= count

    with router() as front:
        started = Service("backend", "--port", 0, "--id", "b7", "--router", front.admin, "--concurrency", 64)
        async with client() as session:
            await until(session, front.admin, "b7", "ready")
            replica = await json_of(session, f"{front.admin}/replicas/b7")
            assert replica["concurrency"] == 64 and 0 < replica["lease_remaining_s"] <= 3
            stop = asyncio.Event()

            async def send():
                statuses = []
                while not stop.is_set():
                    async with session.get(front.url + "/work", headers={"X-Aegis-Demand-Ms": "40"}) as response:
                        statuses.append((response.status, response.headers.get("X-Aegis-Replica")))
                return statuses

            senders = [asyncio.create_task(send()) for _ in range(4)]
            await eventually(lambda: seen(session, front, 12), "requests were served")
            started.process.terminate()
            await until(session, front.admin, "b7", None)
            stop.set()
            answered = [answer for sender in senders for answer in await sender]
            assert {status for status, replica in answered if replica == "b7"} == {200}
            assert {status for status, replica in answered if replica is None} <= {503}
            words = [event["event"] for event in (await json_of(session, f"{front.admin}/events"))["events"]]
            assert words == ["registered", "readmitted", "draining", "drained"]
        assert started.process.wait(AT_MOST_S) == 0
        started.stop()


async def test_a_killed_replica_expires_and_a_router_that_comes_late_is_found():
    port, admin_port = free_ports(2)
    started = Service("backend", "--port", 0, "--id", "b8", "--router", f"http://127.0.0.1:{admin_port}")
    late = Service("router", "--port", port, "--admin-port", admin_port)
    try:
        async with client() as session:
            await until(session, late.admin, "b8", "ready")
            started.process.kill()
            await until(session, late.admin, "b8", None)
            words = [event["event"] for event in (await json_of(session, f"{late.admin}/events"))["events"]]
            # By failed checks before its lease is over, unless the machine stood still meanwhile; it was the only one, so
            # that its checks are then ignored.
            ends = (["ejected", "panic", "expired", "panic_over"], ["expired"])
            assert words[:2] == ["registered", "readmitted"] and words[2:] in ends
    finally:
        started.stop()
        late.stop()


@pytest.mark.parametrize(
    "body", ["NaN", "[NaN]", '{"\\ud800": {}}', '{"slow": {"factor": "\\ud800"}}', '{"slow": {"factor": NaN}}']
)
async def test_faults_that_json_has_no_text_for_are_422(one, body):
    async with client() as session:
        headers = {"Content-Type": "application/json"}
        async with session.put(f"{one.admin}/faults", data=body, headers=headers) as response:
            assert response.status == 422


async def test_refuse_stays_while_its_port_is_taken_and_can_be_healed_afterwards(one):
    port = int(one.url.rsplit(":", 1)[1])
    async with client() as session:
        assert (await faults(session, one, refuse={}))[0] == 200
        taker = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", port)
        status, said = await faults(session, one)
        assert (status, "refuse: cannot be healed now" in said["detail"]) == (409, True)
        assert await json_of(session, f"{one.admin}/faults") == {"refuse": {}}
        taker.close()
        await taker.wait_closed()
        assert (await faults(session, one))[0] == 200
        assert (await work(session, one))[0] == 200


async def test_a_renewal_leaves_weight_and_state_as_the_operator_set_them():
    with router() as front, backend("--id", "b7", "--router", front.admin, "--weight", 3):
        async with client() as session:
            await until(session, front.admin, "b7", "ready")
            url = f"{front.admin}/replicas/b7"
            assert (await json_of(session, url))["weight"] == 3
            for change in ({"weight": 5}, {"state": "draining"}):
                async with session.put(url, json=change) as response:
                    assert response.status == 200
            left = (await json_of(session, url))["lease_remaining_s"]

            async def renewed():
                nonlocal left
                before, left = left, (await json_of(session, url))["lease_remaining_s"]
                return left > before

            await eventually(renewed, "the lease was renewed")
            found = await json_of(session, url)
            assert (found["weight"], found["state"]) == (5, "draining")


@pytest.mark.parametrize("arguments", [("--id", "bad id"), ("--id", ""), ("--id", "a/b"), ("--router", "foo")])
def test_a_replica_that_could_never_register_does_not_start(arguments):
    done = subprocess.run(
        [sys.executable, "-m", "services.backend", "--port", "0", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=AT_MOST_S, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert arguments[0].removeprefix("--") in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("elapsed_s", "here", "coming", "may"),
    [
        (SETTLE_S / 2, 0, 0, False),
        (SETTLE_S, 0, 0, True),
        (SETTLE_S, 1, 0, False),
        (SETTLE_S, 0, 1, False),
        (SETTLE_S, 0, None, True),
        (DRAIN_S - 0.01, 0, 1, False),
        (DRAIN_S, 1, 1, True),
    ],
)
def test_a_replica_ends_when_nothing_is_here_or_on_its_way_or_its_time_is_over(elapsed_s, here, coming, may):
    assert may_leave(elapsed_s, here, coming) is may


def test_a_replica_that_drains_asks_its_router_ten_times_a_second_and_only_once_it_is_idle_itself():
    def asked(here):
        leaving = Leaving()
        return [n for n in range(18) if leaving.looks(n * 0.03, here(n))]

    assert asked(lambda _: 0) == [4, 8, 12, 16]
    assert asked(lambda _: 1) == []
    assert asked(lambda n: int(n < 7)) == [7, 11, 15]
    assert Leaving().looks(DRAIN_S, 1), "its time is over"


@pytest.mark.parametrize(("on_hangup", "waits"), [("cancel", False), ("finish", True)])
async def test_work_whose_client_hung_up_is_given_up_or_done_for_nobody(on_hangup, waits):
    with backend("--concurrency", 1, "--on-hangup", on_hangup) as started:
        async with client() as session:
            asked = asyncio.create_task(work(session, started, 3000))
            await in_flight(session, started, 1)
            asked.cancel()
            _, _, headers = await work(session, started, 1)
            assert (float(headers["X-Aegis-Queue-Ms"]) > 300) == waits


async def test_processor_sharing_serves_all_at_once():
    with backend("--concurrency", 1, "--discipline", "ps") as started:
        answers = await together(started, *[working(500)] * 3)
        took = [float(headers["x-aegis-service-ms"]) for _, headers, _ in answers]
        assert all(float(headers["x-aegis-queue-ms"]) == 0 for _, headers, _ in answers)
        assert min(took) > 750, "each had a part of the replica, while the others were there"
