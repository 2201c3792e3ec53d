"""Sweeps whose many arms are the points of a map: they end in it, not in a comparison."""

MAPS = frozenset({"retry_storm_map"})
"""Their scenarios."""
