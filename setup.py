"""What pyproject.toml cannot say: which packages are installed, the data that stands elsewhere in the repository, and
the compiled form on demand (`AEGIS_COMPILE=1 pip install .`; without it no compiler is needed).
"""

import os
import shutil
from pathlib import Path

from setuptools import find_packages, setup

ROOMS = ("services", "record", "experiments", "analysis")
DATA = {"experiments.conf": "conf", "analysis.dashboards": "monitoring/grafana/dashboards"}
"""Folders of the repository that are installed inside a package."""
IS_COMPILED = os.environ.get("AEGIS_COMPILE") == "1"

for stale in Path(__file__).resolve().parent.glob("build/lib*"):
    shutil.rmtree(stale)  # what was moved or removed since the last build would be installed with the rest

setup(
    packages=[*find_packages(include=[name for room in ROOMS for name in (room, f"{room}.*")]), *DATA],
    package_dir=DATA,
    # Asked for by pip and uv before they build (PEP 517), and so by nobody who does without.
    setup_requires=["mypy"] if IS_COMPILED else [],
    package_data={"experiments.conf": ["*.yaml", "**/*.yaml"], "analysis.dashboards": ["*.json"]},
)
