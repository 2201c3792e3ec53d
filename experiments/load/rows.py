"""The rows that a generator process leaves behind, one a request."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from record.files import whole
from record.schema import ROW_COLUMNS, SENDS

if TYPE_CHECKING:
    from experiments.load.client import Answer  # of gevent, which whoever simulates does without

SCHEMA = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in ROW_COLUMNS.items()])


def are_of(content: bytes, share: Sequence[tuple[Any, ...]]) -> bool:
    """Whether a file of rows holds each request of `share` once, at its planned moment, and no other.

    Args:
        content: of a Parquet file.
        share: `request_id, scheduled_s, ...` in the order of `request_id`.
    """
    table = pq.read_table(pa.BufferReader(content), columns=["request_id", "scheduled_s"]).sort_by("request_id")
    rows = zip(table["request_id"].to_pylist(), table["scheduled_s"].to_pylist(), strict=True)
    return len(table) == len(share) and all(row == planned[:2] for row, planned in zip(rows, share, strict=True))


class Rows:
    """Collects one row a request, in the order of their ends."""

    def __init__(self, *, has_sends: bool = False) -> None:
        """`has_sends`: each says how often its request was sent."""
        self._schema = SCHEMA.append(pa.field(SENDS, pa.int16())) if has_sends else SCHEMA
        self._rows: list[tuple[Any, ...]] = []
        self.failed = 0
        self.dropped = 0

    def __len__(self) -> int:
        """How many there are."""
        return len(self._rows)

    def add(
        self, request_id: int, scheduled_s: float, sent_s: float, completed_s: float, answer: "Answer", sends: int = 1
    ) -> None:
        """A request that was sent, so often, and ended."""
        self.failed += answer.outcome != "ok"
        self._rows.append(
            (
                request_id,
                scheduled_s,
                sent_s,
                completed_s,
                answer.status,
                answer.outcome,
                answer.replica,
                answer.attempts,
                answer.queue_s,
                answer.service_s,
                answer.router_s,
                answer.hedge,
                sends,
            )
        )

    def drop(self, request_id: int, scheduled_s: float, sent_s: float | None) -> None:
        """A request that was not sent, or was given up when the run broke off."""
        self.dropped += 1
        self.failed += 1
        self._rows.append((request_id, scheduled_s, sent_s, None, None, "dropped", *[None] * 7))

    def write(self, path: Path) -> None:
        """Write them whole or not at all."""
        columns = list(zip(*self._rows, strict=True))[: len(self._schema)] or [()] * len(self._schema)
        arrays = [pa.array(column, type=field.type) for column, field in zip(columns, self._schema, strict=True)]
        with whole(path) as partial:
            pq.write_table(pa.table(arrays, schema=self._schema), partial)
