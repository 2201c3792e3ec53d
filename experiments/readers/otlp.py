"""OpenTelemetry's spans as the collector's file exporter writes them: a line of OTLP's JSON an export.

https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/; the fields are those of
opentelemetry/proto/trace/v1/trace.proto, times in nanoseconds as texts, kinds as numbers or as names.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from experiments.importing.batch import EXAMPLES, Batch
from experiments.importing.json_lines import UNUSABLE, objects, share
from experiments.importing.source import Head, Source
from experiments.importing.spans import Span, Spans

SERVER, CLIENT = (2, "2", "SPAN_KIND_SERVER"), (3, "3", "SPAN_KIND_CLIENT")
NANOSECOND = 1e-9


class Otlp:
    """Spans of kind server; those of kind client below them are the attempts."""

    name: ClassVar[str] = "otlp"
    about: ClassVar[str] = "OpenTelemetry's spans as JSON lines (the collector's file exporter); --service"

    def __init__(self, *, service: str | None = None) -> None:
        """`service`: whose requests; None = the only one, or the first of each trace."""
        self._service = service

    def sniff(self, head: Head) -> float:
        """Objects with OTLP's outermost key; one may be longer than what is looked at."""
        if b'"resourceSpans"' in head.text[:200]:
            return 1.0
        return share(head.lines, ("resourceSpans",))

    def read(self, source: Source) -> Iterator[Batch]:
        """One batch, as an attempt may be exported before its request."""
        spans = Spans(self._service)
        broken: list[int] = []
        examples: list[tuple[int, bytes]] = []
        for lines in source.blocks():
            is_read = np.zeros(len(lines), dtype=bool)
            for index, entry in objects(lines):
                if "resourceSpans" in entry:
                    is_read[index] = True
                    broken += [lines.first + index] * take(entry, spans)
            for place in np.flatnonzero(~is_read).tolist():
                text = lines.text[place].as_py()
                if text.strip():
                    broken.append(lines.first + place)
                    examples += [(lines.first + place, text)][: EXAMPLES - len(examples)]
        yield spans.batch(np.array(broken, dtype=np.int64), examples)


def take(entry: dict[str, Any], spans: Spans) -> int:
    """Add an export's spans; return how many are broken."""
    broken = 0
    for resource in entry.get("resourceSpans") or []:
        service = str(attributes((resource.get("resource") or {}).get("attributes")).get("service.name", "?"))
        scopes = resource.get("scopeSpans") or resource.get("instrumentationLibrarySpans") or []
        for span in (span for scope in scopes for span in scope.get("spans") or []):
            kind = span.get("kind")
            if kind not in SERVER and kind not in CLIENT:
                spans.others += 1
                continue
            try:
                read = _span(span, service)
            except UNUSABLE:
                broken += 1
            else:
                (spans.servers if kind in SERVER else spans.clients).append(read)
    return broken


def _span(span: dict[str, Any], service: str) -> Span:
    began, ended = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
    return Span(
        str(span["spanId"]),
        str(span.get("parentSpanId") or ""),
        service,
        began * NANOSECOND,
        (ended - began) * NANOSECOND,
        attributes(span.get("attributes")),
    )


def attributes(pairs: Any) -> dict[str, object]:  # noqa: ANN401 - whatever the file holds
    """OTLP's list of keys and typed values as a dictionary."""
    found: dict[str, object] = {}
    for pair in pairs or []:
        value = pair.get("value") or {}
        found[str(pair.get("key"))] = next(iter(value.values()), None) if isinstance(value, dict) else None
    return found
