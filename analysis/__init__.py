"""From a run's folder to numbers and pictures. Knows `record/` and nothing else: a figure can always be drawn again.

In a notebook: `from analysis import load, load_sweep, compare` (`analysis.tables.loading`; docs/notebooks/).

The files here are commands:

    summary      one run, or many on a page: metrics.json, timeline.parquet, summary.png
    compare      which arm is better: comparison.json, comparison.png
    leaderboard  the board of an evidence pack: arms under pathologies, who is best where
    report       a run, a sweep or a comparison as one HTML file
    baseline     keep runs under a name, to compare later ones with
    regimes      who wins where, over two keys; storm_map: where a retry storm begins
    plan         how many pairs of which length would show an effect
    boards       the pictures of Grafana's boards

and the folders subjects: `metrics/` (one run in numbers), `comparison/` (many runs to a verdict), `tables/` (for
notebooks and other programs), `standings/` (arms over a suite of pathologies), `pages/` (pictures and HTML),
`expectations/` (thresholds for pipelines), `baselines/` (runs of before), `calibration/` (how often the comparison is
right), `distributions/` (probabilities and quantiles).
Begin with `metrics.table.compute`.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from record import environment

if TYPE_CHECKING:
    from analysis.tables.loading import compare, load, load_sweep

__all__ = ["compare", "load", "load_sweep"]

environment.check(__name__, "pandas")


class _Package(ModuleType):
    """This package: its functions are imported when they are asked for, as they need pandas.

    `compare` is a function here and a command beside it (`python -m analysis.compare`). Python sets a package's
    attribute when a module of that name is imported; this one stays the function, whatever was imported before.
    `from analysis.compare import ...` finds the command all the same.
    """

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        if name not in __all__:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        from analysis.tables import loading

        return getattr(loading, name)

    def __setattr__(self, name: str, value: object) -> None:
        if name not in __all__ or not isinstance(value, ModuleType):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Package
