"""What a number is a number of, as the end of its key says it, and the sentence for a value of the wrong kind.

    unit_of("mean_ms")                                   # "milliseconds"
    must_be("demand.mean_ms", "50ms", float)             # "must be milliseconds, a number, as demand.mean_ms=50"
"""

import dataclasses
import re

UNITS = (
    ("_per_s", "times a second"),
    ("_rps", "requests a second"),
    ("_ms", "milliseconds"),
    ("_s", "seconds"),
    ("_cores", "CPU cores"),
    ("_bytes", "bytes"),
    ("_port", "a TCP port"),
)
"""Ends of keys, the longer one first where one ends in another."""
KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list"}
LISTS = {float: "a list of numbers", int: "a list of whole numbers", str: "a list of words"}
SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
"""Units that people write behind a time."""
WITH_UNIT = re.compile(r"\s*([-+]?\d+(?:\.\d+)?)\s*([a-z]+)\s*", re.IGNORECASE)


def unit_of(key: str) -> str:
    """The unit of the numbers of a key; empty = it has none, as a count or a factor."""
    return next((unit for end, unit in UNITS if key.endswith(end) or key == end[1:]), "")


def kind_of(key: str, kind: type, item: type | None = None) -> str:
    """What a value of a key is, in words.

    Args:
        key: its name.
        kind: of `KINDS`.
        item: of a list's items, where that is known.
    """
    word = LISTS.get(item, "a list") if kind is list and item is not None else KINDS.get(kind, kind.__name__)
    unit = unit_of(key) if kind in (int, float) else ""
    return f"{unit}, {word}" if unit else word


def must_be(key: str, value: object, kind: type, default: object = None, item: type | None = None) -> str:
    """What a value of the wrong kind has to be, with an example: what was meant as far as it can be told.

    Args:
        key: dotted.
        value: what was typed.
        kind: of `KINDS`; what the key takes.
        default: an example, where what was typed tells none.
        item: of a list's items, where that is known.
    """
    meant = _meant(key, value) if kind in (int, float) else None
    example = default if meant is None else meant
    if kind is bool and not isinstance(example, bool):
        example = True
    if kind is list and not example:
        example = [1, 2] if item is not str else None
    text = f"must be {kind_of(key, kind, item)}"
    return text if example is None or example == "" else f"{text}, as {key}={typed(example)}"


def typed(value: object) -> str:
    """A value as one types it; of a section what is not its default."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float):
        return f"{value:.10g}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        usual = vars(type(value)())
        value = {name: each for name, each in vars(value).items() if each != usual[name]}
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{typed(each)}' for key, each in value.items())}}}"
    return f"[{','.join(map(typed, value))}]" if isinstance(value, list | tuple) else str(value)


def _meant(key: str, value: object) -> float | None:
    """The number that was meant by one with its unit behind it, in the key's unit; None = that cannot be told."""
    parts = WITH_UNIT.fullmatch(value) if isinstance(value, str) else None
    if parts is None:
        return None
    number, unit = float(parts[1]), parts[2].lower()
    scale = {"milliseconds": 1e-3, "seconds": 1.0}.get(unit_of(key))
    if scale is not None:
        return number * SECONDS[unit] / scale if unit in SECONDS else None
    return number if unit in ("rps", "cores", "bytes", "x") else None
