"""Policies and scalers by name: every class with a `name` in a package's files, its keyword arguments as options."""

import functools
import importlib
import inspect
import pkgutil
from typing import Any


@functools.cache
def classes(package: str) -> dict[str, type]:
    """The classes of `package`'s modules that carry a `name` of their own, by that name.

    Raises:
        ValueError: a module cannot be imported; names its file and what is wrong with it.
    """
    found: dict[str, type] = {}
    path = importlib.import_module(package).__path__
    for module in pkgutil.iter_modules(path):
        try:
            imported = importlib.import_module(f"{package}.{module.name}")
        except Exception as error:
            file = f"{package.replace('.', '/')}/{module.name}.py"
            raise ValueError(f"{file} cannot be imported ({type(error).__name__}: {error})") from error
        for _, member in inspect.getmembers(imported, inspect.isclass):
            if member.__module__.startswith(f"{package}.") and isinstance(member.__dict__.get("name"), str):
                found[member.__dict__["name"]] = member
    return dict(sorted(found.items()))


def listed(package: str) -> str:
    """The names there are, for a help text; what is wrong with a file is told when one is created."""
    try:
        return ", ".join(classes(package))
    except ValueError as error:
        return str(error)


def create(
    package: str, kind: str, name: str, options: dict[str, Any], methods: tuple[str, ...], **fixed: object
) -> Any:  # noqa: ANN401
    """An instance of the class called `name`, its options checked against its constructor.

    Args:
        package: where the classes are.
        kind: what they are, for the error's text.
        name: which one.
        options: keyword arguments by the user.
        methods: what the class must have.
        fixed: keyword arguments by the program; given where the constructor takes them.

    Raises:
        ValueError: the name, an option or an option's value is wrong, or the class lacks a method; the text names
            the choices.
    """
    known = classes(package)
    if name not in known:
        where = package.replace(".", "/")
        raise ValueError(f"{kind}={name or None}: no class in {where}/ has this name; there are {', '.join(known)}")
    missing = [method for method in methods if not callable(getattr(known[name], method, None))]
    if missing:
        raise ValueError(f"{kind}={name}: {known[name].__module__}.{known[name].__name__} lacks {', '.join(missing)}")
    parameters = {p: v for p, v in inspect.signature(known[name]).parameters.items() if p not in fixed}
    for option, value in options.items():
        if option not in parameters:
            raise ValueError(f"{kind}.{option}: {name} takes {', '.join(parameters) or 'no options'}")
        default = parameters[option].default
        accepted = (int, float) if isinstance(default, float) else type(default)
        if not isinstance(value, accepted) or (isinstance(value, bool) and not isinstance(default, bool)):
            raise ValueError(f"{kind}.{option}={value}: must be a {type(default).__name__}")
    taken = inspect.signature(known[name]).parameters
    return known[name](**options, **{key: value for key, value in fixed.items() if key in taken})
