"""Every key of the configuration, as the dataclasses have it: kind, unit, default, bounds, meaning.

    key = find("workload.demand.mean_ms")
    key.kind, key.default, key.rules      # float, 50.0, (Bounds(0.01, 10000),)
    meaning(key.owner, key.name)          # "Mean, milliseconds."
"""

import ast
import dataclasses
import re
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from omegaconf import MISSING

from experiments.plan.config import Config
from services.bounds import Bounds, Choices
from services.units import KINDS

ITEM = re.compile(r"\[\d*\]|\.\d+(?=\.|$)")
"""The number of a list's item in a path, as OmegaConf writes it and as one types it."""


@dataclass(frozen=True)
class Key:
    """One key, or a section of them."""

    path: str
    """Dotted; an item of a list is called `faults[]`."""
    kind: type | None
    """Of `services.units.KINDS`; None = a section, or anything."""
    item: type | None
    """Of a list's items."""
    section: type | None
    """The dataclass of a section, and of a list's items where they are sections."""
    default: Any
    """None where there is none, or none that is fixed."""
    rules: tuple[Bounds | Choices, ...]
    owner: type
    """The dataclass that has it."""

    @property
    def name(self) -> str:
        """The last part."""
        return self.path.rpartition(".")[2]


def keys_of(node: type = Config, prefix: str = "") -> Iterator[Key]:
    """Every key of a section in the order of its fields, those of the sections within it behind each."""
    hints = get_type_hints(node, include_extras=True)
    for field in dataclasses.fields(node):
        key = _key(node, field, hints[field.name], prefix)
        yield key
        if key.section is not None:
            yield from keys_of(key.section, f"{key.path}{'[]' if key.kind is list else ''}.")


@cache
def _all() -> dict[str, Key]:
    return {key.path: key for key in keys_of()}


def find(path: str) -> Key | None:
    """The key of that path; a list's item may be called by its number, as `faults[0].at_s` or `faults.0.at_s`."""
    return _all().get(plain(path))


def plain(path: str) -> str:
    """The path without the numbers of a list's items: `faults[].at_s`."""
    return ITEM.sub("[]", path)


def _key(owner: type, field: "dataclasses.Field[Any]", hint: Any, prefix: str) -> Key:  # noqa: ANN401
    rules = tuple(rule for rule in getattr(hint, "__metadata__", ()) if isinstance(rule, Bounds | Choices))
    kinds = [each for each in _unwrapped(hint) if each is not type(None)]
    kind: type | None = None
    item: type | None = None
    section: type | None = None
    if len(kinds) == 1:
        origin, arguments = get_origin(kinds[0]) or kinds[0], get_args(kinds[0])
        kind = origin if origin in KINDS else None
        item = arguments[0] if kind is list and arguments else None
        section = next((t for t in (origin, item) if isinstance(t, type) and dataclasses.is_dataclass(t)), None)
    return Key(f"{prefix}{field.name}", kind, item, section, _default(field), rules, owner)


def _unwrapped(hint: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """The types that a hint allows."""
    if hasattr(hint, "__metadata__"):
        hint = hint.__origin__
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _default(field: "dataclasses.Field[Any]") -> Any:  # noqa: ANN401
    made = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return None if made in (dataclasses.MISSING, MISSING) else made


def meaning(owner: type, name: str) -> str:
    """What stands below a field in its class, on one line; empty = nothing."""
    for kind in owner.__mro__:
        docs = _docs(kind.__module__).get(kind.__name__, {})
        if name in docs:
            return docs[name]
    return ""


def about(kind: type) -> str:
    """The first sentence of a class's docstring, on one line."""
    return " ".join((kind.__doc__ or "").partition("\n\n")[0].split())


@cache
def _docs(module: str) -> dict[str, dict[str, str]]:
    """The strings below the fields of each class of a module, by class and field, read from its source."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None or not file.endswith(".py"):
        return {}
    by_class: dict[str, dict[str, str]] = {}
    for node in ast.parse(Path(file).read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.ClassDef):
            continue
        docs = by_class.setdefault(node.name, {})
        for field, after in zip(node.body, node.body[1:], strict=False):
            is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            target = field.target if isinstance(field, ast.AnnAssign) else _assigned(field)
            if isinstance(target, ast.Name) and is_text:
                docs[target.id] = " ".join(str(after.value.value).split())  # type: ignore[attr-defined]
    return by_class


def _assigned(node: ast.stmt) -> ast.expr | None:
    """What a plain assignment, as those of an enumeration, gives a value to."""
    return node.targets[0] if isinstance(node, ast.Assign) else None
