"""An arm against itself (A/A): how often the board's own protocol finds a difference where there is none.

A trial is one pathology with as many pairs as the board has, both of each pair of the same arm; which of the two is
called the reference is drawn from the seed. It is judged as a board of two arms and one pathology is: by the row's
measure and lost requests in one family of 5 %. *Better* or *worse* is a false verdict. Live, the two of a pair are the
board's own run and a second one of the same seed, so that nothing differs but the machine's noise. Simulated, where a
seed repeats to the last digit, they are runs of two seeds: what differs then is the load, more than in a pair of the
board, and each is held against the floor of its own load. No run is in two trials, so that the trials are independent
and the rate has an exact interval.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from analysis.comparison.arms import Measured, Pair, Pairs
from analysis.comparison.compared import Compared
from analysis.comparison.statistics import ALPHA
from analysis.comparison.verdicts import Smallest, judge_family
from analysis.distributions.shares import clopper_pearson
from analysis.standings.gathering import CellRuns, gather
from analysis.standings.judging import LEAST_PAIRS, effects_of, overall_of
from analysis.standings.measures import MEASURES, judged_by
from analysis.standings.protocol import SAME, Protocol

TARGET = ALPHA
"""The most false verdicts that a protocol of this level may have."""
FIRST_SEED = 100_001
"""Of simulated runs of arms against themselves: the board has none of them."""


@dataclass(frozen=True)
class Same:
    """What became of one arm against itself."""

    arm: str
    trials: int
    false: int
    where: tuple[str, ...]
    """The pathologies of the false verdicts."""
    missing: int = 0
    """Runs that were planned for it and of which nothing valid is there."""
    left_out: tuple[str, ...] = ()
    """A line for each run whose instrument did not work, or that failed."""

    @property
    def interval(self) -> tuple[float, float]:
        """Of the false-verdict rate, exact, 95 % (Clopper and Pearson); (0, 1) without a trial."""
        return clopper_pearson(self.false, self.trials) if self.trials else (0.0, 1.0)

    @property
    def has_failed(self) -> bool:
        """Whether it is shown to err more often than the target."""
        return self.interval[0] > TARGET

    def sentence(self) -> str:
        """In words."""
        lacking = f"; {self.missing} of its runs are missing" if self.missing else ""
        if not self.trials:
            return f"{self.arm}: no trial{lacking}"
        low, high = self.interval
        text = (
            f"{self.arm}: {self.false} of {self.trials} trials against itself found a difference, "
            f"{100 * self.false / self.trials:.1f} % (95 % interval: {100 * low:.1f} to {100 * high:.1f}){lacking}"
        )
        return f"{text}; more than {100 * TARGET:g} %: no verdicts on it" if self.has_failed else text


def seeds_of(protocol: Protocol) -> tuple[int, ...]:
    """Of the runs that are made for it: simulated two for each pair, live a second one for each of the board's."""
    if not protocol.is_virtual:
        return protocol.seeds
    return tuple(range(FIRST_SEED, FIRST_SEED + 2 * len(protocol.seeds) * protocol.same_groups))


def twins(pack: Path, protocol: Protocol) -> dict[tuple[str, str], CellRuns]:
    """The runs that are made for it, by row and arm; empty where none was asked for."""
    return gather(pack, replace(protocol, seeds=seeds_of(protocol)), SAME) if protocol.same_groups else {}


def assess(
    protocol: Protocol, cells: Mapping[tuple[str, str], CellRuns], again: Mapping[tuple[str, str], CellRuns],
    smallest: Smallest,
) -> list[Same]:
    """Every arm of a pack; empty where none was asked for.

    Args:
        protocol: of the pack.
        cells: the board's runs.
        again: those that were made for it.
        smallest: the smallest effects of interest.
    """
    if not protocol.same_groups:
        return []
    found = []
    for arm in protocol.arms:
        trials = false = missing = 0
        where, left_out = list[str](), list[str]()
        for row in protocol.rows:
            if (there := again.get((row.name, arm.name))) is None:
                continue
            # Two seeds differ by their loads, and so do their floors; one seed has the same in both.
            compared = MEASURES[row.measure] if protocol.is_virtual else judged_by(row.measure)
            missing += len(there.unmeasured)
            left_out += [*there.invalid, *there.failed]
            for pairs in _trials(protocol, arm.name, row.name, cells[row.name, arm.name], there):
                trials += 1
                if is_false(pairs, compared, smallest):
                    false += 1
                    where.append(row.name)
        found.append(Same(arm.name, trials, false, tuple(where), missing, tuple(left_out)))
    return found


def _trials(protocol: Protocol, arm: str, row: str, board: CellRuns, again: CellRuns) -> Iterator[Pairs]:
    """Simulated whole ones; live as many pairs as are valid."""
    rng = Random(f"aegis-aa-{arm}-{row}")
    count = len(protocol.seeds)
    if protocol.is_virtual:
        groups = groups_of(list(again.by_seed.values()), count, rng)
    else:
        known = [seed for seed in protocol.seeds if seed in board.by_seed and seed in again.by_seed]
        groups = [[(board.by_seed[seed], again.by_seed[seed]) for seed in known]]
    for group in groups:
        if len(group) >= LEAST_PAIRS:
            yield labelled(arm, group, rng)


def groups_of(runs: Sequence[Measured], pairs: int, rng: Random) -> list[list[tuple[Measured, Measured]]]:
    """Runs at random in groups of so many pairs; what is left over is in none."""
    drawn = rng.sample(list(runs), len(runs))
    both = [(drawn[at], drawn[at + 1]) for at in range(0, len(drawn) - 1, 2)]
    return [both[at : at + pairs] for at in range(0, len(both) - pairs + 1, pairs)]


def labelled(arm: str, group: Sequence[tuple[Measured, Measured]], rng: Random) -> Pairs:
    """A trial: of each pair one is called the reference, by lot."""
    pairs = Pairs(f"{arm} (A)", f"{arm} (B)")
    for one, other in group:
        first, second = (one, other) if rng.random() < 0.5 else (other, one)
        pairs.kept.append(Pair(first.run.manifest.get("seed", 0), first, second))
    return pairs


def is_false(pairs: Pairs, compared: Compared, smallest: Smallest) -> bool:
    """Whether the protocol finds a difference."""
    effects = effects_of(pairs, compared)
    if not effects:
        return False
    judged = {id(j.effect): j for j in judge_family(effects, ALPHA, smallest)}
    return overall_of(effects, judged, smallest) in ("better", "worse")
