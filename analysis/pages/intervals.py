"""What the valid runs of a row say together: mean and interval of every metric that arms are compared by."""


from analysis.comparison.arms import identify
from analysis.comparison.compared import COMPARED, Compared
from analysis.comparison.effects import counted_whole
from analysis.comparison.statistics import Interval, geometric_interval, mean_interval, paired, share_interval
from analysis.pages.rows import Entry
from record.metrics import Metrics, value_of


def of_runs(entries: list[Entry]) -> dict[str, Interval]:
    """By key of `metrics.json`; the run is the unit, an invalid one does not enter, several arms have no mean."""
    valid = [entry for entry in entries if entry.is_valid]
    is_one_arm = len({identify(entry.run) for entry in valid}) <= 1
    return {compared.key: _interval(compared, [entry.metrics for entry in valid], is_one_arm) for compared in COMPARED}


def _interval(compared: Compared, runs: list[Metrics], is_one_arm: bool) -> Interval:
    known = [(metrics, value) for metrics in runs if (value := value_of(metrics, compared.key)) is not None]
    # Those that have it are not all there is: a p99 lies among the failed, a fault was not noticed in the others.
    if not is_one_arm or len(known) < len(runs):
        return Interval(None, None, None, len(known))
    values = [float(value) for _, value in known]
    if compared.is_share:
        return share_interval(values, sum(metrics["offered_requests"] for metrics, _ in known))
    if compared.by == "seconds" and values:
        return mean_interval(counted_whole(paired(values)))
    return geometric_interval(values)
