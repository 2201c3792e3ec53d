"""Whether what was seen of a proxy is what a reference does, and the first decision that it could not have made."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.conforming import chances, worlds
from experiments.conforming.seen import Seen
from experiments.references import Reference


@dataclass(frozen=True)
class Finding:
    """A decision that speaks against the reference."""

    request: int
    attempt: int
    place: int
    """How many decisions there were until then, this one included."""
    low_s: float
    high_s: float
    picked: str
    possible: tuple[str, ...]
    """Whom the reference could have picked; of a test all that it draws from."""
    in_flight: dict[str, tuple[int, int]]
    """The fewest and the most."""
    out: tuple[str, ...]
    """Who was, or may have been, out of rotation."""
    tried: tuple[str, ...]
    alternative: str | None = None
    """Why, where this one decision is not impossible by itself: of a test, by what the picks go so far."""


@dataclass(frozen=True)
class Judgement:
    """What came of holding a reference against what was seen."""

    reference: str
    decisions: int
    judged: int
    """Of those, where not every pick would have been right."""
    unplaced: int
    first: Finding | None
    """None: nothing speaks against it."""
    impossible: int
    """How many decisions are impossible; after each it goes on from a moment that no stamp spans."""
    evidence: float | None = None
    """How many times as well another way of drawing explains the picks; None = the reference does not draw."""
    alpha: float | None = None
    classes: dict[str, list[tuple[int, float]]] | None = None

    @property
    def conforms(self) -> bool:
        """Whether nothing speaks against it."""
        return self.first is None

    def as_json(self) -> dict[str, Any]:
        """As `conformance.json` has it."""
        first = None
        if (found := self.first) is not None:
            first = {
                "request_id": found.request, "attempt": found.attempt, "decision": found.place,
                "low_s": found.low_s, "high_s": found.high_s, "picked": found.picked,
                "possible": list(found.possible), "in_flight": {k: list(v) for k, v in found.in_flight.items()},
                "out": list(found.out), "tried": list(found.tried), "alternative": found.alternative,
            }  # fmt: skip
        return {
            "policy": self.reference, "decisions": self.decisions, "judged": self.judged, "unplaced": self.unplaced,
            "conforms": self.conforms, "impossible": self.impossible, "evidence": self.evidence, "alpha": self.alpha,
            "first": first,
        }  # fmt: skip


def judge(seen: Seen, reference: Reference, alpha: float = chances.ALPHA) -> Judgement:
    """Hold a reference against what was seen; `alpha` is the error rate of what draws."""
    if reference.draws:
        return _of_chances(seen, reference, alpha)
    done = worlds.Replay(seen, reference).run()
    first = None
    if done.impossible:
        found = done.impossible[0]
        names = [seen.ids[n] for n in found.possible]
        first = _finding(seen, found.attempt, names, found.counts, found.out, None)
    return Judgement(
        reference.name, len(seen.attempts), done.judged, len(seen.blind), first, len(done.impossible)
    )


def _of_chances(seen: Seen, reference: Reference, alpha: float) -> Judgement:
    done = chances.test(seen, reference, alpha)
    candidates = [*done.impossible[:1], *([] if done.refuted is None else [done.refuted])]
    first = None
    if candidates:
        found = min(candidates, key=lambda each: each.attempt)
        columns = list(zip(*(offer.counts for offer in found.states), strict=True))
        bounds = [(min(column), max(column)) for column in columns] or [(0, 0)] * len(seen.ids)
        possible = {n for offer in found.states for n, _, _ in reference.picks(0, offer)}
        out = {n for offer in found.states for n in range(len(seen.ids)) if n not in offer.offered}
        names = [seen.ids[n] for n in sorted(possible)]
        why = None if found.alternative is None else f"until here picks go by {found.alternative}, beyond their chances"
        first = _finding(seen, found.attempt, names, bounds, sorted(out), why)
    return Judgement(
        reference.name, len(seen.attempts), done.judged, len(seen.blind), first, len(done.impossible),
        math.exp(min(done.largest, 700.0)), alpha, done.seen,
    )  # fmt: skip


def _finding(
    seen: Seen, number: int, possible: Sequence[str], counts: Sequence[tuple[int, int]], out: Sequence[int],
    alternative: str | None,
) -> Finding:  # fmt: skip
    attempt = seen.attempts[number]
    return Finding(
        attempt.request, attempt.number, number + 1, *attempt.picked, seen.ids[attempt.replica], tuple(possible),
        dict(zip(seen.ids, counts, strict=True)), tuple(seen.ids[n] for n in out),
        tuple(seen.ids[n] for n in seen.tried()[number]), alternative,
    )  # fmt: skip
