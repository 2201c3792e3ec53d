"""The resolved configuration of a run, or another nested section of its manifest, as flat `a.b.c` keys."""

from collections.abc import Iterator
from typing import Any

from record.by_content import by_content


def leaves(section: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf below a section with its dotted key; a list, null and an empty section are leaves."""
    if not isinstance(section, dict) or not section:
        yield prefix, section
        return
    for key, value in section.items():
        yield from leaves(value, f"{prefix}.{key}" if prefix else str(key))


def flatten(section: object, prefix: str = "") -> dict[str, str]:
    """The leaves as people type them: `none` for null."""
    if prefix or not isinstance(section, dict) or not section:
        return _flat(section, prefix)
    flat: dict[str, str] = {}
    for key, value in section.items():
        flat |= _section(value, str(key)) if isinstance(value, dict) else _flat(value, str(key))
    return flat


@by_content
def _section(section: dict[str, Any], key: str) -> dict[str, str]:
    """Each is asked for a dozen times."""
    return _flat(section, key)


def _flat(section: object, prefix: str) -> dict[str, str]:
    return {key: "none" if value is None else str(value) for key, value in leaves(section, prefix)}
