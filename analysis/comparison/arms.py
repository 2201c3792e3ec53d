"""Sorts runs into the arms of a comparison, by what differs in their configurations, and pairs them by seed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from record.metrics import Metrics
from record.reading import Run
from record.settings import flatten
from record.shapes import OURS

GROUPS = ("policy", "scaler", "engine")
"""Sections whose `name` stands for the rest of them."""
DATA_PLANE, ALGORITHM = "router.data_plane", "router.algorithm"
APART = ("seed", "tracking", "summary", "counterfactual", "expect")
"""Sections in which runs of one arm may differ."""
FIXED = ("validity", "comparison", "repeat")
"""Sections that must be the same in every arm: limits, smallest effects and looks are set before the data, for all."""
LEADS = {"router": ("router", DATA_PLANE, ALGORITHM), **{group: (f"{group}.name",) for group in GROUPS}}
"""Of a section, the keys by which arms are called where these tell the rest of it."""
Identity = tuple[tuple[str, str], ...]
"""All that an arm is: keys and values, sorted."""

class ComparisonError(RuntimeError):
    """The runs cannot be compared; the text is one line that says why."""


class Measured(NamedTuple):
    """A run with its metrics."""

    run: Run
    metrics: Metrics


class Pair(NamedTuple):
    """Two valid runs with the same schedule."""

    seed: int
    ours: Measured
    """The reference's."""
    theirs: Measured
    """The arm's."""


@dataclass
class Arm:
    """The runs of one configuration."""

    label: str
    runs: dict[int, list[Measured]] = field(default_factory=dict)
    """By seed; several of one seed in their order."""


@dataclass
class Pairs:
    """The runs of an arm and of the reference that were measured with the same schedule."""

    reference: str
    arm: str
    kept: list[Pair] = field(default_factory=list)
    invalid: dict[str, int] = field(default_factory=dict)
    """Invalid runs by arm; their pairs are left out whole."""
    alone: dict[str, int] = field(default_factory=dict)
    """Runs without a partner by arm."""
    left_out: int = 0
    """Pairs left out because a run of theirs is invalid."""

    @property
    def measured(self) -> int:
        """Pairs that were measured, whether they are kept or not."""
        return len(self.kept) + self.left_out


def sort_into_arms(runs: Iterable[tuple[Run, Metrics]]) -> list[Arm]:
    """The arms, in the order in which the runs name them: the first is the reference.

    Raises:
        ComparisonError: there is one arm only, or the arms differ in what must be the same.
    """
    arms = arms_of(runs)
    if len(arms) < 2:
        raise ComparisonError("one arm only: a comparison needs runs of two configurations (the seed apart)")
    return arms


def arms_of(runs: Iterable[tuple[Run, Metrics]]) -> list[Arm]:
    """The same where one arm will do; alone it is called by its scenario.

    Raises:
        ComparisonError: the arms differ in what must be the same.
    """
    return named(identified(runs))


def identified(runs: Iterable[tuple[Run, Metrics]]) -> dict[Identity, list[Measured]]:
    """The runs of each arm, in the order in which the runs name them."""
    grouped: dict[Identity, list[Measured]] = {}
    for run, metrics in runs:
        grouped.setdefault(identify(run), []).append(Measured(run, metrics))
    return grouped


def named(grouped: Mapping[Identity, list[Measured]]) -> list[Arm]:
    """Arms by what tells them apart from each other; alone one is called by its scenario.

    Raises:
        ComparisonError: the arms differ in what must be the same.
    """
    differing = differing_keys([dict(identity) for identity in grouped])
    wrong = [key for key in differing if key.split(".")[0] in FIXED]
    if wrong:
        raise ComparisonError(f"the arms differ in {', '.join(wrong)}, which must be the same for all")
    arms = []
    for identity, members in grouped.items():
        arm = Arm(label_of(dict(identity), differing) if len(grouped) > 1 else dict(identity)["scenario"])
        for member in members:
            if (seed := member.run.manifest.get("seed")) is None:
                raise ComparisonError(f"{member.run.folder}: its manifest has no seed")
            arm.runs.setdefault(seed, []).append(member)
        arms.append(arm)
    return arms


def pair(reference: Arm, arm: Arm) -> Pairs:
    """Pair the runs of two arms by seed; a pair with an invalid run is left out whole.

    Raises:
        ComparisonError: two runs of one seed had different schedules.
    """
    pairs = Pairs(reference.label, arm.label, invalid=dict.fromkeys((reference.label, arm.label), 0))
    pairs.alone = dict.fromkeys((reference.label, arm.label), 0)
    for seed in sorted(reference.runs.keys() | arm.runs.keys()):
        ours, theirs = (_apart(each.runs.get(seed, [])) for each in (reference, arm))
        both = min(len(ours), len(theirs))
        pairs.alone[reference.label] += len(ours) - both
        pairs.alone[arm.label] += len(theirs) - both
        for one, other in zip(ours[:both], theirs[:both], strict=True):
            if one.run.manifest.get("schedule_hash") != other.run.manifest.get("schedule_hash"):
                raise ComparisonError(
                    f"{one.run.folder} and {other.run.folder}: same seed, but different schedules; "
                    "the load must be the same"
                )
            pairs.invalid[reference.label] += not one.metrics["valid"]
            pairs.invalid[arm.label] += not other.metrics["valid"]
            if one.metrics["valid"] and other.metrics["valid"]:
                pairs.kept.append(Pair(seed, one, other))
            else:
                pairs.left_out += 1
    return pairs


def _apart(runs: list[Measured]) -> list[Measured]:
    """The runs of one seed that tell something: of simulated ones, which repeat to the last digit, the first."""
    simulated = [one for one in runs if one.run.is_simulated]
    return [one for one in runs if not one.run.is_simulated] + simulated[:1]


def identify(run: Run) -> Identity:
    """All that an arm is: its scenario and configuration, without what runs of one arm may differ in."""
    config = {key: value for key, value in run.manifest["config"].items() if key not in APART}
    flat = {"scenario": str(run.manifest.get("scenario")), **flatten(config)}
    if config.get("router") is not None:  # of a run from before there was a choice
        flat = {DATA_PLANE: OURS, ALGORITHM: "none", **flat}
    # A file outside the tree can be another one under the same name.
    flat |= {f"{i['key']}.sha256": i["sha256"][:12] for i in run.manifest.get("inputs") or []}
    flat |= {f"{p['key']}.{p['name']}.sha256": p["sha256"][:12] for p in run.manifest.get("plugins") or []}
    return tuple(sorted(flat.items()))


def differing_keys(
    arms: list[dict[str, str]], leads: Mapping[str, tuple[str, ...]] = LEADS
) -> list[str]:
    """The keys that tell the arms apart; of a section whose leading ones do, only those that these leave open."""
    keys = sorted(set().union(*arms))
    differing = [key for key in keys if len({arm.get(key) for arm in arms}) > 1]
    told_by = {section: _leading(arms, differing, names) for section, names in leads.items()}

    def is_told(key: str) -> bool:
        names = told_by.get(key.split(".")[0])
        return bool(names) and key not in (names or ()) and _tell(arms, names or [], key)

    return [key for key in differing if not is_told(key)]


def _leading(arms: list[dict[str, str]], differing: list[str], leads: Sequence[str]) -> list[str]:
    """Of a section's leading keys those that differ and do not follow from the ones before; an algorithm follows from
    nothing, where arms that have one have several.
    """
    names: list[str] = []
    for key in leads:
        is_chosen = key == ALGORITHM and len({arm[key] for arm in arms if key in arm}) > 1
        if key in differing and (is_chosen or not names or not _tell(arms, names, key)):
            names.append(key)
    return names


def _tell(arms: list[dict[str, str]], names: list[str], key: str) -> bool:
    """Whether arms with the same values of `names` have the same value of `key`."""
    values = [tuple(arm.get(name) for name in names) for arm in arms]
    return len({(value, arm.get(key)) for value, arm in zip(values, arms, strict=True)}) == len(set(values))


def by_values(arms: Iterable[str]) -> dict[str, str]:
    """What arms are called where all differ in one key: by its value alone; empty where they differ in more."""
    labels = list(arms)
    if len({label.partition("=")[0] for label in labels}) > 1 or any("=" not in x or ", " in x for x in labels):
        return {}
    return {label: label.partition("=")[2] for label in labels}


def label_of(arm: dict[str, str], differing: list[str]) -> str:
    """What an arm is called by the keys that differ."""
    parts = []
    for key in sorted(differing, key=lambda key: key == ALGORITHM):  # behind what it is one of
        if key == "scenario":
            parts.append(arm[key])
        elif key == DATA_PLANE:
            parts += [f"router={arm[key]}"] if key in arm else []
        elif key == "router":
            parts += ["router=none"] if key in arm else ["router=default"] if DATA_PLANE not in differing else []
        elif key in arm:
            parts.append(f"{key.removesuffix('.name')}={arm[key]}")
    return ", ".join(parts) or "the same"
