"""The page of a map of retry storms: each cell, what it was measured by, and how to do it again."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from analysis.metrics import storm
from analysis.pages.html.charts import Chart, Spec, chart
from analysis.pages.html.document import Document, Section
from analysis.pages.html.provenance import commands, methods, protocol, settings, versions
from analysis.pages.style import INK, MUTED, RED
from analysis.tables.export import Sheet
from record.reading import Run

CELL_PX = 46
"""Height of a row of the map."""
LOAD, LENGTH, SERVED = "load, requests/s", "the trigger lasts, s", "served, of the last requests"


def describe(runs: Sequence[Run], places: list[Path], unread: Sequence[str]) -> Document:
    """What the page says.

    Args:
        runs: all points of the map.
        places: as typed, for the commands.
        unread: a line for each folder that cannot be read.

    Raises:
        MapError: the runs make no map.
    """
    served, edge = storm.cells(runs), storm.edge_rps(runs[0].manifest["config"])
    starts = min(str(run.manifest.get("started_at") or "")[:16].replace("T", " ") for run in runs)
    name = str(runs[0].manifest.get("scenario"))
    return Document(
        title=f"{name}: {storm.QUESTION[0].lower()}{storm.QUESTION[1:]}",
        subtitle=" · ".join(part for part in (f"{len(runs)} runs", f"{starts} UTC" if starts else "") if part),
        verdicts=[storm.verdict(served, edge)],
        is_valid=True,
        sections=[
            Section("The map", charts=[_drawn(served, edge)], folded=[_table(served)]),
            Section("What was left out", [f"Cannot be read: {text}" for text in unread]),
            Section("Protocol and versions", sheets=[protocol(runs), versions(runs)], folded=[settings(runs)]),
            Section("Methods", [*methods(runs, []), f"A cell of the map is the {storm.ABOUT}."]),
            Section("To do it again", commands=commands(runs, places, is_compared=False)),
        ],
    )


def _drawn(served: dict[storm.At, list[float]], edge: float) -> Chart:
    loads, lengths = (sorted({at[axis] for at in served}) for axis in (0, 1))
    values = [
        {"load": f"{load:g}", "length": f"{length:g}", "share": float(np.mean(shares)), "runs": len(shares),
         "low": shares[0], "high": shares[-1], "text": storm.told(shares).split("\n")}
        for (load, length), shares in served.items()
    ]  # fmt: skip
    x: Spec = {
        "field": "load", "type": "ordinal", "title": LOAD, "sort": [f"{load:g}" for load in loads],
        "axis": {"labelAngle": 0},
    }  # fmt: skip
    y: Spec = {"field": "length", "type": "ordinal", "title": LENGTH, "sort": [f"{one:g}" for one in reversed(lengths)]}
    percent = {"type": "quantitative", "format": ".1%"}
    tips: list[Spec] = [
        {"field": "load", "title": LOAD}, {"field": "length", "title": LENGTH},
        {"field": "share", "title": SERVED, **percent}, {"field": "low", "title": "lowest of the runs", **percent},
        {"field": "high", "title": "highest", **percent}, {"field": "runs", "title": "runs"},
    ]  # fmt: skip
    colour: Spec = {
        "field": "share", "type": "quantitative", "scale": {"scheme": "cividis", "domain": [0, 1]},
        "legend": {"title": SERVED, "format": ".0%", "gradientLength": 200, "values": [0, 0.5, 1]},
    }  # fmt: skip
    dark = {"test": "datum.share < 0.5", "value": "white"}
    layers: list[Spec] = [
        {"mark": "rect", "encoding": {"x": x, "y": y, "color": colour, "tooltip": tips}},
        {"mark": {"type": "text", "fontSize": 11}, "encoding": {
            "x": x, "y": y, "text": {"field": "text"}, "color": {"condition": dark, "value": INK}, "tooltip": tips}},
    ]  # fmt: skip
    about = "A cell is the mean of its runs, and from which to which they go where they do not agree."
    below = [load for load in loads if load <= edge]
    if below and len(below) < len(loads):
        # Where all attempts of all requests would fill the fleet: a line after the last load that is below.
        layers.append({
            "data": {"values": [{"load": f"{below[-1]:g}"}]},
            "mark": {"type": "rule", "color": RED, "strokeWidth": 2, "strokeDash": [6, 4]},
            "encoding": {"x": {**x, "bandPosition": 1}},
        })  # fmt: skip
        about += f" Left of the red line every attempt of every request would find room ({edge:.1f} requests/s)."
    drawn = chart(layers, height_px=CELL_PX * len(lengths), data={"values": values})
    drawn["config"]["axis"] |= {"labelColor": MUTED, "grid": False}
    return Chart(storm.QUESTION, drawn, about, is_wide=True)


def _table(served: dict[storm.At, list[float]]) -> Sheet:
    rows = []
    for (load, length), shares in sorted(served.items()):
        told = (f"{share:.1%}" for share in (float(np.mean(shares)), shares[0], shares[-1]))
        rows.append((f"{load:g}", f"{length:g}", *told, len(shares), storm.outcome(shares)))
    return Sheet("Cells", (LOAD, LENGTH, SERVED, "lowest", "highest", "runs", "the fleet is"), rows)
