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
        done = run(*overrides, *UNSEEN, f"hydra.run.dir={place}")
        assert done.returncode in (0, 3), done.stdout + done.stderr
        found = metrics(place)
        if found["valid"] and holds(found):
            return found
    assert found["valid"], found["invalid_reasons"]
    return found


def expected_run(folder, *overrides):
    """A run that shows what is expected of it; only one that the machine has spoilt is measured again."""
    for attempt in range(TRIES):
        done = run(*overrides, *UNSEEN, "counterfactual=never", f"hydra.run.dir={folder / str(attempt)}")
        if done.returncode != 3:
            break
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


def sweep(folder, *overrides, timeout_s=900):
    """The rows of a sweep's comparison. What the machine has spoilt is measured again, and only that."""
    typed = (*overrides, *UNSEEN, f"hydra.sweep.dir={folder}")
    for _ in range(TRIES):
        done = run(*typed, timeout_s=timeout_s)
        found = {path.parent: metrics(path.parent) for path in folder.glob("*/metrics.json")}
        spoilt = {place: judged["invalid_reasons"] for place, judged in found.items() if not judged["valid"]}
        assert done.returncode == (3 if spoilt else 0), done.stdout + done.stderr
        if not spoilt:
            break
        for place in spoilt:
            shutil.rmtree(place)
        typed = (f"repeat.resume={folder}", "tracking.enabled=false")
    rows = json.loads((folder / "comparison.json").read_text())
    assert rows, spoilt
    return rows


def primary(rows):
    """The verdict on the primary metric, by arm."""
    return {row["arm"]: row for row in rows if row["is_primary"]}
