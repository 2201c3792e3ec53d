"""Fits the rate to what this machine sends on time (`load.fit=true`), so that a first run on a slow one is valid."""

import subprocess
import sys

from experiments.calibration import machine as calibration
from experiments.plan.resolve import Plan


def fitted(plan: Plan) -> Plan:
    """The plan with a lower `workload.rate_rps` where that is needed, and say so; measure the machine if unknown."""
    config, measured = plan.config, calibration.load()
    if measured is None:
        print("finding out how many requests a second this machine sends on time (once) ...", flush=True)
        peak = str(config.workload.peak_rps() / calibration.FIT_SHARE)
        subprocess.run([sys.executable, "-m", "experiments.calibrate", "--quick-for", peak], check=False)
        measured = calibration.load()
    if measured is None:
        print("it could not be found out; the rate stays as it is")
        return plan
    rate = round(calibration.fitted_rps(config, measured), 1)
    if rate >= config.workload.rate_rps:
        return plan
    why = f"{calibration.FIT_SHARE:g} of what its load generator sends on time"
    print(f"this machine is slow: workload.rate_rps={rate:g} instead of {config.workload.rate_rps:g} ({why})")
    return plan.with_rate(rate)
