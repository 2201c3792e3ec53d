"""`counterfactual.json`: the run simulated without its failure handling, kept beside what it is held against."""

import json
from pathlib import Path

from record.files import FolderError, dump, one_line, write_text
from record.misfits import misfits
from record.schema import COUNTERFACTUAL
from record.shapes import Counterfactual, Manifest

OWN = ("run_id", "started_at", "schedule_hash")
"""Keys of the manifest that say whose it is: a pipeline may bring other files of the folder back without it."""


def write(folder: Path, content: Counterfactual) -> None:
    """Write whole or not at all.

    Raises:
        OSError: the disk does not take it.
    """
    write_text(folder / COUNTERFACTUAL, dump(content))


def read(folder: Path, manifest: Manifest) -> Counterfactual | None:
    """That of the run in `folder`; None where there is none, or another run has left it.

    Raises:
        FolderError: it is damaged.
    """
    path = folder / COUNTERFACTUAL
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FolderError(f"{path}: cannot be read ({one_line(error)})") from error
    for text in misfits(content, Counterfactual):
        raise FolderError(f"{path}: {text}")
    known: Counterfactual = content
    return known if all(known.get(key) == manifest.get(key) for key in OWN) else None
