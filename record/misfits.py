"""What of a JSON value is not of the type that `record.shapes` gives it: a file may come from anywhere."""

import sys
from collections.abc import Iterator, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, cast, get_args, get_origin, get_type_hints, is_typeddict


def misfits(value: Any, hint: Any, where: str = "") -> Iterator[str]:  # noqa: ANN401 - any value, any type
    """A line for each value that does not fit; keys that a TypedDict does not name are let pass.

    Args:
        value: as `json` reads it.
        hint: what it should be: a TypedDict, `list`, `dict`, a union, or a plain type. A number must be finite, and
            JSON has one kind of it: 3 is a float as well.
        where: what the value is called.
    """
    if is_typeddict(hint):
        yield from _of_keys(value, hint, where)
        return
    origin, arguments = _parts(hint)
    if origin in (Union, UnionType):
        if all(any(misfits(value, one, where)) for one in arguments):
            yield _line(value, hint, where)
    elif origin is list and isinstance(value, list):
        for number, one in enumerate(value):
            yield from misfits(one, arguments[0], f"{where}[{number}]")
    elif origin in (dict, Mapping) and isinstance(value, dict):
        for key, one in value.items():
            yield from misfits(one, arguments[1], f"{where}.{key}")
    elif not _is_plain(value, origin or hint):
        yield _line(value, hint, where)


def _of_keys(value: Any, hint: Any, where: str) -> Iterator[str]:  # noqa: ANN401
    if not isinstance(value, dict):
        yield _line(value, dict, where)
        return
    prefix = f"{where}." if where else ""
    hints, required = _keys(hint)
    yield from (f"lacks {prefix}{key}" for key in required if key not in value)
    for key, one in value.items():
        if key in hints:
            yield from misfits(one, hints[key], f"{prefix}{key}")


def _is_plain(value: object, hint: Any) -> bool:  # noqa: ANN401
    if hint is Any:
        return True
    if hint is float or hint is int:
        is_number = isinstance(value, (int, float) if hint is float else int) and not isinstance(value, bool)
        return is_number and is_finite(cast(float, value))
    return isinstance(value, NoneType if hint is None else hint)


def is_finite(value: float) -> bool:
    """Whether it is a number that a float can hold; an integer may have any length, of which `math.isfinite` raises."""
    return abs(value) <= sys.float_info.max


def _line(value: object, hint: Any, where: str) -> str:  # noqa: ANN401
    shown = repr(value)
    shown = shown if len(shown) <= 40 else f"{shown[:37]}..."
    name = hint.__name__ if isinstance(hint, type) and get_origin(hint) is None else str(hint)
    return f"{where}={shown}: is no {name.replace('typing.', '')}"


@cache
def _keys(hint: Any) -> tuple[dict[str, Any], tuple[str, ...]]:  # noqa: ANN401
    return get_type_hints(hint), tuple(sorted(hint.__required_keys__))


@cache
def _parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:  # noqa: ANN401
    return get_origin(hint), get_args(hint)
