"""Experiments: from a configuration to a run's folder. Starts services as processes and speaks HTTP to them."""

from experiments.simulator import compiled

compiled.install()
