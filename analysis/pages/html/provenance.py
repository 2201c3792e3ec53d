"""What a reader needs to believe a page, and to do it again: protocol, versions, methods, commands."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import yaml

from analysis.comparison.compared import BY_KEY
from analysis.comparison.comparison import Comparison
from analysis.comparison.text import look_of, of_all
from analysis.tables.export import Sheet
from record.reading import Run
from record.settings import flatten
from record.shapes import url_of_external

SWEEP_CONFIG = "multirun.yaml"
"""Hydra's own record of a sweep, in its folder."""
MOST_COMMANDS = 12
"""Of runs that are of no sweep, so many are told one by one."""
SHOWN = (
    "scenario",
    "engine.name",
    "workload.rate_rps",
    "workload.profile",
    "workload.arrivals",
    "workload.duration_s",
    "workload.warmup_s",
    "workload.demand.mean_ms",
    "workload.demand.distribution",
    "workload.trace",
    "router.url",
    "replicas",
    "replica.concurrency",
    "replica.queue_limit",
    "replica.speeds",
    "policy.name",
    "scaler.name",
    "faults",
    "load.loop",
    "load.timeout_s",
    "slo.p99_ms",
    "comparison.primary",
    "comparison.estimand",
    "comparison.smallest_effect",
    "comparison.smallest_share",
)
"""What tells most; the whole configuration stands below it."""
FORMS = {None: None, True: "compiled (make fast)", False: "Python files"}
"""Of the router; None = none, or not known."""
MOST_VALUES = 4
"""Different values of a key that are named; of more, how many there are."""


def protocol(runs: Sequence[Run]) -> Sheet:
    """What was asked of what: the keys that tell most, and the values that runs have."""
    values = _values(runs) | {"faults": _told(list(dict.fromkeys(_planned(run) for run in runs)))}
    if all(url_of_external(run.manifest) for run in runs):
        values.pop("policy.name", None)
    rows = [(key, values[key]) for key in SHOWN if values.get(key) not in (None, "none", "[]", "")]
    seeds = sorted({run.manifest.get("seed") for run in runs}, key=lambda seed: (seed is None, seed))
    hashes = dict.fromkeys(str(run.manifest.get("schedule_hash"))[:12] for run in runs)
    rows += [("seeds", ", ".join(map(str, seeds))), ("schedules (hash)", _told(list(hashes)))]
    return Sheet("Protocol", ("key", "value"), rows)


def _planned(run: Run) -> str:
    """The faults that were planned, those drawn from the seed included."""
    told = []
    for fault in run.manifest.get("faults") or []:
        more = ", ".join(f"{key}={value}" for key, value in fault.items() if key not in ("at_s", "action", "target"))
        told.append(f"{fault['action']} {fault['target']} at {fault['at_s']:g} s{f' ({more})' if more else ''}")
    return ", ".join(told) or "none"


def settings(runs: Sequence[Run]) -> Sheet:
    """The whole configuration."""
    return Sheet("Whole configuration", ("key", "value"), sorted(_values(runs).items()))


def _values(runs: Sequence[Run]) -> dict[str, str]:
    flat = [{"scenario": str(run.manifest.get("scenario")), **flatten(run.manifest["config"])} for run in runs]
    keys = dict.fromkeys(key for one in flat for key in one)
    return {key: _told(list(dict.fromkeys(one[key] for one in flat if key in one))) for key in keys}


def _told(values: Sequence[str]) -> str:
    return "; ".join(values) if len(values) <= MOST_VALUES else f"{len(values)} values: {values[0]}; {values[1]}; ..."


def versions(runs: Sequence[Run]) -> Sheet:
    """Code and machine."""
    rows = []
    known: dict[str, list[str | None]] = {
        "Aegis": [run.manifest.get("aegis") for run in runs],
        "commit": [_commit(run) for run in runs],
        "Python": [run.manifest.get("python") for run in runs],
        "platform": [run.manifest.get("platform") for run in runs],
        "CPU": [f"{run.manifest['cpu']}, {run.manifest.get('cores')} cores" for run in runs if run.manifest.get("cpu")],
        "packages": [_packages(run) for run in runs],
        "router": [FORMS[run.manifest.get("router_compiled")] for run in runs],
        "plugins": [_plugins(run) for run in runs],
    }
    for label, values in known.items():
        if different := list(dict.fromkeys(value for value in values if value)):
            rows.append((label, _told(different)))
    starts = sorted(str(run.manifest.get("started_at") or "")[:16].replace("T", " ") for run in runs)
    rows.append(("measured", f"{starts[0]} UTC" if starts[0] == starts[-1] else f"{starts[0]} to {starts[-1]} UTC"))
    return Sheet("Code and machine", ("what", "value"), rows)


def _commit(run: Run) -> str:
    git = run.manifest.get("git")
    if not git or not git["commit"]:
        return "not a git tree"
    return f"{git['commit'][:12]}{', with changes that were not committed' if git['dirty'] else ''}"


def _packages(run: Run) -> str:
    packages = run.manifest.get("packages") or {}
    return ", ".join(f"{name} {version}" for name, version in packages.items() if version)


def _plugins(run: Run) -> str:
    return ", ".join(f"{plugin['name']} ({plugin['sha256'][:12]})" for plugin in run.manifest.get("plugins") or [])


def methods(runs: Sequence[Run], comparisons: Sequence[Comparison]) -> list[str]:
    """How it was measured and judged, as a paper's section would say it; paragraphs."""
    first = runs[0]
    config = first.manifest["config"]
    closed = (config.get("load") or {}).get("loop") == "closed"
    simulated = sum(run.is_simulated for run in runs)
    load = (
        "Users asked in a closed loop: the next request only after the answer to the one before, so that a slow system "
        "is asked less."
        if closed
        else "The load is open-loop: every request was planned before the run, from the seed alone, and sent when it "
        "was due, whether earlier ones were answered or not. Latency counts from the moment a request was due."
    )
    how = {0: "The runs are live: processes on a real network stack, load by Locust.", len(runs): "The runs are "
           "simulated: the services' own decisions in virtual time, no machine was measured."}  # fmt: skip
    paragraphs = [
        f"{how.get(simulated, f'{simulated} of {len(runs)} runs are simulated, the others live.')} {load} Warm-up "
        f"({first.warmup_s:g} s) is in no number. A request that was not served (an error, a refusal, a time-out, a "
        "drop) ranks behind every one that was, so that failing fast buys nothing; a quantile among them is said to be "
        "beyond what was seen. A run counts only if its instrument worked (sent on time and in full, generator and "
        "host not starved, faults landed when planned), by limits that were set before it."
    ]
    if comparisons:
        paragraphs.append(_judged(comparisons))
    return paragraphs


def _judged(comparisons: Sequence[Comparison]) -> str:
    comparison = comparisons[0]
    smallest, primary = comparison.smallest, BY_KEY[comparison.primary].label
    estimands = {row.estimand for each in comparisons for row in each.rows if row.is_primary}
    about = "Each row says whether it is about the system in the long run or these runs."
    if len(estimands) == 1:
        of = "runs of this length" if "run" in estimands else "the system in the long run"
        about = f"The primary metric's effects are on {of}; each row says what it is about."
    look = "" if comparison.look is None else f" The sweep was sequential or extended ({look_of(comparison.look)})."
    return (
        "Arms are compared on runs of the same seed, which had the same requests at the same moments; the unit is the "
        "run, a pair with an invalid run is left out whole. An effect is the ratio, from the paired log-ratios, or for "
        f"shares and counted seconds the difference. Set before the data: the primary metric ({primary}) and the "
        f"smallest effect of interest ({smallest.effect * 100:g} %, {smallest.share * 100:g} percentage points of "
        f"requests, {smallest.seconds:g} s). Lost requests come first: an arm that loses more is never better. "
        f"Intervals and verdicts have the same level, 5 % over each family of comparisons{of_all(comparison)} (Holm). "
        f"{about}{look}"
    )


def commands(runs: Sequence[Run], places: Sequence[Path], *, is_compared: bool) -> list[str]:
    """What to type to measure it again, to compare it again, and to write the page again."""
    commits = {git["commit"] for run in runs if (git := run.manifest.get("git"))} - {None}
    lines = [f"git checkout {shlex.quote(str(commits.pop()))}"] if len(commits) == 1 else []
    sweeps = list(dict.fromkeys(run.folder.parent for run in runs if run.manifest.get("sweep_dir")))
    of_sweeps = [line for line in map(_sweep_command, sweeps) if line]
    alone = [run for run in runs if not (of_sweeps and run.folder.parent in sweeps)]
    lines += of_sweeps
    lines += [_run_command(run) for run in alone[:MOST_COMMANDS]]
    if len(alone) > MOST_COMMANDS:
        lines.append(f"# and {len(alone) - MOST_COMMANDS} more runs: `overrides` in the manifest.json of each")
    folders = " ".join(shlex.quote(str(place)) for place in places)
    if len(runs) == 1:
        lines.append(f"python -m experiments.replay {shlex.quote(str(runs[0].folder))}")
    if is_compared:
        lines.append(f"python -m analysis.compare {folders}")
    return [*lines, f"python -m analysis.report {folders}"]


def _run_command(run: Run) -> str:
    return shlex.join(["python", "-m", "experiments.run", *map(str, run.manifest.get("overrides") or [])])


def _sweep_command(folder: Path) -> str | None:
    """As it was typed; None where Hydra's record is not there or not to be read."""
    try:
        typed = yaml.safe_load((folder / SWEEP_CONFIG).read_text(encoding="utf-8"))["hydra"]["overrides"]["task"]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return None
    if not isinstance(typed, list):
        return None
    return shlex.join(["python", "-m", "experiments.run", "-m", *map(str, typed)])
