"""What the runs of one arm say together of a metric, without a reference: a mean and an interval."""

import math
from collections.abc import Sequence

from analysis.comparison.compared import Compared
from analysis.comparison.effects import counted_whole
from analysis.comparison.statistics import Interval, geometric_interval, mean_interval, paired, share_interval
from record.metrics import Metrics, value_of


def interval_of(compared: Compared, runs: Sequence[Metrics]) -> Interval:
    """Of a metric that arms are compared by, on the scale that they are compared on; the run is the unit.

    Undefined where some run lacks it: those that have it are not all there is, where a p99 lies among the failed or a
    fault was not noticed in the others.
    """
    known = [(metrics, value) for metrics in runs if (value := value_of(metrics, compared.key)) is not None]
    if len(known) < len(runs):
        return Interval(None, None, None, len(known))
    values = [float(value) for _, value in known]
    if compared.is_share:
        return share_interval(values, sum(metrics["offered_requests"] for metrics, _ in known))
    if compared.is_whole and values:
        return mean_interval(counted_whole(paired(values)), least=0.0 if min(values) >= 0 else -math.inf)
    return geometric_interval(values)
