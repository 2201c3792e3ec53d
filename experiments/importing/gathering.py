"""The batches of a log together: what each request was, in the order of arrival, and what had to be filled in for that.

In memory a request takes 60 to 100 bytes, a kept path what it is long.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from experiments.importing.batch import COUNTS, SECOND, SECONDS, Batch
from experiments.importing.errors import UnusableLog

MOST_REQUESTS = 40_000_000
"""They are sorted in memory."""
UNKNOWN = -1
EARLY_S = 5.0
"""A request that ended so long before one that was logged earlier is out of order: more than workers that write into
one log, or buffers, make of it."""
LONGEST_S = 366 * 86_400.0
"""No request takes longer."""
KEPT = ("keys", "paths", "queries", "addresses")
KEY_BYTES = 8
DIGITS = 6
"""Of a moment's seconds: below a microsecond a number of seconds since 1970 has none."""
KINDS: dict[str, type] = {
    "attempts": np.int16, "status": np.int16, "size": np.int64, "received": np.int64, "upstream": np.int32,
    "method": np.int32, "key": np.uint64, "hashes": np.uint64,
}  # fmt: skip
"""Of what is kept of a request and is no number of seconds."""


@dataclass(frozen=True)
class Asked:
    """What the user wants of it."""

    keep: frozenset[str] = frozenset()
    """Of `KEPT`."""
    seed: int = 0
    drop_repeats: bool = False


class Labels:
    """Words for texts that are not to be told: u1, u2, ... in the order in which they come first."""

    def __init__(self, prefix: str | None) -> None:
        """`prefix` of the words; None = the texts themselves."""
        self._prefix = prefix
        self._codes: dict[str, int] = {}

    def codes(self, texts: pa.Array) -> np.ndarray:
        """The number of each, shape (n,); -1 where it is unknown: null, empty or `-`."""
        encoded = pc.dictionary_encode(pc.fill_null(_as_text(texts), ""))
        known = np.empty(len(encoded.dictionary), dtype=np.int32)
        for place, text in enumerate(encoded.dictionary.to_pylist()):
            known[place] = UNKNOWN if text in ("", "-") else self._codes.setdefault(text, len(self._codes))
        return known[encoded.indices.to_numpy()] if len(texts) else np.empty(0, np.int32)

    @property
    def words(self) -> list[str]:
        """By number."""
        return [text if self._prefix is None else f"{self._prefix}{n}" for n, text in enumerate(self._codes, 1)]


@dataclass
class Gathered:
    """Everything that the batches said."""

    asked: Asked
    broken: int = 0
    broken_lines: list[int] = field(default_factory=list)
    """The first of them."""
    examples: list[tuple[int, bytes]] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    entries: int | None = None
    resolution_s: float = np.inf
    """The finest that there is."""
    is_start: bool = False
    wrong: int = 0
    """Durations below zero or of over a year, which were taken as unknown."""
    early: int = 0
    """Requests out of order, by the log's own order."""
    earliest_s: float = 0.0
    """By how much the worst is, seconds."""
    repeats: int = 0
    """Lines that are equal to an earlier one."""
    is_repeat_told: bool = True

    def __post_init__(self) -> None:
        """Nothing is gathered yet."""
        self.count = 0
        self._columns: dict[str, list[np.ndarray]] = {}
        self._paths: list[pa.Array] = []
        self._upstreams = Labels(None if "addresses" in self.asked.keep else "u")
        self._methods = Labels(None)
        self._latest = {"starts": -np.inf, "ends": -np.inf}

    def add(self, batch: Batch) -> None:
        """Take one more.

        Raises:
            UnusableLog: there are more requests than are sorted in memory.
        """
        self.broken += len(batch.broken)
        self.broken_lines += batch.broken[: max(0, 3 - len(self.broken_lines))].tolist()
        self.examples += batch.examples[: max(0, 3 - len(self.examples))]
        for why, count in batch.left_out.items():
            self.left_out[why] = self.left_out.get(why, 0) + count
        if batch.entries is not None:
            self.entries = (self.entries or 0) + batch.entries
        if not len(batch.stamp_s):
            return
        if self.count + len(batch.stamp_s) > MOST_REQUESTS:
            raise UnusableLog(f"over {MOST_REQUESTS:,} requests, which are sorted in memory; import the log in parts")
        self.is_start = batch.is_start
        self.resolution_s = min(self.resolution_s, batch.resolution_s)
        values: dict[str, Any] = {"stamp_s": batch.stamp_s}
        for name in SECONDS:
            if name in batch.columns:
                seconds = batch.columns[name]
                is_wrong = (seconds < 0) | (seconds > LONGEST_S)
                self.wrong += int(is_wrong.sum())
                values[name] = np.where(is_wrong, np.nan, seconds)
        for name in COUNTS:
            if name in batch.columns:
                known = np.clip(np.nan_to_num(batch.columns[name], nan=UNKNOWN), UNKNOWN, np.iinfo(KINDS[name]).max)
                values[name] = known.astype(KINDS[name])
        for name, labels in (("upstream", self._upstreams), ("method", self._methods)):
            if name in batch.columns:
                values[name] = labels.codes(batch.columns[name])
        if "path" in batch.columns and self.asked.keep & {"keys", "paths", "queries"}:
            self._keep_paths(batch.columns["path"], values)
        elif self._paths:
            self._paths.append(pa.nulls(len(batch.stamp_s), pa.string()))
        if batch.hashes is not None:
            values["hashes"] = batch.hashes
        self._look_at_order(batch)
        self._append(values, len(batch.stamp_s))

    def _keep_paths(self, paths: pa.Array, values: dict[str, Any]) -> None:
        texts = pc.fill_null(_as_text(paths), "")
        texts = pc.if_else(pc.equal(texts, ""), "-", texts)
        if "queries" not in self.asked.keep:
            texts = pc.replace_substring_regex(texts, r"[?#].*$", "")
        if self.asked.keep & {"paths", "queries"}:
            if self.count and not self._paths:
                self._paths.append(pa.nulls(self.count, pa.string()))
            self._paths.append(texts)
            return
        encoded = pc.dictionary_encode(texts)
        salt = str(self.asked.seed).encode()
        keys = np.empty(len(encoded.dictionary), dtype=np.uint64)
        for place, text in enumerate(encoded.dictionary.to_pylist()):
            keys[place] = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=KEY_BYTES, key=salt).digest())
        values["key"] = keys[encoded.indices.to_numpy()]

    def _look_at_order(self, batch: Batch) -> None:
        """Count requests that are early both by their arrival and by their end: a log is written by one of the two."""
        if batch.hashes is None:
            return
        taken = np.zeros(len(batch.stamp_s))
        if "taken_s" in batch.columns:
            taken = np.maximum(np.nan_to_num(batch.columns["taken_s"]), 0.0)
        starts = batch.stamp_s if batch.is_start else batch.stamp_s - taken
        behind = np.full(len(starts), np.inf)
        for name, moments in (("starts", starts), ("ends", starts + taken)):
            latest = np.maximum.accumulate(np.maximum(moments, self._latest[name]))
            behind = np.minimum(behind, latest - moments)
            self._latest[name] = float(latest[-1])
        is_early = behind > EARLY_S
        self.early += int(is_early.sum())
        self.earliest_s = max(self.earliest_s, float(behind[is_early].max(initial=0.0)))

    def _append(self, values: dict[str, Any], count: int) -> None:
        for name in {*values, *self._columns}:
            parts = self._columns.setdefault(name, [])
            if name not in values:
                parts.append(_unknown(name, count))
                continue
            if not parts and self.count:
                parts.append(_unknown(name, self.count))
            parts.append(values[name])
        self.count += count

    def arranged(self) -> "Arranged":
        """All of it in the order of arrival; what was gathered is given up.

        Raises:
            UnusableLog: there is no request.
        """
        if not self.count:
            raise UnusableLog("no request in it")
        columns = {}
        for name in list(self._columns):
            columns[name] = np.concatenate(self._columns.pop(name))
        paths = pa.chunked_array(self._paths) if self._paths else None
        hashes = columns.pop("hashes", None)
        self.is_repeat_told = hashes is not None
        if hashes is not None:
            _, firsts = np.unique(hashes, return_index=True)
            self.repeats = self.count - len(firsts)
            if self.repeats and self.asked.drop_repeats:
                firsts.sort()
                columns = {name: values[firsts] for name, values in columns.items()}
                paths = None if paths is None else paths.take(pa.array(firsts))
        stamps = columns.pop("stamp_s")
        spread = 0
        if self.resolution_s >= SECOND:
            stamps, spread = spread_within_seconds(stamps, self.asked.seed), len(stamps)
        taken = columns.get("taken_s")
        arrivals = stamps if self.is_start or taken is None else stamps - np.nan_to_num(taken)
        order = np.argsort(arrivals, kind="stable")
        return Arranged(
            started_unix=float(arrivals[order[0]]),
            arrivals_s=np.round(arrivals[order] - arrivals[order[0]], DIGITS),
            columns={name: values[order] for name, values in columns.items()},
            paths=None if paths is None else paths.take(pa.array(order)),
            upstreams=self._upstreams.words,
            methods=self._methods.words,
            spread=spread,
        )


@dataclass
class Arranged:
    """Requests in the order of arrival, shape (n,)."""

    started_unix: float
    arrivals_s: np.ndarray
    """From the first one."""
    columns: dict[str, np.ndarray]
    """Floats, unknown = NaN; whole numbers and codes, unknown = -1; `key`, 64 bits."""
    paths: pa.ChunkedArray | None
    upstreams: list[str]
    """By code."""
    methods: list[str]
    spread: int
    """How many stamps of whole seconds were spread."""

    def __len__(self) -> int:
        """How many there are."""
        return len(self.arrivals_s)


def spread_within_seconds(stamps_s: np.ndarray, seed: int) -> np.ndarray:
    """Moments for stamps of whole seconds: those of one second are drawn evenly from it, in the order of the log.

    Given how many fall into a second, that is where a Poisson process has them. Bursts that are shorter than a second
    are lost with the digits; the counts by second stay what they were.

    Args:
        stamps_s: shape (n,).
        seed: of the draws.
    """
    seconds = np.floor(stamps_s)
    drawn = np.random.default_rng(seed).random(len(seconds))
    moments = np.empty(len(seconds))
    moments[np.argsort(seconds, kind="stable")] = (seconds + drawn)[np.lexsort((drawn, seconds))]
    return moments


def _as_text(texts: pa.Array) -> pa.Array:
    """Binary as text, byte for byte where it is no UTF-8."""
    if not pa.types.is_binary(texts.type):
        return texts
    try:
        return texts.cast(pa.string())
    except pa.ArrowInvalid:
        decoded = [None if text is None else text.decode("utf-8", "backslashreplace") for text in texts.to_pylist()]
        return pa.array(decoded, pa.string())


def _unknown(name: str, count: int) -> np.ndarray:
    if name in SECONDS:
        return np.full(count, np.nan)
    kind = KINDS[name]
    return np.zeros(count, kind) if kind is np.uint64 else np.full(count, UNKNOWN, kind)
