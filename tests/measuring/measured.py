"""Runs that must be valid to be looked at. A noisy machine may spoil one of them; it does not spoil three."""

import json

from analysis.compare import main as compare
from tests.running import metrics, run

TRIES = 3


def valid_run(folder, *overrides, holds=lambda found: True):
    """The metrics of the first valid run for which `holds`, else of the last one."""
    for attempt in range(TRIES):
        place = folder / str(attempt)
        done = run(*overrides, "tracking.enabled=false", f"hydra.run.dir={place}", timeout_s=200)
        assert done.returncode in (0, 3), done.stdout + done.stderr
        found = metrics(place)
        if found["valid"] and holds(found):
            return found
    assert found["valid"], found["invalid_reasons"]
    return found


def sweep(folder, *overrides, timeout_s=900):
    """The rows of the comparison of the first sweep whose runs are all valid, else of the last one."""
    for attempt in range(TRIES):
        place = folder / str(attempt)
        done = run(*overrides, "tracking.enabled=false", f"hydra.sweep.dir={place}", timeout_s=timeout_s)
        assert done.returncode in (0, 3), done.stdout + done.stderr
        if done.returncode == 0:
            break
    assert compare([str(place)]) == 0
    return json.loads((place / "comparison.json").read_text())


def primary(rows):
    """The verdict on the primary metric, by arm."""
    return {row["arm"]: row for row in rows if row["is_primary"]}
