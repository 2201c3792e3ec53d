"""What a router learns from pooled connections that were dead, and what it does about them."""

import asyncio
import contextlib

import pytest

from services.router.idle_limit import KEPT_S, LEAST_S, IdleLimit
from tests.services.live import client, router
from tests.services.router.raw import raw_client, raw_replica


def test_nothing_is_distrusted_before_something_was_dead():
    assert IdleLimit().trusts(14.9, 0.0)


@pytest.mark.parametrize(("remembers_s", "most"), [(0.6, 5), (2.0, 3), (5.0, 2), (14.0, 1)])
def test_a_few_dead_connections_teach_how_long_what_lies_between_remembers(remembers_s, most):
    limit, dead = IdleLimit(), 0
    for moment in range(100):  # the pool offers the oldest one that it trusts
        idle_s = max((age / 10 for age in range(150) if limit.trusts(age / 10, moment)), default=0.0)
        if idle_s > remembers_s:
            dead += 1
            limit.silent(idle_s, moment)
    assert dead == most


def test_what_was_learnt_is_never_made_longer_and_forgotten_after_a_while():
    limit = IdleLimit()
    limit.silent(8.0, 10.0)
    assert limit.trusts(3.9, 11.0) and not limit.trusts(4.0, 11.0)
    limit.silent(14.0, 12.0)  # says less than is known
    assert not limit.trusts(4.0, 12.0 + KEPT_S)
    assert limit.trusts(4.0, 12.1 + KEPT_S)
    limit.silent(14.0, 400.0)
    assert limit.trusts(6.9, 401.0) and not limit.trusts(7.0, 401.0)


def test_a_connection_that_was_idle_for_a_moment_only_says_nothing_of_how_long_others_may_be():
    limit = IdleLimit()
    limit.silent(LEAST_S / 2, 0.0)  # the replica hangs, or all were forgotten at once
    assert limit.trusts(14.0, 1.0)


@pytest.mark.parametrize("replicas", [1, 2])
async def test_a_retry_after_silence_on_a_pooled_connection_goes_by_a_new_one(replicas):
    """A firewall that has forgotten all: each pooled connection would cost a request one attempt, and three the answer."""
    served, both = set(), asyncio.Event()

    async def once_a_connection(head, writer):
        if writer not in served:
            served.add(writer)
            if len(served) == 2:
                both.set()
            await both.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    settings = {"router": {"health": {"enabled": False}, "timeouts": {"attempt_s": 1.5}, "retry": {"max_attempts": 2}}}
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(client())
        front = stack.enter_context(router(settings=settings))
        names = ["a", "b"][:replicas]
        found = [await stack.enter_async_context(raw_replica(front, session, once_a_connection, id_)) for id_ in names]
        clients = [await stack.enter_async_context(raw_client(front)) for _ in range(3)]
        for each in clients[:2]:  # side by side, so that there are two connections
            await each.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert [(await each.answer())[0] for each in clients[:2]] == [200, 200]
        await clients[2].send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await clients[2].answer())[0] == 200
        assert sum(len(replica.seen) for replica in found) == 4  # two, then one in vain, then again
