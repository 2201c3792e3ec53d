"""Jaeger's traces as its HTTP API and its page give them (`/api/traces`, "Download results"): one object of JSON.

`startTime` and `duration` are microseconds, the kind is the tag `span.kind`, the service stands with the process:
https://www.jaegertracing.io/docs/latest/architecture/apis/
"""

import json
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from experiments.importing.batch import Batch
from experiments.importing.errors import WrongImport
from experiments.importing.json_lines import UNUSABLE
from experiments.importing.source import Head, Source
from experiments.importing.spans import Span, Spans

MICROSECOND = 1e-6


class Jaeger:
    """Spans of kind server; those of kind client below them are the attempts."""

    name: ClassVar[str] = "jaeger"
    about: ClassVar[str] = "Jaeger's traces as JSON; --service"

    def __init__(self, *, service: str | None = None) -> None:
        """`service`: whose requests; None = the only one, or the first of each trace."""
        self._service = service

    def sniff(self, head: Head) -> float:
        """Whether its keys stand at the beginning."""
        return float(b'"traceID"' in head.text and (b'"operationName"' in head.text or b'"spans"' in head.text))

    def read(self, source: Source) -> Iterator[Batch]:
        """One batch."""
        spans = Spans(self._service)
        broken = 0
        for path, text in source.documents():
            try:
                document = json.loads(text)
                traces = document["data"] if isinstance(document, dict) else document
                found = [(trace, span) for trace in traces for span in trace["spans"]]
            except UNUSABLE as error:
                raise WrongImport(f"{path}: is no JSON of Jaeger's traces ({type(error).__name__}: {error})") from error
            for trace, span in found:
                try:
                    _take(trace, span, spans)
                except UNUSABLE:
                    broken += 1
        yield spans.batch(np.arange(broken), [])


def _take(trace: dict[str, Any], span: dict[str, Any], spans: Spans) -> None:
    tags = {str(tag["key"]): tag.get("value") for tag in span.get("tags") or []}
    kind = tags.get("span.kind")
    if kind not in ("server", "client"):
        spans.others += 1
        return
    parents = [each["spanID"] for each in span.get("references") or [] if each.get("refType") == "CHILD_OF"]
    read = Span(
        str(span["spanID"]),
        str(parents[0] if parents else span.get("parentSpanID") or ""),
        str(((trace.get("processes") or {}).get(span.get("processID")) or {}).get("serviceName", "?")),
        int(span["startTime"]) * MICROSECOND,
        int(span["duration"]) * MICROSECOND,
        tags,
    )
    (spans.servers if kind == "server" else spans.clients).append(read)
