"""What is typed for a suite: `pathologies`, names of scenarios, or a file that lists them; and the sizes of a fleet."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from experiments.plan.choices import Choice, choices
from experiments.plan.config import Config, ConfigError

ALL = "pathologies"
"""Every scenario that expects something of the router (docs/pathologies.md)."""
EVERYBODY = "all"


def scenarios_of(suite: str, option: str = "--suite") -> list[Choice]:
    """The scenarios of a suite, in order.

    Args:
        suite: `pathologies`, names with commas between them, or the path of a YAML file with a list of names.
        option: what it was typed after.

    Raises:
        ConfigError: there is none of such a name, or the file is no list.
    """
    known = {choice.name: choice for choice in choices("scenario")}
    if suite == ALL:
        return [choice for choice in known.values() if choice.sets.get("expect")]
    names = _listed(Path(suite), option) if suite.endswith((".yaml", ".yml")) else [n.strip() for n in suite.split(",")]
    for name in names:
        if name not in known:
            names_known = ", ".join(known)
            raise ConfigError(f"{option}: {name}: must be one of {names_known}, or {ALL}: all that expect something")
    if len(set(names)) < len(names) or not names:
        raise ConfigError(f"{option}={suite}: must name one scenario or more, each once")
    return [known[name] for name in names]


def _listed(path: Path, option: str) -> list[str]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{option}={path}: cannot be read ({' '.join(str(error).split())})") from error
    if not isinstance(content, list) or not all(isinstance(name, str) for name in content):
        raise ConfigError(f"{option}={path}: must be a list of scenarios, as [gray_failure, hang]")
    return list(content)


def why_not_sized(config: Config) -> str | None:
    """Why a scenario has one size only; None = it can have any."""
    if config.has_manager:
        return "scales by itself"
    if config.tier.replicas:
        return "has a second tier of a size of its own"
    return "its faults are drawn from the seed" if config.random_faults.count else None


def sized(config: Config, replicas: int) -> list[str]:
    """Overrides for a fleet of another size that is loaded and hurt as much: what one replica of the scenario's is or
    has done to it, as large a share of the new ones is or has.

    Args:
        config: the scenario's.
        replicas: of the new fleet, as many as the scenario has at least.

    Raises:
        ConfigError: they are fewer.
    """
    least = config.replicas
    if replicas < least:
        raise ConfigError(f"--replicas={replicas}: must be at least the scenario's {least}")
    factor = replicas / least
    overrides = [
        f"replicas={replicas}",
        f"workload.rate_rps={round(config.workload.rate_rps * factor, 6):g}",
        f"load.max_in_flight={round(config.load.max_in_flight * factor)}",
    ]
    stands_for = [index * least // replicas for index in range(replicas)]
    for key, values in (("speeds", config.replica.speeds), ("weights", config.replica.weights)):
        if isinstance(values, list) and values:
            overrides.append(f"replica.{key}=[{','.join(f'{values[index]:g}' for index in stands_for)}]")
    for number, fault in enumerate(config.faults):
        if (targets := _targets(fault.target, stands_for)) is not None:
            overrides.append(f"faults.{number}.target=[{','.join(targets)}]")
    return overrides


def _targets(target: Any, stands_for: Sequence[int]) -> list[str] | None:  # noqa: ANN401 - as it is typed
    """Of the new fleet; None where it is no replica, or all."""
    old = {str(each) for each in (target if isinstance(target, list | tuple) else [target])}
    new = [f"r{index + 1}" for index, of in enumerate(stands_for) if f"r{of + 1}" in old]
    return new or None
