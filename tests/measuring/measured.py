"""Runs that must be valid to be looked at. A noisy machine may spoil one of them; it does not spoil three."""

import json
import shutil

from tests.running import metrics, run

TRIES = 3
UNSEEN = ("tracking.enabled=false", "summary=never")


def valid_run(folder, *overrides, holds=lambda found: True):
    """The metrics of the first valid run for which `holds`, else of the last one."""
    for attempt in range(TRIES):
        place = folder / str(attempt)
        done = run(*overrides, *UNSEEN, f"hydra.run.dir={place}", timeout_s=200)
        assert done.returncode in (0, 3), done.stdout + done.stderr
        found = metrics(place)
        if found["valid"] and holds(found):
            return found
    assert found["valid"], found["invalid_reasons"]
    return found


def sweep(folder, *overrides, timeout_s=900):
    """The rows of a sweep's comparison. What the machine has spoilt is measured again, and only that."""
    done = run(*overrides, *UNSEEN, f"hydra.sweep.dir={folder}", timeout_s=timeout_s)
    for _ in range(TRIES - 1):
        spoilt = [path.parent for path in folder.glob("*/metrics.json") if not metrics(path.parent)["valid"]]
        assert done.returncode == (3 if spoilt else 0), done.stdout + done.stderr
        if not spoilt:
            break
        for place in spoilt:
            shutil.rmtree(place)
        done = run(f"repeat.resume={folder}", "tracking.enabled=false", timeout_s=timeout_s)
    assert done.returncode in (0, 3), done.stdout + done.stderr
    return json.loads((folder / "comparison.json").read_text())


def primary(rows):
    """The verdict on the primary metric, by arm."""
    return {row["arm"]: row for row in rows if row["is_primary"]}
