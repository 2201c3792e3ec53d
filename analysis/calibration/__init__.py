"""How often the comparison is right: simulated experiments with a known truth; `python -m analysis.calibration`."""
