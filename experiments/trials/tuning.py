"""Tunes every arm with the same number of tries, on seeds that the board does not have.

Each try is played under every pathology of a suite, the board's own or another. Of an arm's tries the one is chosen
that loses the least (to the smallest share of interest), then the one that ranks best over pathologies and seeds. What
that bought is measured on further seeds, against the arm's own settings: on those that it was chosen by, the best of
several looks better than it is. Where it is no better on those either, the arm keeps its own.
"""

import hashlib
import json
import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.comparison.ranks import mean_ranks
from analysis.standings.gathering import gather_cell
from analysis.standings.measures import IN_TIME, judged_by
from analysis.standings.numbers import lost_beyond_floor
from analysis.standings.protocol import TUNING, ArmPlan, fit_for_a_name
from analysis.standings.tuned import NAME, Tuned, read_tuned
from experiments.plan.choices import Choice
from experiments.plan.config import ConfigError
from experiments.sweep.job import Job
from experiments.trials.grids import grid_of, read_grids, settings_of
from experiments.trials.made_with import Held
from experiments.trials.measuring import Campaign, expected_s, in_order
from experiments.trials.planning import Asked, Cell, Planned, planned
from record.files import write_json
from record.metrics import Metrics, value_of

FIRST_SEED, HELD_OUT = 10_001, 20_001
"""Of the tries, and of what the choice is judged by."""
OWN = "own"
LEAST = 1e-9
"""What a value counts as at the least, where logarithms are taken: a share of nothing that was late."""


@dataclass(frozen=True)
class Tuning:
    """What is asked of it."""

    grid: Path
    tries: int
    seeds: int
    """Of each try; as many again judge the choice."""
    scenarios: Sequence[Choice]
    """Under which arms are tuned."""


@dataclass(frozen=True)
class _Arm:
    plan: ArmPlan
    settings: list[tuple[str, ...]]
    grid: int
    cells: dict[Cell, Job]
    """By row and setting."""


def tuned_arms(
    held: Held, asked: Asked, tuning: Tuning, *, tries: int, processes: int
) -> tuple[ArmPlan, ...]:
    """The arms with what was chosen for them; measures what is not there yet.

    Args:
        held: the pack, with its cells composed.
        asked: what the board is asked, arms as typed.
        tuning: grid and tries.
        tries: of a run whose instrument does not work.
        processes: of simulated runs.

    Raises:
        ConfigError: the grid is none, a value of it cannot be used, or the pack was tuned otherwise.
        Interrupted: by a signal.
    """
    pack = held.pack
    if list(tuning.scenarios) != list(asked.scenarios):
        asked = replace(asked, scenarios=tuning.scenarios)
        held = replace(held, first=planned(asked))
    first = held.first
    content = read_grids(tuning.grid)
    about = {
        "grid": str(tuning.grid), "sha256": hashlib.sha256(tuning.grid.read_bytes()).hexdigest(),
        "tries": tuning.tries, "seeds": tuning.seeds, "arms": [[a.name, *a.overrides] for a in asked.arms],
        "rows": [[row.name, *row.overrides] for row in first.rows], "common": list(asked.common),
    }  # fmt: skip
    if (there := _there(pack)) is not None:
        if {**there, "grid": ""} != {**about, "grid": ""}:  # its content counts, not how its path was typed
            raise ConfigError(f"{pack / NAME}: was tuned otherwise; choose another --output")
    else:
        arms = [_tries(asked, first, content, arm, tuning) for arm in asked.arms]
        found = [_tune(held, arm, tuning, tries=tries, processes=processes) for arm in arms]
        write_json(pack / NAME, {"about": about, "arms": [asdict(each) for each in found]})
    chosen = {each.arm: each.chosen for each in read_tuned(pack)}
    return tuple(replace(arm, tuned=chosen[arm.name]) for arm in asked.arms)


def at_most(asked: Asked, first: Planned, tuning: Tuning) -> tuple[int, float]:
    """Runs of tuning, where each arm's choice is held against its own settings, and how long they take one after the
    other, seconds.

    Raises:
        ConfigError: the grid is none, or an arm cannot be asked anything of its suite.
    """
    if list(tuning.scenarios) != list(asked.scenarios):
        first = planned(replace(asked, scenarios=tuning.scenarios))
    content, runs, seconds = read_grids(tuning.grid), 0, 0.0
    for arm in asked.arms:
        jobs = [job for (_, name), job in first.jobs.items() if name == arm.name]
        settings, _ = settings_of(grid_of(content, arm, jobs[0].config), arm.name, tuning.tries)
        count = tuning.seeds * (len(settings) + 2) if len(settings) > 1 else 0
        runs += count * len(jobs)
        seconds += count * sum(expected_s(job, is_virtual=first.is_virtual) for job in jobs)
    return runs, seconds


def _there(pack: Path) -> dict[str, Any] | None:
    try:
        about: dict[str, Any] = json.loads((pack / NAME).read_text(encoding="utf-8"))["about"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{pack / NAME}: is damaged; remove it, or choose another --output") from error
    return about


def _tries(asked: Asked, first: Planned, content: dict[str, Any], arm: ArmPlan, tuning: Tuning) -> _Arm:
    """Compose every try before the first run."""
    config = next(job.config for (_, name), job in first.jobs.items() if name == arm.name)
    settings, count = settings_of(grid_of(content, arm, config), arm.name, tuning.tries)
    names = [OWN, *(f"try-{number}" for number in range(1, len(settings)))]
    variants = tuple(ArmPlan(name, arm.overrides, words) for name, words in zip(names, settings, strict=True))
    composed = planned(replace(asked, arms=variants))
    refused = [each for each in composed.refused if first_refusal(first, each.row, arm.name) is None]
    if refused:
        words = " ".join(settings[names.index(refused[0].arm)])
        raise ConfigError(f"--tune={tuning.grid}: {arm.name} with {words}: {refused[0].reason}")
    return _Arm(arm, settings, count, composed.jobs)


def first_refusal(first: Planned, row: str, arm: str) -> str | None:
    """Why the arm itself cannot be asked."""
    return next((each.reason for each in first.refused if (each.row, each.arm) == (row, arm)), None)


def _tune(held: Held, arm: _Arm, tuning: Tuning, *, tries: int, processes: int) -> Tuned:
    pack, first = held.pack, held.first
    measures = {row.name: row.measure for row in first.rows}
    kind = f"{TUNING}/{fit_for_a_name(arm.plan.name)}"
    names = list(dict.fromkeys(name for _, name in arm.cells))

    def measure(cells: dict[Cell, Job], begin: int) -> tuple[int, ...]:
        seeds = tuple(range(begin, begin + tuning.seeds))
        trials = in_order(cells, seeds, kind, measures, is_virtual=first.is_virtual)
        campaign = Campaign(pack, trials, tries, first.is_virtual, processes=processes, before_each=held.check_again)
        campaign.measure()
        return seeds

    print(f"tuning {arm.plan.name}: {len(names)} of {arm.grid} settings", flush=True)
    if len(names) == 1:
        return Tuned(arm.plan.name, 1, arm.grid, (), None, (0.0, 0.0))
    seeds = measure(arm.cells, FIRST_SEED)
    best = names[choose([_of(pack, kind, name, measures, seeds) for name in names])]
    if best == OWN:
        return Tuned(arm.plan.name, len(names), arm.grid, (), None, (0.0, 0.0))
    held_out = measure({key: job for key, job in arm.cells.items() if key[1] in (OWN, best)}, HELD_OUT)
    own, new = (_of(pack, kind, name, measures, held_out) for name in (OWN, best))
    words, is_better = arm.settings[names.index(best)], choose([own, new]) == 1
    chosen, rejected = (words, ()) if is_better else ((), words)
    late = {row for row, _ in (*own.lost, *new.lost) if measures[row] == IN_TIME}
    bought = gained(own, new, late), (lost_share(own), lost_share(new))
    return Tuned(arm.plan.name, len(names), arm.grid, chosen, *bought, rejected, counts_late=bool(late))


@dataclass(frozen=True)
class Outcome:
    """What became of one setting: by pathology and seed what was measured (infinity = not served), and what was lost.
    """

    values: dict[tuple[str, int], float]
    lost: dict[tuple[str, int], tuple[int, int]]
    """Requests lost beyond the floor's, and asked."""


def _of(pack: Path, kind: str, name: str, measures: dict[str, str], seeds: Sequence[int]) -> Outcome:
    values, lost = {}, {}
    for row, measure in measures.items():
        for seed, one in gather_cell(pack, row, name, tuple(seeds), kind).by_seed.items():
            values[row, seed] = _less_is_better(one.metrics, judged_by(measure).key)
            lost[row, seed] = _lost(one.metrics, measure)
    return Outcome(values, lost)


def _less_is_better(metrics: Metrics, measure: str) -> float:
    value = value_of(metrics, measure)
    if measure == IN_TIME:
        return 1 - (value or 0.0)
    return math.inf if value is None else value


def _lost(metrics: Metrics, measure: str) -> tuple[int, int]:
    asked = metrics["offered_requests"]
    if measure == IN_TIME:
        return round((1 - (metrics["served_share"] or 0.0)) * asked), asked
    return max(0, lost_beyond_floor(metrics)), asked


def lost_share(outcome: Outcome) -> float:
    """Of all requests."""
    asked = sum(of for _, of in outcome.lost.values())
    return sum(lost for lost, _ in outcome.lost.values()) / asked if asked else math.inf


def choose(outcomes: Sequence[Outcome], smallest_share: float = 0.001) -> int:
    """The place of the best setting: the least lost, in units of the smallest share of interest, then the best mean
    rank, then the least geometric mean; of equals the first. One of which a run is missing that another has is not
    chosen: what it failed at would be left out to its advantage. Where each has one missing it is the first.
    """
    every = set[tuple[str, int]]().union(*(each.values for each in outcomes))
    whole = [place for place, each in enumerate(outcomes) if each.values.keys() == every]
    if not whole or not every:
        return 0
    ranks = [mean_ranks(np.array([outcomes[place].values[key] for place in whole])) for key in sorted(every)]
    means = dict(zip(whole, np.mean(ranks, axis=0), strict=True))
    sizes = {place: sum(math.log(max(value, LEAST)) for value in outcomes[place].values.values()) for place in whole}
    units = {place: round(min(1.0, lost_share(outcomes[place])) / smallest_share) for place in whole}
    return min(whole, key=lambda place: (units[place], float(means[place]), sizes[place], place))


def gained(own: Outcome, new: Outcome, but: Collection[str] = ()) -> float | None:
    """The geometric mean of new over own, of what is known of both; None = nothing is, or something was not served, of
    which no ratio can tell. Pathologies `but` are left out: their values are no latencies, but shares of what was late.
    """
    known = [key for key in own.values.keys() & new.values.keys() if key[0] not in but]
    both = [(own.values[key], new.values[key]) for key in known]
    if any(math.inf in pair for pair in both):
        return None
    logs = [math.log(b / a) for a, b in both if a > 0 and b > 0]
    return math.exp(sum(logs) / len(logs)) if logs else None
