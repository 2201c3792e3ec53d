"""Which keys of a section were set to something else than their default."""

from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any


def differing(section: Any, plain: Any, name: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - sections at any depth
    """The keys of a section, called `name`, that differ from their default, and their values."""
    keys, defaults = (each if isinstance(each, dict) else vars(each) for each in (section, plain))
    for key, value in keys.items():
        default = defaults.get(key)
        if isinstance(value, dict) or is_dataclass(value):
            yield from differing(value, default or {}, f"{name}.{key}")
        elif value != default:
            yield f"{name}.{key}", value
