"""How often a fit's intervals hold the truth, and how often it refuses rightly and wrongly: one made-up system after
another."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pandas as pd

from analysis.distributions.shares import clopper_pearson
from analysis.fitting.failing import Outage
from analysis.fitting.fleet import Fleet
from analysis.fitting.log import read_log
from analysis.fitting.refusal import FitRefused
from experiments.fitting.judging import fit_and_judge
from experiments.fitting.made_up import WAITED, System
from experiments.fitting.truth import Truth

WAY_S = 0.005
"""What a request may need from the proxy's log to its host."""
PARTS = ("slots", "speeds", "demand, mean", "demand, spread", "outages")
BARE = ("speeds, without the way", "demand, mean, without the way")
"""Beside them, of live logs: held against what was configured, though a log has the way to a host as service."""


@dataclass
class Outcome:
    """What became of one system."""

    system: System
    waited: float
    """True share of the served requests that waited at a host."""
    fleet: Fleet | None = None
    refused: FitRefused | None = None
    held: dict[str, list[bool]] = field(default_factory=dict)
    """For each of `PARTS` and `BARE` that was fitted, whether each interval holds the truth."""

    @property
    def is_to_be_fitted(self) -> bool:
        """Whether it is what a fit takes it for, and shows it."""
        return self.system.is_queue and self.waited >= WAITED


def tried(system: System, log: tuple[pd.DataFrame, Truth]) -> Outcome:
    """Fit the log that a system has written."""
    table, truth = log
    outcome = Outcome(system, truth.waited)
    try:
        outcome.fleet = fit_and_judge(read_log(table)).fleet
    except FitRefused as refused:
        outcome.refused = refused
        return outcome
    outcome.held = dict(_held(system, truth, outcome.fleet, float(table["scheduled_s"].min())))
    return outcome


def _held(system: System, truth: Truth, fleet: Fleet, first_s: float) -> Iterator[tuple[str, list[bool]]]:
    names = [f"r{number}" for number in range(1, system.hosts + 1)]
    reference, speeds, mean_ms = names.index(fleet.reference), system.speeds, fleet.demand.mean_ms
    others = [
        (names.index(host), speed)
        for host, speed in zip(fleet.hosts, fleet.speeds, strict=True)
        if host != fleet.reference
    ]
    yield "slots", [fleet.slots_interval.holds(system.slots)]
    if others:
        yield "speeds", [found.holds(truth.speed(host, reference, speeds)) for host, found in others]
    yield "demand, mean", [mean_ms.holds(truth.mean_ms(system.mean_ms, reference, speeds))]
    if truth.ways_s:
        yield BARE[0], [found.holds(speeds[host] / speeds[reference]) for host, found in others]
        yield BARE[1], [mean_ms.holds(system.mean_ms / speeds[reference])]
    step = system.step_s * 1e3 / system.mean_ms  # rounding alone makes a constant spread so far
    true, spread = truth.spread(system.mean_ms, system.spread, reference, speeds), fleet.demand.spread
    yield "demand, spread", [spread.low - step <= true <= spread.high + step]
    if truth.outage_s is not None:
        failing = [outage for outage in fleet.failing.outages if outage.kind == "failing"]
        yield "outages", [len(failing) == 1 and _brackets(truth.outage_s, failing[0], names[-1], first_s)]


def _brackets(true_s: tuple[float, float], outage: Outage, host: str, first_s: float) -> bool:
    begin_s, end_s = (each - first_s for each in true_s)
    begins = outage.begin_s.low - WAY_S <= begin_s <= outage.begin_s.high + WAY_S
    ends = outage.end_s.low - WAY_S <= end_s <= outage.end_s.high + WAY_S
    return outage.host == host and begins and ends


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown: what became of each, then how often what was right."""
    lines = ["| system | waited, % | |", "|---|---|---|"]
    lines += [f"| {each.system} | {100 * each.waited:.1f} | {_said(each)} |" for each in outcomes]
    return "\n".join([*lines, "", *_coverage(outcomes), "", *_refusals(outcomes)]) + "\n"


def _said(outcome: Outcome) -> str:
    if outcome.refused is not None:
        return f"refused: {outcome.refused.kind}" + ("" if not outcome.is_to_be_fitted else ", wrongly")
    assert outcome.fleet is not None
    if not outcome.system.is_queue:
        return "fitted, wrongly"
    missed = [part for part in PARTS if not all(outcome.held.get(part, []))]
    return "fitted" + (f"; missed: {', '.join(missed)}" if missed else "")


def _coverage(outcomes: Sequence[Outcome]) -> list[str]:
    lines = ["| interval of | holds the truth | of | 95 % interval of the share |", "|---|---|---|---|"]
    of_queues = [each.held for each in outcomes if each.system.is_queue]
    for part in (*PARTS, *(each for each in BARE if any(each in held for held in of_queues))):
        held = [one for each in of_queues for one in each.get(part, [])]
        lines.append(f"| {part} | {sum(held)} | {len(held)} | {_share(sum(held), len(held))} |")
    return lines


def _refusals(outcomes: Sequence[Outcome]) -> list[str]:
    lines = ["| systems | fitted | refused | of these, for |", "|---|---|---|---|"]
    groups = {
        "hosts with slots, some waited": [each for each in outcomes if each.is_to_be_fitted],
        "hosts with slots, hardly any waited": [
            each for each in outcomes if each.system.is_queue and not each.is_to_be_fitted
        ],
        "others": [each for each in outcomes if not each.system.is_queue],
    }
    for words, group in groups.items():
        refused = Counter(each.refused.kind for each in group if each.refused is not None)
        kinds = ", ".join(f"{kind} {count}" for kind, count in refused.most_common())
        lines.append(f"| {words} | {len(group) - refused.total()} | {refused.total()} | {kinds} |")
    return lines


def _share(count: int, of: int) -> str:
    low, high = clopper_pearson(count, of)
    return f"{low:.2f} to {high:.2f}" if of else "-"
