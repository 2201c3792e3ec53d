"""The MLflow side of a sweep: its parent run gets the comparison of its arms, what it is about, and ends."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from analysis.comparison.comparison import Row
from experiments.tracking.address import write_note
from experiments.tracking.describing import About, about, describe
from experiments.tracking.store import PARAMS_A_BATCH, Store, TrackingError
from experiments.tracking.values import DESCRIPTION, TAG_LIMIT, Point, is_file, sweep_files

ARM_LIMIT, WORKLOAD_LIMIT = 120, 60
"""Characters of an arm's and of a workload's name in a metric's key, so that it stays below MLflow's limit of 250."""


def finish_sweep(store: Store, sweep_dir: Path, status: str | None = None) -> bool:
    """Log what a sweep's folder holds of all its runs, and end its parent run; return whether there is one.

    A second time adds nothing: the same values carry the same times.

    Args:
        store: where its runs are.
        sweep_dir: the sweep's folder.
        status: FINISHED, FAILED or KILLED; None = what its runs say, and only where it is open.

    Raises:
        TrackingError: MLflow or `comparison.json` cannot be used.
    """
    with store.lock():
        parent = store.find(sweep=str(sweep_dir.absolute()))
        if parent is None:
            return False
        run_id = parent.info.run_id
        for path in sweep_files(sweep_dir):
            if is_file(path):
                store.client.log_artifact(run_id, str(path))
        rows = _rows(sweep_dir / "comparison.json")
        known = about(sweep_dir)
        if rows is not None:
            _log_comparison(store, run_id, sweep_dir / "comparison.json", rows)
        _log_about(store, parent, known, rows)
        if status is None and parent.info.status == "RUNNING":
            status = known.status
        if status == "FINISHED" and not known.valid:
            status = "FAILED"  # it says nothing
        if status is not None:
            store.client.set_terminated(run_id, status=status)
        if sweep_dir.is_dir():
            write_note(sweep_dir, run_id, store.experiment_id)
    return True


def _rows(path: Path) -> list[Row] | None:
    if not path.exists():
        return None
    try:
        return [Row(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise TrackingError(f"{path}: not of this version; python -m analysis.compare writes it anew") from error


def _log_comparison(store: Store, run_id: str, path: Path, rows: list[Row]) -> None:
    written = int(1000 * path.stat().st_mtime)
    store.log_metrics(run_id, [Point(key, value, written, 0) for key, value in effects(rows).items()])
    store.client.set_tag(run_id, "verdict", verdict(rows)[:TAG_LIMIT])


def _log_about(store: Store, parent: object, known: About, rows: list[Row] | None) -> None:
    """What the sweep was, as parameters, columns of the list and description."""
    from mlflow.entities import Param, Run, RunTag

    assert isinstance(parent, Run)
    params = [Param(key, text) for key, text in known.params.items() if key not in parent.data.params]
    for at in range(0, len(params), PARAMS_A_BATCH):
        store.client.log_batch(parent.info.run_id, params=params[at : at + PARAMS_A_BATCH])
    told = describe(known, rows, None if rows is None else verdict(rows))
    tags = known.tags | {DESCRIPTION: told}
    store.client.log_batch(parent.info.run_id, tags=[RunTag(key, text[:TAG_LIMIT]) for key, text in tags.items()])


def verdict(rows: list[Row]) -> str:
    """The headlines, an arm each, and which arms are best; workload by workload where there are several."""
    primary = [row for row in rows if row.is_primary and row.sentence]
    if not primary:
        return "INCONCLUSIVE. No pair of valid runs."
    said = []
    for workload in dict.fromkeys(row.workload for row in primary):
        own = [row for row in primary if row.workload == workload]
        said += [] if workload is None else [f"{workload}:"]
        said += [text for text in (own[0].best, *(row.sentence for row in own)) if text]
    return " ".join(said)


def effects(rows: list[Row]) -> dict[str, float]:
    """`vs/<arm>/<metric>`: the ratio, of a share or of seconds `..._difference`; `..._low`, `..._high`; where defined.
    Of several workloads `vs/<workload>/<arm>/<metric>`.

    One section an arm in MLflow's charts, which sort sections by name and so put it below "Model metrics". An arm is
    called by its values (`peak_ewma` for `policy=peak_ewma`); what MLflow does not allow in a key is an underscore.
    """
    arms = _names((row.arm for row in rows), ARM_LIMIT)
    workloads = _names((row.workload for row in rows if row.workload is not None), WORKLOAD_LIMIT)
    values: dict[str, float | None] = {}
    for row in rows:
        place = arms[row.arm] if row.workload is None else f"{workloads[row.workload]}/{arms[row.arm]}"
        key = f"vs/{place}/{row.metric}{'' if row.difference is None else '_difference'}"
        value = row.difference if row.ratio is None else row.ratio
        values |= {key: value, f"{key}_low": row.low, f"{key}_high": row.high}
    return {key: value for key, value in values.items() if value is not None}


def _names(labels: Iterable[str], most: int) -> dict[str, str]:
    """What each is called in a key, of `most` characters and a few."""
    names: dict[str, str] = {}
    for label in dict.fromkeys(labels):
        name = re.sub(r"[^\w.-]+", "_", _short(label))[:most].strip("_")
        names[label] = f"{name}_{len(names) + 1}" if name in names.values() else name
    return names


def _short(arm: str) -> str:
    """The values alone, where they tell what they are of: a number does not."""
    parts = [part.partition("=") for part in arm.split(", ")]
    return ", ".join(
        value if value and not re.match(r"[\d.\[-]|true|false|none", value) else f"{key}={value}" if value else key
        for key, _, value in parts
    )
