"""Spans of requests for OpenTelemetry, where they are asked for; where they are not, nothing of it is imported.

Asked for by `--otel`, or by an endpoint in the environment as every OpenTelemetry SDK reads it. Where spans go, which
are kept and what is said of the service are the standard variables' business
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/): OTEL_EXPORTER_OTLP_*,
OTEL_TRACES_SAMPLER, OTEL_BSP_*, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_SDK_DISABLED. They leave by OTLP over
HTTP. Names of spans and attributes: OpenTelemetry's conventions for HTTP
(https://opentelemetry.io/docs/specs/semconv/http/http-spans/); what begins with `aegis.` is our own.

A trace goes on by W3C's `traceparent` and `tracestate` (https://www.w3.org/TR/trace-context/): from the client through
the router, with one client span an attempt, to the replica.
"""

import argparse
import asyncio
import importlib.util
import logging
import os
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from services import __version__

if TYPE_CHECKING:
    from opentelemetry.trace import Span

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""Either of them turns spans on."""
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL = "http/protobuf"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
"""RFC 9110 and RFC 5789; any other is `_OTHER` in an attribute and `HTTP` in a name, as the conventions have it."""
MAX_PATH_CHARACTERS = 256
FLUSH_S = 2.0
"""Longest wait at the end for spans that have not been sent; a collector that hangs does not keep a service alive."""
_log = logging.getLogger(__name__)


def add_option(parser: argparse.ArgumentParser) -> None:
    """The option of every service that has spans."""
    parser.add_argument(
        "--otel",
        action="store_true",
        help=f"send OpenTelemetry's spans by OTLP/HTTP; so does {ENDPOINTS[0]}=URL (docs/monitoring.md)",
    )


def begin(service: str, arguments: argparse.Namespace, **about: str) -> "Tracing | None":
    """What makes spans; None where they are not asked for, or where only the environment does and it cannot be.

    Args:
        service: `aegis-<service>` is the service's name where the environment gives none.
        arguments: with the option of `add_option`.
        about: attributes of its resource.

    Raises:
        ValueError: `--otel` was typed, and it cannot be.
    """
    if not arguments.otel and not any(os.environ.get(name) for name in ENDPOINTS):
        return None
    is_off = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if is_off or os.environ.get("OTEL_TRACES_EXPORTER", "").strip() == "none":
        return None
    if (why_not := _why_not()) is None:
        return Tracing(service, about)
    if arguments.otel:
        raise ValueError(f"--otel: {why_not}")
    _log.warning("no spans: %s", why_not)  # the variable may be there for others' sake
    return None


def _why_not() -> str | None:
    """Why spans cannot be sent, with the way out."""
    asked = next((name for name in PROTOCOLS if os.environ.get(name)), None)
    if asked is not None and os.environ[asked] != PROTOCOL:
        return f"{asked}={os.environ[asked][:40]!a}: spans leave by {PROTOCOL} only; set it to that"
    try:
        is_there = importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        is_there = False
    return None if is_there else "OpenTelemetry is not installed; pip install 'aegis-bench[otel]'"


class Tracing:
    """Begins spans of requests, and sends them from a thread of its own."""

    def __init__(self, service: str, about: Mapping[str, str]) -> None:
        """`about` are attributes of the resource, beside the service's name and version."""
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        own = {"service.name": f"aegis-{service}", "service.version": __version__, **about}
        resource = Resource.create({**own, **OTELResourceDetector().detect().attributes})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self.tracer = self._provider.get_tracer("aegis", __version__)
        self.propagator = TraceContextTextMapPropagator()
        self.api = trace

    def request(self, method: str, target: str, headers: Mapping[str, str], age_s: float = 0.0) -> "RequestTrace":
        """A request came in, `age_s` seconds ago; what is asked for behind its path is left out.

        Args:
            method: of HTTP.
            target: its path, with or without a query.
            headers: at least `traceparent` and `tracestate`, in small letters or in a mapping that ignores the case.
            age_s: seconds.
        """
        return RequestTrace(self, method, target.partition("?")[0], headers, time.time_ns() - int(age_s * 1e9))

    async def close(self) -> None:
        """Send what is left, for at most `FLUSH_S` seconds."""
        flushing = threading.Thread(target=self._provider.shutdown, daemon=True)  # it waits for 30 s
        flushing.start()
        await asyncio.to_thread(flushing.join, FLUSH_S)


class RequestTrace:
    """The spans of one request: the server's, and below it one an attempt."""

    def __init__(self, tracing: Tracing, method: str, path: str, headers: Mapping[str, str], began_ns: int) -> None:
        """`began_ns`: since the epoch."""
        self._tracing = tracing
        known = method if method in METHODS else None
        self._name = known or "HTTP"
        self._method = known or "_OTHER"
        self._span: Span = tracing.tracer.start_span(
            self._name,
            tracing.propagator.extract({key: headers[key] for key in ("traceparent", "tracestate") if key in headers}),
            tracing.api.SpanKind.SERVER,
            {"http.request.method": self._method, "url.path": path[:MAX_PATH_CHARACTERS], "url.scheme": "http"},
            start_time=began_ns,
        )
        self._context = tracing.api.set_span_in_context(self._span)
        self._attempts: dict[int, Span] = {}
        """Those under way, by their numbers."""
        self._line_s: float | None = None
        """What it has spent in line for a slot; None = it never stood there."""
        context = self._span.get_span_context()
        self.trace_id = f"{context.trace_id:032x}" if context.trace_flags.sampled else None
        """Of a trace that is kept: 32 hexadecimal digits."""

    def begins(self, replica: str, url: str, number: int) -> None:
        """Attempt `number` (from 1 on) at a replica begins."""
        address = urlsplit(url)
        attributes: dict[str, Any] = {
            "http.request.method": self._method,
            "server.address": address.hostname or "",
            "server.port": address.port or 80,
            "aegis.replica": replica,
        }
        if number > 1:
            attributes["http.request.resend_count"] = number - 1
        kind = self._tracing.api.SpanKind.CLIENT
        self._attempts[number] = self._tracing.tracer.start_span(self._name, self._context, kind, attributes)

    def waited(self, seconds: float) -> None:
        """It has stood in line for a slot, perhaps once more."""
        self._line_s = (self._line_s or 0.0) + seconds

    def fails(self, number: int, why: str) -> None:
        """Attempt `number` has failed, or was given up; another one may answer the request."""
        if (attempt := self._attempts.pop(number, None)) is not None:
            attempt.set_attribute("error.type", why)
            attempt.set_status(self._tracing.api.StatusCode.ERROR)
            attempt.end()

    def headers(self, number: int) -> dict[str, str]:
        """What tells the replica of attempt `number`, or, of one that there is not, of the request."""
        carrier: dict[str, str] = {}
        span = self._attempts.get(number, self._span)
        self._tracing.propagator.inject(carrier, self._tracing.api.set_span_in_context(span))
        return carrier

    def ended(self, status: int | None, error: str | None = None, **attributes: object) -> None:
        """The request is answered with `status`, or with nothing (None).

        Args:
            status: of HTTP.
            error: why there is no answer; of an answer its status is told, from 500 on.
            attributes: further ones; what is None is left out.
        """
        attempts = list(self._attempts.values())
        self._attempts.clear()
        for span in (*attempts, self._span):
            if status is not None:
                span.set_attribute("http.response.status_code", status)
            if status is not None and status >= 500:
                error = error or str(status)
            if error is not None:
                span.set_attribute("error.type", error)
                span.set_status(self._tracing.api.StatusCode.ERROR)
        for span in attempts:
            span.end()
        if self._line_s is not None:
            self._span.set_attribute("aegis.line_ms", 1e3 * self._line_s)
        self._span.set_attributes({name: value for name, value in attributes.items() if value is not None})  # type: ignore[misc]
        self._span.end()
