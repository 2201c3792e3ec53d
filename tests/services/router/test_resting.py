"""What a policy makes of attempts that nobody works on: a client's slowness is no replica's."""

import random
from typing import Any

import pytest

from services.router import policies
from services.router.settings import EjectionSettings, RetrySettings, RouterSettings
from tests.services.router.staged import Stage

SERVICE_S = 0.1
EVENTS_S = 60.0
"""How long a client reads a stream."""


def served(stage, seconds, rate=100):
    """Requests at even distances, each answered after `SERVICE_S`: how many each replica got."""
    counts: dict[str, int] = {}
    waiting = []
    for _ in range(int(seconds * rate)):
        before = len(stage.pool.made)
        stage.ask()
        for connection in stage.pool.made[before:]:
            counts[connection.url] = counts.get(connection.url, 0) + 1
            waiting.append((stage.clock.now + SERVICE_S, connection))
        stage.clock.now += 1 / rate
        while waiting and waiting[0][0] <= stage.clock.now:
            waiting.pop(0)[1].answers()
    stage.clock.now += SERVICE_S
    for _, connection in waiting:
        connection.answers()
    stage.pool.made.clear()
    return counts


def streaming(stage, count):
    """So many streams at r1 alone, each begun after `SERVICE_S`."""
    clients = [stage.ask() for _ in range(3 * count)]
    stage.clock.now += SERVICE_S
    begun = []
    for client, connection in zip(clients, stage.pool.made, strict=True):
        if connection.url == "http://r1":
            connection.begins_to_stream()
            begun.append((client, connection))
        else:
            connection.answers()
    stage.pool.made.clear()
    assert len(begun) == count
    return begun


@pytest.fixture(params=["adaptive", "late_binding"])
def stage(monkeypatch, request):
    settings = RouterSettings(ejection=EjectionSettings(enabled=False), retry=RetrySettings(max_attempts=1))
    made = Stage(monkeypatch, settings, 3, request.param)
    for replica in made.fleet.replicas.values():
        made.fleet.put(replica.id, made.clock.now, concurrency=8)
    served(made, 10.0)
    return made


def outliers(stage):
    policy: Any = stage.proxy._means.dispatcher._policy
    return policy._outliers


def test_streams_do_not_make_their_replica_stand_out(stage):
    """Three on one of three replicas, that are read for a minute, as dashboards do with server-sent events."""
    for _ in range(3):
        streams = streaming(stage, 3)
        counts = served(stage, EVENTS_S)
        times, stands_out = outliers(stage).times("r1", stage.clock.now)
        assert times < 1.01 and not stands_out
        assert counts.get("http://r1", 0) > 0
        for _, connection in streams:
            connection.ends_its_answer()
    assert all(not known.starts for known in outliers(stage).known.values())


def test_an_end_of_a_stream_is_not_taken_for_that_of_a_request_that_is_still_there(stage):
    [(_, stream)] = streaming(stage, 1)
    served(stage, EVENTS_S)
    silent = []
    while len(silent) < 3:  # at r1, which will not answer them
        stage.ask()
        silent += [stage.pool.made[-1]] if stage.pool.made[-1].url == "http://r1" else []
    at_r1 = len(outliers(stage).known["r1"].starts)
    stage.clock.now += 0.2
    stream.ends_its_answer()
    assert len(outliers(stage).known["r1"].starts) == at_r1
    stage.clock.now += 1.0
    assert outliers(stage).times("r1", stage.clock.now)[1], "three that take ten times as long are evidence as before"


def test_slow_uploads_are_no_evidence_and_a_replica_that_does_not_read_them_is(stage):
    clients = [stage.ask(b"POST", b"a part", is_uploading=True) for _ in range(9)]
    uploads = stage.pool.made[-9:]
    stage.clock.now += 5.0
    for id_ in ("r1", "r2", "r3"):
        assert outliers(stage).times(id_, stage.clock.now) == pytest.approx((1.0, False), abs=0.01)
    for client, connection in zip(clients, uploads, strict=True):
        if connection.url == "http://r2":
            connection.is_full = True
            client.exchange.more()
    stage.clock.now += 1.0
    assert [outliers(stage).times(id_, stage.clock.now)[1] for id_ in ("r1", "r2", "r3")] == [False, True, False]
    for client, connection in zip(clients, uploads, strict=True):
        if connection.url == "http://r2":
            connection.is_full = False
            client.exchange.sendable()
    assert stage.proxy._means.dispatcher.resting == 9
    assert not outliers(stage).times("r2", stage.clock.now)[1], "it has read: nothing is there that it has to do"


def test_who_rests_takes_no_slot_of_a_fleet_that_is_not_equally_fast(monkeypatch):
    """Two slots each, r3 at half speed, and so many streams that all slots were taken: nobody waits for their ends."""
    stage = Stage(monkeypatch, RouterSettings(ejection=EjectionSettings(enabled=False)), 3, "adaptive")
    for replica, weight in zip(stage.fleet.replicas.values(), (2.0, 2.0, 1.0), strict=True):
        stage.fleet.put(replica.id, stage.clock.now, concurrency=2, weight=weight)
    served(stage, 10.0, rate=20)
    for _ in range(12):
        stage.ask()
        stage.pool.made[-1].begins_to_stream()
    stage.pool.made.clear()
    counts = served(stage, EVENTS_S, rate=20)
    assert sum(counts.values()) == EVENTS_S * 20 and stage.proxy.waiting == 0


def test_a_policy_that_fails_at_it_costs_no_request(stage, capsys):
    policy: Any = stage.proxy._means.dispatcher._policy

    def fails(replica, *_):
        raise RuntimeError("of no use")

    policy.on_rest = policy.on_work = fails
    client = stage.ask(b"POST", b"a part", is_uploading=True)
    client.exchange.request.complete = True
    client.exchange.more()
    stage.pool.made[-1].answers()
    assert client.ends == 1 and stage.proxy._means.dispatcher.resting == stage.in_flight == 0
    assert "in on_rest: of no use" in (said := capsys.readouterr().err) and "in on_work: of no use" in said


@pytest.mark.parametrize("stage", ["adaptive"], indirect=True)  # where requests stand in line at replicas
def test_an_answer_on_its_way_is_judged_by_the_line_that_it_stood_in(stage):
    """Forty at once on 24 slots, each replica's last after 0.2 s, and read long after: a burst makes nobody slow."""
    for _ in range(10):
        for _ in range(40):
            stage.ask()
        burst = stage.pool.made[-40:]
        for number, connection in enumerate(burst):
            if number == 24:
                stage.clock.now += SERVICE_S
            connection.begins_to_stream() if number >= 24 else connection.answers()
        stage.clock.now += 5.0
        for connection in burst[24:]:
            connection.ends_its_answer()
        served(stage, 1.0)
        assert not any(outliers(stage).times(id_, stage.clock.now)[1] for id_ in ("r1", "r2", "r3"))


@pytest.mark.parametrize("stage", ["adaptive"], indirect=True)  # where requests stand in line at replicas
def test_clients_that_leave_their_streams_together_say_nothing_of_the_replica(stage):
    for client, _ in streaming(stage, 9):
        client.hang_up()
    assert not outliers(stage).times("r1", stage.clock.now)[1] and stage.in_flight == 0


def test_streams_that_break_off_are_failures_of_their_replica(stage):
    for _, connection in streaming(stage, 4):
        connection.breaks()
    assert outliers(stage).times("r1", stage.clock.now)[1] and stage.in_flight == 0


def test_an_answer_that_comes_before_a_slow_upload_says_nothing_of_the_replica(stage):
    """401 to who still sends: what the client took for it is no time of the replica's, at whichever end."""
    for _ in range(5):
        client = stage.ask(b"POST", b"a part", is_uploading=True)
        connection = stage.pool.made[-1]
        stage.clock.now += 10.0
        connection.begins_to_stream()
        client.exchange.request.complete = True
        client.exchange.more()
        stage.clock.now += 10.0
        connection.ends_its_answer()
        assert client.ends == 1
    for id_ in ("r1", "r2", "r3"):
        assert not outliers(stage).times(id_, stage.clock.now)[1]
        assert stage.fleet.replicas[id_].resting == 0
    assert all(not known.starts for known in outliers(stage).known.values())


@pytest.mark.parametrize("status", [401, 503, None])
def test_one_that_is_whole_at_once_says_as_little_and_takes_nobody_elses_start_away(stage, status):
    """Whether it is passed on, or is a failure, or breaks off in the middle of a small answer."""
    beside = [stage.ask() for _ in range(3)]
    known = outliers(stage).known.values()
    sums = [each.sum for each in known]
    for _ in range(5):
        client = stage.ask(b"POST", b"a part", is_uploading=True)
        connection = stage.pool.made[-1]
        stage.clock.now += 1e-3
        before = sorted(began for each in known for began, _ in each.starts)
        stage.clock.now += 10.0
        if status is not None:
            connection.answers(status)
        else:
            connection.breaks()
        assert client.ends == 1
        assert sorted(began for each in known for began, _ in each.starts) == before
    if status == 401:
        assert [each.sum for each in known] == sums
    for each in beside:
        each.hang_up()
    assert all(replica.resting == 0 for replica in stage.fleet.replicas.values()) and stage.in_flight == 0


def test_a_small_answer_that_comes_in_pieces_is_timed_to_its_end(stage):
    """It is passed on in one piece; and the start that ends with it is its own, not that of one that came meanwhile."""
    client = stage.ask()
    first = stage.pool.made[-1]
    began = stage.clock.now
    stage.clock.now += SERVICE_S
    first.begins_to_answer()
    stage.clock.now += 5.0
    later = stage.ask()
    first.ends_its_answer()
    assert client.ends == 1
    starts = [began for known in outliers(stage).known.values() for began, _ in known.starts]
    assert starts == [pytest.approx(began + SERVICE_S + 5.0)]
    later.hang_up()


def test_slots_that_were_found_grow_beside_a_stream(monkeypatch):
    """Nobody has said slots: two at first, one of which a stream has; answers at the limit raise it."""
    stage = Stage(monkeypatch, RouterSettings(ejection=EjectionSettings(enabled=False)), 1, "late_binding")
    served(stage, 1.0, rate=5)
    stage.ask()
    stage.clock.now += SERVICE_S
    stage.pool.made[-1].begins_to_stream()
    stage.pool.made.clear()
    policy: Any = stage.proxy._means.dispatcher._policy
    before = policy.slots(stage.fleet.replicas["r1"])
    served(stage, 5.0, rate=9)
    assert policy.slots(stage.fleet.replicas["r1"]) > before


def test_an_upload_that_was_not_read_for_a_while_leaves_no_start_behind(stage):
    """It gets stuck, its last piece is written, and it is answered; or its client leaves while it is stuck."""
    [(_, other)] = streaming(stage, 1)
    for leaves in (False, True):
        client = stage.ask(b"POST", b"a part", is_uploading=True)
        connection = stage.pool.made[-1]
        connection.is_full = True
        client.exchange.more()
        stage.clock.now += 0.2
        beside = stage.ask()
        if leaves:
            client.hang_up()
        else:
            connection.is_full = False
            client.exchange.request.complete = True
            client.exchange.sendable()
            stage.clock.now += SERVICE_S
            connection.answers()
        starts = [began for known in outliers(stage).known.values() for began, _ in known.starts]
        assert len(starts) == 1 and starts[0] == pytest.approx(stage.clock.now - (0.0 if leaves else SERVICE_S))
        beside.hang_up()
    other.ends_its_answer()


def test_who_does_not_ask_for_it_is_not_told():
    has = [name for name in policies.POLICIES.files() if hasattr(policies.create(name, {}, random.Random(1)), "on_rest")]
    assert sorted(has) == ["adaptive", "late_binding"]
