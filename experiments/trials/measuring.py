"""Measures the runs of a pack that are not there yet: seed after seed, so that it can be ended at any time.

Nothing is written down besides the runs' own folders: what is complete and valid stays, what was under way when the
process was killed is measured anew, and what was not valid or failed is tried again in a folder of its own, as often
as the protocol says.
"""

import math
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from time import monotonic
from typing import TypeVar

from analysis.comparison.run_time import PACKED_OVERHEAD_S, SWEPT_OVERHEAD_S, span
from analysis.standings.gathering import measured_in, tries_of
from analysis.standings.measures import IN_TIME, MEASURES
from analysis.standings.protocol import RUNS, folder_of
from experiments.runner.exit_status import ExitStatus
from experiments.runner.supervision import supervise
from experiments.sweep.at_once import play_at_once
from experiments.sweep.dry_run import SIMULATED_RPS
from experiments.sweep.job import Job
from experiments.sweep.resuming import check_as_before
from record.files import FolderError, read_manifest, write_json
from record.metrics import Metrics, value_of
from record.schema import MANIFEST, METRICS

EVERY_S = 5.0
"""A line about simulated runs so often."""
Drawn = TypeVar("Drawn")
KEPT = (MANIFEST, METRICS)
"""Of a simulated run, which comes out the same again: those of the first seed keep all, for their pictures."""


@dataclass(frozen=True)
class Trial:
    """A run of a pack."""

    kind: str
    row: str
    arm: str
    measure: str
    job: Job
    """With its seed."""
    keeps_all: bool = True
    """Whether all files of a simulated run are kept."""
    looks: tuple[int, ...] = ()
    """The numbers of seeds at which the board was judged before this run was planned."""

    @property
    def seed(self) -> int:
        """Its own."""
        return self.job.config.seed

    @property
    def name(self) -> str:
        """What it is called in a line."""
        return f"{self.row}, {self.arm}, seed {self.seed}"


def in_order(cells: dict[tuple[str, str], Job], seeds: Sequence[int], kind: str, measures: dict[str, str],
             *, is_virtual: bool) -> list[Trial]:  # fmt: skip
    """The runs as they are measured: seed after seed, of each seed one pathology after the other, the arms of each in
    an order drawn from the seed, so that what drifts does not always hit the same one.
    """
    rows = list(dict.fromkeys(row for row, _ in cells))
    trials = []
    number = len(cells)
    for place, seed in enumerate(seeds):
        for row in rows:
            arms = [arm for (name, arm) in cells if name == row]
            for arm in drawn(arms, seed, row):
                number += 1
                job = cells[row, arm].with_seed(seed, number)
                keeps_all = not is_virtual or (kind == RUNS and place == 0)
                trials.append(Trial(kind, row, arm, measures[row], job, keeps_all))
    return trials


def drawn(each: Sequence[Drawn], seed: int, row: str) -> list[Drawn]:
    """In the order of this seed and pathology."""
    return Random(f"aegis-order-{seed}-{row}").sample(each, len(each))


@dataclass
class Campaign:
    """Runs of a pack, measured."""

    pack: Path
    trials: Sequence[Trial]
    tries: int
    """Of a run whose instrument did not work, or that failed; a simulated one that is not valid has one."""
    is_virtual: bool
    processes: int = 1
    """Of simulated runs, at the same time."""
    before_each: Callable[[], None] | None = None
    """Called before each run of those that are measured one after the other; it may refuse to go on."""
    done: int = 0
    """Runs that are there, or given up."""
    _began_s: float = field(default_factory=monotonic)
    _left_s: float = 0.0
    _all_s: float = 0.0
    _told_s: float = -math.inf

    @property
    def at_once(self) -> int:
        """Runs at the same time: live ones follow each other."""
        return self.processes if self.is_virtual else 1

    def left(self) -> tuple[int, float]:
        """Runs that are missing, and how long they take, seconds.

        Raises:
            ConfigError: what is there was configured otherwise.
        """
        missing = self._missing()
        return len(missing), sum(expected_s(each.job, is_virtual=self.is_virtual) for each in missing) / self.at_once

    def _missing(self) -> list[Trial]:
        return [trial for trial in self.trials if self.next_folder(trial) is not None]

    def measure(self) -> None:
        """Measure all that is missing.

        Raises:
            ConfigError: what is there was configured otherwise, or `before_each` refuses.
            Interrupted: by a signal.
        """
        missing = self._missing()
        self.done = len(self.trials) - len(missing)
        if self.done:
            print(f"{self.done} of {len(self.trials)} runs are there", flush=True)
        self._left_s = sum(expected_s(trial.job, is_virtual=self.is_virtual) for trial in missing)
        self._all_s = self._left_s
        if self.at_once > 1 and len(missing) > 1:
            import analysis.summary  # noqa: F401 - once, in place of in each of the processes
            import experiments.session
            import experiments.simulator.simulation  # noqa: F401

            for trial, _ in play_at_once(self._measure_one, missing, self.processes):
                self._tell(trial)
            return
        for trial in missing:
            if self.before_each is not None:
                self.before_each()
            self._measure_one(trial)
            self._tell(trial)

    def next_folder(self, trial: Trial) -> Path | None:
        """Where its next try goes; None where it is there and valid, or given up.

        Raises:
            ConfigError: it is there, and was configured otherwise.
        """
        place = self.pack, trial.kind, trial.row, trial.arm, trial.seed
        last = 0
        broken: Path | None = None
        for number, folder in tries_of(*place):
            last = number
            try:
                one = measured_in(folder)
                is_broken = one is None and read_manifest(folder).get("exit_reason") != "failed"
            except FolderError:
                one, is_broken = None, True
            if is_broken:
                broken = broken or folder
            if one is not None:
                check_as_before(folder, trial.job, one.run.manifest)
                if one.metrics["valid"]:
                    return None
                if self.is_virtual:
                    return None  # it comes out the same again
        if broken is not None:
            return broken
        return folder_of(*place, last + 1) if last < self.tries else None

    def _measure_one(self, trial: Trial) -> int:
        """Until it is valid, or tried often enough."""
        status: int = ExitStatus.COMPLETE
        before: Path | None = None
        folder = self.next_folder(trial)
        while folder is not None and folder != before:  # the same one: it could not be claimed or closed, as was said
            status = self._run(trial, folder)
            before, folder = folder, self.next_folder(trial)
            if folder is not None and folder != before:
                print(f"{trial.name}: {self._found(trial)}; once more: {folder.name}", flush=True)
        return status

    def _run(self, trial: Trial, folder: Path) -> int:
        from experiments.session import Session

        folder.parent.mkdir(parents=True, exist_ok=True)
        session = Session(
            plan=trial.job.plan,
            scenario=trial.job.scenario,
            folder=folder,
            overrides=list(trial.job.overrides),
            sweep_dir=folder.parent.absolute(),
            order=None,
            looks=list(trial.looks),
            is_quiet=True,
        )
        status = supervise(session)
        note_without_summary(folder)
        if self.is_virtual and not trial.keeps_all:
            thin(folder)
        return status

    def _tell(self, trial: Trial) -> None:
        self.done += 1
        self._left_s -= expected_s(trial.job, is_virtual=self.is_virtual)
        spent_s, part = monotonic() - self._began_s, self._all_s - self._left_s
        left_s = self._left_s * spent_s / part if part > 0 else self._left_s
        if self.is_virtual and self.done < len(self.trials) and monotonic() - self._told_s < EVERY_S:
            return
        self._told_s = monotonic()
        end = f"; about {span(left_s)} left, until {datetime.now() + timedelta(seconds=left_s):%H:%M}"
        told = self._found(trial)
        print(f"run {self.done} of {len(self.trials)}, {trial.name}: {told}{end if left_s > 1 else ''}", flush=True)

    def _found(self, trial: Trial) -> str:
        folders = [folder for _, folder in tries_of(self.pack, trial.kind, trial.row, trial.arm, trial.seed)]
        if not folders:
            return "failed"
        try:
            one = measured_in(folders[-1])
        except FolderError as error:
            return str(error)
        if one is None:
            return f"failed, {len(folders)} time(s)"
        if not one.metrics["valid"]:
            return f"not valid, tried {len(folders)} time(s): {one.metrics['invalid_reasons'][0]}"
        return found(one.metrics, trial.measure)


def found(metrics: Metrics, measure: str) -> str:
    """A valid run in a few words."""
    compared, value = MEASURES[measure], value_of(metrics, measure)
    if measure == IN_TIME:
        return f"{100 * (value or 0):.1f} % served in time"
    told = "among what was not served" if value is None else f"{value:,.{compared.digits}f} {compared.unit}"
    return f"{compared.label} {told}, {metrics['failed_requests']} of {metrics['offered_requests']:,} lost"


def note_without_summary(folder: Path) -> None:
    """A run that came to its end, but of which no metrics can be made, has failed: else it would be measured again and
    again, as one that was killed before they were written.
    """
    if (folder / METRICS).exists() or not (folder / MANIFEST).exists():
        return
    with suppress(FolderError):  # what cannot be read has not been closed, and is measured again
        manifest = read_manifest(folder)
        if manifest["exit_reason"] != "complete":
            return
        why = "no metrics could be made of it (warned of when it was measured)"
        write_json(folder / MANIFEST, {**manifest, "exit_reason": "failed", "error": why})


def thin(folder: Path) -> None:
    """Keep of a run what a board looks at: it comes out the same again."""
    if not (folder / METRICS).exists():
        return  # it is not complete, and is played again
    for path in folder.iterdir():
        if path.name in KEPT:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def expected_s(job: Job, *, is_virtual: bool) -> float:
    """What a run takes, seconds, before any is known."""
    workload = job.config.workload
    if is_virtual:
        return SWEPT_OVERHEAD_S + workload.most_requests() / SIMULATED_RPS
    return workload.duration_s + PACKED_OVERHEAD_S


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
