"""How often a bug is found, after how many decisions, and how often a right proxy is accused."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.distributions.shares import most_of
from experiments.conforming.chances import ALPHA
from experiments.conforming.judging import Judgement, judge
from experiments.conforming.modelled.bugs import BUGS, RIGHT
from experiments.conforming.modelled.proxy import Proxy, Setting

REQUESTS = 2000


@dataclass(frozen=True)
class Found:
    """What came of one bug."""

    bug: str
    reference: str
    after: tuple[int | None, ...]
    """The decision at which it was found, a run; None = it was not."""

    @property
    def count(self) -> int:
        """In how many runs it was found."""
        return sum(after is not None for after in self.after)

    @property
    def median(self) -> float | None:
        """The decision by which it is found in half of the runs; None = it is not."""
        ranked = statistics.median([float("inf") if after is None else after for after in self.after])
        return None if ranked == float("inf") else ranked


@dataclass(frozen=True)
class Accused:
    """What came of one right proxy."""

    setting: Setting
    alarms: int
    runs: int
    judged: float
    """The share of the decisions of which not all would have been right."""

    @property
    def bound(self) -> float:
        """The largest share of false alarms that 95 % certainty does not exclude."""
        return most_of(self.alarms, self.runs)


def play(proxy: type[Proxy], setting: Setting, seed: int, requests: int, alpha: float = ALPHA) -> Judgement:
    """One run of a modelled proxy, judged by the reference that it says it has."""
    return judge(proxy(setting, seed).play(requests), setting.create(), alpha)


def bugs(seeds: Sequence[int], requests: int = REQUESTS) -> Iterator[Found]:
    """Each bug, with each seed."""
    for name, bug in BUGS.items():
        judged = [play(bug.proxy, bug.setting, seed, requests) for seed in seeds]
        after = tuple(None if each.first is None else each.first.place for each in judged)
        yield Found(name, bug.setting.reference, after)


def right(runs: int, requests: int = REQUESTS) -> Iterator[Accused]:
    """`runs` runs in all of right proxies, shared out among the settings in turn."""
    for n, setting in enumerate(RIGHT):
        seeds = range(n, runs, len(RIGHT))
        judged = [play(Proxy, setting, seed, requests) for seed in seeds]
        if not judged:
            continue
        alarms = sum(not each.conforms for each in judged)
        share = sum(each.judged / each.decisions for each in judged) / len(judged)
        yield Accused(setting, alarms, len(judged), share)
