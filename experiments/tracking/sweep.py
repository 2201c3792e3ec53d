"""The MLflow side of a sweep: its parent run gets the comparison of its arms, and ends."""

import json
import re
from pathlib import Path

from analysis.comparison.comparison import Row
from experiments.tracking.store import Store, TrackingError
from experiments.tracking.values import SWEEP_FILES, TAG_LIMIT, Point, is_file

ARM_LIMIT = 180
"""Characters of an arm's name in a metric's key, so that the key stays below MLflow's limit of 250."""


def finish_sweep(store: Store, sweep_dir: Path, status: str | None = None) -> bool:
    """Log what a sweep's folder holds of all its runs, and end its parent run; return whether there is one.

    A second time adds nothing: the same values carry the same times.

    Args:
        store: where its runs are.
        sweep_dir: the sweep's folder.
        status: FINISHED, FAILED or KILLED; None = the worst of its children, and only where it is open.

    Raises:
        TrackingError: MLflow or `comparison.json` cannot be used.
    """
    with store.lock():
        parent = store.find(sweep=str(sweep_dir.absolute()))
        if parent is None:
            return False
        run_id = parent.info.run_id
        for path in (sweep_dir / name for name in SWEEP_FILES):
            if is_file(path):
                store.client.log_artifact(run_id, str(path))
        if (sweep_dir / "comparison.json").exists():
            _log_comparison(store, run_id, sweep_dir / "comparison.json")
        if status is None and parent.info.status == "RUNNING":
            children = store.client.search_runs([store.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'")
            words = {run.info.status for run in children}
            status = next((word for word in ("FAILED", "KILLED") if word in words), "FINISHED")
        if status is not None:
            store.client.set_terminated(run_id, status=status)
    return True


def _log_comparison(store: Store, run_id: str, path: Path) -> None:
    try:
        rows = [Row(**row) for row in json.loads(path.read_text())]
    except (ValueError, TypeError) as error:
        raise TrackingError(f"{path}: not of this version; python -m analysis.compare writes it anew") from error
    written = int(1000 * path.stat().st_mtime)
    store.log_metrics(run_id, [Point(key, value, written, 0) for key, value in effects(rows).items()])
    store.client.set_tag(run_id, "verdict", verdict(rows)[:TAG_LIMIT])


def verdict(rows: list[Row]) -> str:
    """The headlines, an arm each, and which arms are best."""
    primary = [row for row in rows if row.is_primary and row.sentence]
    if not primary:
        return "INCONCLUSIVE. No pair of valid runs."
    best = primary[0].best_set
    told = [f"Best, or not distinguishable from it: {', '.join(best)}."] if best else []
    return " ".join([*told, *(str(row.sentence) for row in primary)])


def effects(rows: list[Row]) -> dict[str, float]:
    """`ratio/<arm>/<metric>` (of a share `difference/...`) and its bounds `.../low`, `.../high`, where defined.

    In an arm's name, what MLflow does not allow in a key is an underscore.
    """
    names: dict[str, str] = {}
    for arm in dict.fromkeys(row.arm for row in rows):
        name = re.sub(r"[^\w.-]+", "_", arm)[:ARM_LIMIT].strip("_")
        names[arm] = f"{name}_{len(names) + 1}" if name in names.values() else name
    values: dict[str, float | None] = {}
    for row in rows:
        key = f"{'ratio' if row.difference is None else 'difference'}/{names[row.arm]}/{row.metric}"
        value = row.difference if row.ratio is None else row.ratio
        values |= {key: value, f"{key}/low": row.low, f"{key}/high": row.high}
    return {key: value for key, value in values.items() if value is not None}
