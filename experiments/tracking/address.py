"""Where MLflow is, and where a person finds a run on its pages. Imports nothing of MLflow."""

import json
import os
import re
from pathlib import Path
from shlex import quote
from urllib.parse import urlsplit

from record.files import write_json
from record.schema import TRACKED

DATABASE = "mlflow.db"
"""In the working folder, where `mlflow ui` without flags looks for it."""
UI = "http://127.0.0.1:5000"
"""Where `mlflow ui` listens by default."""
VIEW = "aegis"
"""The key of the view of an experiment's runs that has the columns `COLUMNS`."""
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
"""The tag of an experiment that MLflow's pages read a shared view from."""
COLUMNS = (
    *(f"tags.`{name}`" for name in ("scenario", "arm", "seed", "valid")),
    *(f"metrics.`{name}`" for name in ("latency_p99_ms", "error_rate")),
)
"""In the order in which they are shown."""
ARM_WIDTH_PX = 220
CLASSIC = "workflowType=machine_learning"
"""MLflow 3's pages begin with those for generative AI, which do not show runs like these."""


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, else the database in the working folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd() / DATABASE}"


def shown_uri() -> str:
    """The tracking URI as it may be shown and kept: without user and password."""
    return re.sub(r"//[^/]*@", "//", tracking_uri())


def view() -> str:
    """The value of `VIEW_TAG`."""
    wide = {"tags.`arm`": ARM_WIDTH_PX}
    return json.dumps({"selectedColumns": list(COLUMNS), "columnOrder": list(COLUMNS), "columnWidths": wide})


def write_note(folder: Path, run_id: str, experiment_id: str) -> None:
    """Leave in a run's or a sweep's folder which MLflow run holds it."""
    about = {"mlflow_run_id": run_id, "mlflow_experiment_id": experiment_id, "tracking_uri": shown_uri()}
    write_json(folder / TRACKED, about)


def pages(folder: Path) -> list[str]:
    """Where to find what lies in `folder`, as lines for the terminal; none where it is not logged.

    Args:
        folder: a run's, or a sweep's whose parent run is meant.
    """
    try:
        note = json.loads((folder / TRACKED).read_text(encoding="utf-8"))
        run_id, experiment_id = str(note["mlflow_run_id"]), str(note["mlflow_experiment_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return []
    uri = shown_uri()
    is_server = urlsplit(uri).scheme in ("http", "https")
    base = uri.rstrip("/") if is_server else UI
    runs = f"{base}/#/experiments/{experiment_id}/runs"
    lines = [] if is_server else [f"MLflow: {_command(uri)}, and when it listens"]
    lines.append(f"{'MLflow: ' if is_server else '  '}{runs}/{run_id}?{CLASSIC}")
    lines.append(f"  all runs: {runs}?viewStateShareKey={VIEW}&{CLASSIC}")
    lines.append("  (or click: Model training, Experiments, its name, Runs)")
    return lines


def _command(uri: str) -> str:
    is_default = uri == f"sqlite:///{Path.cwd() / DATABASE}"
    return "mlflow ui" if is_default else f"mlflow ui --backend-store-uri {quote(uri)}"
