"""One line for a wrong configuration: the key, what is wrong with it, and the choices."""

import dataclasses
import difflib
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, get_args, get_type_hints

from hydra.errors import MissingConfigException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException, ValidationError

from experiments.plan.config import Config, ConfigError
from experiments.plan.fault_plan import Fault
from experiments.plan.keys import find
from services.manager.scalers import SCALERS
from services.router.policies import POLICIES
from services.units import must_be, typed

EXAMPLE = "A fault is {at_s: 5, action: kill, target: r1}."


class WrongError(BaseException):
    """A job's configuration is wrong; carries the line to print. (Hydra would add its own to an Exception.)"""


def check_keys(content: dict[str, Any], node: type = Config, prefix: str = "") -> None:
    """Refuse keys that no class of the configuration has: `+key=value` adds them without a word.

    Raises:
        ConfigError: with the key and those that there are.
    """
    sections = _sections(node)
    for key, value in content.items():
        if key not in sections:
            raise ConfigError(f"{prefix}{key}: there is no such key.{_advice(f'{prefix}{key}')}")
        inner = sections[key]
        if inner is None:
            continue
        if isinstance(value, dict):
            check_keys(value, inner, f"{prefix}{key}.")
        elif isinstance(value, str):  # an interpolation, which may be anything
            names = ", ".join(field.name for field in dataclasses.fields(inner))
            raise ConfigError(f"{prefix}{key}={value}: must be a section with the keys {names}")


@cache
def _sections(node: type) -> dict[str, type | None]:
    """The keys of a class of the configuration, each with the class of its section, where it is one."""
    hints = get_type_hints(node)
    return {field.name: _section(hints[field.name]) for field in dataclasses.fields(node)}


def one_line(error: BaseException) -> str:
    """The error's text on one line; for a key that does not exist, with the keys that do."""
    chain = list(_chain(error))
    for cause in chain:
        if isinstance(cause, OmegaConfBaseException) and (told := _told(cause)):
            return told
        if isinstance(cause, MissingConfigException) and cause.missing_cfg_file and cause.options:
            group, _, name = cause.missing_cfg_file.rpartition("/")
            return f"{group}={name}: must be one of {', '.join(cause.options)}.{_meant(name, list(cause.options))}"
    seen: list[str] = []
    for cause in chain:
        text = str(cause)
        if text and not any(text in other for other in seen):
            seen.append(text)
    text = " ".join(" ".join(seen).split())
    text = re.sub(r" Config search path: .*", "", text)
    text = re.sub(r"full_key: (\S+)", r"(key: \1)", text)
    text = re.sub(r" (object_type|reference_type)=.*?(?= \w+_type=| \(key| Did|$)", "", text)
    # Hydra's advice to add the key with a plus would only move the error.
    text = re.sub(r" To append to your config use \S+", "", text)
    if match := re.search(r"Key '(\w+)' not in 'Fault'|\w+ is not a subclass of Fault", text):
        names = [field.name for field in dataclasses.fields(Fault)]
        return f"faults: {match[0]}.{_meant(match[1] or '', names)} {EXAMPLE} There are: {', '.join(names)}."
    if match := re.search(r"Multiple values for (\w+)\.", text):
        return f"{match[0]} To choose another one leave the plus away: {match[1]}=..."
    match = re.search(r"Could not override '([\w.@/]+)'", text)
    if match and "defaults list" not in text:
        text += _advice(match[1])
    return text


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__


def _told(error: OmegaConfBaseException) -> str:
    """A value of the wrong type, or an option that the chosen policy or scaler has not, in our words; else empty.

    OmegaConf's error knows the key, and the section that it was to be set in.
    """
    path, parent = str(error.full_key or ""), error.parent_node
    group, _, option = path.partition(".")
    if isinstance(error, ConfigKeyError | ConfigAttributeError):
        point = next((point for point in (POLICIES, SCALERS) if point.kind == group), None)
        name = OmegaConf.select(parent, "name") if isinstance(parent, DictConfig) else None
        if isinstance(parent, DictConfig) and parent._metadata.object_type is Fault:
            return ""
        if point is None or not option or not isinstance(name, str):
            return f"{path}: there is no such key.{advice}" if (advice := _advice(path)) else ""
        return point.lacks(name, option, "rng")
    if not isinstance(error, ValidationError):
        return ""
    is_fault = isinstance(parent, DictConfig) and parent._metadata.object_type is Fault and "." not in path
    value = typed(error.value)
    key = find(f"faults[].{path}" if is_fault else path.rstrip("0123456789[]"))
    path = re.sub(r"\[(\d+)\]", r".\1", path)  # as one types it
    if key is not None and key.section is Fault and key.kind is list and not isinstance(parent, ListConfig):
        return f"{path}={value}: must be a list. {EXAMPLE}"
    if key is None or (error.value is None and "not Optional" not in str(error)):
        return ""
    if is_fault and key.kind is not None:
        return f"faults: {path}={value}: {must_be(path, error.value, key.kind, key.default)}. {EXAMPLE}"
    if key.kind is None or key.section is not None:
        if key.section is None or key.section is Fault:
            return ""
        names = ", ".join(field.name for field in dataclasses.fields(key.section))
        return f"{path}={value}: must be a section with the keys {names}"
    if path.startswith(f"{key.path}.") and key.item is not None:
        return f"{path}={value}: {must_be(path, error.value, key.item)}"
    return f"{path}={value}: {must_be(path, error.value, key.kind, key.default, key.item)}"


def _advice(key: str) -> str:
    """The keys beside a dotted key, the nearest first."""
    choices = _siblings(key)
    return f"{_meant(key.rsplit('.', 1)[-1], choices)} There are: {', '.join(choices)}." if choices else ""


def _meant(word: str, choices: list[str]) -> str:
    near = [c for c in choices if word and c.startswith(word)] or difflib.get_close_matches(word, choices, 1)
    return f" Did you mean {near[0]}?" if near else ""


def _section(hint: Any) -> type | None:  # noqa: ANN401
    """The dataclass that a field holds, if it does."""
    return next((t for t in (hint, *get_args(hint)) if isinstance(t, type) and dataclasses.is_dataclass(t)), None)


def _siblings(key: str) -> list[str]:
    """The names beside the last part of a dotted key."""
    node: Any = Config
    for part in key.split(".")[:-1]:
        hints = get_type_hints(node)
        if part not in hints:
            return []
        node = _section(hints[part])
        if node is None:
            return []
    return [field.name for field in dataclasses.fields(node)]
