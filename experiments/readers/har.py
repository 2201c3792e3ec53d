"""HAR, what a browser's developer tools keep of a page's requests: one object of JSON, as the client saw them.

`startedDateTime` is the moment of asking, `time` the milliseconds of all of it, `timings.wait` those until the answer
began; -1 = it does not apply: http://www.softwareishard.com/blog/har-12-spec/
"""

import json
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from experiments.importing import stamps
from experiments.importing.batch import MILLISECOND, Batch, is_moment
from experiments.importing.errors import WrongImport
from experiments.importing.json_lines import UNUSABLE, Row, as_column, number
from experiments.importing.source import Head, Source
from experiments.importing.stamps import Zone

NAMES = ("taken_s", "upstream_s", "upstream", "status", "size", "received", "method", "path")


class Har:
    """An entry a request."""

    name: ClassVar[str] = "har"
    about: ClassVar[str] = "HAR 1.2, of a browser"

    def sniff(self, head: Head) -> float:
        """Whether its keys stand at the beginning."""
        has_log = b'"log"' in head.text[:4096] and head.text.lstrip().startswith(b"{")
        return float(has_log and (b'"entries"' in head.text or b'"startedDateTime"' in head.text))

    def read(self, source: Source) -> Iterator[Batch]:
        """A batch a file."""
        for path, text in source.documents():
            try:
                entries = list(json.loads(text)["log"]["entries"])
            except UNUSABLE as error:
                raise WrongImport(f"{path}: is no HAR ({type(error).__name__}: {error})") from error
            rows: list[Row] = []
            broken = []
            for place, entry in enumerate(entries):
                try:
                    rows.append(_row(entry))
                except UNUSABLE:
                    broken.append(place)
            columns = list(zip(*rows, strict=True)) if rows else [()] * (len(NAMES) + 1)
            told = {name: as_column(name, column) for name, column in zip(NAMES, columns[1:], strict=True)}
            yield Batch(
                stamps.iso(pa.array([text.encode() for text in columns[0]], pa.binary()), Zone("UTC")),
                is_start=True,
                resolution_s=MILLISECOND,
                columns={name: values for name, values in told.items() if values is not None},
                broken=np.array(broken, dtype=np.int64),
                entries=len(entries),
            )


def _row(entry: dict[str, Any]) -> Row:
    request, response = entry["request"], entry.get("response") or {}
    started = str(entry["startedDateTime"])
    if not is_moment(stamps.iso(pa.array([started.encode()], pa.binary()), Zone("UTC"))).all():
        raise ValueError("no moment")

    def known(value: object, scale: float = 1.0) -> float | None:
        """-1 means that it does not apply."""
        told = number(value, scale)
        return None if told is None or told < 0 else told

    return (
        started,
        number(entry.get("time"), 1e-3),
        known((entry.get("timings") or {}).get("wait"), 1e-3),
        entry.get("serverIPAddress") or None,
        known(response.get("status")),
        known(response.get("bodySize")),
        known(request.get("bodySize")),
        request.get("method"),
        request.get("url"),
    )
