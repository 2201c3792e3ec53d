"""What tests of imports share: a log written, imported by the command, and what it left."""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from experiments import import_log


@dataclass
class Imported:
    """What an import left."""

    status: int
    about: dict
    requests: pd.DataFrame | None
    trace: pd.DataFrame | None
    folder: Path
    printed: str
    told: str


def imported(tmp_path, capsys, content, *arguments, name="access.log"):
    """The command's answer on one file of this content."""
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return run(tmp_path, capsys, file, *arguments)


def run(tmp_path, capsys, *arguments):
    folder = tmp_path / "my-traffic"
    capsys.readouterr()
    try:
        status = import_log.main([*map(str, arguments), "-o", str(folder)])
    except SystemExit as ended:
        status = int(ended.code or 0)
    said = capsys.readouterr()
    is_whole = (folder / "import.json").exists()
    about = json.loads((folder / "import.json").read_text()) if is_whole else {}
    requests, trace = (
        pd.read_parquet(folder / name) if is_whole and (folder / name).exists() else None
        for name in ("requests.parquet", "trace.parquet")
    )
    return Imported(status, about, requests, trace, folder, said.out, said.err)
