"""Who waits for a client, for its upload or for its reading, stands in no line, and nobody is refused for it."""

import pytest

from services.router.settings import EjectionSettings, RetrySettings, RouterSettings
from tests.services.router.staged import Stage

SLOTS = 2
REPLICAS = 3
MANY = 20
"""More than all slots, and the bound's answers: whole requests in their place are an overload."""
REFUSED = b" 503 "


@pytest.fixture(params=["adaptive", "round_robin"])
def stage(monkeypatch, request):
    settings = RouterSettings(ejection=EjectionSettings(enabled=False), retry=RetrySettings(max_attempts=1))
    made = Stage(monkeypatch, settings, REPLICAS, request.param)
    for replica in made.fleet.replicas.values():
        made.fleet.put(replica.id, made.clock.now, concurrency=SLOTS)
    return made


def visit(stage, count=16):
    """One request every 0.25 s that is answered at once; how often one was refused."""
    refused = 0
    for _ in range(count):
        client = stage.ask()
        if client.exchange is not None:
            stage.pool.made[-1].answers()
        refused += REFUSED in client.transport.written
        stage.clock.now += 0.25
    return refused


def resting(stage):
    per_replica = sum(replica.resting for replica in stage.fleet.replicas.values())
    assert per_replica == stage.proxy._means.dispatcher.resting
    return per_replica


def test_uploads_that_clients_still_send_shut_nobody_out(stage):
    assert not visit(stage)
    for _ in range(MANY):
        stage.ask(b"POST", b"a part", is_uploading=True)
    assert (stage.in_flight, resting(stage)) == (MANY, MANY)
    assert not visit(stage)


def test_the_same_ones_whole_and_unanswered_are_an_overload(stage):
    assert not visit(stage)
    for _ in range(MANY):
        stage.ask(b"POST", b"all of it")
    assert resting(stage) == 0
    assert visit(stage)


def test_answers_on_their_way_shut_nobody_out(stage):
    """As server-sent events are: MANY streams without an end, each begun when the last one was."""
    assert not visit(stage)
    for _ in range(MANY):
        stage.ask()
        stage.pool.made[-1].begins_to_stream()
    assert (stage.in_flight, resting(stage)) == (MANY, MANY)
    assert not visit(stage)


def ends_by_its_answer(stage, client, connection):
    client.exchange.request.complete = True
    client.exchange.more()
    assert resting(stage) == 0, "its replica has all of it, and works"
    connection.answers()


def hangs_up(stage, client, connection):
    client.hang_up()


def breaks_off(stage, client, connection):
    connection.breaks()


def is_answered_early(stage, client, connection):
    connection.begins_to_stream()
    assert resting(stage) == 1
    client.exchange.request.complete = True
    client.exchange.more()
    assert resting(stage) == 1, "its answer is still on its way"
    connection.ends_its_answer()


def is_malformed(stage, client, connection):
    client.exchange.request.fault = ("malformed", "a chunk without a size")
    client.exchange.more()


def pauses(stage, client, connection):
    stage.passes(client, 1000.0)


@pytest.mark.parametrize("end", [ends_by_its_answer, hangs_up, breaks_off, is_answered_early, is_malformed, pauses])
def test_each_end_of_an_upload_is_counted_once(stage, end):
    client = stage.ask(b"POST", b"a part", is_uploading=True)
    assert resting(stage) == 1
    end(stage, client, stage.pool.made[-1])
    assert (stage.in_flight, resting(stage), client.ends) in {(0, 0, 1), (0, 0, 0)}
    assert client.exchange is None


def test_streams_beside_a_silent_replica_shut_nobody_out(stage):
    """MANY streams, and of what else comes, 30 a second, a third stays unanswered: no line stands at the two others."""
    for _ in range(MANY):
        stage.ask()
        stage.pool.made[-1].begins_to_stream()
    refused = 0
    for _ in range(150):
        client = stage.ask()
        if client.exchange is not None and stage.pool.made[-1].url != "http://r1":
            stage.pool.made[-1].answers()
        refused += REFUSED in client.transport.written
        stage.clock.now += 1 / 30
        for waiting in [each.asker for each in stage.under_way if each.url == "http://r1" and each.answer is None]:
            if waiting.due <= stage.clock.now:
                waiting._owner._client.exchange.expired()
    assert not refused


def test_a_short_line_beside_many_streams_is_a_short_line(stage):
    """Each slot is in use, and one request waits at each replica: three in line, of eight that are answered a second."""
    for _ in range(4):
        for _ in range(REPLICAS * SLOTS):
            stage.ask()
        stage.clock.now += 1.0
        for connection in stage.pool.made[-REPLICAS * SLOTS :]:
            connection.begins_to_stream()
    assert resting(stage) == 24
    streams = set(stage.under_way)
    refused = 0
    for _ in range(100):
        client = stage.ask()
        refused += REFUSED in client.transport.written
        working = [each for each in stage.under_way if each not in streams]
        if len(working) > REPLICAS * (SLOTS + 1):
            working[0].answers()
        stage.clock.now += 1 / 8
    assert not refused
