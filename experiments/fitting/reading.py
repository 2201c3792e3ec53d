"""The table that a fit reads: what `aegis import` wrote, or the requests of a run of this project."""

import json
from pathlib import Path

import pandas as pd

from record.files import FolderError
from record.parquet import read_frame

REQUESTS = "requests.parquet"
ABOUT = "import.json"


def requests_of(folder: Path) -> pd.DataFrame:
    """The requests of an imported log, or of a run as its clients saw them.

    Raises:
        FolderError: there are none that can be read.
    """
    path = folder / REQUESTS
    if not path.is_file():
        raise FolderError(f"{folder}: no {REQUESTS} in it; `aegis import LOG --format F -o {folder}` writes one")
    try:
        table = read_frame(path)
    except (OSError, ValueError) as error:
        raise FolderError(f"{path}: not a table that can be read ({type(error).__name__})") from error
    if "scheduled_s" not in table:
        raise FolderError(f"{path}: has no column scheduled_s")
    return of_run(table) if {"sent_s", "completed_s", "outcome"} <= set(table.columns) else table


def resolution_of(folder: Path) -> float:
    """What the stamps of an imported log were rounded to, seconds; 0 where it does not say."""
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        return float(about["resolution_s"] or 0.0)
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def of_run(requests: pd.DataFrame) -> pd.DataFrame:
    """A run's requests as a log has them: `scheduled_s`, `taken_s`, `upstream`, `attempts`, `status`.

    A client's time-out, refusal or reset has no status of its own: 504.
    """
    known = requests[requests["sent_s"].notna()]
    lasted_s = known["completed_s"].astype("float64") - known["sent_s"].astype("float64")
    is_ok = known["outcome"].astype(object) == "ok"
    status = known["status"].astype("Float64").fillna(504.0).astype("float64").where(~is_ok, 200.0)
    upstream = known["replica"].astype(object)
    attempts = known["attempts"].astype("Float64").fillna(1.0).astype("float64")
    return pd.DataFrame(
        {
            "scheduled_s": known["sent_s"].astype("float64"),
            "taken_s": lasted_s,
            "upstream": upstream.where(upstream.notna(), None),
            "attempts": attempts,
            "status": status,
            "key": known.get("key", None),
        }
    ).reset_index(drop=True)
