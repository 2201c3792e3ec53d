"""Requests from the spans of traces: a span of kind server is one, spans of kind client below it are its attempts."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa

from experiments.importing.batch import Batch, is_moment
from experiments.importing.errors import UnusableLog, WrongImport

NANOSECOND = 1e-9
ATTRIBUTES = {
    "status": ("http.response.status_code", "http.status_code"),
    "method": ("http.request.method", "http.method"),
    "path": ("url.path", "http.target", "http.route", "url.full", "http.url"),
    "size": ("http.response.body.size", "http.response_content_length"),
    "received": ("http.request.body.size", "http.request_content_length"),
    "host": ("server.address", "net.peer.name", "network.peer.address", "net.peer.ip"),
    "port": ("server.port", "net.peer.port", "network.peer.port"),
}
"""By OpenTelemetry's semantic conventions, those from 1.23 on before the older ones
(https://opentelemetry.io/docs/specs/semconv/http/http-spans/)."""


@dataclass(frozen=True)
class Span:
    """One span, of either kind."""

    identity: str
    parent: str
    """Empty = it is the first of its trace."""
    service: str
    began_s: float
    """Seconds of the Unix clock."""
    lasted_s: float
    attributes: dict[str, object]

    def __post_init__(self) -> None:
        """Hold that it was at some time.

        Raises:
            ValueError: it was not.
        """
        if not is_moment(np.array([self.began_s])).all():
            raise ValueError("no moment")

    def told(self, what: str) -> object:
        """The value of the first of an attribute's names that is there; None = it is not told."""
        return next((self.attributes[name] for name in ATTRIBUTES[what] if name in self.attributes), None)


@dataclass
class Spans:
    """The spans of a log, as far as they are of use."""

    service: str | None
    """Whose requests are taken; None = there must be one service only, or spans that begin a trace."""
    servers: list[Span] = field(default_factory=list)
    clients: list[Span] = field(default_factory=list)
    others: int = 0
    """Of other kinds."""

    def batch(self, broken: np.ndarray, examples: list[tuple[int, bytes]]) -> Batch:
        """The requests, in the order of their beginning.

        Args:
            broken: numbers of lines that could not be read.
            examples: some of them.

        Raises:
            WrongImport: of several services none was chosen, or one that there is not.
            UnusableLog: there is no span of kind server.
        """
        taken, others = self._chosen()
        taken.sort(key=lambda span: span.began_s)
        columns = {
            "taken_s": np.array([span.lasted_s for span in taken]),
            **{name: _numbers([span.told(name) for span in taken]) for name in ("status", "size", "received")},
            **{name: _texts([span.told(name) for span in taken]) for name in ("method", "path")},
            **self._attempts(taken),
        }
        left_out = {
            "a span that is no request (kind internal, producer, consumer)": self.others,
            "a span of kind client (an attempt, or a call of another service)": len(self.clients),
            "a request of another service, or further down in its trace": others,
        }
        return Batch(
            np.array([span.began_s for span in taken]),
            is_start=True,
            resolution_s=NANOSECOND,
            columns={name: values for name, values in columns.items() if values is not None},
            broken=broken,
            examples=examples,
            left_out={why: count for why, count in left_out.items() if count},
            entries=len(self.servers) + len(self.clients) + self.others,
        )

    def _chosen(self) -> tuple[list[Span], int]:
        services = Counter(span.service for span in self.servers)
        if not services:
            raise UnusableLog("no span of kind server in it; export those of the service that requests come to first")
        named = ", ".join(f"{name} ({count:,})" for name, count in services.most_common(8))
        if self.service is not None:
            if self.service not in services:
                raise WrongImport(f"--service {self.service}: no span of kind server; there are {named}")
            chosen = [span for span in self.servers if span.service == self.service]
        elif len(services) == 1:
            chosen = list(self.servers)
        else:
            chosen = [span for span in self.servers if not span.parent]
            if len({span.service for span in chosen}) != 1:
                raise WrongImport(f"spans of several services: name one with --service, of {named}")
        return chosen, len(self.servers) - len(chosen)

    def _attempts(self, taken: list[Span]) -> dict[str, object]:
        """Of each request: the attempts below it, the last one's time and host."""
        if not self.clients:
            return {}
        table = pd.DataFrame(
            {
                "parent": [span.parent for span in self.clients],
                "began": [span.began_s for span in self.clients],
                "lasted": [span.lasted_s for span in self.clients],
                "host": [_host(span) for span in self.clients],
            }
        ).sort_values("began")
        grouped = table.groupby("parent")
        last = grouped.last().assign(count=grouped.size()).reindex([span.identity for span in taken])
        hosts = [host if isinstance(host, str) else None for host in last["host"]]
        return {
            "attempts": last["count"].fillna(0.0).to_numpy(dtype=float),
            "upstream_s": last["lasted"].to_numpy(dtype=float),
            "upstream": _texts(hosts),
        }


def _host(span: Span) -> str:
    host, port = span.told("host"), span.told("port")
    return "" if host is None else f"{host}" if port is None else f"{host}:{port}"


def _numbers(values: list[object]) -> np.ndarray | None:
    if all(value is None for value in values):
        return None
    numbers = pd.to_numeric(pd.Series(values, dtype=object), errors="coerce")
    return numbers.to_numpy(dtype=float, na_value=np.nan)


def _texts(values: list[object] | list[str | None]) -> pa.Array | None:
    if all(value is None for value in values):
        return None
    return pa.array([None if value is None else str(value) for value in values], pa.string())
