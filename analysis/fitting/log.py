"""The part of a log that a fit reads: who came when, to which host, and when the answer was there."""

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd

from analysis.fitting.inversion import Bools, Floats, Ints
from analysis.fitting.refusal import FitRefused

LEAST_SERVED = 400
"""Answered requests below which nothing is fitted: two halves, of which each is split again by how busy it was."""
STEPS_S = (1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-6)
"""Steps that clocks of logs have; what lies on none of them counts as finer."""
LONGEST_STEP = 0.25
"""A clock's step may be this share of the median duration: else order and waiting drown in its rounding."""
FAILED = 500
"""The first status of a server's error."""
LEFT = 499
"""A client that hung up (nginx)."""
ONE_HOST = "service"
"""The name of the only host where a log names none."""


@dataclass(frozen=True)
class Log:
    """Requests in the order in which they came to the hosts; all arrays have shape (n,)."""

    arrivals_s: Floats
    """At the host, seconds from the log's first request."""
    departures_s: Floats
    """When the host's answer was there, seconds; NaN = it is not known."""
    host: Ints
    """Place in `hosts`."""
    served: Bools
    """Whether it was answered without a server's error, in a time that is known."""
    attempts: Ints
    """Attempts that were made for it; 1 where that is not known."""
    hosts: tuple[str, ...]
    step_s: float
    """The clock's step, seconds; 0 = finer than `STEPS_S`."""
    overhead_s: Floats
    """What the proxy took beside the host, seconds; empty = the log does not say."""
    row: Ints
    """Each request's place in the table that it was read from."""
    notes: tuple[str, ...] = ()
    """What was left out or taken as, a line each."""

    def __len__(self) -> int:
        """How many requests."""
        return len(self.arrivals_s)

    def without(self, hosts: list[int], note: str) -> Self:
        """Without the requests of these hosts."""
        kept = [number for number in range(len(self.hosts)) if number not in hosts]
        rest = self.part(np.isin(self.host, kept))
        places = np.searchsorted(kept, rest.host)
        names = tuple(self.hosts[number] for number in kept)
        return replace(rest, host=places.astype(np.int64), hosts=names, notes=(*self.notes, note))

    def held_back(self) -> Self:
        """As it would be if the proxy's own time had passed before each host was asked, not after its answer."""
        if not len(self.overhead_s):
            return self
        arrivals_s = self.arrivals_s + np.nan_to_num(self.overhead_s)
        departures_s = self.departures_s + np.nan_to_num(self.overhead_s)
        order = np.lexsort((departures_s, arrivals_s))
        late = replace(self, arrivals_s=arrivals_s, departures_s=departures_s)
        return late.part(order)

    def part(self, which: Bools | Ints) -> Self:
        """Those alone that are marked, or at these places."""
        overhead = self.overhead_s[which] if len(self.overhead_s) else self.overhead_s
        return replace(
            self,
            arrivals_s=self.arrivals_s[which],
            departures_s=self.departures_s[which],
            host=self.host[which],
            served=self.served[which],
            attempts=self.attempts[which],
            overhead_s=overhead,
            row=self.row[which],
        )


def step_of(values_s: Floats) -> float:
    """The longest of `STEPS_S` on whose multiples all values lie, else 0; NaN is passed over."""
    known = values_s[np.isfinite(values_s)]
    for step in STEPS_S:
        places = known / step
        if len(known) and np.abs(places - np.round(places)).max() < 1e-4:
            return step
    return 0.0


def read_log(table: pd.DataFrame, resolution_s: float = 0.0) -> Log:
    """What a fit needs of a table as `aegis import` writes it.

    Args:
        table: a row a request with `scheduled_s`, and where known `taken_s`, `upstream_s`, `upstream`, `attempts`,
            `status`; null = not known.
        resolution_s: what the log's stamps were rounded to, where the table does not show it any more.

    Raises:
        FitRefused: there is too little in it, it has no durations, or its clock is too coarse for them.
    """
    count = len(table)
    taken_s, upstream_s = (_floats(table, name) for name in ("taken_s", "upstream_s"))
    lasted_s = np.where(np.isfinite(upstream_s), upstream_s, taken_s)
    if not np.isfinite(lasted_s).any():
        raise FitRefused(
            "no_durations",
            "the log says when requests came, but not how long they took",
            "log the duration of every request, best that of the upstream ($upstream_response_time, %Tr, DURATION)",
        )
    notes = []
    scheduled_s = _floats(table, "scheduled_s")
    both = np.isfinite(taken_s) & np.isfinite(upstream_s)
    beside_s = np.where(both, np.maximum(0.0, taken_s - upstream_s), np.nan)
    attempts = np.maximum(1, np.nan_to_num(_floats(table, "attempts"), nan=1.0)).astype(np.int64)
    # The last attempt is the one that the durations belong to: it began so long before the end.
    arrivals_s = scheduled_s + np.where((attempts > 1) & both, beside_s, 0.0)
    status = np.nan_to_num(_floats(table, "status"), nan=200.0)
    failed = (status >= FAILED) | (status == LEFT) | (status <= 0)
    usable = np.isfinite(arrivals_s) & ~(lasted_s < 0)
    if dropped := int(count - usable.sum()):
        notes.append(f"{dropped:,} of {count:,} requests have no moment or a negative duration: left out")
    codes, names = _hosts(table, notes)
    usable &= codes >= 0
    served = usable & np.isfinite(lasted_s) & ~failed
    if served.sum() < LEAST_SERVED:
        raise FitRefused(
            "too_little",
            f"{int(served.sum()):,} requests were answered with a duration and a host, of {count:,}",
            f"collect at least {LEAST_SERVED:,}, some thousand are better",
        )
    step_s = max(resolution_s, step_of(scheduled_s[served]), step_of(lasted_s[served]))
    median_s = float(np.median(lasted_s[served]))
    if step_s > LONGEST_STEP * median_s:
        raise FitRefused(
            "coarse_clock",
            f"the log's clock has steps of {step_s * 1e3:g} ms, and half of the requests take {median_s * 1e3:.3g} ms "
            "at most: waiting cannot be told from service",
            "log moments and durations in finer steps ($msec and $request_time, %t.%{usec_frac}t and %D, us in JSON)",
        )
    arrivals_s = arrivals_s - np.min(arrivals_s[usable])
    departures_s = arrivals_s + lasted_s
    order = np.lexsort((departures_s, arrivals_s))
    order = order[usable[order]]
    overhead_s = np.where(attempts == 1, beside_s, np.nan)
    return Log(
        arrivals_s[order],
        departures_s[order],
        codes[order],
        served[order],
        attempts[order],
        names,
        step_s,
        overhead_s[order] if both.any() else np.empty(0),
        order,
        tuple(notes),
    )


def _floats(table: pd.DataFrame, name: str) -> Floats:
    if name not in table:
        return np.full(len(table), math.nan)
    return pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64, na_value=math.nan)


def _hosts(table: pd.DataFrame, notes: list[str]) -> tuple[Ints, tuple[str, ...]]:
    """Each request's host as a number, -1 = not known, and the hosts' names in order."""
    if "upstream" not in table or table["upstream"].isna().all():
        notes.append("the log names no upstream: all of it is taken as one host")
        return np.zeros(len(table), np.int64), (ONE_HOST,)
    codes, names = pd.factorize(table["upstream"], sort=True)
    if unknown := int((codes < 0).sum()):
        notes.append(f"{unknown:,} requests went to no host that the log names: left out")
    return codes.astype(np.int64), tuple(str(name) for name in names)
