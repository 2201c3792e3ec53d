"""Goes on with a sweep: `python -m experiments.run repeat.resume=DIR [repeat.max=N]`.

First what it was to measure and has not (interrupted, killed or failed runs), then more pairs, their seeds counting on
upwards, until there are N an arm. Everything else is as it was: scenario, arms and settings come from the folder.
"""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from experiments.plan.config import ConfigError
from experiments.plan.installed import CONF
from experiments.runner.supervision import say
from experiments.sweep.jobs import Job, drawn, key_of, planned
from experiments.sweep.sweeper import NAME, PLAN, Sweep, begun
from record.place import is_held
from record.provenance import commit_of, provenance
from record.settings import flatten
from record.shapes import Manifest

KEY = "repeat.resume"
BESIDE = ("repeat.max", "tracking.enabled", "hydra/launcher")
"""What may be typed beside it."""
APART = ("tracking", "summary")
"""Sections in which an added run may differ from the others."""
MOST_PAIRS = 1000

Slot = tuple[tuple[str, ...], int]
"""Arm and seed."""


@dataclass(frozen=True)
class _Asked:
    """The command line."""

    folder: Path
    pairs: int | None
    adds: list[str]
    launcher: str | None


@dataclass(frozen=True)
class _Left:
    """What a sweep left in its folder."""

    task: list[str]
    """Overrides as they were typed."""
    hydra: list[str]
    sweep: Sweep
    """As it was planned."""
    manifests: dict[int, Manifest]
    """Of its runs, by their number."""
    numbers: list[int]
    """Of all its folders."""
    is_reported: bool
    """Whether its end was reached before."""


def resume(arguments: list[str]) -> tuple[list[str], Sweep]:
    """The sweep to go on with, and what Hydra is to be told.

    Raises:
        ConfigError: there is nothing to go on with, or nothing to do.
        HydraException, OmegaConfBaseException: this tree does not know the sweep's settings.
    """
    asked = _read_arguments(arguments)
    left = _read_folder(asked.folder)
    sweep = _what_is_missing(asked, left)
    sweep.adds = asked.adds
    _warn_of_another_tree(left.manifests)
    kept = [
        text
        for text in left.hydra
        if key_of(text) not in ("hydra.sweep.dir", "hydra.run.dir", "hydra.mode")
        and (asked.launcher is None or key_of(text) != "hydra/launcher")
    ]
    launcher = [] if asked.launcher is None else [asked.launcher]
    folder = str(_as_before(asked.folder, left.manifests)).replace("'", "\\'")
    return ["--multirun", *left.task, *kept, *launcher, f"hydra.sweep.dir='{folder}'"], sweep


def _read_arguments(arguments: list[str]) -> _Asked:
    typed = [text for text in arguments if text not in ("-m", "--multirun")]
    for text in typed:
        if key_of(text) not in (KEY, *BESIDE):
            raise ConfigError(
                f"{text}: {KEY}=DIR takes all settings from the sweep in DIR; beside it go {', '.join(BESIDE)} only"
            )
    values = {key_of(text): text.partition("=")[2] for text in typed}
    pairs = values.get("repeat.max")
    if pairs is not None and not (pairs.isdecimal() and 1 <= int(pairs) <= MOST_PAIRS):
        raise ConfigError(f"repeat.max={pairs}: must be a number between 1 and {MOST_PAIRS}")
    tracked = values.get("tracking.enabled", "true")
    if tracked not in ("true", "false"):
        raise ConfigError(f"tracking.enabled={tracked}: must be true or false")
    launcher = values.get("hydra/launcher")
    return _Asked(
        Path(values[KEY].strip("'\"")).expanduser(),
        None if pairs is None else int(pairs),
        [text for text in typed if key_of(text) == "tracking.enabled"],
        None if launcher is None else f"hydra/launcher={launcher}",
    )


def _read_folder(folder: Path) -> _Left:
    path = folder / PLAN
    if not folder.is_dir():
        raise ConfigError(f"{KEY}={folder}: there is no such folder")
    if not path.is_file():
        raise ConfigError(f"{KEY}={folder}: no sweep's folder ({PLAN} is missing)")
    try:
        asked = OmegaConf.load(path).hydra
        task, hydra = (list(map(str, asked.overrides[name])) for name in ("task", "hydra"))
        sweeper, params = str(asked.sweeper._target_), dict(asked.sweeper.params or {})
    except (OSError, YAMLError, OmegaConfBaseException, AttributeError, TypeError, KeyError, ValueError) as error:
        raise ConfigError(f"{path}: not what a sweep leaves ({type(error).__name__})") from error
    if sweeper != NAME or any(text.startswith("hydra.sweep.subdir") for text in hydra):
        raise ConfigError(f"{KEY}={folder}: only a sweep with hydra/sweeper=seed_by_seed and folders 0, 1, ... goes on")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        jobs = planned(loader, [*(f"{key}={value}" for key, value in params.items()), *task])
    numbers = [int(path.name) for path in folder.iterdir() if path.is_dir() and path.name.isdecimal()]
    read = ((number, _manifest(folder / str(number))) for number in sorted(numbers))
    manifests = {number: manifest for number, manifest in read if manifest is not None}
    return _Left(task, hydra, begun(jobs), manifests, numbers, (folder / "comparison.json").exists())


def _manifest(folder: Path) -> Manifest | None:
    """None where the run's folder has none that can be read: it is as if it had not been begun.

    Raises:
        ConfigError: the run is going on.
    """
    try:
        manifest: Manifest = json.loads((folder / "manifest.json").read_text())
        reason, pid = manifest["exit_reason"], manifest.get("pid", 0)
        _ = manifest["config"], manifest["overrides"], manifest["seed"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if reason == "running" and is_held(folder):
        raise ConfigError(f"{KEY}={folder.parent}: the sweep is still going on (pid {pid})")
    return manifest


def _what_is_missing(asked: _Asked, left: _Left) -> Sweep:
    """The jobs to measure, and those that are there."""
    plan, repetition = left.sweep.jobs, left.sweep.repetition
    arms = list(dict.fromkeys(job.arm for job in plan))
    slots: dict[Slot, Job] = {(job.arm, job.config.seed): job for job in plan}
    if len(slots) < len(plan):
        raise ConfigError(f"{KEY}={asked.folder}: the sweep names a seed or an arm twice; it cannot be gone on with")
    slots |= _added_before(asked.folder, left, plan)
    whole = {
        slot: job
        for slot, job in slots.items()
        if job.number in left.manifests and left.manifests[job.number].get("exit_reason") == "complete"
    }
    for job in whole.values():
        _check_as_before(asked.folder, job, left.manifests[job.number])

    used = {seed for (_, seed), job in slots.items() if repetition is None or job.number in left.manifests}
    history = max((_looks(manifest) for manifest in left.manifests.values()), key=len, default=())
    missing = [(arm, seed) for seed in sorted(used) for arm in arms if (arm, seed) not in whole]
    pairs = min(sum((arm, seed) in whole for seed in used) for arm in arms)
    goes_on = repetition is not None and not history and (
        bool(missing) or not repetition.has_ended([asked.folder / str(j.number) for j in _ordered(whole)], pairs)
    )
    ended = not goes_on and (not missing or left.is_reported)

    wanted = len(used) if asked.pairs is None else max(asked.pairs, len(used))
    most = 0 if repetition is None else repetition.most
    if goes_on and asked.pairs is None:
        wanted = max(wanted, most)
    seeds = [*sorted(used), *_further(used, {job.config.seed for job in plan})[: wanted - len(used)]]
    wanting = [(arm, seed) for seed in seeds for arm in arms if (arm, seed) not in whole]
    if not wanting:
        raise ConfigError(
            f"{KEY}={asked.folder}: nothing is missing, it has {pairs} pairs an arm; "
            f"for more of them add repeat.max=N with N above {pairs}"
        )
    number = max([job.number for job in slots.values()] + left.numbers) + 1
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
            looks = (most,)
        else:
            looks = (*history, pairs) if ended else history
        jobs.append(replace(job, order=_place(arms, arm, seed), looks=looks))
    return Sweep(jobs, repetition if goes_on else None, earlier=_ordered(whole))


def _added_before(folder: Path, left: _Left, plan: list[Job]) -> dict[Slot, Job]:
    """Jobs beyond the plan: added when the sweep was gone on with before."""
    arms = {job.arm: job for job in plan}
    added: dict[Slot, Job] = {}
    for number, manifest in left.manifests.items():
        typed = tuple(str(text) for text in manifest["overrides"])
        arm = tuple(text for text in typed if key_of(text) not in ("seed", "tracking.enabled"))
        planned_for = plan[number].arm if number < len(plan) else arm
        if arm not in arms or arm != planned_for:
            raise ConfigError(f"{folder / str(number)}: not a run of the sweep that {folder / PLAN} names")
        if number >= len(plan):
            seed = int(manifest["seed"])
            added[arm, seed] = arms[arm].with_seed(seed, number)
    return added


def _check_as_before(folder: Path, job: Job, manifest: Manifest) -> None:
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
            f"{folder / str(job.number)}: was measured with {key}={then.get(key, 'none')}, this tree has "
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

