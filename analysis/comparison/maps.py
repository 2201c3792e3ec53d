"""Sweeps whose many arms are the points of a map: they end in it, not in a comparison."""

MAPS = {"retry_storm_map": "analysis.storm_map"}
"""By scenario, the command that draws the map."""
