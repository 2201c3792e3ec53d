"""Experiments: from a configuration to a run's folder. Starts services as processes and speaks HTTP to them."""

from record import environment

environment.check(__name__, "hydra")

from services import compiled  # noqa: E402 - only where there is what it needs

compiled.install()
