"""One run from its folder to its verdict: claim, schedule, measure, record, analyse, track, print."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, cast

from rich.console import Console

from analysis.expectations.grammar import parse_all
from experiments.plan.config import Config
from experiments.plan.engines import Engine, RunError, engine_of
from experiments.plan.inputs import inputs_of
from experiments.plan.outside import plugins_of
from experiments.plan.resolve import Plan
from experiments.runner.exit_status import ExitStatus
from experiments.runner.guarding import Guardian, guard, guard_simulated
from experiments.runner.progress import Progress
from experiments.tracking.companion import Companion
from record import schema
from record.files import FolderError, one_line, read_metrics, write_text
from record.metrics import Metrics
from record.place import Claim, claim, reserve_space
from record.provenance import now_iso, provenance, provenance_of_process
from record.shapes import Manifest, Plugin
from record.writing import Recorder
from services import compiled
from services.manager.engines import EngineError
from services.processes import StartError

if TYPE_CHECKING:  # a run that expects nothing pays nothing for it
    from analysis.expectations.judging import Outcome


LEDGERED_REQUESTS = 200_000
"""Of a run that keeps a ledger without having been asked to: so many rows take a tenth of a second to read."""


@dataclass
class Session:
    """A run with everything around it."""

    plan: Plan
    scenario: str
    folder: Path
    overrides: list[str]
    sweep_dir: Path | None
    order: int | None = 0
    """Its place within its seed's jobs, in the order in which they were measured; None = a sweeper's that has none."""
    looks: list[int] = field(default_factory=list)
    """The numbers of pairs at which its sweep had already ended before it was begun."""
    may_rename: bool = False
    """Take another folder beside the given one where that is another run's."""
    hydra_files: Mapping[str, str] = field(default_factory=dict)
    """What Hydra leaves of a job, by file name, for `.hydra/` in the run's folder."""
    is_logged_by_sweep: bool = False
    """Whether its sweep logs it to MLflow, with the others."""
    is_quiet: bool = False
    """Whether who runs it tells of it."""
    heading: Callable[[], str] | None = None
    """What its line begins with, where it is one of many that are told in a line each."""
    _notes: tuple[str, ...] = field(default=(), init=False)
    """What is to be said below its heading."""

    @property
    def config(self) -> Config:
        """Its plan's."""
        return self.plan.config

    async def run(self) -> ExitStatus:
        """Do it all; return the exit status."""
        console = Console(stderr=False, soft_wrap=True)
        self._progress = Progress(console, is_quiet=self._is_one_of_many or self.is_quiet)
        self._claim: Claim | None = None
        logs_itself = self.config.tracking.enabled and not self.is_logged_by_sweep
        companion = Companion(self._warn) if logs_itself else None
        if companion is not None:
            await companion.spawn()
        guardian: Guardian | None = None
        try:
            self._claim = claim(self.folder.absolute(), may_rename=self.may_rename)
            self.folder = self._claim.folder
            guardian = self._guard()  # before there is a manifest that somebody has to close
            self._prepare()
        except (FolderError, OSError, ValueError) as error:
            print(f"{self.scenario}: {error}", file=sys.stderr)
            if companion is not None:
                companion.kill()
            if guardian is not None:
                guardian.done()
            if self._claim is not None:
                self._claim.release()
            return ExitStatus.FAILED
        if (note := compiled.state.note()) is not None:
            print(f"note: {note}", file=sys.stderr)
        self._progress.say(f"{self.scenario}, seed {self.config.seed}: {self._in_words()}")
        for text in self._notes:
            self._progress.step(text)
        if companion is not None:
            companion.open(self.folder)
        reason, error_text = await self._measure(companion)
        try:
            if not await self._record(reason, error_text):
                if companion is not None:
                    companion.kill()
                return ExitStatus.FAILED
            return await asyncio.shield(self._conclude(reason, companion))
        finally:
            if guardian is not None:
                guardian.done()
            self._claim.release()

    def _in_words(self) -> str:
        if self.config.load.ui:
            return f"Locust's web UI in front of {self.config.replicas} replica(s); nothing is measured"
        router, replicas = self.config.router, f"{self.config.replicas} replica(s)"
        if self.config.stands_in and router is not None:
            replicas = f"{router.data_plane} before {replicas}"
        if router is not None and router.url is not None:
            replicas = f"{router.url}{f' before {replicas}' if self.config.replicas else ''}"
        return (
            f"{self._requests} requests in {self.config.workload.duration_s:g} s, {replicas}"
            f"{', ' + str(len(self.plan.faults)) + ' fault(s)' if self.plan.faults else ''}"
        )

    def _prepare(self) -> None:
        """Schedule and manifest on disk, or an error before anything of the stack is started."""
        from experiments.plan.schedule import build_schedule
        from record.parquet import write_frame
        from record.schedule_hash import schedule_hash

        schedule = build_schedule(self.config.workload, self.config.seed)
        self._requests = len(schedule)
        reserve_space(self.folder, self._requests * (2 if self._keeps_ledger else 1))
        manifest: Manifest = {
            "schema_version": schema.VERSION,
            "run_id": self.folder.name if self.sweep_dir is None else f"{self.folder.parent.name}/{self.folder.name}",
            "scenario": self.scenario,
            "mode": "ui" if self.config.load.ui else "run",
            "exit_reason": "running",
            "seed": self.config.seed,
            "schedule_hash": schedule_hash(schedule),
            "started_at": now_iso(),
            "ended_at": None,
            "pid": os.getpid(),
            "overrides": self.overrides,
            "sweep_dir": None if self.sweep_dir is None else str(self.sweep_dir),
            "order": self.order,
            "looks": self.looks,
            "virtual_time": self._engine.is_virtual,
            "plugins": cast(list[Plugin], plugins_of(self.config, self.plan.faults)),
            "inputs": inputs_of(self.config),
            "config": self.plan.resolved,
            "faults": [fault.as_dict() for fault in self.plan.faults],
        }
        # Not by Hydra itself, which would write them before the folder is known to be this run's.
        for name, text in self.hydra_files.items():
            (self.folder / schema.COMPOSED).mkdir(exist_ok=True)
            write_text(self.folder / schema.COMPOSED / name, text)
        written = write_frame(schedule, self.folder / schema.SCHEDULE)
        needed = None
        if self.config.has_demand:
            from experiments.plan.demanded import demanded

            demand = demanded(self.config, schedule["scheduled_s"].to_numpy())
            self._notes = demand.notes
            if demand.table is not None:
                manifest["demand_source"] = demand.source
                needed = write_frame(demand.table, self.folder / schema.DEMAND)
        made_with = provenance_of_process() if self._engine.is_virtual else provenance()
        begins = {"t0_unix": None, "t0_monotonic": None} if self._engine.is_virtual else {}
        self._recorder = Recorder(self.folder, cast(Manifest, {**manifest, **made_with, **begins}))
        if self._engine.is_virtual:
            self._recorder.schedule, self._recorder.demand = written, needed

    def _guard(self) -> Guardian | None:
        """A guardian that is to be told of the run's end; None where it need not be."""
        if not self._engine.is_virtual:
            return guard(self.folder, self._engine.cleanup)
        guard_simulated(self.folder)
        return None

    async def _measure(self, companion: Companion | None) -> tuple[str, str | None]:
        try:
            config = replace(self.config, ledger="always" if self._keeps_ledger else "never")
            execution = self._engine.create(config, self.plan.faults, self._recorder, self._progress)
            await execution.run(companion)
        except asyncio.CancelledError:
            return "interrupted", None
        except (StartError, EngineError, TimeoutError, OSError, RunError) as error:
            print(f"{self.scenario} failed: {error}", file=sys.stderr)
            return "failed", str(error)
        return "complete", None

    async def _record(self, reason: str, error: str | None) -> bool:
        """Close the folder; where the disk does not take it, say how to do it later."""
        try:
            await asyncio.shield(asyncio.to_thread(self._recorder.close, reason, error))
        except OSError as problem:
            print(
                f"{self.scenario}: {self.folder}: the results cannot be closed ({one_line(problem)}); the rows that "
                f"were written are in {schema.RAW}/: make room, then python -m record.writing "
                f"{quote(str(self.folder))} --exit-reason {reason if reason != 'complete' else 'failed'}",
                file=sys.stderr,
            )
            return False
        return True

    async def _conclude(self, reason: str, companion: Companion | None) -> ExitStatus:
        """Analyse, log, print; return the status."""
        metrics, where = None, list[str]()
        if not self.config.load.ui and (self.folder / "requests.parquet").exists():
            if reason == "complete" and self._wants_counterfactual:
                self._progress.step("simulating it without the router's failure handling")
                await asyncio.to_thread(self._add_counterfactual)
            self._progress.step("analysing")
            metrics = await asyncio.to_thread(self._summarise)
        outcomes = self._hold(metrics) if metrics is not None else []
        if companion is not None:
            self._progress.step("logging to MLflow")
            where = await companion.log()
        if metrics is not None and not self.is_quiet:
            self._print(metrics)
        if outcomes:
            from analysis.expectations.report import show

            show(outcomes, self._progress.console)
        self._progress.say(f"results: {_relative(self.folder)}")
        for line in where if self.sweep_dir is None else []:  # a sweep says it once, at its end
            self._progress.say(line)
        if self.config.load.ui and reason == "interrupted":
            return ExitStatus.COMPLETE
        if reason != "complete":
            return ExitStatus.FAILED
        if metrics is None:
            return ExitStatus.FAILED
        if not metrics["valid"]:
            return ExitStatus.INVALID
        return ExitStatus.COMPLETE if all(outcome.is_met for outcome in outcomes) else ExitStatus.UNMET

    def _hold(self, metrics: Metrics) -> "list[Outcome]":
        """What became of `expect`, written to the folder; of a sweep's run nothing, as its arm is judged as a whole."""
        if not self.config.expect or self.sweep_dir is not None:
            return []
        from analysis.expectations.judging import hold_runs
        from analysis.expectations.report import write

        outcomes = hold_runs(parse_all(self.config.expect), self.scenario, [metrics])
        try:
            write(outcomes, [self._recorder.manifest], self.folder)
        except OSError as error:
            self._warn(f"what was expected is not written ({one_line(error)})")
        return outcomes

    @property
    def _engine(self) -> type[Engine]:
        return engine_of(self.config)

    @property
    def _is_one_of_many(self) -> bool:
        """Whether it takes less time than to draw it, or to read of it."""
        return self._engine.is_virtual and self.sweep_dir is not None

    @property
    def _draws(self) -> bool:
        """Whether the run gets its picture."""
        return self.config.summary == "always" or (self.config.summary == "auto" and not self._is_one_of_many)

    @property
    def _keeps_ledger(self) -> bool:
        """Whether the replicas write down what they do."""
        config = self.config
        if config.ledger == "auto":
            has_more = config.workload.post_share > 0 or config.load.retries.max_attempts > 1
            # A proxy of somebody else's may number requests anew, and then nobody knows which they were.
            may_repeat = (bool(self.plan.faults) or has_more) and not config.is_external
            is_small = self._requests <= LEDGERED_REQUESTS and not self._is_one_of_many
            return may_repeat and is_small and not config.load.ui and not config.tier.replicas
        return config.ledger == "always"

    @property
    def _wants_counterfactual(self) -> bool:
        from experiments.simulator.counterfactual import is_asked_for

        return is_asked_for(
            self.config,
            has_faults=bool(self.plan.faults),
            is_single=self.sweep_dir is None,
            requests=self._requests,
        )

    def _add_counterfactual(self) -> None:
        """Simulate it without; whatever comes of that, the run's own results do not depend on it."""
        from experiments.simulator.counterfactual import add
        from experiments.simulator.twin import TwinError

        try:
            add(self.folder)
        except Exception as error:
            is_known = isinstance(error, TwinError | FolderError | OSError)
            told = one_line(error) if is_known else f"{type(error).__name__}: {one_line(error)}"
            self._warn(f"not simulated without the router's failure handling: {told}")

    def _summarise(self) -> Metrics | None:
        from analysis.summary import summarise

        try:
            return summarise(self.folder, draws=self._draws, tables=self._recorder.tables)
        except (FolderError, OSError, ValueError) as error:
            self._warn(f"no summary: {error}")
            with contextlib.suppress(FolderError):  # a picture that fails costs no verdict
                return read_metrics(self.folder) or None
            return None

    def _print(self, metrics: Metrics) -> None:
        from analysis.metrics.counterfactual import bought
        from analysis.metrics.verdict import in_lines, verdict

        if self._is_one_of_many:
            said, where = verdict(self._recorder.manifest, metrics), _relative(self.folder)
            print(f"{where}: {said}" if self.heading is None else f"{self.heading()}: {said} ({where})", flush=True)
            return
        for line in in_lines(self._recorder.manifest, metrics):
            self._progress.say(line)
        self._progress.say(verdict(self._recorder.manifest, metrics))
        for line in bought(self.folder, self._recorder.manifest, metrics):
            self._progress.say(line)
        if self._draws:
            self._progress.say(f"picture: {_relative(self.folder / 'summary.png')}")

    def _warn(self, text: str) -> None:
        print(f"warning: {text}", file=sys.stderr)


def _relative(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
