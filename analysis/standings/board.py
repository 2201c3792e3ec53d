"""A board: a row a pathology, a cell an arm; who is best, who loses more, what is undecided, and what was left out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from analysis.comparison.sequential import EXTRA
from analysis.comparison.statistics import ALPHA
from analysis.standings.measures import IN_TIME, MEASURES
from analysis.standings.protocol import Protocol, RowPlan

State = Literal[
    "best", "equivalent", "undecided", "not compared", "worse", "loses more", "not asked", "not measured", "no verdict"
]
IN_WORDS: dict[State, str] = {
    "best": "better than every other arm",
    "equivalent": "they differ by less than matters",
    "undecided": "no other was shown to be better",
    "not compared": "no other arm that is judged has two seeds in common with it",
    "worse": "another one is better",
    "loses more": "not shown to be worse, but more requests were lost than matters",
    "not asked": "why, is said below",
    "not measured": "why, is said below",
    "no verdict": "differs from itself too often",
}
"""What a cell's state says."""
LONGEST_SUITE = 40
"""Characters of a suite's name in a title."""


def goes_on(*, is_virtual: bool) -> str:
    """What is to be done about runs that are missing."""
    again = "failed (one whose instrument did not work comes out the same again)" if is_virtual else "was not valid"
    return f"the same command measures what it did not come to, and with a larger --tries what {again}"


@dataclass(frozen=True)
class Spanned:
    """A number with its simultaneous interval; None = not known, of a bound: without one."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Cell:
    """One arm under one pathology."""

    arm: str
    state: State
    value: Spanned = Spanned(None)
    """Of the row's measure: the geometric mean over runs; of requests served in time the share."""
    beyond_ms: float | None = None
    """Where it lies among requests that were not served: the least that it lies beyond, of the seeds in which any was
    served (the largest served latency of each)."""
    unserved: int = 0
    """Seeds in which it does."""
    lost: Spanned = Spanned(None)
    """Share of the requests that were lost beyond those that the floor loses."""
    lost_requests: int = 0
    """Beyond those that the floor loses; negative where the floor loses more."""
    requests: int = 0
    seeds: tuple[int, ...] = ()
    """Of the valid runs."""
    invalid: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    """Of the valid runs, from the pack's folder on."""
    reason: str = ""
    """Why it is empty."""
    judged: float | None = None
    """What its verdicts are about: the p99 itself, ms, over runs; of requests served in time the share."""
    without_any: int = 0
    """Seeds, of the `unserved`, in which no request was served where the measure looks."""
    unknown: int = 0
    """Seeds in which that p99 or share is not known, as no request came where the measure looks."""
    floorless: int = 0
    """Seeds in which that is known, and the floor has none to hold it against: of its requests too many are lost."""


@dataclass(frozen=True)
class Judgement:
    """A comparison of two arms by one measure."""

    reference: str
    arm: str
    metric: str
    effect: float | None
    """The ratio, of a share the difference; None = not identified."""
    low: float | None
    high: float | None
    n: int
    level: float
    """The error rate of interval and verdict, after Holm."""
    verdict: str


@dataclass(frozen=True)
class Row:
    """One pathology."""

    plan: RowPlan
    cells: tuple[Cell, ...]
    """In the order of the arms."""
    best: tuple[str, ...]
    """Those that no other arm was shown to be better than and that lose no more than matters; the one that looks best
    first."""
    is_decided: bool
    """Whether it is one that was shown to be better than each other, or all of them are equivalent."""
    judgements: tuple[Judgement, ...]
    floors: str = ""
    """Where arms were measured against different floors: whose."""

    @property
    def is_in_time(self) -> bool:
        """Whether the measure is the share that is served in time."""
        return self.plan.measure == IN_TIME

    @property
    def label(self) -> str:
        """Of the measure."""
        return MEASURES[self.plan.measure].label

    def cell(self, arm: str) -> Cell:
        """An arm's."""
        return next(cell for cell in self.cells if cell.arm == arm)


@dataclass(frozen=True)
class Standing:
    """An arm over all pathologies."""

    arm: str
    alone: int
    """Pathologies under which it is better than every other."""
    equivalent: int
    undecided: int
    worse: int
    loses_more: int
    mean_rank: float | None
    """Of how it looks where all arms that have a verdict were measured, 1 = first, ties share theirs (Demsar,
    Statistical comparisons of classifiers over multiple data sets, JMLR 7, 2006); None = nowhere. A description, no
    verdict."""


@dataclass(frozen=True)
class Board:
    """All of it."""

    protocol: Protocol
    rows: tuple[Row, ...]
    standings: tuple[Standing, ...]
    smallest_effect: float
    smallest_share: float
    level: float
    """Error rate of a family."""
    excused: tuple[str, ...]
    """Arms without verdicts, as they differ from themselves too often."""
    missing_by_arm: tuple[tuple[str, int], ...]
    """Runs that were planned and of which nothing valid is there."""
    commits: tuple[str, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    """Of arms that are another program: the arm, and what it called itself."""
    otherwise: tuple[tuple[str, str], ...] = ()
    """Likewise: what it does otherwise than Aegis' router with the same settings, a sentence each."""
    mixed: tuple[str, ...] = ()
    """What its runs were not all made with alike: `envoy: 1.40.0, then 1.41.0`."""

    @property
    def missing(self) -> int:
        """Runs that were planned and of which nothing valid is there."""
        return sum(count for _, count in self.missing_by_arm)

    @property
    def decided(self) -> int:
        """Rows with a best arm, or equivalent ones."""
        return sum(row.is_decided for row in self.rows)

    @property
    def title(self) -> str:
        """What it is about, in a few words."""
        suite = self.protocol.suite
        named = suite if len(suite) <= LONGEST_SUITE else counted(self.rows)
        return f"{named}: {counted_arms(self.protocol)}, {'simulated' if self.protocol.is_virtual else 'live'}"

    def as_dict(self) -> dict[str, Any]:
        """What stands in `leaderboard.json`."""
        return asdict(self)

    def sentence(self) -> str:
        """The verdict, and how far it can be relied on."""
        there = sum(len(cell.seeds) for row in self.rows for cell in row.cells)
        begin = f"Provisional: {there:,} of {there + self.missing:,} runs. " if self.missing else ""
        if len(self.protocol.arms) == 1:
            return f"{begin}{self.protocol.arms[0].name} alone: there is no other arm to hold it against."
        names = ", ".join(self.excused)
        end = f" Not judged, since they differ from themselves too often: {names}." if names else ""
        text = verdict(self.rows, self.standings, self.protocol.family, self.level, self.excused)
        return f"{begin}{text}{end}"


def verdict(
    rows: Sequence[Row], standings: Sequence[Standing], family: str, level: float, excused: Sequence[str] = ()
) -> str:
    """Who is best where, in a sentence or two; `level` is the error rate of a family, `excused` get no verdicts."""
    judged = [row for row in rows if row.judgements]
    if not judged:
        whom = "two arms that are judged" if excused else "two arms"
        return f"Nothing is decided: no pathology has two seeds with valid runs of {whom}."
    parts = [
        f"{', '.join(f'{arm} ({count})' for arm, count in sorted(counts, key=lambda each: -each[1]))} {words}"
        for words, counts in (
            ("better than every other", [(s.arm, s.alone) for s in standings if s.alone]),
            ("as good as the best", [(s.arm, s.equivalent) for s in standings if s.equivalent]),
        )
        if counts
    ]
    undecided = sum(not row.is_decided for row in judged)
    if not parts:
        parts = ["no arm is shown to be better than every other anywhere"]
    rest = f"; {undecided} undecided" if undecided else ""
    most, extended = (ALPHA, "") if level >= ALPHA else (ALPHA + EXTRA, ", all their extensions together,")
    errs = f"such {'boards' if family == 'board' else 'rows'}{extended} hold a wrong difference"
    text = f"Of {counted(judged)}: {'; '.join(parts)}{rest}. At most {100 * most:.2g} % of {errs}."
    losers = [f"{s.arm} ({s.loses_more})" for s in standings if s.loses_more]
    return text + (f" Not best for what they lose: {', '.join(losers)}." if losers else "")


def counted(rows: Sequence[Row]) -> str:
    """How many rows there are, in words."""
    many = "1 pathology" if len(rows) == 1 else f"{len(rows)} pathologies"
    sizes = "and size of the fleet" if len(rows) == 1 else "and sizes of the fleet"
    return many if rows[0].plan.replicas is None else f"{many} {sizes}"


def counted_arms(protocol: Protocol) -> str:
    """How many arms there are, in words."""
    return "1 arm" if len(protocol.arms) == 1 else f"{len(protocol.arms)} arms"


def relative(pack: Path, folder: Path) -> str:
    """A folder from the pack's on."""
    return folder.relative_to(pack).as_posix()
