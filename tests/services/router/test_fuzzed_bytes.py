"""Bytes that are nearly HTTP: read alike wherever they are cut, and by another parser (h11) as by the router's."""

import h11
import pytest
from hypothesis import HealthCheck, example, given, settings

from services.router.wire.heads import Passed, origin_form
from services.router.wire.reading import Reading
from tests.services.router.fuzzing import ANSWER_STREAMS, CUTS, REQUEST_STREAMS, answer, requests

FUZZED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def by_h11(stream, role=h11.SERVER, method=None):
    """The messages that h11 reads, as (first line's parts, headers, body); None where it finds one wrong."""
    connection, found = h11.Connection(role), []
    if method is not None:
        connection.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        connection.send(h11.EndOfMessage())
    try:
        connection.receive_data(stream)
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request | h11.Response):
                first = (event.method, event.target) if isinstance(event, h11.Request) else (event.status_code,)
                found.append((first, [(name, value) for name, value in event.headers.raw_items()], b""))
            elif isinstance(event, h11.Data):
                found[-1] = (*found[-1][:2], found[-1][2] + event.data)
            elif isinstance(event, h11.EndOfMessage):
                return found[0]
            else:
                return None
    except h11.RemoteProtocolError:
        return None


@FUZZED
@given(REQUEST_STREAMS, CUTS)
@example(GET + b"GET / RTSP/1.0\r\nHost: x\r\n\r\n", [])
def test_where_a_clients_bytes_are_cut_says_nothing_of_its_requests(stream, cuts):
    whole, cut, bytewise = requests(stream), requests(stream, cuts), requests(stream, range(len(stream)))
    assert whole == cut == bytewise


@pytest.mark.parametrize("cut", [0, 5, 30, 40, 45, 50])
@pytest.mark.parametrize("before", [b"", GET, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 17\r\n\r\nGET /x HTTP/1.0\r\n"])
def test_another_protocol_behind_a_request_is_refused_and_an_old_client_is_not(before, cut):
    count = 1 if before else 0
    for line, refused in ((b"GET /x RTSP/1.0", True), (b"GET /x ICE/1.0", True), (b"GET /y HTTP/1.0", False)):
        found, is_refused = requests(before + line + b"\r\nHost: x\r\n\r\n", [len(before) + cut - 30])
        assert (len(found), is_refused) == (count + (not refused), refused)


@FUZZED
@given(ANSWER_STREAMS, CUTS)
def test_where_a_replicas_bytes_are_cut_says_nothing_of_its_answer(stream, cuts):
    for to_head in (False, True):
        whole, cut, bytewise = (answer(stream, at, to_head)[:2] for at in ((), cuts, range(len(stream))))
        assert (whole[1] is None) == (cut[1] is None) == (bytewise[1] is None)
        if whole[1] is None:
            assert whole[0] == cut[0] == bytewise[0]


@FUZZED
@given(REQUEST_STREAMS)
def test_what_the_router_takes_for_a_request_another_server_does_not_read_otherwise(stream):
    found, _ = requests(stream)
    if not found or not found[0].complete or (other := by_h11(stream)) is None:
        return
    first, _, body = other
    assert (first, body) == (found[0].told[0][:2], found[0].body)


@FUZZED
@given(REQUEST_STREAMS)
def test_what_goes_to_a_replica_is_one_request_and_no_more_to_another_server(stream):
    reading = Reading()
    reading._read(stream)
    for request in reading._waiting:
        target = origin_form(request.target)
        if request.fault is not None or target is None or not request.complete or request.method == b"CONNECT":
            continue
        body = b"".join(request.body)
        sent = Passed(request, target, b"127.0.0.1").attempt(1, b"h:1", {})
        if request.has_body:
            sent += body if request.length is not None else b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        assert by_h11(sent) is not None, sent
        assert by_h11(sent)[0] == (request.method, target) and by_h11(sent)[2] == body


@FUZZED
@given(ANSWER_STREAMS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_the_router_takes_for_an_answer_another_client_does_not_read_otherwise(method, stream):
    found, wrong, _ = answer(stream, to_head=method == "HEAD")
    if found is None or wrong is not None or not found.complete:
        return
    other = by_h11(stream, h11.CLIENT, method)
    if other is not None:
        assert (other[0][0], other[2]) == (found.told[0][0], found.body)
