"""How far the simulator is from the live system: `python -m experiments.agreement results/...`.

Every live run below the folders is simulated with its own configuration, faults and seed (the same schedule), and both
are compared by their metrics. Prints Markdown: an arm a row, with the mean error over its runs and a 95 % interval;
then the values, live beside simulated; of arms that scale how many seconds they wanted, and had, as many replicas; and
for arms that differ by policy or by scaler alone Kendall's tau of their rankings.
Exit status: 0 compared; 1 no live run that is valid; 2 wrong arguments.
"""

import argparse
import math
import sys
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple, cast

from analysis.comparison.ranks import kendall_tau
from analysis.comparison.statistics import Interval, Paired, geometric_interval, paired
from analysis.metrics import table as metrics
from analysis.metrics import timeline
from analysis.metrics.measured import InNumbers
from analysis.metrics.scaling import starts_s
from analysis.scaling.following import REASONS, Following, following
from experiments.runner.supervision import say
from experiments.simulator.twin import TwinError, twin
from record.files import FolderError, find
from record.metrics import Metrics, value_of
from record.reading import Run, read
from services.manager.pacing import interval_s
from services.manager.scalers import SCALERS

RATIOS = ("latency_p50_ms", "latency_p99_ms")
DIFFERENCES = ("error_rate", "detection_s", "recovery_s")
PLACES = {"latency_p50_ms": 0, "latency_p99_ms": 0, "times_floor_p99": 2}
"""Metrics whose values are told, and the digits after the point; those of the fault's phase where there is one."""
NOT_AN_ARM = (
    "scenario=", "seed=", "tracking.", "hydra.", "expect=", "summary=", "counterfactual=", "comparison.", "validity.",
)  # fmt: skip
"""Begins of overrides that change nothing of what is measured."""
RANKED_BY = {
    "policy": ("latency_p99_ms",),
    "scaler": ("paid_replica_seconds", "slo_violation_share", "scaling_regret"),
}
"""Of arms that differ in this group alone, the metrics by which they are ranked; the lower, the better."""
LOOKS = 2
"""A decision that is so many looks earlier or later is the same one."""
STARTUP_MS = "engine.delays.startup.median_ms"


@dataclass
class Arm:
    """The runs of one arm: (live, simulated) metrics each."""

    label: str
    policy: str
    pairs: list[tuple[Metrics, Metrics]] = field(default_factory=list)
    scaler: str = "none"
    courses: list[Following] = field(default_factory=list)
    """Of each run that scales, how its twin's replicas follow its own."""
    as_started: list[Following] = field(default_factory=list)
    """Likewise, of twins whose starts take as long as the live run's did."""

    def ratio(self, metric: str) -> Interval:
        """Simulated over live."""
        return geometric_interval([new / old for old, new in self._known(metric)])

    def difference(self, metric: str) -> Paired | None:
        """Simulated less live; None = undefined in every run."""
        known = self._known(metric)
        return paired([new - old for old, new in known]) if known else None

    def _known(self, metric: str) -> list[tuple[float, float]]:
        both = [(value_of(live, metric), value_of(twin, metric)) for live, twin in self.pairs]
        return [(old, new) for old, new in both if old is not None and new is not None]

    @property
    def phase(self) -> str:
        """What the names of its metrics end with: `_fault` where every run has that phase."""
        return "_fault" if all(live.get("requests_fault") for live, _ in self.pairs) else ""

    def middle(self, which: int, metric: str = "latency_p99_ms") -> float:
        """The geometric mean over its runs; infinite where one of them has none, since it lies among the failed.

        `which` is 0 for live, 1 for simulated.
        """
        values = [value_of(pair[which], metric) for pair in self.pairs]
        known = [value for value in values if value is not None]
        return math.inf if len(known) < len(values) else cast(float, geometric_interval(known).mean)

    def mean(self, which: int, metric: str) -> float | None:
        """The mean over its runs; None where one of them has none."""
        values = [value_of(pair[which], metric) for pair in self.pairs]
        known = [value for value in values if value is not None]
        return fmean(known) if len(known) == len(values) else None


def _percent(interval: Interval) -> str:
    if interval.mean is None:
        return "-"
    mean, low, high = (
        None if bound is None else f"{100 * (bound - 1):+.1f}" for bound in (interval.mean, interval.low, interval.high)
    )
    return f"{mean} %" if low is None else f"{mean} ({low} to {high}) %"


def _plain(difference: Paired | None, scale: float) -> str:
    if difference is None:
        return "-"
    low, high = (scale * bound for bound in difference.interval())
    return f"{scale * difference.mean:+.2f}" + ("" if difference.n < 2 else f" ({low:+.2f} to {high:+.2f})")


def compare(folders: list[Path]) -> list[Arm]:
    """Every valid live run against its twin, by arm.

    Raises:
        FolderError: a folder is damaged.
    """
    arms: dict[str, Arm] = {}
    for folder in folders:
        live = read(folder)
        if live.is_simulated or live.manifest.get("mode") == "ui":
            continue
        measured = metrics.compute(live, timeline.build(live))
        if not measured["valid"]:
            say(f"{folder}: left out, {measured['invalid_reasons'][0]}")
            continue
        options = [o for o in live.manifest["overrides"] if not o.removeprefix("+").startswith(NOT_AN_ARM)]
        label = " ".join([str(live.manifest["scenario"]), *sorted(options)])
        config = live.manifest["config"]
        scaler = str((config.get("scaler") or {}).get("name", "none"))
        arm = arms.setdefault(label, Arm(label, str(config["policy"]["name"]), scaler=scaler))
        try:
            simulated = twin(live)
            _follow(arm, live, simulated)
        except TwinError as error:
            say(f"{folder}: left out, {error}")
            continue
        arm.pairs.append((measured, simulated.metrics))
        say(f"{folder}: simulated")
    return [arm for arm in arms.values() if arm.pairs]


def _follow(arm: Arm, live: Run, simulated: InNumbers) -> None:
    """Take up how its replicas follow those of the run, as it is and with starts that take as long as the run's did.

    Raises:
        TwinError: as `twin`.
    """
    if arm.scaler == "none":
        return
    seconds = timeline.build(live)
    shift_s = math.ceil(LOOKS * interval_of(live))
    as_started: InNumbers | None = None
    took, expected = (starts_s(events) for events in (live.events, simulated.run.events))
    if took and expected:
        delays = simulated.run.manifest["config"]["engine"]["delays"]
        longer_ms = 1e3 * (median(took) - median(expected))
        as_started = twin(live, {STARTUP_MS: max(0.0, delays["startup"]["median_ms"] + longer_ms)})
    for to, other in ((arm.courses, simulated), (arm.as_started, as_started)):
        found = None if other is None else following(seconds, other.timeline, shift_s, live.warmup_s)
        to.extend([] if found is None else [found])


def interval_of(run: Run) -> float:
    """Seconds between two looks of its manager: as they were asked for, or as its scaler's pace is."""
    scaler = run.manifest["config"]["scaler"]
    pace_s = interval_s(SCALERS.find(scaler["name"]), run.setting("scaler", "time_factor", 1.0))
    return run.setting("autoscaling", "interval_s", 1.0) or pace_s


def values(arm: Arm) -> list[str]:
    """Cells of an arm: of each metric in `PLACES` the values, live and simulated, and how far the simulated p99 is off;
    what was answered in time (`served_share`), and what was lost, of all requests."""
    phase = arm.phase
    cells = [", ".join(_level(arm, which, name + phase, digits) for which in (0, 1)) for name, digits in PLACES.items()]
    cells.append(_percent(arm.ratio(f"latency_p99_ms{phase}")))
    shares = [[value_of(pair[which], "served_share") or 0.0 for pair in arm.pairs] for which in (0, 1)]
    cells.append(", ".join(f"{100 * fmean(each):.1f}" for each in shares))
    live, simulated = (sum(pair[which].get("failed_requests") or 0 for pair in arm.pairs) for which in (0, 1))
    return [*cells, f"{live}, {simulated} of {sum(live['offered_requests'] for live, _ in arm.pairs):,}"]


def _level(arm: Arm, which: int, metric: str, places: int) -> str:
    """The geometric mean over its runs, and in brackets the largest; "-" where one of them has none."""
    known = [value for pair in arm.pairs if (value := value_of(pair[which], metric)) is not None]
    if len(known) < len(arm.pairs):
        return "-"
    return f"{arm.middle(which, metric):.{places}f} ({max(known):.{places}f})"


class Ranking(NamedTuple):
    """Two orders of arms that differ in one group of the configuration alone."""

    shared: str
    """What they have in common."""
    group: str
    metric: str
    arms: int
    tau: float
    """Kendall's, between the live and the simulated order; NaN where one of them is none, as all are alike."""


def rankings(arms: list[Arm]) -> list[Ranking]:
    """How alike policies are ranked by p99, and scalers by what they cost and break."""
    found = []
    for group, metrics_ in RANKED_BY.items():
        sharing: dict[str, list[Arm]] = {}
        for arm in arms:
            rest = " ".join(word for word in arm.label.split() if not word.startswith(group))
            sharing.setdefault(rest, []).append(arm)
        for rest, same in sharing.items():
            if len({getattr(arm, group) for arm in same}) < 2:
                continue
            for metric in metrics_:
                placed = [both for arm in same if (both := _placed(arm, group, metric)) is not None]
                if len(placed) > 1:
                    found.append(Ranking(rest, group, metric, len(placed), kendall_tau(*zip(*placed, strict=True))))
    return found


def _placed(arm: Arm, group: str, metric: str) -> tuple[float, float] | None:
    """What an arm is ranked by, live and simulated; None = it has no place.

    A latency that lies among the failed is behind all others; of a scaler what it costs has to be known.
    """
    if group == "policy":
        return arm.middle(0, metric), arm.middle(1, metric)
    live, simulated = arm.mean(0, metric), arm.mean(1, metric)
    return None if live is None or simulated is None else (live, simulated)


def table(arms: list[Arm]) -> str:
    """Markdown: an arm a row, first its errors, then its values; then the rankings."""
    lines = [
        "| arm | runs | p50 | p99 | failed requests, points | detection, s | recovery, s |",
        "|---|---|---|---|---|---|---|",
    ]
    for arm in arms:
        cells = [arm.label, str(len(arm.pairs)), *(_percent(arm.ratio(metric)) for metric in RATIOS)]
        cells += [_plain(arm.difference(metric), 100 if metric == "error_rate" else 1) for metric in DIFFERENCES]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "Live, simulated: mean (largest); of the fault's phase where there is one, the last two of all of the run:",
        "",
        "| arm | p50, ms | p99, ms | p99 over the floor's | p99, simulated less live | in time, % | lost |",
        "|---|---|---|---|---|---|---|",
        *("| " + " | ".join([arm.label, *values(arm)]) + " |" for arm in arms),
    ]
    lines += _followed(arms)
    taus = rankings(arms)
    if taus:
        lines += ["", "| compared under | what | by | of them | Kendall's tau |", "|---|---|---|---|---|"]
        for each in taus:
            tau = "-" if math.isnan(each.tau) else f"{each.tau:.2f}"
            lines.append(f"| {each.shared} | {each.group} | {each.metric} | {each.arms} | {tau} |")
    return "\n".join(lines) + "\n"


def _followed(arms: list[Arm]) -> list[str]:
    """How many seconds simulated replicas were as many as live ones, and why not; nothing where nothing scales."""
    followed = [arm for arm in arms if arm.courses]
    if not followed:
        return []
    shared = set.intersection(*(set(arm.label.split()) for arm in followed)) if len(followed) > 1 else set[str]()
    names = [" ".join(word for word in arm.label.split() if word not in shared) or arm.scaler for arm in followed]
    rows = [("| " + name, arm.courses, arm.as_started) for name, arm in zip(names, followed, strict=True)]
    rows.append(("| all", *([one for row in rows for one in row[place]] for place in (1, 2))))  # type: ignore[arg-type]
    lines = [
        "",
        "Seconds in which the simulated run wanted, and had, as many replicas as the live one, or one more or fewer; "
        "of the others, why: the same was wanted at another moment, starts took another time, other work was in "
        "flight, or windows and replicas remember what was before:",
        *([f"All are {' '.join(word for word in followed[0].label.split() if word in shared)}."] if shared else []),
        "",
        "| arm | runs | seconds | wanted, % | had, % | both, % | both, started as live, % | most apart | "
        + " | ".join(f"{reason}, s" for reason in REASONS) + " |",
        "|---|---|---|---|---|---|---|---|" + "---|" * len(REASONS),
    ]  # fmt: skip
    for label, courses, as_started in rows:
        all_ = reduce(add, courses)
        shares = [all_.desired_within, all_.ready_within, all_.within]
        cells = [str(len(courses)), f"{all_.seconds:,}", *(f"{100 * each / all_.seconds:.1f}" for each in shares)]
        like_live = reduce(add, as_started) if as_started else None
        cells.append("-" if like_live is None else f"{100 * like_live.within / like_live.seconds:.1f}")
        cells += [str(all_.most_apart), *(str(all_.reasons[reason]) for reason in REASONS)]
        lines.append(" | ".join([label, *cells]) + " |")
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Compare what the command line names; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m experiments.agreement", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("places", nargs="+", type=Path, metavar="DIR", help="live runs, or folders above them")
    chosen = parser.parse_args(arguments)
    try:
        arms = compare(find(chosen.places))
    except FolderError as error:
        say(str(error))
        return 1
    if not arms:
        say("no live run that is valid")
        return 1
    print(table(arms), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
