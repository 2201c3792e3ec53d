"""What pyproject.toml cannot say: which packages are installed, the data that stands elsewhere in the repository, and
the compiled form on demand (`AEGIS_COMPILE=1 pip install .`; without it no compiler is needed).
"""

import os
import shutil
import sys
from pathlib import Path
from types import ModuleType

from setuptools import Distribution, find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
ROOMS = ("services", "record", "experiments", "analysis")
DATA = {"experiments.conf": "conf", "analysis.dashboards": "monitoring/grafana/dashboards"}
"""Folders of the repository that are installed inside a package."""
COMPILES = os.environ.get("AEGIS_COMPILE") == "1"

for stale in ROOT.glob("build/lib*"):
    shutil.rmtree(stale)  # what was moved or removed since the last build would be installed with the rest


class BuildPython(build_py):
    """Adds the compiled form, of what has just been copied."""

    def run(self) -> None:
        """Copy, then compile."""
        super().run()
        if COMPILES:
            # Without the package's own first lines, which ask for what an isolated build does not have.
            package = sys.modules["experiments"] = ModuleType("experiments")
            package.__path__ = [str(ROOT / "experiments")]
            sys.path.insert(0, str(ROOT))
            from experiments.compile import build

            base = ROOT if self.editable_mode else Path(self.build_lib).resolve()
            build(base / "services" / "binaries", ROOT)


class Compiled(Distribution):
    """What is compiled is of one Python and one machine, and the wheel's name says so."""

    def has_ext_modules(self) -> bool:
        """Whether this one is."""
        return COMPILES


setup(
    distclass=Compiled,
    cmdclass={"build_py": BuildPython},
    packages=[*find_packages(include=[name for room in ROOMS for name in (room, f"{room}.*")]), *DATA],
    package_dir=DATA,
    # Asked for by pip and uv before they build (PEP 517), and so by nobody who does without.
    setup_requires=["mypy"] if COMPILES else [],
    package_data={
        "experiments.conf": ["*.yaml", "**/*.yaml"],
        "analysis.dashboards": ["*.json"],
        "analysis.pages.html": ["page.*"],
    },
)
