"""What is there of Aegis: the folder of its configuration files, and the extras that were installed with it."""

from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve()
CONF = next(path for path in (HERE.parents[1] / "conf", HERE.parents[2] / "conf") if path.is_dir())
"""Inside the package where Aegis is installed, else the source tree's."""
IS_TREE = CONF.parent != HERE.parents[1]
"""Whether this is a source tree, in which files may be written and images built."""
EXTRAS = {"load": ("locust", "Locust"), "report": ("vl_convert", "vl-convert"), "tracking": ("mlflow", "MLflow")}
"""What an extra of the distribution brings: the module to look for, and its name."""


def missing(extra: str) -> str | None:
    """What of `extra` is not installed and how it is had, a few words; None where it is there.

    Looks for the module without importing it.
    """
    module, name = EXTRAS[extra]
    return None if find_spec(module) is not None else f"needs {name}: pip install 'aegis-bench[{extra}]'"
