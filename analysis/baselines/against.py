"""Runs against those of a baseline: each arm with its counterpart, by the statistics that arms of one sweep have."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from analysis.comparison.arms import APART, FIXED, Arm, ComparisonError, Measured, arms_of, identify, pair
from analysis.comparison.comparison import Comparison, compare_pairings
from record.metrics import Metrics
from record.provenance import SECTIONS, differences
from record.reading import Run
from record.settings import flatten

MACHINE = ("cpu", "cores", "kernel")
VERSIONS = ("python", "packages")
PROTOCOL = (*(section for section in FIXED if section != "repeat"), "slo", "faults", "random_faults")
"""Sections of the configuration that must be the same in an arm and its counterpart: what is called valid, better,
good and recovered, and what was done to the replicas. How many runs there are may differ."""

Change = tuple[str, str, str]
"""A key, its value then, its value now."""


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
        name: of the baseline; its arms are called `<name> (baseline): <arm>`, or `<name> (baseline)`, as no arm is.
        kept: the baseline's runs.
        new: the runs of now.

    Raises:
        ComparisonError: no arm has a counterpart, one has another protocol than its counterpart, or no seed is measured
            in both with one schedule.
    """
    before, now = arms_of(kept), arms_of(new)
    if len(now) == 1:
        now[0].label = "now"
    pairings, used, warnings = [], [], []
    for arm, reference, changes in _counterparts(before, now):
        if reference is None:
            known = ", ".join(each.label for each in before)
            warnings.append(f"{arm.label}: not in the baseline {name}, which has {known}")
            continue
        _check_protocol(name, arm, changes)
        warnings += _what_differs(_first(reference), _first(arm), changes)
        own = f"{name} (baseline)"
        reference = replace(reference, label=own if len(before) == 1 else f"{own}: {reference.label}")
        pairings.append(pair(reference, arm))
        used.append(reference)
    if not pairings:
        raise ComparisonError("; ".join(warnings))
    if not any(pairs.measured for pairs in pairings):
        seeds = [sorted({seed for arm in arms for seed in arm.runs}) for arms in (used, now)]
        raise ComparisonError(f"no seed in common: the baseline {name} has {seeds[0]}, the runs have {seeds[1]}")
    comparison = compare_pairings(pairings, [*used, *(arm for arm in now if arm.label in {p.arm for p in pairings})])
    return Against(comparison, now, list(dict.fromkeys(warnings)))


def _counterparts(before: Sequence[Arm], now: Sequence[Arm]) -> list[tuple[Arm, Arm | None, list[Change]]]:
    """To each new arm that of the baseline with the same configuration, of several that of the same name; else that of
    the same name; and where both sides have one arm only, that one, whatever it is. Beside it, in what they differ.

    A key that only one of two versions of the code has tells nothing.
    """
    are_single = len(before) == len(now) == 1
    counterparts: list[tuple[Arm, Arm | None, list[Change]]] = []
    for arm in now:
        changes = [_settings_that_differ(_first(each), _first(arm)) for each in before]
        # Of several that may be the one: alike in both, in settings, in name.
        ranks = [(not differing, each.label == arm.label) for each, differing in zip(before, changes, strict=True)]
        nearest = max(range(len(before)), key=ranks.__getitem__)  # of equals the first
        is_one = are_single or any(ranks[nearest])
        counterparts.append((arm, before[nearest], changes[nearest]) if is_one else (arm, None, []))
    return counterparts


def _first(arm: Arm) -> Measured:
    return next(iter(arm.runs.values()))[0]


def _settings_that_differ(then: Measured, now: Measured) -> list[Change]:
    """In what the configurations differ, the seed and what does not matter apart."""
    sides = [{k: v for k, v in one.run.manifest["config"].items() if k not in APART} for one in (then, now)]
    changes = list(_changes(sides[0], sides[1], ""))
    # Scenario and files outside of the tree stand beside the configuration.
    before, after = (
        {key: value for key, value in identify(one.run) if key == "scenario" or key.endswith(".sha256")}
        for one in (then, now)
    )
    told = {key: (before[key], after[key]) for key in sorted(before.keys() & after.keys())}
    return [(key, *both) for key, both in told.items() if both[0] != both[1]] + sorted(changes)


def _changes(then: object, now: object, key: str) -> Iterator[Change]:
    """Of two values of a key. Keys that only one side of a section has are of another version of the code; a section on
    one side and something else on the other (`router: null`) is another configuration.
    """
    if isinstance(then, dict) and isinstance(now, dict) and bool(then) == bool(now):
        for name in then.keys() & now.keys():
            yield from _changes(then[name], now[name], f"{key}.{name}" if key else str(name))
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        if any(change for both in zip(then, now, strict=True) for change in _changes(*both, key)):
            yield key, str(then), str(now)
    elif (told := [_in_short(value) for value in (then, now)])[0] != told[1]:
        yield key, told[0], told[1]


def _in_short(value: object) -> str:
    return "a section" if isinstance(value, dict) and value else flatten(value, "value")["value"]


def _check_protocol(name: str, arm: Arm, changes: list[Change]) -> None:
    """Refuse what no statistics can make up for, as `arms_of` does within a sweep."""
    if wrong := [change for change in changes if change[0].split(".")[0] in PROTOCOL]:
        raise ComparisonError(
            f"{arm.label}: another protocol than in the baseline {name}, which must be the same: {_told(wrong)}; "
            "measure with that one, or save the baseline anew"
        )


def _what_differs(then: Measured, now: Measured, settings: list[Change]) -> list[str]:
    """Another configuration, another machine, other versions: what a difference may come from instead of the code."""
    warnings = []
    if settings:
        warnings.append(f"another configuration: {_told(settings)}")
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
