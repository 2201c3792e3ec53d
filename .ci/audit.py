"""Are vulnerabilities known in the packages of the lock? `make audit`.

Exit status: 0 none is known; 1 some are, each in a line with the versions that mend it; 2 nobody could be asked.
Asks about one package first: where that one is not known, the database is not there, and nothing more is asked.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

LOCK = Path(__file__).resolve().parent.parent / "requirements.txt"
CLEAN, FOUND, UNREACHABLE = 0, 1, 2
DEADLINE_S = 300
"""A question a package, one after another."""
REPLY_S = 8


def ask(*arguments: str) -> list[dict[str, Any]]:
    """What pip-audit says of each package; nothing where it could not find out."""
    program = Path(sys.executable).with_name("pip-audit")
    options = ["--disable-pip", "--progress-spinner", "off", "--timeout", str(REPLY_S), "--format", "json"]
    try:
        done = subprocess.run(
            [program, *options, *arguments], capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
        report: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return []
    return report


def known(report: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The packages that the database knows."""
    return [package for package in report if "skip_reason" not in package]


def is_there(lock: Path) -> bool:
    """Whether the database knows the lock's first package."""
    pins = (line.split()[0] for line in lock.read_text().splitlines() if line[:1].isalnum())
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(next(pins) + "\n")
        file.flush()
        return bool(known(ask("--no-deps", "-r", file.name)))


def judge(report: list[dict[str, Any]]) -> tuple[int, list[str]]:
    """The exit status, and what there is to say."""
    audited = known(report)
    if not audited:
        return UNREACHABLE, ["audit: the vulnerability database cannot be asked from here; nothing was audited"]
    lines = [
        f"{package['name']} {package['version']}: {flaw['id']}, "
        + (f"mended in {', '.join(flaw['fix_versions'])}" if flaw["fix_versions"] else "not mended yet")
        for package in audited
        for flaw in package["vulns"]
    ]
    unknown = len(report) - len(audited)
    without = f"; {unknown} are not known to the database" if unknown else ""
    summary = f"audit: {len(lines)} known vulnerabilities in {len(audited)} packages{without}"
    return (FOUND if lines else CLEAN), [*lines, summary]


def main() -> int:
    """Audit the lock; return the exit status."""
    report = ask("--require-hashes", "-r", str(LOCK)) if is_there(LOCK) else []
    status, lines = judge(report)
    print("\n".join(lines))
    return status


if __name__ == "__main__":
    sys.exit(main())
