"""The MLflow side of a run: where the database is, how a run is opened, filled from its folder, and ended.

Nothing here is on the measurement's way: it reads a run's folder and writes to MLflow only. Importing this
module is cheap; that of MLflow itself takes seconds.
"""

import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from experiments.plan.installed import missing
from experiments.tracking.address import VIEW_TAG, shown_uri, tracking_uri, view, write_note
from experiments.tracking.creating import create
from experiments.tracking.naming import run_name
from experiments.tracking.values import LOGGED, Entry, Point, inside, milliseconds, read_entry, run_tags
from record.files import one_line, read_manifest
from record.shapes import Manifest

CONNECT_DEADLINE_S = 10.0
"""A server over HTTP must have answered within so many seconds."""
LOCK_DEADLINE_S = 50.0
"""Longest wait for another run that creates the database or writes to it."""
METRICS_A_BATCH = 1000
PARAMS_A_BATCH = 100
"""MLflow's limits of one `log_batch`."""
QUIET = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "4",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""MLflow's own environment variables, set where the user has not set them."""


class TrackingError(RuntimeError):
    """MLflow cannot be used; the text is one line that says why."""


class _TooLate(Exception):
    """No answer within the deadline; no OSError, which HTTP clients would try again."""


@contextlib.contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    def ring(_number: int, _frame: object) -> None:
        raise _TooLate(f"no answer within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def import_mlflow() -> Any:  # noqa: ANN401
    """The module, silent.

    Raises:
        TrackingError: it is not installed.
    """
    if (reason := missing("tracking")) is not None:
        raise TrackingError(reason)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    warnings.simplefilter("ignore")
    import mlflow

    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    return mlflow


class Store:
    """One tracking server or database, and one experiment in it."""

    def __init__(self, experiment: str) -> None:
        """Connect; create and migrate the database and the experiment where they are not there yet.

        Raises:
            TrackingError: the server or the database cannot be used.
        """
        self.uri = tracking_uri()
        try:
            self.is_remote = urlsplit(self.uri).scheme in ("http", "https")
        except ValueError as error:
            raise TrackingError(f"MLFLOW_TRACKING_URI is no address ({error})") from error
        path = self.uri.removeprefix("sqlite:///").split("?")[0] if self.uri.startswith("sqlite:///") else None
        self._database = Path(path).absolute() if path else None
        self._locked = 0
        if self.is_remote:
            self._knock()
        mlflow = import_mlflow()
        mlflow.set_tracking_uri(self.uri)
        limit = _deadline(CONNECT_DEADLINE_S) if self.is_remote else contextlib.nullcontext()
        with limit, self.lock():
            if self._database is not None:
                create(self._database, mlflow.__version__)
            self.client = mlflow.MlflowClient(tracking_uri=self.uri)
            self.experiment_id = self._experiment(experiment)
            self._offer_view()

    def _knock(self) -> None:
        address = urlsplit(self.uri)
        port = address.port or (443 if address.scheme == "https" else 80)
        try:
            socket.create_connection((address.hostname or "", port), timeout=3).close()
        except OSError as error:
            raise TrackingError(f"{address.hostname}:{port}: {one_line(error)}") from error

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other runs from a local database meanwhile; errors of MLflow's come out as `TrackingError`."""
        try:
            with contextlib.ExitStack() as stack:
                if self._database is not None and not self._locked:
                    stack.enter_context(_file_lock(self._database.with_name(self._database.name + ".lock")))
                self._locked += 1
                stack.callback(self._unlock)
                yield
        except TrackingError:
            raise
        except Exception as error:
            raise TrackingError(one_line(error)) from error

    def _unlock(self) -> None:
        self._locked -= 1

    def _experiment(self, name: str) -> str:
        known = self.client.get_experiment_by_name(name)
        if known is None:
            try:
                return str(self.client.create_experiment(name, artifact_location=self._artifacts()))
            except Exception:  # another run was faster
                known = self.client.get_experiment_by_name(name)
                if known is None:
                    raise
        if known.lifecycle_stage == "deleted":
            self.client.restore_experiment(known.experiment_id)
        return str(known.experiment_id)

    def _offer_view(self) -> None:
        """Let MLflow's pages know which columns show these runs."""
        if self.client.get_experiment(self.experiment_id).tags.get(VIEW_TAG) != view():
            self.client.set_experiment_tag(self.experiment_id, VIEW_TAG, view())

    def _artifacts(self) -> str | None:
        """Artefacts beside a local database, under an absolute path; a server decides for itself."""
        if self.is_remote:
            return None
        folder = self._database.parent if self._database is not None else Path.cwd()
        return (folder / "mlruns").as_uri()

    def find(self, **tags: str) -> Any:  # noqa: ANN401
        """The run that carries the tags `aegis.<name>`; None where there is none."""
        text = " and ".join(f"tags.`aegis.{key}` = '{value}'" for key, value in tags.items())
        runs = self.client.search_runs([self.experiment_id], filter_string=text, max_results=1)
        return runs[0] if runs else None

    def open_run(self, folder: Path, manifest: Manifest) -> str:
        """The id of the folder's MLflow run: the one in `tracking.json`, one known by its tags, or a new one."""
        with self.lock():
            run_id = self._known(folder, manifest) or self._create(manifest)
        write_note(folder, run_id, self.experiment_id)
        return run_id

    def _known(self, folder: Path, manifest: Manifest) -> str | None:
        with contextlib.suppress(Exception):  # an older note, of another server
            note = json.loads((folder / "tracking.json").read_text(encoding="utf-8"))
            if note["tracking_uri"] == shown_uri():
                return str(self.client.get_run(note["mlflow_run_id"]).info.run_id)
        run = self.find(run_id=manifest["run_id"], started_at=manifest["started_at"])
        return str(run.info.run_id) if run else None

    def _create(self, manifest: Manifest) -> str:
        tags = run_tags(manifest)
        if sweep := manifest.get("sweep_dir"):
            tags["mlflow.parentRunId"] = self.parent(manifest, sweep)
        run = self.client.create_run(
            self.experiment_id,
            start_time=milliseconds(manifest["started_at"]),
            tags=tags,
            run_name=run_name(manifest),
        )
        return str(run.info.run_id)

    def parent(self, manifest: Manifest, sweep: str) -> str:
        """The id of the MLflow run of the sweep in `sweep`, which the run of `manifest` is one of; made if need be."""
        run = self.find(sweep=sweep)
        if run is None:
            tags = run_tags(manifest) | {"aegis.sweep": sweep, "mode": "sweep"}
            for name in ("aegis.run_id", "aegis.started_at", "arm", "seed", "policy"):
                del tags[name]
            run = self.client.create_run(
                self.experiment_id,
                start_time=milliseconds(manifest["started_at"]),
                tags=tags,
                run_name=f"sweep-{Path(sweep).name}",
            )
        return str(run.info.run_id)

    def is_logged(self, run_id: str) -> bool:
        """Whether everything of the run was logged before."""
        with self.lock():
            return bool(self.client.get_run(run_id).data.tags.get(LOGGED) == "true")

    def log_folder(self, run_id: str, folder: Path) -> str:
        """Log all that lies in a run's folder and end the MLflow run; return the status it got.

        A second time adds nothing: the same values carry the same times.
        """
        from mlflow.entities import Param, RunTag

        entry = read_entry(folder)
        with self.lock():
            known = self.client.get_run(run_id).data.params
            params = [Param(key, text) for key, text in entry.params.items() if key not in known]
            self.client.log_batch(run_id, tags=[RunTag(key, text) for key, text in entry.tags.items()])
            for at in range(0, len(params), PARAMS_A_BATCH):
                self.client.log_batch(run_id, params=params[at : at + PARAMS_A_BATCH])
            self.log_metrics(run_id, entry.points)
            self._log_schedule(run_id, entry)
            for path in entry.files:
                self.client.log_artifact(run_id, str(path), inside(folder, path))
            self.client.set_tag(run_id, LOGGED, "true")
            self.client.set_terminated(run_id, status=entry.status, end_time=entry.end_ms)
        return entry.status

    def log_ended(self, folders: list[Path]) -> None:
        """Log runs that have ended and are not known yet, all at once where the database is a local one.

        Raises:
            FolderError: one is not a run's folder.
            TrackingError: MLflow cannot be used; none of them is logged, or only the first ones.
        """
        if self._database is None:
            for folder in folders:
                self.log_folder(self.open_run(folder, read_manifest(folder)), folder)
            return
        from experiments.tracking.bulk import insert

        entries = [read_entry(folder) for folder in folders]
        with self.lock():
            sweeps = {entry.sweep: entry.folder for entry in entries if entry.sweep is not None}
            parents = {sweep: self.parent(read_manifest(folder), sweep) for sweep, folder in sweeps.items()}
            run_ids = insert(self.client, self.experiment_id, entries, parents)
        for entry, run_id in zip(entries, run_ids, strict=True):
            write_note(entry.folder, run_id, self.experiment_id)

    def _log_schedule(self, run_id: str, entry: Entry) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        if (asked := entry.schedule) is None:
            return
        dataset = Dataset(asked.name, asked.digest, asked.source_type, asked.source, profile=asked.profile)
        tags = [InputTag(key, text) for key, text in asked.tags.items()]
        self.client.log_inputs(run_id, [DatasetInput(dataset, tags)])

    def log_metrics(self, run_id: str, points: list[Point]) -> None:
        """Log them, however many."""
        from mlflow.entities import Metric

        values = [Metric(*point) for point in points]
        for at in range(0, len(values), METRICS_A_BATCH):
            self.client.log_batch(run_id, metrics=values[at : at + METRICS_A_BATCH])


@contextlib.contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + LOCK_DEADLINE_S
    with path.open("w", encoding="utf-8") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TrackingError(f"{path}: held by another run for {LOCK_DEADLINE_S:g} s") from None
                time.sleep(0.1)
        yield
