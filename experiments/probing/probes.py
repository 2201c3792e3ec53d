"""One probe: a run of a fleet at a rate, live or simulated, and what is kept of it."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.plan.config import ConfigError
from experiments.plan.engines import engine_of
from experiments.plan.resolve import Plan
from experiments.probing.kept import RUNS, Kept, Probe
from experiments.runner.exit_status import ExitStatus
from experiments.runner.supervision import say, supervise
from record.files import read_metrics

NOBODY = "no request was planned outside warm-up"


class ProbeError(RuntimeError):
    """A probe says nothing of its fleet; one line. `status` is what the command ends with."""

    def __init__(self, text: str, status: ExitStatus) -> None:
        """`status`: failed, or not valid."""
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Prober:
    """Makes the probes of one command line."""

    kept: Kept
    scenario: str
    overrides: Sequence[str]
    tries: int
    """Of a probe whose instrument does not work."""

    def probe(self, plan: Plan, replicas: int, rate_rps: float, seed: int) -> Probe:
        """A valid one, made now; each try is kept.

        Raises:
            ProbeError: a run failed, or its instrument did not work however often it was tried.
            Interrupted: a signal came.
            OSError: the disk does not take it.
        """
        name = f"{replicas} replica(s) at {rate_rps:g} requests/s, seed {seed}"
        try:
            at_rate = plan.with_rate(rate_rps).with_seed(seed)
            engine_of(at_rate.config).check_here(at_rate.config)
        except ConfigError as error:
            raise ProbeError(f"{name}: cannot be measured here: {error}", ExitStatus.INVALID) from error
        reason = ""
        for number in range(1, self.tries + 1):
            if number > 1:
                say(f"{name}: not valid, {reason}; once more")
            probe = self._made(at_rate, replicas, number)
            if probe.valid:
                return probe
            reason = probe.reasons[0]
        raise ProbeError(f"{name}: not valid, tried {self.tries} time(s): {reason}", ExitStatus.INVALID)

    def _made(self, plan: Plan, replicas: int, number: int) -> Probe:
        from experiments.session import Session

        rate_rps, seed = plan.config.workload.rate_rps, plan.config.seed
        own = [f"replicas={replicas}", f"workload.rate_rps={rate_rps:g}", f"seed={seed}"]
        name = f"replicas={replicas},rate_rps={rate_rps:g},seed={seed}" + (f",try={number}" if number > 1 else "")
        folder = self.kept.folder / RUNS / name
        session = Session(
            plan=plan,
            scenario=self.scenario,
            folder=folder,
            overrides=[*(word for word in self.overrides if not word.startswith("seed=")), *own],
            sweep_dir=folder.parent.absolute(),
            order=None,
            is_logged_by_sweep=True,
            is_quiet=True,
        )
        if supervise(session) == ExitStatus.FAILED:
            raise ProbeError(f"{folder}: the run failed", ExitStatus.FAILED)
        metrics = read_metrics(folder)
        late, failed = metrics["served_share"], metrics["error_rate"]
        reasons = list(metrics["invalid_reasons"]) or ([NOBODY] if late is None or failed is None else [])
        requests, share = metrics["offered_requests"], None if late is None else 1 - late
        probe = Probe(replicas, rate_rps, seed, requests, share, failed, not reasons, reasons)
        self.kept.add(probe)
        if engine_of(plan.config).is_virtual:  # it comes out the same again
            shutil.rmtree(folder, ignore_errors=True)
        return probe
