"""What a reader needs to know of the code and the machine that a run was made with."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "aiohttp",
    "fastapi",
    "uvicorn",
    "uvloop",
    "locust",
    "gevent",
    "geventhttpclient",
    "hydra-core",
    "numpy",
    "pandas",
    "pyarrow",
)


def now_iso() -> str:
    """The time of day in UTC, ISO 8601 with microseconds."""
    return datetime.now(UTC).isoformat()


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def cpu_model() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def provenance() -> dict[str, Any]:
    """What a reader needs to know of the code and the machine."""
    status = _git("status", "--porcelain")
    return {
        "git": {"commit": _git("rev-parse", "HEAD"), "dirty": None if status is None else bool(status)},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "kernel": platform.release(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
    }


@cache
def provenance_of_process() -> dict[str, Any]:
    """The same as this process first found it: for what runs within it, whose code was read when it began."""
    return provenance()
