"""Spans: one trace from the client through the router to the replica, sent by OTLP/HTTP; nothing where nobody asks."""

import argparse
import asyncio
import contextlib
import importlib.util
import subprocess
import sys

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from services import tracing
from tests.running import AT_MOST_S, ROOT
from tests.services.live import backend, client, eventually, router, until

TRACE, CLIENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
"""The example of https://www.w3.org/TR/trace-context/, section 3.2."""
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
SERVER, CLIENT_KIND, ERROR = 2, 3, 2
"""OTLP's numbers: SPAN_KIND_SERVER, SPAN_KIND_CLIENT, STATUS_CODE_ERROR."""


class Span:
    def __init__(self, span, resource):
        self.name, self.kind, self.status = span.name, span.kind, span.status.code
        self.trace, self.id, self.parent = (
            each.hex() for each in (span.trace_id, span.span_id, span.parent_span_id)
        )
        self.began, self.ended = span.start_time_unix_nano, span.end_time_unix_nano
        self.state = span.trace_state
        self.about, self.of = ({a.key: _value(a.value) for a in each} for each in (span.attributes, resource.attributes))


def _value(value):
    return getattr(value, value.WhichOneof("value"))


@contextlib.asynccontextmanager
async def collector(answers=True):
    """An OTLP/HTTP receiver: the environment of a service that sends to it, and the spans that have come."""
    spans = []

    async def take(request):
        if not answers:
            await asyncio.Event().wait()
        assert request.content_type == "application/x-protobuf"
        for of_resource in ExportTraceServiceRequest.FromString(await request.read()).resource_spans:
            for scope in of_resource.scope_spans:
                spans.extend(Span(span, of_resource.resource) for span in scope.spans)
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_BSP_SCHEDULE_DELAY": "50"}, spans
    finally:
        await runner.cleanup()


async def there(spans, count):
    async def enough():
        return len(spans) >= count

    await eventually(enough, f"{count} spans")
    return sorted(spans, key=lambda span: span.began)


async def start(function, *arguments, **options):
    """A service, started in a thread: the collector must be able to answer meanwhile."""
    context = function(*arguments, **options)
    return context, await asyncio.to_thread(context.__enter__)


@contextlib.asynccontextmanager
async def running(function, *arguments, **options):
    context, service = await start(function, *arguments, **options)
    try:
        yield service
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)


async def test_a_client_s_trace_goes_on_through_the_router_to_the_replica():
    async with collector() as (env, spans), client() as session, running(router, env=env) as front:
        async with running(backend, "--router", front.admin, "--id", "r1", env=env):
            await until(session, front.admin, "r1", "ready")
            sent = {"traceparent": f"00-{TRACE}-{CLIENT}-01", "tracestate": "theirs=1", "X-Aegis-Demand-Ms": "1"}
            async with session.get(f"{front.url}/work?secret=1", headers=sent) as answer:
                assert answer.status == 200
            served, attempt, worked = await there(spans, 3)
            async with session.get(f"{front.admin}/metrics", headers={"Accept": OPENMETRICS}) as answer:
                shown = await answer.text()
            async with session.get(f"{front.admin}/metrics") as answer:
                plain = await answer.text()
    assert len(spans) == 3  # neither checks nor registrations have any
    assert {span.trace for span in spans} == {TRACE} and {span.state for span in spans} == {"theirs=1"}
    assert [served.parent, attempt.parent, worked.parent] == [CLIENT, served.id, attempt.id]
    assert [span.kind for span in (served, attempt, worked)] == [SERVER, CLIENT_KIND, SERVER]
    assert [span.name for span in (served, attempt, worked)] == ["GET"] * 3
    assert served.about["url.path"] == "/work" and served.about["http.response.status_code"] == 200
    assert attempt.about["aegis.replica"] == "r1" and "http.request.resend_count" not in attempt.about
    assert worked.about["aegis.service_ms"] == pytest.approx(1, abs=0.01)
    assert served.of["service.name"] == "aegis-router" and worked.of["service.name"] == "aegis-replica"
    assert worked.of["service.instance.id"] == "r1"
    assert served.began <= attempt.began <= attempt.ended <= served.ended
    exemplars = [line for line in shown.splitlines() if "request_duration_seconds_bucket" in line and " # {" in line]
    assert len(exemplars) == 1 and f'trace_id="{TRACE}"' in exemplars[0]
    assert shown.endswith("# EOF\n") and "# {" not in plain


async def test_each_attempt_has_its_span_and_what_failed_is_told():
    settings = {"router": {"ejection": {"enabled": False}, "health": {"interval_s": 60}}, "policy": {"name": "round_robin"}}
    async with collector() as (env, spans), client() as session:
        async with running(router, env=env, settings=settings) as front:
            async with running(backend, "--router", front.admin, "--id", "bad") as bad, running(
                backend, "--router", front.admin, "--id", "good"
            ):
                for name in ("bad", "good"):
                    await until(session, front.admin, name, "ready")
                async with session.put(f"{bad.admin}/faults", json={"error": {"rate": 1}}) as answer:
                    assert answer.status == 200
                tries = []
                while not any(span.about.get("http.request.resend_count") for span in tries):
                    async with session.get(f"{front.url}/work", headers={"X-Aegis-Demand-Ms": "1"}) as answer:
                        assert answer.status == 200
                        expected = 1 + int(answer.headers["X-Aegis-Attempts"])
                    tries = await there(spans, expected)
                    spans.clear()
    served, first, second = tries
    assert served.parent == "" and first.parent == second.parent == served.id
    assert (first.about["aegis.replica"], first.about["error.type"], first.status) == ("bad", "error", ERROR)
    assert (second.about["aegis.replica"], second.about["http.request.resend_count"]) == ("good", 1)
    assert second.status == served.status == 0 and first.ended <= second.began


async def test_a_refusal_is_a_failed_span_and_a_trace_that_is_not_kept_is_not_sent_but_goes_on():
    async with collector() as (env, spans), client() as session, running(router, env=env) as front:
        async with session.get(f"{front.url}/work", headers={"traceparent": f"00-{TRACE}-{CLIENT}-00"}) as answer:
            assert answer.status == 503
        async with session.get(f"{front.url}/work") as answer:
            assert answer.status == 503
        (served,) = await there(spans, 1)
        async with session.get(f"{front.admin}/metrics", headers={"Accept": OPENMETRICS}) as answer:
            assert TRACE not in await answer.text()
    assert len(spans) == 1 and served.trace != TRACE
    assert (served.about["error.type"], served.status) == ("503", ERROR)


async def test_a_collector_that_hangs_does_not_keep_a_router_from_ending():
    async with collector(answers=False) as (env, _), client() as session, running(router, env=env) as front:
        async with session.get(f"{front.url}/work") as answer:
            assert answer.status == 503
        assert await asyncio.to_thread(front.stop, 25) == 0  # then it is killed; the SDK alone would wait for 30


def test_neither_sdk_nor_exporter_is_imported_where_nobody_asks():  # FastAPI imports the API, where it is there
    code = (
        "import sys, services.router.__main__, services.backend.__main__\n"
        "print([m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=AT_MOST_S)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("off", [{}, {"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}])
def test_nobody_asks_without_an_endpoint_or_where_the_standard_variables_say_no(monkeypatch, off):
    for name in (*tracing.ENDPOINTS, *tracing.PROTOCOLS, "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in off.items():
        monkeypatch.setenv(name, value)
    assert tracing.begin("router", argparse.Namespace(otel=bool(off))) is None


@pytest.mark.parametrize(("hidden", "words"), [(True, r"pip install 'aegis-bench\[otel\]'"), (False, "http/protobuf only")])
def test_what_cannot_be_sent_is_an_error_where_it_was_typed_and_a_warning_where_only_the_environment_says_so(
    monkeypatch, caplog, hidden, words
):
    monkeypatch.setenv(tracing.ENDPOINTS[0], "http://127.0.0.1:1")
    if hidden:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    else:
        monkeypatch.setenv(tracing.PROTOCOLS[1], "grpc")
    with pytest.raises(ValueError, match=words):
        tracing.begin("router", argparse.Namespace(otel=True))
    assert tracing.begin("router", argparse.Namespace(otel=False)) is None
    assert "no spans: " in caplog.text
