"""What runs, arms and numbers are called in MLflow. Knows nothing of MLflow."""

import re
from functools import lru_cache
from pathlib import Path

import yaml

from record.shapes import Manifest

SWEEP_PLAN = "multirun.yaml"
"""What a sweep was asked for, in its folder; Hydra's name for it."""
APART = ("scenario", "seed", "tracking.enabled")
"""Keys that are not of an arm: two of them are columns of their own."""
AS_CONFIGURED = "as configured"
"""The arm of a run for which nothing but scenario and seed was typed."""
NAME_LIMIT = 200
PHASES = ("steady", "fault", "recovery")


def arm(manifest: Manifest) -> str:
    """What was typed for a run, scenario and seed apart; of a run of a sweep, what was not typed for all of them."""
    typed = [str(text) for text in manifest.get("overrides") or []]
    for_all = _typed_for_all(manifest.get("sweep_dir"))
    own = [text for text in typed if _plain(text) not in for_all and _key(text) not in APART]
    return ", ".join(text.lstrip("+") for text in own) or AS_CONFIGURED


def run_name(manifest: Manifest) -> str:
    """What MLflow's pages call a run: in a sweep by what differs, which it begins with; alone by its folder."""
    run_id, scenario = str(manifest["run_id"]), str(manifest["scenario"])
    if manifest.get("sweep_dir"):
        return f"{arm(manifest)}, seed={manifest['seed']}"[:NAME_LIMIT]
    return run_id if scenario in run_id else f"{scenario}-{run_id}"


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _plain(override: str) -> str:
    """Hydra writes values anew: without it, blanks and quotes would pass for a difference."""
    return re.sub(r"[\s'\"]", "", override)


@lru_cache(maxsize=16)
def _typed_for_all(sweep: str | None) -> frozenset[str]:
    """What was typed for every run of a sweep alike, and what with several values, which no run has; or nothing."""
    try:
        plan = yaml.safe_load((Path(sweep or "") / SWEEP_PLAN).read_text(encoding="utf-8")) if sweep else {}
        return frozenset(_plain(str(text)) for text in plan["hydra"]["overrides"]["task"])
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return frozenset()


def metric_key(key: str) -> str:
    """A key of `metrics.json` as MLflow shows it: the main ones as they are, what is about one thing in its section.

    MLflow draws a section for what stands before the last slash, has a page of its own for `system/`, and sorts
    sections by name: what is to stand below "Model metrics", those without one, begins with a later letter.
    """
    if key.startswith("cpu_"):
        return f"system/{key}"
    if key.startswith("share_"):
        return f"replicas/{key}"
    if key.startswith("pick_share_"):
        return f"picks/{key}"
    if key.startswith(("theory_", "exact_")):
        return f"theory/{key}"
    if (worker := re.fullmatch(r"(.+)_worker_(\d+)", key)) is not None:
        return f"workers/{worker[1]}_{worker[2]}"
    for phase in PHASES:
        if key.endswith(f"_{phase}"):
            return f"phase/{phase}/{key.removesuffix(f'_{phase}')}"
    return key


def series_key(column: str) -> str:
    """A column of `timeline.parquet`."""
    return f"system/timeline/{column}" if column.startswith("cpu_") else f"timeline/{column}"
