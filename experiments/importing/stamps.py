"""Moments as logs write them, as seconds of the Unix clock; NaN where a text is none, or a day that there is not."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from experiments.importing.text import Pattern, number

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""As every log writes them, whatever the machine's language is."""
ISO = Pattern(
    r"^\s*(?P<second>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:[.,](?P<fraction>\d{1,12}))?"
    r" ?(?P<zone>Z|UTC|[+-]\d\d:?\d\d)?\s*$"
)
UNITS = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3))
"""A number since 1970 that is larger counts nanoseconds, microseconds, milliseconds: each from 1973 on."""
STEPPED_BACK_S = 1800.0
"""In the hour that comes twice, a clock that goes back by more than this is in the second one."""
DAY_S = 86_400


def clf(texts: pa.Array) -> np.ndarray:
    """`30/Nov/2026:10:00:00 +0100`, as nginx and Apache write them."""
    return _by_value(texts, _clf)


def clf_local(texts: pa.Array, zone: "Zone") -> np.ndarray:
    """`30/Nov/2026:10:00:00`, of a clock in `zone`."""
    return zone.unix(_by_value(texts, lambda text: _clf(f"{text} +0000")))


def iso(texts: pa.Array, zone: "Zone") -> np.ndarray:
    """`2026-11-30T10:00:00.123Z` and its like (RFC 3339), without an offset of a clock in `zone`."""
    moments = np.full(len(texts), np.nan)
    found = ISO.find(texts)
    seconds, offsets = found.fields["second"], found.fields["zone"]
    naive = _by_value(seconds, _iso)
    is_local = pc.equal(offsets, b"").to_numpy(zero_copy_only=False)
    shifted = naive - _by_value(offsets, _offset)
    if is_local.any():
        shifted[is_local] = zone.unix(naive[is_local])
    zero = pa.scalar(b"0.", offsets.type)
    fraction = number(pc.binary_join_element_wise(zero, found.fields["fraction"], pa.scalar(b"", offsets.type)))
    moments[found.index] = shifted + np.nan_to_num(fraction)
    return moments


def unix(texts: pa.Array) -> np.ndarray:
    """Numbers since 1970, in whatever unit their size tells."""
    moments = number(texts)
    known = moments[np.isfinite(moments)]
    middle = float(np.median(known)) if len(known) else 0.0
    return moments * next((scale for least, scale in UNITS if middle > least), 1.0)


def any_kind(texts: pa.Array, zone: "Zone") -> np.ndarray:
    """A number since 1970, ISO 8601, or as nginx writes it: what fits the most of them."""
    kinds: tuple[Callable[[], np.ndarray], ...] = (lambda: unix(texts), lambda: iso(texts, zone), lambda: clf(texts))
    best = np.full(len(texts), np.nan)
    for kind in kinds:
        moments = kind()
        if np.isfinite(moments).sum() > np.isfinite(best).sum():
            best = moments
    return best


class Zone:
    """The time zone of stamps that name none, with its summer time.

    The hour that comes twice when that ends is told apart by the order of the stamps: after a step back of more than
    half an hour it is the second.
    """

    def __init__(self, name: str) -> None:
        """`name` as in `Europe/Berlin`.

        Raises:
            ValueError, KeyError, OSError: there is none of that name.
        """
        self.name = name
        self._zone = ZoneInfo(name)
        self._latest = -np.inf
        self._second_day: float | None = None

    def unix(self, naive: np.ndarray) -> np.ndarray:
        """Seconds of the Unix clock, from what the clock on the wall showed, counted as if that were UTC.

        Args:
            naive: shape (n,), in the log's order; goes on where the last call ended.
        """
        seconds, place = np.unique(np.floor(naive), return_inverse=True)
        first, second = (np.array([self._shift(each, fold) for each in seconds])[place] for fold in (0, 1))
        latest = np.maximum.accumulate(np.fmax(np.nan_to_num(naive, nan=-np.inf), self._latest))
        is_twice = second < first
        back = np.flatnonzero(is_twice & (naive < latest - STEPPED_BACK_S))
        is_second = np.zeros(len(naive), dtype=bool)
        if self._second_day is not None:
            is_second = is_twice & (np.abs(naive - self._second_day) < DAY_S / 2)
        if len(back):
            self._second_day = float(naive[back[0]])
            after = np.arange(len(naive)) >= back[0]
            is_second |= is_twice & after & (np.abs(naive - self._second_day) < DAY_S / 2)
        if len(latest):
            self._latest = float(latest[-1])
        return naive - np.where(is_second, second, first)

    def _shift(self, naive: float, fold: int) -> float:
        if not np.isfinite(naive):
            return np.nan
        try:
            moment = datetime(1970, 1, 1) + timedelta(seconds=float(naive))
            shift = moment.replace(tzinfo=self._zone, fold=fold).utcoffset()
        except (OverflowError, ValueError):
            return np.nan
        return np.nan if shift is None else shift.total_seconds()


def _by_value(texts: pa.Array, parse: Callable[[str], float]) -> np.ndarray:
    """`parse` of each text, asked once for equal ones; NaN where it raises."""
    encoded = pc.dictionary_encode(texts)
    values = np.empty(len(encoded.dictionary))
    for place, text in enumerate(encoded.dictionary.to_pylist()):
        try:
            values[place] = parse(text.decode("ascii", "replace") if isinstance(text, bytes) else text)
        except (ValueError, IndexError, OverflowError):
            values[place] = np.nan
    return values[encoded.indices.to_numpy()] if len(texts) else np.empty(0)


def _seconds(year: int, month: int, day: int, clock: str) -> float:
    hour, minute, second = (int(part) for part in clock.split(":"))
    leap = second == 60  # which the Unix clock has not
    moment = datetime(year, month, day, hour, minute, 59 if leap else second, tzinfo=UTC)
    return moment.timestamp() + leap


def _clf(text: str) -> float:
    stamp, _, offset = text.partition(" ")
    day, month, rest = stamp.split("/", 2)
    year, _, clock = rest.partition(":")
    return _seconds(int(year), MONTHS.index(month) + 1, int(day), clock) - _offset(offset)


def _iso(text: str) -> float:
    year, month, day = (int(part) for part in text[:10].split("-"))
    return _seconds(year, month, day, text[11:])


def _offset(text: str) -> float:
    if text in ("", "Z", "UTC"):
        return 0.0
    digits = text[1:].replace(":", "")
    seconds = 3600 * int(digits[:2]) + 60 * int(digits[2:])
    return -seconds if text[0] == "-" else seconds
