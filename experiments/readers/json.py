"""Any log with an object of JSON a line, by the names of its keys: `--columns ended=ts,taken=duration,status=status`.

A key within another one is reached by a point: `request.method`. What there is to name, and the units:
`experiments/importing/columns.py`; moments as in a table.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

from experiments.importing import stamps
from experiments.importing.batch import TEXTS, Batch
from experiments.importing.columns import Columns, Named, parsed
from experiments.importing.json_lines import Row, number, rows
from experiments.importing.source import Head, Source
from experiments.importing.stamps import Zone
from experiments.readers.csv import MICROSECOND, resolution_of


class Json:
    """An object a request."""

    name: ClassVar[str] = "json"
    about: ClassVar[str] = "any log of JSON lines, by --columns ended=KEY,taken=KEY.KEY:ms,..."

    def __init__(self, *, zone: Zone, columns: str | None = None) -> None:
        """`columns`: what the user named; `zone`: of moments that name none."""
        self._zone = zone
        self._columns = columns

    def sniff(self, head: Head) -> float:
        """Never by itself: nobody but the user knows what a key means."""
        return 0.0

    def read(self, source: Source) -> Iterator[Batch]:
        """A batch a block."""
        named = parsed(self._columns, self.name)
        moments = partial(stamps.any_kind, zone=self._zone)
        names = [each.column for each in named.others]
        row = partial(_row, named=named)
        for lines in source.blocks():
            batch = rows(lines, names, row, moments, is_start=named.is_start, resolution_s=MICROSECOND)
            batch.resolution_s = resolution_of(batch.stamp_s)
            yield batch


def _row(entry: dict[str, Any], named: Columns) -> Row:
    stamp = _value(entry, named.moment)
    if stamp is None:
        raise KeyError(named.moment.name)
    told = (_value(entry, each) for each in named.others)
    values = (v if e.column in TEXTS else number(v, e.scale) for e, v in zip(named.others, told, strict=True))
    return (repr(stamp) if isinstance(stamp, float) else str(stamp), *values)


def _value(entry: dict[str, Any], named: Named) -> Any:  # noqa: ANN401 - whatever JSON holds
    """What stands at a key, or within it; None = nothing does."""
    if named.name in entry:
        return entry[named.name]
    value: Any = entry
    for part in named.name.split("."):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value
