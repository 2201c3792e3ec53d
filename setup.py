"""What pyproject.toml cannot say: which packages are installed, the data that stands elsewhere in the repository, and
the compiled form on demand (`AEGIS_COMPILE=1 pip install .`; without it no compiler is needed).
"""

from setuptools import find_packages, setup

ROOMS = ("services", "record", "experiments", "analysis")
DATA = {"experiments.conf": "conf", "analysis.dashboards": "monitoring/grafana/dashboards"}
"""Folders of the repository that are installed inside a package."""

setup(
    packages=[*find_packages(include=[name for room in ROOMS for name in (room, f"{room}.*")]), *DATA],
    package_dir=DATA,
    package_data={"experiments.conf": ["*.yaml", "**/*.yaml"], "analysis.dashboards": ["*.json"]},
)
