"""What tuning may try: a YAML file, data and nothing else.

    all:                                  # keys that every arm with a router may be tuned by
      router.timeouts.attempt_s: [1, 2]
    policy:                               # besides, of a policy of Aegis' own router
      peak_ewma: {policy.decay_s: [1, 10]}
    data_plane:                           # besides, of another data plane
      envoy: {router.algorithm: [least_request, round_robin]}

`conf/tuning.yaml` is the one that is published. Every arm gets as many tries, its own settings among them; the rest are
drawn from its grid.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import yaml

from analysis.standings.protocol import ArmPlan
from experiments.plan.config import Config, ConfigError
from experiments.sweep.job import key_of

ALL, POLICY, DATA_PLANE = "all", "policy", "data_plane"
Grid = dict[str, list[Any]]
"""Values by key."""


def read_grids(path: Path) -> dict[str, Any]:
    """A file of grids, checked.

    Raises:
        ConfigError: it cannot be read, or is none.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"--tune={path}: cannot be read ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict) or set(content) - {ALL, POLICY, DATA_PLANE}:
        raise ConfigError(f"--tune={path}: must have the sections {ALL}, {POLICY} and {DATA_PLANE}, and no others")
    _check(path, ALL, content.get(ALL) or {})
    for section in (POLICY, DATA_PLANE):
        named = content.get(section) or {}
        if not isinstance(named, dict):
            raise ConfigError(f"--tune={path}: {section}: must be sections by name")
        for name, grid in named.items():
            _check(path, f"{section}: {name}", grid or {})
    return content


def _check(path: Path, where: str, grid: object) -> None:
    if not isinstance(grid, dict):
        raise ConfigError(f"--tune={path}: {where}: must be lists of values by key")
    for key, values in grid.items():
        if not isinstance(values, list) or not values:
            raise ConfigError(f"--tune={path}: {where}: {key}={values}: must be a list of values")


def grid_of(content: Mapping[str, Any], arm: ArmPlan, config: Config) -> Grid:
    """What an arm may be tuned by; a key that it sets itself is left to it."""
    if config.router is None:
        return {}
    grid: Grid = dict(content.get(ALL) or {})
    if config.own_router is not None:
        grid |= (content.get(POLICY) or {}).get(config.policy["name"]) or {}
    else:
        grid |= (content.get(DATA_PLANE) or {}).get(config.router.data_plane) or {}
    typed = {key_of(word) for word in arm.overrides}
    return {key: values for key, values in grid.items() if key not in typed}


def settings_of(grid: Grid, arm: str, tries: int) -> tuple[list[tuple[str, ...]], int]:
    """Settings to try, the arm's own first, and how many the grid has; drawn without replacement, from the arm's name
    alone.
    """
    keys = sorted(grid)
    every = [tuple(f"{key}={_typed(v)}" for key, v in zip(keys, values, strict=True))
             for values in itertools.product(*(grid[key] for key in keys))] if keys else []  # fmt: skip
    drawn = Random(f"aegis-tuning-{arm}").sample(every, min(len(every), tries - 1))
    return [(), *drawn], 1 + len(every)


def _typed(value: object) -> str:
    """As Hydra reads it."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{','.join(map(_typed, value))}]"
    return str(value)
