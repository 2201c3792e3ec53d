"""Fits the rate to what this machine sends on time (`load.fit=true`), so that a first run on a slow one is valid."""

import subprocess
import sys

from omegaconf import DictConfig

from experiments.calibration import machine as calibration
from experiments.plan.config import Config


def fit(config: Config, composed: DictConfig) -> None:
    """Lower `workload.rate_rps` in both where it is needed, and say so; measure the machine where it is unknown."""
    if (found := calibration.load()) is None:
        print("finding out how many requests a second this machine sends on time (once) ...", flush=True)
        peak = str(config.workload.peak_rps() / calibration.FIT_SHARE)
        subprocess.run([sys.executable, "-m", "experiments.calibrate", "--quick-for", peak], check=False)
        found = calibration.load()
    if found is None:
        print("it could not be found out; the rate stays as it is")
        return
    rate = round(calibration.fitted_rps(config, found), 1)
    if rate < config.workload.rate_rps:
        why = f"{calibration.FIT_SHARE:g} of what its load generator sends on time"
        print(f"this machine is slow: workload.rate_rps={rate:g} instead of {config.workload.rate_rps:g} ({why})")
        config.workload.rate_rps = composed.workload.rate_rps = rate
