"""What master and worker must agree on before a worker sends, and what of its configuration is a worker's own.

Pure but for reading the generator's own files.
"""

import hashlib
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from record import schema

HERE = Path(__file__).resolve().parent
PACKAGES = ("locust", "gevent", "geventhttpclient", "pyarrow", "pyzmq", "msgpack")
"""What sends, and what reads and writes rows."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
LOCAL = ("schedule", "output", "ready_file", "start_file", "parent_pid")
"""Keys of a load's configuration (`sender.LoadConfig`) that name things on one machine."""


def version() -> dict[str, str]:
    """The generator's own code (SHA-256, shortened), the results' schema, Python and the packages that it uses."""
    digest = hashlib.sha256()
    for path in (*sorted(HERE.glob("*.py")), HERE.with_name("load_worker.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return {
        "code": digest.hexdigest()[:12],
        "schema": str(schema.VERSION),
        "python": ".".join(platform.python_version_tuple()[:2]),
        **{name: metadata.version(name) for name in PACKAGES},
    }


def differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """Why `theirs` may not send together with `ours`, a few words each; empty = it may."""
    return [
        f"{key} {theirs.get(key, 'unknown')} instead of {value}"
        for key, value in ours.items()
        if theirs.get(key) != value
    ]


def kernel() -> str:
    """Names the running kernel: processes in which it is equal, containers included, share their cores."""
    return BOOT_ID.read_text(encoding="utf-8").strip() if BOOT_ID.exists() else platform.node()


def portable(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a load's configuration goes to another machine."""
    return {key: value for key, value in config.items() if key not in LOCAL}


def localised(job: Mapping[str, Any], folder: Path, parent_pid: int, targets: Sequence[str]) -> dict[str, Any]:
    """The load's configuration on a worker's machine, with its files in `folder`.

    Args:
        job: of `portable`.
        folder: the worker's own.
        parent_pid: the process that the load is not to outlive.
        targets: base URLs as seen from the worker; empty = those of the job.

    Raises:
        ValueError: there are not as many targets as the job has.
    """
    if targets and len(targets) != len(job["targets"]):
        raise ValueError(f"{len(targets)} target(s) given, but the run has {len(job['targets'])}")
    return {
        **job,
        "targets": list(targets) or job["targets"],
        "schedule": str(folder / "schedule.parquet"),
        "output": str(folder / "rows.parquet"),
        "ready_file": str(folder / "ready"),
        "start_file": str(folder / "start.json"),
        "parent_pid": parent_pid,
    }
