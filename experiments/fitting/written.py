"""What a fit leaves in its folder: `fleet.json`, `fleet.yaml`, `fitted.parquet` and a page, `fit.md`.

`fleet.json` has everything, or the refusal; `fleet.yaml` the overrides that play the fleet; `fitted.parquet` the log
as a `workload.trace`, with the demand of each request at speed 1; `fit.md` says how well it fits. After a refusal
there are the first and the last.
"""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from analysis.fitting.fleet import Fleet
from analysis.fitting.independence import Compared
from analysis.fitting.refusal import FitRefused
from experiments.fitting.judging import Verdict
from experiments.fitting.measures import Judged
from experiments.fitting.overrides import delays, demand, outages_of, overrides, replica_of
from record.files import dump, whole, write_text
from record.parquet import write_frame

FLEET, PLAYED, TRACE, PAGE = "fleet.json", "fleet.yaml", "fitted.parquet", "fit.md"
HEAD = """\
# What `aegis run +scenario=routed` takes to play the fleet that `aegis fit` found: `overrides`; with engine=sim
# `simulated` as well; and what is asked of it, `recorded` (the log's own requests) or `drawn` (demands like theirs).
"""
CARRIED = ("key", "method", "size")
"""Columns of the log that the trace has, too, where the log has them."""


def write_fit(folder: Path, table: pd.DataFrame, verdict: Verdict) -> None:
    """Leave a fit that held.

    Raises:
        OSError: the disk does not take it.
    """
    log, fleet = verdict.log, verdict.fleet
    played = {
        "overrides": overrides(fleet),
        "simulated": delays(fleet),
        "recorded": [f"workload.trace={folder / TRACE}", "workload.warmup_s=0"],
        "drawn": demand(fleet),
    }
    shown = _finite(
        {
            "refused": None,
            "fleet": {name: value for name, value in asdict(fleet).items() if name != "drawn"},
            "replicas": replica_of(fleet),
            "judged": [asdict(each) for each in verdict.judged],
            "unseen": [asdict(each) for each in verdict.unseen],
            "played": played,
            "outages": outages_of(fleet),
            "drawn": np.round(fleet.drawn, 5).tolist(),
        }
    )
    write_text(folder / FLEET, dump(shown))
    write_text(folder / PLAYED, HEAD + yaml.safe_dump(played))
    trace = {"scheduled_s": log.arrivals_s - log.arrivals_s[0], "demand_s": np.round(verdict.demands_s, 6)}
    for name in CARRIED:
        if name in table and table[name].notna().all():
            trace[name] = table[name].to_numpy()[log.row]
    with whole(folder / TRACE) as part:
        write_frame(pd.DataFrame(trace), part)
    write_text(folder / PAGE, page(verdict))


def write_refusal(folder: Path, refused: FitRefused) -> None:
    """Leave a refusal, and nothing of a fit of before.

    Raises:
        OSError: the disk does not take it.
    """
    for name in (PLAYED, TRACE):
        (folder / name).unlink(missing_ok=True)
    about = {"kind": refused.kind, "reason": refused.reason, "collect": refused.collect}
    write_text(folder / FLEET, dump({"refused": about}))
    write_text(folder / PAGE, f"# No fit\n\n{refused.reason}.\n\nWhat would help: {refused.collect}.\n")


def _finite(value: Any) -> Any:  # noqa: ANN401 - JSON of any depth
    """JSON has no infinity: null, as everywhere."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def page(verdict: Verdict) -> str:
    """What was found and how well it fits, as Markdown."""
    fleet, demand = verdict.fleet, verdict.fleet.demand
    slots = fleet.slots_interval
    lines = [
        "# The fleet behind this log",
        "",
        f"{fleet.requests:,} requests in {fleet.span_s:.6g} s; {100 * fleet.waited:.3g} % of them waited for a slot.",
        "",
        "| | | 95 % interval |",
        "|---|---|---|",
        f"| hosts | {len(fleet.hosts)} | |",
        f"| slots a host | {slots.value:g} | {slots.low:g} to {slots.high:g} |",
        f"| demand, mean, ms (on {fleet.reference}) | {demand.mean_ms.value:.4g} | {_span(demand.mean_ms)} |",
        f"| demand, standard deviation over mean | {demand.spread.value:.3g} | {_span(demand.spread)} |",
        f"| demand, family | {demand.family} (off by {demand.off:.3f} at most) | |",
        f"| errors outside of outages | {fleet.failing.error_share.value:.3g} | {_span(fleet.failing.error_share)} |",
        f"| attempts a request, at most | {fleet.failing.most_attempts} | |",
        "",
        "| host | replica | speed | 95 % interval | utilisation |",
        "|---|---|---|---|---|",
    ]
    for host, speed, busy in zip(fleet.hosts, fleet.speeds, fleet.utilisation, strict=True):
        replica = replica_of(fleet)[host]
        lines.append(f"| {host} | {replica} | {speed.value:.3g} | {_span(speed)} | {busy:.2f} |")
    if fleet.failing.outages:
        lines += ["", "| outage of | kind | from, s | between | to, s | between |", "|---|---|---|---|---|---|"]
        lines += [
            f"| {each.host} | {each.kind} | {each.begin_s.value:.6g} | {_span(each.begin_s)} | "
            f"{each.end_s.value:.6g} | {_span(each.end_s)} |"
            for each in fleet.failing.outages
        ]
    lines += ["", "## The half that was not fitted", "", *judged_rows(verdict.judged)]
    lines += ["", *compared_rows(verdict.unseen)]
    if fleet.notes:
        lines += ["", *(f"- {note}" for note in fleet.notes)]
    return "\n".join(lines) + "\n"


def _span(interval: Any) -> str:  # noqa: ANN401 - of numbers
    return f"{interval.low:.4g} to {interval.high:.4g}"


def judged_rows(judged: tuple[Judged, ...]) -> list[str]:
    """A table of recorded against simulated."""
    return [
        "| | recorded | simulated | where it may lie |",
        "|---|---|---|---|",
        *(f"| {j.name} | {j.recorded:.4g} | {j.simulated:.4g} | {j.low:.4g} to {j.high:.4g} |" for j in judged),
    ]


def compared_rows(compared: tuple[Compared, ...]) -> list[str]:
    """A table of services that must be alike."""
    return [
        "| services of | requests | mean over mean | p |",
        "|---|---|---|---|",
        *(f"| {c.what} | {c.few}, {c.many} | {c.ratio:.3f} | {c.p:.3g} |" for c in compared),
    ]


def short(fleet: Fleet) -> str:
    """The fleet in a line."""
    slots = fleet.slots_interval
    speeds = ", ".join(f"{host} {speed.value:.3g}" for host, speed in zip(fleet.hosts, fleet.speeds, strict=True))
    return (
        f"{len(fleet.hosts)} hosts of {slots.value:g} slots ({slots.low:g} to {slots.high:g}), speeds {speeds}, demand "
        f"{fleet.demand.mean_ms.value:.4g} ms ({_span(fleet.demand.mean_ms)}), {fleet.demand.family}"
    )
