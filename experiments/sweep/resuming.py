"""Goes on with a sweep: `python -m experiments.run repeat.resume=DIR [repeat.max=N] [--commands]`.

First what it was to measure and has not (interrupted, killed or failed runs), then more pairs, their seeds counting on
upwards, until there are N an arm. Everything else is as it was: scenario, arms and settings come from the folder.
"""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from experiments.plan.config import ConfigError
from experiments.plan.original import COMMANDS
from experiments.runner.supervision import say
from experiments.sweep.job import Job, key_of
from experiments.sweep.jobs import drawn
from experiments.sweep.sweep import NAME, PLAN, Sweep
from record.naming import by_number
from record.place import is_held
from record.provenance import commit_of, provenance
from record.settings import flatten
from record.shapes import Manifest

KEY = "repeat.resume"
BESIDE = ("repeat.max", "tracking.enabled", "hydra/launcher")
"""What may be typed beside it."""
APART = ("tracking", "summary", "counterfactual", "expect")
"""Sections in which an added run may differ from the others."""
MOST_PAIRS = 1000

Slot = tuple[tuple[str, ...], int]
"""Arm and seed."""


@dataclass(frozen=True)
class _Left:
    """What a sweep left in its folder."""

    folder: Path
    sweep: Sweep
    """As it was planned."""
    manifests: dict[int, Manifest]
    """Of its runs, by their number."""
    folders: dict[int, Path]
    """All of them, by their number."""
    is_reported: bool
    """Whether its end was reached before."""


def resumed(arguments: list[str]) -> list[str]:
    """What Hydra is to be told in place of `repeat.resume=DIR` and what is typed beside it.

    Raises:
        ConfigError: there is nothing to go on with.
    """
    typed = [text for text in arguments if text not in ("-m", "--multirun", COMMANDS)]
    for text in typed:
        if key_of(text) not in (KEY, *BESIDE):
            raise ConfigError(
                f"{text}: {KEY}=DIR takes all settings from the sweep in DIR; beside it go {', '.join(BESIDE)} only"
            )
    values = {key_of(text): text.partition("=")[2] for text in typed}
    pairs = values.get("repeat.max", "null")
    if pairs != "null" and not (pairs.isdecimal() and 1 <= int(pairs) <= MOST_PAIRS):
        raise ConfigError(f"repeat.max={pairs}: must be a number between 1 and {MOST_PAIRS}")
    tracked = values.get("tracking.enabled", "true")
    if tracked not in ("true", "false"):
        raise ConfigError(f"tracking.enabled={tracked}: must be true or false")
    launcher = [f"hydra/launcher={values['hydra/launcher']}"] if "hydra/launcher" in values else []
    folder = Path(values[KEY].strip("'\"")).expanduser()
    recorded = _recorded(folder)
    task, hydra = (list(map(str, recorded.overrides[name])) for name in ("task", "hydra"))
    if str(recorded.sweeper._target_) != NAME or any(text.startswith("hydra.sweep.subdir") for text in hydra):
        raise ConfigError(
            f"{KEY}={folder}: only a sweep with hydra/sweeper=seed_by_seed and without hydra.sweep.subdir goes on"
        )
    apart = ("hydra.sweep.dir", "hydra.run.dir", "hydra.mode", *map(key_of, launcher))
    kept = [text for text in hydra if key_of(text) not in apart]
    manifests = _manifests(folder)
    _warn_of_another_tree(manifests)
    place = str(_as_before(folder, manifests)).replace("'", "\\'")
    asked = ["hydra.sweeper.resume=true", f"hydra.sweeper.pairs={pairs}"]
    if "tracking.enabled" in values:
        asked.append(f"hydra.sweeper.tracking={tracked}")
    if COMMANDS in arguments:
        asked.append("hydra.sweeper.commands=true")
    return ["--multirun", *task, *kept, *launcher, f"hydra.sweep.dir='{place}'", *asked]


def _recorded(folder: Path) -> DictConfig:
    """Hydra's section of what a sweep was asked for.

    Raises:
        ConfigError: there is none that can be read.
    """
    path = folder / PLAN
    if not folder.is_dir():
        raise ConfigError(f"{KEY}={folder}: there is no such folder")
    if not path.is_file():
        raise ConfigError(f"{KEY}={folder}: no sweep's folder ({PLAN} is missing)")
    try:
        recorded = cast(DictConfig, OmegaConf.load(path).hydra)
        _ = [list(recorded.overrides[name]) for name in ("task", "hydra")]
        _ = recorded.sweeper._target_, dict(recorded.sweeper.params or {})
    except (OSError, YAMLError, OmegaConfBaseException, AttributeError, TypeError, KeyError, ValueError) as error:
        raise ConfigError(f"{path}: not what a sweep leaves ({type(error).__name__})") from error
    return recorded


def recorded_params(folder: Path) -> dict[str, str]:
    """The scenario's own sweep, as it was when the sweep in `folder` was begun.

    Raises:
        ConfigError: it cannot be read.
    """
    return dict(_recorded(folder).sweeper.params or {})


def _manifests(folder: Path) -> dict[int, Manifest]:
    """Of the runs in a sweep's folder, by their number; one that cannot be read is left out.

    Raises:
        ConfigError: a run is going on.
    """
    read = ((number, _manifest(path)) for number, path in by_number(folder).items())
    return {number: manifest for number, manifest in read if manifest is not None}


def _manifest(folder: Path) -> Manifest | None:
    """None where the run's folder has none that can be read: it is as if it had not been begun.

    Raises:
        ConfigError: the run is going on.
    """
    try:
        manifest: Manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        reason, pid = manifest["exit_reason"], manifest.get("pid", 0)
        _ = manifest["config"], manifest["overrides"], manifest["seed"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if reason == "running" and is_held(folder):
        raise ConfigError(f"{KEY}={folder.parent}: the sweep is still going on (pid {pid})")
    return manifest


def what_is_missing(planned: Sweep, folder: Path, most: int | None) -> Sweep:
    """The jobs to measure, and those that are there.

    Args:
        planned: the sweep as it was planned.
        folder: where it is.
        most: pairs an arm that it is to have; None = as planned.

    Raises:
        ConfigError: there is nothing to do, or it cannot be gone on with.
    """
    left = _Left(folder, planned, _manifests(folder), by_number(folder), (folder / "comparison.json").exists())
    plan, repetition = left.sweep.jobs, left.sweep.repetition
    arms = list(dict.fromkeys(job.arm for job in plan))
    slots: dict[Slot, Job] = {(job.arm, job.config.seed): job for job in plan}
    if len(slots) < len(plan):
        raise ConfigError(f"{KEY}={left.folder}: the sweep names a seed or an arm twice; it cannot be gone on with")
    slots |= _added_before(left, plan)
    whole = {
        slot: job
        for slot, job in slots.items()
        if job.number in left.manifests and left.manifests[job.number].get("exit_reason") == "complete"
    }
    for job in whole.values():
        check_as_before(left.folders[job.number], job, left.manifests[job.number])

    used = {seed for (_, seed), job in slots.items() if repetition is None or job.number in left.manifests}
    history = max((_looks(manifest) for manifest in left.manifests.values()), key=len, default=())
    missing = [(arm, seed) for seed in sorted(used) for arm in arms if (arm, seed) not in whole]
    pairs = min(sum((arm, seed) in whole for seed in used) for arm in arms)
    goes_on = repetition is not None and not history and (
        bool(missing) or not repetition.has_ended([left.folders[job.number] for job in _ordered(whole)], pairs)
    )
    ended = not goes_on and (not missing or left.is_reported)

    wanted = len(used) if most is None else max(most, len(used))
    budget = 0 if repetition is None else repetition.most
    if goes_on and most is None:
        wanted = max(wanted, budget)
    seeds = [*sorted(used), *_further(used, {job.config.seed for job in plan})[: wanted - len(used)]]
    wanting = [(arm, seed) for seed in seeds for arm in arms if (arm, seed) not in whole]
    if not wanting:
        raise ConfigError(
            f"{KEY}={left.folder}: nothing is missing, it has {pairs} pairs an arm; "
            f"for more of them add repeat.max=N with N above {pairs}"
        )
    number = max([job.number for job in slots.values()] + list(left.folders)) + 1
    jobs: list[Job] = []
    for arm, seed in wanting:
        if (arm, seed) in slots:
            job = slots[arm, seed]
        else:
            job = next(job for job in plan if job.arm == arm).with_seed(seed, number)
            number += 1
        if seed in used:  # it belongs to the design that it was planned for
            looks = _looks_of_seed(seed, slots, left.manifests)
        elif goes_on and seed not in {job.config.seed for job in plan}:
            looks = (budget,)
        else:
            looks = (*history, pairs) if ended else history
        jobs.append(replace(job, order=_place(arms, arm, seed), looks=looks))
    return Sweep(jobs, repetition if goes_on else None, earlier=_ordered(whole))


def _added_before(left: _Left, plan: list[Job]) -> dict[Slot, Job]:
    """Jobs beyond the plan: added when the sweep was gone on with before."""
    arms = {job.arm: job for job in plan}
    added: dict[Slot, Job] = {}
    for number, manifest in left.manifests.items():
        typed = tuple(str(text) for text in manifest["overrides"])
        arm = tuple(text for text in typed if key_of(text) not in ("seed", "tracking.enabled"))
        planned_for = plan[number].arm if number < len(plan) else arm
        if arm not in arms or arm != planned_for:
            raise ConfigError(f"{left.folders[number]}: not a run of the sweep that {left.folder / PLAN} names")
        if number >= len(plan):
            seed = int(manifest["seed"])
            added[arm, seed] = arms[arm].with_seed(seed, number)
    return added


def check_as_before(folder: Path, job: Job, manifest: Manifest) -> None:
    """Refuse to add runs to arms that this tree would configure in another way: they would be arms of their own."""
    now, then = (
        flatten({key: value for key, value in config.items() if key not in APART})
        for config in (json.loads(json.dumps(job.plan.resolved, default=str)), manifest["config"])
    )
    differing = [key for key in sorted(now.keys() | then.keys()) if now.get(key) != then.get(key)]
    if job.config.load.fit:  # the rate was fitted to the machine, and will be again
        differing = [key for key in differing if key != "workload.rate_rps"]
    if differing:
        key = differing[0]
        raise ConfigError(
            f"{folder}: was measured with {key}={then.get(key, 'none')}, this tree has "
            f"{now.get(key, 'none')}; check out {commit_of(manifest)} to go on with it"
        )


def _looks(manifest: Manifest) -> tuple[int, ...]:
    return tuple(int(pairs) for pairs in manifest.get("looks") or [])


def _looks_of_seed(seed: int, slots: dict[Slot, Job], manifests: dict[int, Manifest]) -> tuple[int, ...]:
    """Those of the runs of the seed that there are, whole or not."""
    numbers = [job.number for (_, other), job in slots.items() if other == seed]
    return max((_looks(manifests[number]) for number in numbers if number in manifests), key=len, default=())


def _further(used: set[int], planned_seeds: set[int]) -> list[int]:
    """Seeds to go on with: those of the plan that were not come to, then upwards."""
    rest = sorted(planned_seeds - used)
    last = max(planned_seeds | used)
    return [*rest, *range(last + 1, last + 1 + MOST_PAIRS)]


def _place(arms: list[tuple[str, ...]], arm: tuple[str, ...], seed: int) -> int:
    return [arms[at] for at in drawn(seed, range(len(arms)))].index(arm)


def _ordered(slots: dict[Slot, Job]) -> list[Job]:
    return sorted(slots.values(), key=lambda job: job.number)


def _as_before(folder: Path, manifests: dict[int, Manifest]) -> Path:
    """The folder under the name by which MLflow knows it, where that still leads to it."""
    for manifest in manifests.values():
        known = Path(manifest.get("sweep_dir") or "/nowhere")
        if known.is_dir() and known.samefile(folder):
            return known
    return Path(os.path.abspath(folder))


def _warn_of_another_tree(manifests: dict[int, Manifest]) -> None:
    now = commit_of(provenance())
    then = {commit_of(manifest) for manifest in manifests.values()}
    if others := sorted(then - {now}):
        say(
            f"warning: the tree has changed since the sweep was begun: its runs are of commit "
            f"{', '.join(others)}, those to come of {now}"
        )

