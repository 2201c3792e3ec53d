"""What of a JSON value is not of the type that `record.shapes` gives it: a file may come from anywhere."""

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

Test = Callable[[Any], bool]


def misfits(value: Any, hint: Any, where: str = "") -> Iterator[str]:  # noqa: ANN401 - any value, any type
    """A line for each value that does not fit; keys that a TypedDict does not name are let pass.

    Args:
        value: as `json` reads it.
        hint: what it should be: a TypedDict, `list`, `dict`, a union, or a plain type. A number must be finite, and
            JSON has one kind of it: 3 is a float as well.
        where: what the value is called.
    """
    if fits(hint)(value):
        return
    origin, arguments = _parts(hint)
    if is_typeddict(hint) and isinstance(value, dict):
        prefix = f"{where}." if where else ""
        hints, required = _keys(hint)
        yield from (f"lacks {prefix}{key}" for key in required if key not in value)
        for key, one in value.items():
            if key in hints:
                yield from misfits(one, hints[key], f"{prefix}{key}")
    elif origin is list and isinstance(value, list):
        for number, one in enumerate(value):
            yield from misfits(one, arguments[0], f"{where}[{number}]")
    elif origin in (dict, Mapping) and isinstance(value, dict):
        for key, one in value.items():
            yield from misfits(one, arguments[1], f"{where}.{key}")
    else:
        yield _line(value, dict if is_typeddict(hint) else hint, where)


@cache
def fits(hint: Any) -> Test:  # noqa: ANN401
    """Whether a value is of a type, as a function: a run's folder has thousands, of which nearly all are."""
    origin, arguments = _parts(hint)
    if is_typeddict(hint):
        hints, required = _keys(hint)
        return _has_keys({key: fits(one) for key, one in hints.items()}, required)
    if origin in (Union, UnionType):
        return _is_one_of(tuple(fits(one) for one in arguments))
    if origin is list:
        item = fits(arguments[0])
        return lambda value: isinstance(value, list) and all(map(item, value))
    if origin in (dict, Mapping):
        entry = fits(arguments[1])
        return lambda value: isinstance(value, dict) and all(map(entry, value.values()))
    if hint is Any:
        return lambda value: True
    if hint is float:
        return lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and is_finite(value)
    if hint is int:
        return lambda value: isinstance(value, int) and not isinstance(value, bool) and is_finite(value)
    kind = NoneType if hint is None else origin or hint
    return lambda value: isinstance(value, kind)


def _has_keys(tests: dict[str, Test], required: tuple[str, ...]) -> Test:
    def test(value: Any) -> bool:  # noqa: ANN401
        if not isinstance(value, dict):
            return False
        for key in required:
            if key not in value:
                return False
        for key, one in value.items():  # noqa: SIM110 - a generator costs more than the tests
            if key in tests and not tests[key](one):
                return False
        return True

    return test


def _is_one_of(tests: tuple[Test, ...]) -> Test:
    def test(value: Any) -> bool:  # noqa: ANN401
        for one in tests:  # noqa: SIM110 - likewise
            if one(value):
                return True
        return False

    return test


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
