"""What this machine's load generator can do, as `python -m experiments.calibrate` found it; light, pure but for a file.

Kept in results/calibration/, a file a machine (its fingerprint), so that a figure of another machine is never used.
"""

import hashlib
import json
import os
import platform
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from experiments.plan.config import Config, ConfigError, ValidityConfig
from record.files import write_json
from record.provenance import cpu_model

FOLDER = Path("results") / "calibration"
FIT_SHARE = 0.25
"""Of what the generator alone sends on time, so much is fitted: router and replicas need the same cores. A cautious
choice, not a measured one."""
COMMAND = "python -m experiments.calibrate"


@dataclass(frozen=True)
class Step:
    """One rate with one number of generator processes."""

    workers: int
    rate_rps: float
    offered: int
    """Requests planned."""
    sent: int
    """Requests sent and answered."""
    lateness_p50_ms: float
    lateness_p99_ms: float
    cpu_cores: float
    """Of the busiest process, mean over the step."""
    cpu_ms_per_request: float

    def passes(self, limits: ValidityConfig) -> bool:
        """Whether a run at this rate would be valid, as far as the generator goes."""
        return (
            self.sent >= limits.min_sent_share * self.offered
            and self.lateness_p99_ms <= limits.max_lateness_p99_ms
            and self.cpu_cores <= limits.max_generator_cpu_cores
        )


@dataclass(frozen=True)
class Calibration:
    """The steps of one machine."""

    machine: dict[str, Any]
    measured_at: str
    is_quick: bool
    """Whether it only served to fit a rate; such a one refuses nothing."""
    steps: list[Step]

    def most_rps(self, workers: int, limits: ValidityConfig) -> float | None:
        """The highest rate below which every step passes, with at most `workers` processes; None = not measured."""
        counts = {step.workers for step in self.steps if step.workers <= workers}
        return max((self._most(count, limits) for count in counts), default=None)

    def _most(self, workers: int, limits: ValidityConfig) -> float:
        best = 0.0
        for step in sorted((s for s in self.steps if s.workers == workers), key=lambda s: s.rate_rps):
            if not step.passes(limits):
                break
            best = step.rate_rps
        return best

    @property
    def highest_rps(self) -> float:
        """The highest rate that was tried."""
        return max(step.rate_rps for step in self.steps)


def machine() -> dict[str, Any]:
    """What a calibration holds for: processor, cores, the right to priority, and the generator's own software."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "may_raise_priority": os.geteuid() == 0,
        "python": platform.python_version(),
        "gevent": metadata.version("gevent"),
        "locust": metadata.version("locust"),
    }


def _path() -> Path:
    digest = hashlib.sha256(json.dumps(machine(), sort_keys=True).encode()).hexdigest()
    return FOLDER / f"{digest[:16]}.json"


def load() -> Calibration | None:
    """This machine's calibration, None where there is none that can be read."""
    try:
        content = json.loads(_path().read_text(encoding="utf-8"))
        return Calibration(**{**content, "steps": [Step(**step) for step in content["steps"]]})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def save(calibration: Calibration) -> Path:
    """Keep it; return where."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_json(_path(), asdict(calibration))
    return _path()


def check(config: Config) -> None:
    """Refuse a load that this machine was found not to send on time.

    Raises:
        ConfigError: with the reason and the ways out.
    """
    if (
        config.load.force
        or config.load.ui
        or config.load.remote_workers
        or (calibrated := load()) is None
        or calibrated.is_quick
    ):
        return
    peak, workers = config.workload.peak_rps(), config.load.workers
    most = calibrated.most_rps(workers, config.validity)
    # Beyond the highest rate that was tried nothing is known; a tenth beyond it is let pass.
    if most is None or peak <= most or (most == calibrated.highest_rps and peak <= 1.1 * most):
        return
    counts = {step.workers for step in calibrated.steps if step.workers > workers}
    more = {count: calibrated.most_rps(count, config.validity) or 0.0 for count in counts}
    helping = [f"load.workers={n} ({rate:g})" for n, rate in sorted(more.items()) if rate >= peak]
    ways = ", ".join([f"lower the rate, set {helping[0]}" if helping else "lower the rate", "or load.force=true"])
    trace = config.workload.trace
    key = f"workload.rate_rps={config.workload.rate_rps:g}" if trace is None else f"workload.trace={trace}"
    raise ConfigError(
        f"{key}: up to {peak:g} requests/s, but this machine sends "
        f"{most:g} on time with load.workers={workers} ({COMMAND}, {calibrated.measured_at[:10]}); {ways}"
    )


def fitted_rps(config: Config, calibrated: Calibration) -> float:
    """The rate whose peak is at most `FIT_SHARE` of what the generator sends on time, at most the configured one."""
    most = calibrated.most_rps(config.load.workers, config.validity) or 0.0
    share = FIT_SHARE * most / config.workload.peak_rps()
    return config.workload.rate_rps * min(1.0, max(share, 0.05))
