"""Runs against those of a baseline: each arm with its counterpart, by the statistics that arms of one sweep have."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from analysis.comparison.arms import Arm, ComparisonError, Measured, arms_of, identify, pair
from analysis.comparison.comparison import Comparison, compare_pairings
from record.metrics import Metrics
from record.provenance import SECTIONS, differences
from record.reading import Run

MACHINE = ("cpu", "cores", "kernel")
VERSIONS = ("python", "packages")


@dataclass(frozen=True)
class Against:
    """New arms against those of a baseline."""

    comparison: Comparison
    arms: list[Arm]
    """The new ones, all of them."""
    warnings: list[str]
    """What differs besides the code, and what has no counterpart; a line each."""


def against(name: str, kept: Iterable[tuple[Run, Metrics]], new: Iterable[tuple[Run, Metrics]]) -> Against:
    """Compare.

    Args:
        name: of the baseline; its arms are called `<name>: <arm>`, or by the name alone.
        kept: the baseline's runs.
        new: the runs of now.

    Raises:
        ComparisonError: no arm has a counterpart, or no seed is measured in both with one schedule.
    """
    before, now = arms_of(kept), arms_of(new)
    if len(now) == 1:
        now[0].label = "now"
    pairings, used, warnings = [], [], []
    for arm, reference in _counterparts(before, now):
        if reference is None:
            known = ", ".join(each.label for each in before)
            warnings.append(f"{arm.label}: not in the baseline {name}, which has {known}")
            continue
        warnings += _what_differs(_first(reference), _first(arm))
        reference = replace(reference, label=name if len(before) == 1 else f"{name}: {reference.label}")
        pairings.append(pair(reference, arm))
        used.append(reference)
    if not pairings:
        raise ComparisonError("; ".join(warnings))
    if not any(pairs.measured for pairs in pairings):
        seeds = [sorted({seed for arm in arms for seed in arm.runs}) for arms in (used, now)]
        raise ComparisonError(f"no seed in common: the baseline {name} has {seeds[0]}, the runs have {seeds[1]}")
    comparison = compare_pairings(pairings, [*used, *(arm for arm in now if arm.label in {p.arm for p in pairings})])
    return Against(comparison, now, list(dict.fromkeys(warnings)))


def _counterparts(before: Sequence[Arm], now: Sequence[Arm]) -> list[tuple[Arm, Arm | None]]:
    """To each new arm that of the baseline with the same configuration, else that of the same name, else the only one.

    A key that only one of two versions of the code has tells nothing.
    """
    if len(before) == len(now) == 1:
        return [(now[0], before[0])]
    found: list[tuple[Arm, Arm | None]] = []
    for arm in now:
        same = [each for each in before if not _settings_that_differ(_first(each), _first(arm))]
        named = [each for each in before if each.label == arm.label]
        found.append((arm, next(iter([*same, *named]), None)))
    return found


def _first(arm: Arm) -> Measured:
    return next(iter(arm.runs.values()))[0]


def _settings_that_differ(then: Measured, now: Measured) -> list[tuple[str, str, str]]:
    """(key, then, now) of the configuration, the seed and what does not matter apart."""
    sides = [dict(identify(one.run)) for one in (then, now)]
    shared = sorted(sides[0].keys() & sides[1].keys())
    return [(key, sides[0][key], sides[1][key]) for key in shared if sides[0][key] != sides[1][key]]


def _what_differs(then: Measured, now: Measured) -> list[str]:
    """Another protocol, another machine, other versions: what a difference may come from instead of the code."""
    warnings = []
    if settings := _settings_that_differ(then, now):
        warnings.append(f"another protocol: {_told(settings)}")
    if then.run.is_simulated and now.run.is_simulated:
        return warnings  # in virtual time no machine is fast or slow
    changes = differences(then.run.manifest, now.run.manifest)
    assert set(MACHINE + VERSIONS) <= set(SECTIONS)
    for what, sections in (("another machine", MACHINE), ("other versions", VERSIONS)):
        mine = [(c["what"], c["then"], c["now"]) for c in changes if c["what"].split(".")[0] in sections]
        if mine:
            warnings.append(f"{what}: {_told(mine)}")
    return warnings


def _told(changes: Iterable[tuple[str, str, str]]) -> str:
    return "; ".join(f"{key} {then} then, {now} now" for key, then, now in changes)
