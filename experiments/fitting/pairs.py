"""Pairs of configurations of made-up systems: what a what-if says of the second by the log of the first, beside both
as live runs."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from analysis.fitting.log import read_log
from experiments.fitting.arms import arms_of
from experiments.fitting.judging import fit_and_judge
from experiments.fitting.kept import kept
from experiments.fitting.live import log_in, measured, overrides_of, slowed
from experiments.fitting.made_up import System, log_of
from experiments.fitting.predicted import P99, Predicted, live_p99_ms
from experiments.fitting.supposing import PLAYS, SEED, busiest, played, ratio_span
from experiments.fitting.written import write_fit

CHANGES = ("policy", "policy", "replicas", "slots")
"""What is changed, in turn."""
POLICIES = ("random", "round_robin", "least_request", "peak_ewma", "join_idle_queue")
OTHERS = (*POLICIES, "prequal", "late_binding", "adaptive")
"""Of the second: behind `late_binding` nobody waits at a host, so that its log could not be fitted."""
SAME_FOR_ALL = frozenset({"random", "round_robin"})
"""Policies that give slow hosts as much as others."""
BUSIEST = 0.88
WAITED = 0.05
"""Share of the first's requests that wait, simulated: a log of a few thousand requests is to show how many slots."""


@dataclass(frozen=True)
class Pair:
    """Two configurations that are asked the same."""

    number: int
    first: System
    second: System

    @property
    def choices(self) -> tuple[list[str], list[str]]:
        """What a what-if is asked for either."""
        first, second = self.first, self.second
        changed = [f"policy={second.policy}"]
        changed += [f"replicas={second.hosts}"] * (second.hosts != first.hosts)
        changed += [f"replica.concurrency={second.slots}"] * (second.slots != first.slots)
        return [f"policy={first.policy}"], changed

    def __str__(self) -> str:
        """In a line."""
        return f"{self.first} -> {' '.join(self.choices[1])}"


def pairs(first: int, count: int, requests: int) -> Iterator[Pair]:
    """So many, from the number `first` on; numbers in whose first system hardly anybody waits are passed over."""
    number = first
    while count:
        pair = _made_up(number, requests)
        if log_of(pair.first)[1].waited >= WAITED:
            count -= 1
            yield pair
        number += 1


def _made_up(number: int, requests: int) -> Pair:
    rng = np.random.default_rng([16, number])
    change = CHANGES[number % len(CHANGES)]
    hosts, slots = int(rng.integers(2, 7)), int(rng.integers(1, 5))
    speeds = np.ones(hosts)
    if change == "policy" and rng.random() < 0.5:
        speeds = np.round(rng.uniform(0.5, 1.2, hosts), 2)
    policy = other = str(rng.choice(POLICIES))
    if change == "policy":
        other = str(rng.choice([each for each in OTHERS if each != policy]))
    most = BUSIEST * (float(speeds.min() * hosts / speeds.sum()) if {policy, other} & SAME_FOR_ALL else 1.0)
    utilisation = float(np.round(min(most, rng.uniform(0.5, 0.85)), 2))
    family, sigma = str(rng.choice(["exponential", "lognormal"])), float(np.round(rng.uniform(0.5, 1.0), 2))
    asked = (family, sigma, utilisation, policy, requests, 0.0, number + 1)
    system = slowed(System("queues", hosts, slots, tuple(speeds.tolist()), 1.0, *asked))
    more = 1 if rng.random() < 0.5 else -1
    more_hosts, more_slots = more * (change == "replicas"), more * (change == "slots")
    if not _fits(system, hosts + more_hosts, slots + more_slots):
        more_hosts, more_slots = abs(more_hosts), abs(more_slots)
    return Pair(number, system, _changed(system, hosts + more_hosts, slots + more_slots, other))


def _fits(system: System, hosts: int, slots: int) -> bool:
    return hosts > 0 and slots > 0 and _changed(system, hosts, slots, system.policy).utilisation <= BUSIEST


def _changed(system: System, hosts: int, slots: int, policy: str) -> System:
    """Asked the same, at the same rate; a host that comes is as fast as the first."""
    speeds = (*system.speeds[:hosts], *[system.speeds[0]] * (hosts - system.hosts))
    utilisation = system.utilisation * system.slots * sum(system.speeds) / (slots * sum(speeds))
    return replace(system, hosts=hosts, slots=slots, speeds=speeds, policy=policy, utilisation=utilisation)


def measured_pair(pair: Pair, place: Path) -> tuple[Path, Path] | None:
    """The runs of both below `place`; None = one of them was not valid twice.

    Raises:
        NotMeasuredError, FolderError: as `measured`.
    """
    folder = folder_of(pair, place)
    first = measured(folder / "first", overrides_of(pair.first))
    second = None if first is None else measured(folder / "second", overrides_of(pair.second))
    return None if first is None or second is None else (first, second)


def folder_of(pair: Pair, place: Path) -> Path:
    """Where all of a pair lies."""
    return place / f"pair-{pair.number:03}"


def predicted(pair: Pair, runs: tuple[Path, Path], place: Path) -> Predicted:
    """What the first run's log says of the second, beside what it was.

    Raises:
        FitRefused: the log says nothing.
    """
    table, _ = log_in(runs[0])
    folder = folder_of(pair, place) / "fit"
    folder.mkdir(exist_ok=True)
    write_fit(folder, table, fit_and_judge(read_log(table)))
    fitted = kept(folder)
    trace = busiest(fitted.trace)
    arms = [arm for choices in pair.choices for arm in arms_of(choices, fitted, trace)]
    first, second = (values[:, P99] for values in played(arms, fitted, trace, PLAYS, SEED))
    return Predicted(str(pair), live_p99_ms(runs[1]) / live_p99_ms(runs[0]), ratio_span(second / first))
