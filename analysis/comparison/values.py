"""Values of metrics that arms are compared by, in words."""

from analysis.comparison.compared import Compared
from analysis.metrics.verdict import percent


def told(compared: Compared, value: float) -> str:
    """A value with its unit."""
    return percent(value) if compared.is_percent else f"{value:,.{compared.digits}f} {compared.unit}"


def told_difference(compared: Compared, value: float) -> str:
    """A difference without its unit, which `unit_of_difference` is: of shares in percentage points."""
    return f"{value * 100:+.3f}" if compared.is_share else f"{value:+.1f}"


def unit_of_difference(compared: Compared) -> str:
    """What a difference is in."""
    return "percentage points" if compared.is_share else compared.unit
