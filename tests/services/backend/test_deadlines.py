"""A live replica and the time it has: work that nobody waits for any more, checks that stand behind the work."""

import asyncio

import pytest

from services.backend.work import CpuWork
from tests.services.live import backend, client, eventually, json_of


@pytest.fixture(scope="module")
def queueing():
    with backend("--concurrency", 1, "--queue-limit", 1, "--checks", "queue") as started:
        yield started


async def work(session, started, demand, **headers):
    headers = {"X-Aegis-Demand-Ms": str(demand), **headers}
    async with session.get(f"{started.url}/work", headers=headers) as response:
        return response.status, await response.json()


async def there(session, started, count):
    async def seen():
        return (await json_of(session, f"{started.admin}/probe"))["in_flight"] == count

    await eventually(seen, f"{count} in flight")


async def expired(session, started):
    """The answer to work whose deadline passes while it stands in line, and whose turn comes then."""
    first = asyncio.create_task(work(session, started, 60_000))
    await there(session, started, 1)
    second = asyncio.create_task(work(session, started, 60_000, **{"X-Aegis-Deadline-Ms": "20"}))
    await there(session, started, 2)
    await asyncio.sleep(0.05)
    first.cancel()
    return await second


async def test_work_whose_turn_comes_after_its_deadline_is_not_begun(queueing):
    async with client() as session:
        status, body = await expired(session, queueing)
        assert status == 504 and "deadline" in body["error"]
        assert (await work(session, queueing, 1, **{"X-Aegis-Deadline-Ms": "60000"}))[0] == 200
        async with session.get(f"{queueing.admin}/metrics") as response:
            assert 'aegis_replica_requests_total{code="504",outcome="expired"} 1.0' in await response.text()


@pytest.mark.parametrize("wrong", ["-1", "nan", "soon", "86400001"])
async def test_a_deadline_out_of_bounds_is_422_with_the_bounds(queueing, wrong):
    async with client() as session:
        status, body = await work(session, queueing, 1, **{"X-Aegis-Deadline-Ms": wrong})
        assert status == 422 and "X-Aegis-Deadline-Ms" in body["error"] and "between 0 and" in body["error"]


async def test_a_check_stands_behind_the_work_and_fails_where_the_line_is_full(queueing):
    async with client() as session:
        first = asyncio.create_task(work(session, queueing, 60_000))
        await there(session, queueing, 1)
        check = asyncio.create_task(session.get(f"{queueing.url}/readyz"))

        async def in_line():
            return (await json_of(session, f"{queueing.admin}/probe"))["waiting"] == 1

        await eventually(in_line, "the check in line")
        async with session.get(f"{queueing.url}/readyz") as response:
            assert response.status == 503
        assert not check.done()
        first.cancel()
        async with await check as response:
            assert response.status == 200


async def test_checks_in_line_do_not_make_work_that_burns_cpu_look_short():
    work = CpuWork(1, 100, 1.0)
    await work.serve(0.03)
    expected_s = work._mean_s
    for _ in range(20):
        await work.serve(0.0)
    assert work._mean_s == expected_s > 0


async def test_work_that_burns_cpu_is_not_begun_late_either():
    with backend("--concurrency", 1, "--kind", "cpu") as started:
        async with client() as session:
            assert (await expired(session, started))[0] == 504
