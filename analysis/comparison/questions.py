"""What arms were asked: runs that had the same requests at the same moments, seed by seed, are of one question.

Arms of different questions are never compared: a scaler under a spike and another one under a day's course say nothing
of each other. A sweep over workloads is so many comparisons, of one family.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from analysis.comparison.arms import LEADS, Arm, Identity, Measured, differing_keys, identified, label_of, named
from record.metrics import Metrics
from record.reading import Run

SECTION = "workload"
"""Of the configuration: what schedules are made of, beside the seed."""
PROFILE = "workload.profile"
OF_QUESTIONS = {**LEADS, SECTION: (PROFILE, "workload.trace", "workload.file.path", "workload.utilisation")}
"""By what questions are called: where these tell it, neither the length and rate of a trace nor its hash is named."""


@dataclass(frozen=True)
class Question:
    """Arms that were asked the same."""

    name: str
    """By what differs between the questions, as `workload=spike`; empty where there is one only."""
    arms: list[Arm]


def questions_of(runs: Iterable[tuple[Run, Metrics]]) -> list[Question]:
    """The questions, in the order in which the runs name them, each with its arms.

    Arms that had different schedules although their workloads are the same stay in one question, and are refused where
    they are paired; so do all arms where no two of them were asked the same.

    Raises:
        ComparisonError: the arms differ in what must be the same.
    """
    grouped = identified(runs)
    whole = named(grouped)
    groups: list[list[Identity]] = []
    for identity in grouped:
        same = next((group for group in groups if _is_same(grouped, group, identity)), None)
        if same is None:
            groups.append([identity])
        else:
            same.append(identity)
    if len(groups) < 2 or max(map(len, groups)) < 2:
        return [Question("", whole)]
    names = _names(groups, grouped)
    parts = [{identity: grouped[identity] for identity in group} for group in groups]
    return [Question(name, named(part)) for name, part in zip(names, parts, strict=True)]


def _is_same(grouped: Mapping[Identity, list[Measured]], group: Sequence[Identity], identity: Identity) -> bool:
    """Whether an arm was asked what those of the group were, as far as seeds are common to both."""
    theirs = {seed: asked for other in group for seed, asked in _asked(grouped[other]).items()}
    ours = _asked(grouped[identity])
    common = ours.keys() & theirs.keys()
    if common and all(ours[seed] == theirs[seed] for seed in common):
        return True
    return _load(identity) == _load(group[0])


def _asked(runs: Iterable[Measured]) -> dict[object, object]:
    """The schedule's hash by seed."""
    return {one.run.manifest.get("seed"): one.run.manifest.get("schedule_hash") for one in runs}


def _load(identity: Identity) -> list[tuple[str, str]]:
    """What its schedules were made of."""
    return [(key, value) for key, value in identity if key.partition(".")[0] == SECTION]


def _names(groups: Sequence[Sequence[Identity]], grouped: Mapping[Identity, list[Measured]]) -> list[str]:
    """By the keys that are the same within each question, and tell them apart."""
    arms = [[dict(identity) for identity in group] for group in groups]
    keys = set().union(*(arm for group in arms for arm in group))
    shared = [key for key in keys if all(len({arm.get(key) for arm in group}) == 1 for group in arms)]
    questions = [{key: group[0][key] for key in shared if key in group[0]} for group in arms]
    differing = differing_keys(questions, OF_QUESTIONS)
    names = []
    for question, group in zip(questions, groups, strict=True):
        choices = {_chosen(one.run) for identity in group for one in grouped[identity]}
        name = label_of(question, differing)
        if len(choices) == 1 and (choice := choices.pop()):
            name = name.replace(f"{PROFILE}={question[PROFILE]}", f"{SECTION}={choice}", 1)
        names.append(name)
    return names


def _chosen(run: Run) -> str:
    """The choice of the group `workload` that was typed; empty = none."""
    typed = [str(text).partition("=") for text in run.manifest.get("overrides") or []]
    return next((value for key, _, value in reversed(typed) if key == SECTION), "")
