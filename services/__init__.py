"""The system under test: router, manager and backend. Nothing here knows of experiments/ or analysis/."""

import sys
from importlib.util import find_spec

__version__ = "0.2.0"
"""That of all of Aegis (`record.__version__`), which the services' image does not hold; a test keeps them the same."""

if find_spec("aiohttp") is None:  # said of the package itself, of which `python -m` makes one line
    raise ModuleNotFoundError(
        f"{sys.executable} has no aiohttp: use .venv/bin/python (`make demo` makes it), or install Aegis with pip",
        name=__name__,
    )
