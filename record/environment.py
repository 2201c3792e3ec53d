"""Whether this Python has what a package needs: one that has not is told in a line how to get at one that has."""

import sys
from importlib.util import find_spec


def check(package: str, needs: str) -> None:
    """Called as a package is imported; `python -m` then ends with this line instead of a traceback.

    Args:
        package: its `__name__`.
        needs: a module of another project that nothing of it does without.

    Raises:
        ModuleNotFoundError: it is not installed. It is said of the package, as runpy lets only that be a line.
    """
    if find_spec(needs) is None:
        raise ModuleNotFoundError(
            f"{sys.executable} has no {needs}: use .venv/bin/python (`make demo` makes it), or install Aegis with pip",
            name=package,
        )
