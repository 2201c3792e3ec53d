"""Policies that draw: whether the picks go with the chances that each state gives, at a stated error rate.

Each pick is one draw from the reference's chances p in the state before it. Against it stand alternatives q that learn
from the picks before: p, tilted by how often each class of replicas (who it is, its rank by load, ...) was picked
beside what p had said. The product of q(picked) / p(picked) over all picks is a test martingale: if the reference is
right its mean stays 1. It, or the mean of several such, then ever reaches 1 / alpha with a chance of at most `alpha`,
whenever one looks (Ville, Etude critique de la notion de collectif, 1939; Ramdas et al., Game-theoretic statistics and
safe anytime-valid inference, Statistical Science 38, 2023; q is a plug-in as of Dawid's prequential analysis, JRSS A
147, 1984). That is the error rate of the whole family: nothing is left to be corrected.

What is known of a state are bounds. Of all states within them the one counts in which the pick says least against the
reference. The tilt of a pick is learnt from picks alone whose stamps all lie before it, and the product is looked at
between two picks alone that no stamp joins. So nothing of the bound is lost to what is not known.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

from experiments.conforming.seen import Attempt, Seen, Span, offered
from experiments.references import Offer, Reference

ALPHA = 0.01
"""The chance with which a right proxy is ever said to be wrong."""
PRIOR = 4.0
"""Picks of each class that count as if they had gone as they should, before any was seen."""
MOST_STATES = 64
"""Beyond so many a pick counts as what says least in any state."""
Classes = Callable[[Offer, Sequence[int], int], list[int]]
"""From an offer, the replicas that may be picked and who was picked before: the class of each of them."""


def by_replica(offer: Offer, among: Sequence[int], before: int) -> list[int]:
    """Who it is: a biased draw, a weight that is ignored."""
    return list(among)


def by_rank(offer: Offer, among: Sequence[int], before: int) -> list[int]:
    """How many loads are below its own: a counter that is stale, or counts something else."""
    loads = sorted({offer.counts[n] for n in among})
    return [min(loads.index(offer.counts[n]), 3) for n in among]


def by_turn(offer: Offer, among: Sequence[int], before: int) -> list[int]:
    """How far it is behind the last one: a rotation where there ought to be a draw."""
    return [(n - before) % len(offer.counts) for n in among]


def by_place(offer: Offer, among: Sequence[int], before: int) -> list[int]:
    """Whether it is the first, the last or another one of those with its load: ties that favour somebody."""
    found = []
    for n in among:
        equal = [m for m in among if offer.counts[m] == offer.counts[n]]
        found.append(0 if len(equal) == 1 else 1 if n == equal[0] else 2 if n == equal[-1] else 3)
    return found


ALTERNATIVES: dict[str, Classes] = {
    "replica": by_replica, "rank by load": by_rank, "distance from the last pick": by_turn,
    "place among equals": by_place,
}  # fmt: skip
CLASSES = 64
"""Classes that an alternative tells apart; replicas beyond share them."""


@dataclass(frozen=True)
class Refuted:
    """A decision after which the reference is no longer to be believed, or cannot have been its."""

    attempt: int
    """Its place in `Seen.attempts`."""
    alternative: str | None
    """By what the picks go so far, more than by their chances; None = the reference cannot pick so."""
    states: tuple[Offer, ...]
    """What it may have been decided by."""


@dataclass
class Tested:
    """What came of it."""

    impossible: list[Refuted]
    refuted: Refuted | None
    log_evidence: float
    """Of the mean of the products at the last moment at which it was looked at."""
    largest: float
    """The largest it was then."""
    judged: int
    """Picks of which not each would have said nothing: of who is the only one possible in one of the states."""
    seen: dict[str, list[tuple[int, float]]]
    """Picks of each class beside how many there ought to be."""


class States:
    """The states in which each decision may have been made; asked in the order of `Seen.attempts`."""

    def __init__(self, seen: Seen, reference: Reference) -> None:
        """Nobody is in flight."""
        self._seen = seen
        self._tried = seen.tried()
        self._penalty_s = float(getattr(reference, "penalty_s", 0.0))
        self._under_way: list[Attempt] = []
        self._begun = 0
        self._turns = sorted(seen.turns, key=lambda turn: turn.at.low)

    def of(self, number: int) -> list[Offer]:
        """All of one decision; empty where there are too many."""
        attempts = self._seen.attempts
        attempt = attempts[number]
        low, high = attempt.picked
        self._under_way = [other for other in self._under_way if self._until(other).high >= low]
        while self._begun < len(attempts) and attempts[self._begun].picked.low <= high:
            self._under_way.append(attempts[self._begun])
            self._begun += 1
        fewest, most = ([0] * len(self._seen.ids) for _ in range(2))
        for other in self._under_way:
            until = self._until(other)
            if other.picked.low > high or until.high < low:
                continue
            if other.request == attempt.request and (other.number >= attempt.number or other.is_ok):
                continue  # an earlier one is over, but for what its failure still counts
            most[other.replica] += 1
            fewest[other.replica] += other.picked.high < low and until.low > high
        for span in self._seen.blind:
            if span.low <= high and span.high >= low:
                most = [count + 1 for count in most]
        rotations = self._rotations(low, high)
        ranges = [range(least, largest + 1) for least, largest in zip(fewest, most, strict=True)]
        if max(math.prod(map(len, rotations)), math.prod(map(len, ranges))) > MOST_STATES:
            return []
        among = {offered(rotation, self._seen.panic) for rotation in product(*rotations)}
        if len(among) * math.prod(map(len, ranges)) > MOST_STATES:
            return []
        return [Offer(each, self._tried[number], counts) for each in among for counts in product(*ranges)]

    def _until(self, attempt: Attempt) -> Span:
        """When it no longer counts."""
        least_s, most_s = (self._penalty_s * (attempt.is_ok is it) for it in (False, None))
        return Span(attempt.ended.low + least_s, attempt.ended.high + least_s + most_s)

    def _rotations(self, low: float, high: float) -> list[set[bool]]:
        """Whether each may have been in rotation, and out of it."""
        choices: list[set[bool]] = [{True} for _ in self._seen.ids]
        for turn in self._turns:
            if turn.at.low > high:
                break
            now = {True, False} if turn.is_in is None else {turn.is_in}
            choices[turn.replica] = now if turn.at.high < low else choices[turn.replica] | now
        return choices


class Alternative:
    """One test martingale."""

    def __init__(self, name: str, classes: Classes) -> None:
        """Nothing is learnt yet."""
        self.name = name
        self._classes = classes
        self.picked = [0.0] * CLASSES
        self.expected = [0.0] * CLASSES
        self.log = 0.0

    def weigh(self, states: Sequence[tuple[Offer, dict[int, float]]], picked: int, before: int) -> None:
        """The least that the pick says in any state; without states the least that it can say."""
        tilts = [(a + PRIOR) / (b + PRIOR) for a, b in zip(self.picked, self.expected, strict=True)]
        if not states:
            self.log += math.log(min(tilts) / max(tilts))
            return
        least = math.inf
        for offer, chances in states:
            among = list(chances)
            weights = [tilts[each % CLASSES] for each in self._classes(offer, among, before)]
            total = sum(weight * chance for weight, chance in zip(weights, chances.values(), strict=True))
            least = min(least, weights[among.index(picked)] / total)
        self.log += math.log(least)

    def learn(self, offer: Offer, chances: dict[int, float], picked: int, before: int) -> None:
        """A pick that is over."""
        among = list(chances)
        for replica, each in zip(among, self._classes(offer, among, before), strict=True):
            self.expected[each % CLASSES] += chances[replica]
            self.picked[each % CLASSES] += replica == picked


def test(seen: Seen, reference: Reference, alpha: float = ALPHA) -> Tested:
    """Hold all picks against the chances of a reference that draws."""
    attempts, states = seen.attempts, States(seen, reference)
    alternatives = [Alternative(name, classes) for name, classes in ALTERNATIVES.items()]
    done = Tested([], None, 0.0, 0.0, 0, {})
    waiting: list[tuple[float, Offer, dict[int, float], int, int]] = []
    known: dict[Offer, dict[int, float]] = {}
    earliest = _suffix_minimum(attempts)
    latest, over, before = -math.inf, [(-math.inf, 0)], 0
    for n, attempt in enumerate(attempts):
        while waiting and waiting[0][0] < attempt.picked.low:
            _, offer, chances, picked, last = waiting.pop(0)
            for alternative in alternatives:
                alternative.learn(offer, chances, picked, last)
        while over and over[0][0] < attempt.picked.low:
            before = over.pop(0)[1]
        low, high = attempt.picked
        is_told = not any(span.low <= high and span.high >= low for span in seen.gaps)
        within = states.of(n) if is_told else []
        for offer in within:
            if offer not in known:
                known[offer] = {replica: chance for replica, chance, _ in reference.picks(0, offer)}
        possible = [(offer, known[offer]) for offer in within if attempt.replica in known[offer]]
        alone = {next(iter(known[offer])) for offer in within if len(known[offer]) == 1}
        done.judged += bool(within) and len(alone) < len(seen.ids)
        if within and not possible:
            done.impossible.append(Refuted(n, None, tuple(within)))
        elif is_told and (not within or any(len(chances) > 1 for _, chances in possible)):
            for alternative in alternatives:
                alternative.weigh(possible, attempt.replica, before)
            if len(possible) == len(within) == 1:
                settled = max(attempt.picked.high, _settled(waiting))
                waiting.append((settled, *possible[0], attempt.replica, before))
        over.append((attempt.picked.high, attempt.replica))
        latest = max(latest, attempt.picked.high)
        if latest < earliest[n + 1]:
            logs = [alternative.log for alternative in alternatives]
            most = max(logs)
            done.log_evidence = most + math.log(sum(math.exp(log - most) for log in logs) / len(logs))
            done.largest = max(done.largest, done.log_evidence)
            if done.refuted is None and done.log_evidence >= -math.log(alpha):
                done.refuted = Refuted(n, alternatives[logs.index(most)].name, tuple(within))
    for _, offer, chances, picked, last in waiting:
        for alternative in alternatives:
            alternative.learn(offer, chances, picked, last)
    for alternative in alternatives:
        told = zip(alternative.picked, alternative.expected, strict=True)
        done.seen[alternative.name] = [(int(picked), round(expected, 2)) for picked, expected in told]
    return done


def _settled(waiting: Sequence[tuple[float, Offer, dict[int, float], int, int]]) -> float:
    """What is learnt is learnt in order."""
    return waiting[-1][0] if waiting else -math.inf


def _suffix_minimum(attempts: Sequence[Attempt]) -> list[float]:
    """The earliest moment of any decision from each place on; one more, infinite, for the end."""
    found = [math.inf]
    for attempt in reversed(attempts):
        found.append(min(found[-1], attempt.picked.low))
    return found[::-1]
