"""A lane a replica: when it was in rotation, and when a fault hit it."""

from typing import ClassVar

from matplotlib.axes import Axes

from analysis.pages.panels import Source
from analysis.pages.style import GREEN, INK, RED, dress
from record.landed import detector, is_in_rotation
from record.reading import Run
from record.schema import IN_ROTATION, OUT_OF_ROTATION

LANES = 12
"""Lanes drawn; replicas that a fault hit go first."""
LEAVING = OUT_OF_ROTATION - {"drained", "removed", "expired"}
"""Events that are marked: those others follow on one that is; a lease runs out after an ejection, or by itself."""
CAUSES = {"health_check": "check", "consecutive_failures": "failures", "refused": "refused", "lease": "lease"}
"""What stands beside a mark."""


class Rotation:
    """The first lane on top; rotation in its upper half, faults in its lower."""

    name: ClassVar[str] = "rotation"
    place: ClassVar[tuple[int, int]] = (2, 1)
    columns: ClassVar[int] = 12

    def height_px(self, source: Source) -> int:
        """Left out where nothing happened to any replica."""
        shown = lanes(source.run)
        return 62 + 34 * len(shown) if shown else 0

    def draw(self, axes: Axes, source: Source) -> None:
        """Draw the lanes."""
        run = source.run
        shown = lanes(run)
        services = {fault.target for fault in run.faults if not fault.is_on_replica}
        has_rotation = any(event.get("replica") for event in run.events)
        parts = [*(["replicas in rotation"] if has_rotation else []), *(["faults"] if run.faults else [])]
        dress(axes, " and ".join(parts).capitalize(), "", "")
        for lane, name in enumerate(shown):
            if has_rotation and name not in services:
                for start, end in rotation(run, name):
                    axes.barh(lane - 0.2, end - start, left=start, height=0.36, color=GREEN, alpha=0.35, linewidth=0)
                _marks(axes, run, name, lane - 0.2)
        for fault in run.faults:
            if fault.target not in shown:
                continue
            middle, length = shown.index(fault.target) + 0.2, fault.ends_s(run.end_s) - fault.landed_s
            axes.barh(middle, length, left=fault.landed_s, height=0.38, color=RED, alpha=0.4, linewidth=0)
            axes.plot(
                [fault.landed_s] * 2, [middle - 0.19, middle + 0.19], color=RED, linewidth=2.5, solid_capstyle="butt"
            )
            axes.annotate(
                fault.action,
                (fault.landed_s, middle),
                xytext=(5, -0.5),
                textcoords="offset points",
                va="center",
                fontsize=9,
                color=INK,
                clip_on=True,
            )
        axes.set_xlim(0, max(run.end_s, 1.0))
        axes.set_yticks(range(len(shown)), shown)
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_yticks([lane - 0.5 for lane in range(1, len(shown))], minor=True)
        axes.grid(False, axis="y", which="major")
        axes.grid(True, axis="y", which="minor", linewidth=0.5, alpha=0.4)
        axes.tick_params(which="both", labelbottom=False, length=0)
        _legend(axes, has_rotation, any(fault.target in shown for fault in run.faults))


def lanes(run: Run) -> list[str]:
    """Who gets a lane, from the top: all replicas and faulty services of a run in which anything changed; else none."""
    targets = {fault.target for fault in run.faults}
    known = {str(e["replica"]) for e in run.events if e.get("replica")} | targets
    changed = [e for e in run.events if 0 <= e["t_s"] <= run.end_s and e.get("replica")]
    if not targets and not changed:
        return []
    first = sorted(known, key=lambda name: (name not in targets, len(name), name))[:LANES]
    return sorted(first, key=lambda name: (len(name), name))


def rotation(run: Run, replica: str) -> list[tuple[float, float]]:
    """The spans in which a replica was in rotation, in seconds from the run's start."""
    mine = sorted((e for e in run.events if e.get("replica") == replica), key=lambda e: float(e["t_s"]))
    since: float | None = None if mine else 0.0
    if mine and mine[0]["event"] in OUT_OF_ROTATION:
        since = 0.0
    spans = []
    for event in mine:
        if event["event"] in OUT_OF_ROTATION and since is not None:
            spans.append((since, event["t_s"]))
            since = None
        elif event["event"] == IN_ROTATION and since is None:
            since = event["t_s"]
    if since is not None:
        spans.append((since, run.end_s))
    return [(max(0.0, start), min(run.end_s, end)) for start, end in spans if end > 0 and start < run.end_s]


def _marks(axes: Axes, run: Run, name: str, at: float) -> None:
    for event in run.events:
        if event.get("replica") != name or not 0 <= event["t_s"] <= run.end_s:
            continue
        if event["event"] == IN_ROTATION:
            axes.plot(event["t_s"], at, "^", color=GREEN, markersize=8, markeredgecolor="white", clip_on=False)
        elif event["event"] in LEAVING or (
            event["event"] == "expired" and is_in_rotation(run.events, name, event["t_s"])
        ):
            axes.plot(event["t_s"], at, "v", color=INK, markersize=8, markeredgecolor="white", clip_on=False)
            if words := CAUSES.get(detector(event)):
                axes.annotate(
                    words,
                    (event["t_s"], at),
                    xytext=(7, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=8,
                    color=INK,
                    clip_on=True,
                )


def _legend(axes: Axes, has_rotation: bool, has_faults: bool) -> None:
    handles = [axes.plot([], [], color=RED, alpha=0.4, linewidth=9, label="fault lasts")[0]] if has_faults else []
    if has_rotation:
        handles += [
            axes.plot([], [], color=GREEN, alpha=0.35, linewidth=9, label="in rotation")[0],
            axes.plot([], [], "v", color=INK, markersize=8, linestyle="none", label="leaves it, by what")[0],
            axes.plot([], [], "^", color=GREEN, markersize=8, linestyle="none", label="readmitted")[0],
        ]
    axes.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(1, 1.0),
        fontsize=10,
        ncols=4,
        frameon=False,
        borderaxespad=0.1,
        columnspacing=1.4,
    )
