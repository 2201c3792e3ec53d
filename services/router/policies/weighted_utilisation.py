"""Round robin by what replicas can do, as they report it: requests a second over utilisation."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from services.router.policies import Candidate, Outcome, Pick, Report, RequestInfo, kept


@dataclass(slots=True)
class _Known:
    weight: float
    since: float
    """Since when it reports without a gap."""
    at: float


class WeightedUtilisation:
    """gRPC's `weighted_round_robin` (gRFC A58), its formula, periods and defaults.

    weight = rps / (utilisation + eps / rps * error_penalty), from the report with each answer. It counts once a replica
    has reported for `blackout_s`, and until `expiration_s` after its last report. A replica without one has the
    mean of the others'; where fewer than two have one, all are alike. Turns are taken by smooth weighted round robin
    (`round_robin`) in place of A58's earliest deadline first: the same shares, as evenly spread. It looks at nothing in
    flight, and not at the weight that a replica has registered.
    """

    name: ClassVar[str] = "weighted_utilisation"

    def __init__(
        self,
        *,
        rng: random.Random,
        blackout_s: float = 10.0,
        expiration_s: float = 180.0,
        update_s: float = 1.0,
        error_penalty: float = 1.0,
    ) -> None:
        """`blackout_s`: seconds until a new replica's weight counts; `expiration_s`: after so many without a report it
        counts no more; `update_s`: seconds between two looks at the weights; `error_penalty`: what a share of errors of
        1 adds to utilisation."""
        bounds = {"blackout_s": (blackout_s, 0, 3600), "expiration_s": (expiration_s, 0.1, 86_400)}
        bounds |= {"update_s": (update_s, 0.1, 3600), "error_penalty": (error_penalty, 0, 100)}
        for name, (value, low, high) in bounds.items():
            if not low <= value <= high:
                raise ValueError(f"policy.{name}={value:g}: must be between {low:g} and {high:g}")
        self._rng = rng
        self._blackout_s, self._expiration_s = blackout_s, expiration_s
        self._update_s, self._penalty = update_s, error_penalty
        self._known: dict[str, _Known] = {}
        self._weights: dict[str, float] = {}
        self._updated = float("-inf")
        self._credit: dict[str, float] = {}

    def pick(self, candidates: Sequence[Candidate], request: RequestInfo, now: float) -> Pick:
        """The one whose turn it is."""
        if now - self._updated >= self._update_s:
            self._update(candidates, now)
        known = [self._weights[c.id] for c in candidates if c.id in self._weights]
        mean = sum(known) / len(known) if len(known) > 1 else 1.0
        best, most, total = candidates[0], float("-inf"), 0.0
        for candidate in candidates:
            share = self._weights.get(candidate.id, mean) / mean if len(known) > 1 else 1.0
            credit = self._credit.get(candidate.id)
            credit = share + (self._rng.random() * share if credit is None else credit)
            self._credit[candidate.id] = credit
            total += share
            if credit > most:
                best, most = candidate, credit
        self._credit[best.id] = most - total
        return Pick(best, "weighted" if len(known) > 1 else "turn")

    def _update(self, candidates: Sequence[Candidate], now: float) -> None:
        self._updated = now
        self._known, self._credit = kept(self._known, candidates), kept(self._credit, candidates)
        self._weights = {
            id_: each.weight
            for id_, each in self._known.items()
            if now - each.at < self._expiration_s and now - each.since >= self._blackout_s
        }

    def on_report(self, replica: Candidate, report: Report, now: float) -> None:
        """A weight, where it says both what it does and how busy it is."""
        if not report.rps or not report.utilisation:
            return
        weight = report.rps / (report.utilisation + (report.eps or 0.0) / report.rps * self._penalty)
        known = self._known.get(replica.id)
        if known is None or now - known.at >= self._expiration_s:
            self._known[replica.id] = _Known(weight, now, now)
        else:
            known.weight, known.at = weight, now

    def on_start(self, replica: Candidate, now: float) -> None:
        """Reports tell of it."""

    def on_finish(self, replica: Candidate, outcome: Outcome, latency: float, now: float) -> None:
        """Likewise."""
