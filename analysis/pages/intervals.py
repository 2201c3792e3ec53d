"""What the valid runs of a row say together: mean and interval of every metric that arms are compared by."""

from analysis.comparison.arms import identify
from analysis.comparison.compared import COMPARED
from analysis.comparison.over_runs import interval_of
from analysis.comparison.statistics import Interval
from analysis.pages.rows import Entry
from record.metrics import Metrics, value_of


def of_runs(entries: list[Entry]) -> dict[str, Interval]:
    """By key of `metrics.json`; the run is the unit, an invalid one does not enter, several arms have no mean."""
    valid = [entry for entry in entries if entry.is_valid]
    runs = [entry.metrics for entry in valid]
    is_one_arm = len({identify(entry.run) for entry in valid}) <= 1
    intervals = {compared.key: interval_of(compared, runs) for compared in COMPARED}
    return intervals if is_one_arm else {key: Interval(None, None, None, _known(key, runs)) for key in intervals}


def _known(key: str, runs: list[Metrics]) -> int:
    return sum(value_of(metrics, key) is not None for metrics in runs)
