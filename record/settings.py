"""The resolved configuration of a run, or another nested section of its manifest, as flat `a.b.c` keys."""

from collections.abc import Iterator
from typing import Any


def leaves(section: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf below a section with its dotted key; a list, null and an empty section are leaves."""
    if not isinstance(section, dict) or not section:
        yield prefix, section
        return
    for key, value in section.items():
        yield from leaves(value, f"{prefix}.{key}" if prefix else str(key))


def flatten(section: object, prefix: str = "") -> dict[str, str]:
    """The leaves as people type them: `none` for null."""
    return {key: "none" if value is None else str(value) for key, value in leaves(section, prefix)}
