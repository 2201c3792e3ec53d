"""A run in one line, and in a short table."""

from typing import Any

from analysis.metrics.objective import of_requests, of_seconds
from analysis.metrics.remedies import remedies
from record.landed import SERVICES
from record.metrics import Metrics, value_of
from record.shapes import Manifest, is_simulated

DONE = {
    "kill": ("killed", "its restart"),
    "pause": ("paused", "its resumption"),
    "restart": ("restarted", "its restart"),
}
"""Action: what happened to the target, and what recovery counts from."""

DETECTORS = {
    "health_check": "by the health check",
    "consecutive_failures": "by failures in a row",
    "refused": "by a refused connection",
    "lease": "as its lease ran out",
    "draining": "as it said farewell",
}
"""What detected a fault (`detected_by`), in words; the rest are events by which a replica was taken out by hand."""

NOTHING_HARMED = "nothing to recover from"
NONE_SERVED = "no request was served"
BRIEF_S, LEAST_S = 0.1, 0.0005
"""Shorter times are told in milliseconds, and as less than one."""


def verdict(manifest: Manifest, metrics: Metrics) -> str:
    """What the run showed, in one line; an invalid run says why it shows nothing.

    Args:
        manifest: content of `manifest.json`.
        metrics: content of `metrics.json`.
    """
    if not metrics["valid"]:
        return f"INVALID. {_capital('; '.join(metrics['invalid_reasons']))}. {remedies(metrics['invalid_reasons'])}"
    parts = _faults(manifest.get("faults") or [], metrics)
    low, high = metrics["replicas_min"], metrics["replicas_max"]
    if not metrics["faults_injected"] and low != high:
        parts.append(f"{low:.0f} to {high:.0f} replicas were ready")
    parts.append(_failed(metrics))
    if metrics["latency_p99_ms"] is not None or metrics["latency_p99_beyond_ms"] is not None:
        parts.append(f"p99 latency {latency(metrics, 'p99')}" if _serves(metrics) else NONE_SERVED)
    return f"VALID{' (simulated)' if is_simulated(manifest) else ''}. {_capital('; '.join(parts))}."


def _capital(text: str) -> str:
    """A sentence's first letter; the name of a replica stays as it is."""
    return text[:1].upper() + text[1:] if text[1:2].isalpha() else text


def _failed(metrics: Metrics) -> str:
    count = metrics["offered_requests"]
    if not metrics["failed_requests"]:
        return f"none of {count:,} requests failed"
    return f"{percent(metrics['error_rate'])} of {count:,} requests failed"


def _faults(faults: list[dict[str, Any]], metrics: Metrics) -> list[str]:
    injected = metrics["faults_injected"]
    if not injected:
        return []
    if injected > 1 or len(faults) != 1:
        return [_several(injected, metrics)]
    target, action = faults[0]["target"], faults[0]["action"]
    done, since = DONE.get(action, (f"hit by `{action}`", "the heal"))
    name = f"the {target.replace('_', ' ')}" if target in SERVICES else str(target)
    if faults[0].get("for_s") is None and action != "restart":
        since = "that"
    noticed = metrics["detection_s"]
    if noticed is not None:
        text = f"{name} was out of rotation {briefly(noticed)} after it was {done}{_by(metrics)}"
    elif metrics["faults_undetected"]:
        text = f"{name} was {done} and stayed in rotation"
    else:
        text = f"{name} was {done}"
    return [text, _recovered(metrics, since)]


def _several(injected: int, metrics: Metrics) -> str:
    undetected, slowest = metrics["faults_undetected"], metrics["detection_s"]
    text = f"{injected} faults landed"
    if slowest is not None:
        text += f", the slowest was noticed after {briefly(slowest)}{_by(metrics)}"
    if undetected:
        text += f", {undetected} not at all" if slowest is not None else _unnoticed(injected, undetected)
    return f"{text}; {_recovered(metrics, 'the heal at worst')}"


def _by(metrics: Metrics) -> str:
    """By what; empty where the events do not say it, as those of a drill by hand."""
    words = DETECTORS.get(metrics.get("detected_by") or "")
    return "" if words is None else f" ({words})"


def _unnoticed(injected: int, undetected: int) -> str:
    """Of several faults that nobody noticed, what the sentence goes on with."""
    return ", none took a replica out of rotation" if undetected == injected else f", {undetected} of them unnoticed"


def _recovered(metrics: Metrics, since: str) -> str:
    if metrics["recovered"] is None:
        return "recovery is not judged"
    if metrics["fault_harm"] is False:
        return f"{NOTHING_HARMED}: no request was lost and latency stayed"
    if not metrics["recovered"]:
        return "not recovered by the run's end"
    if metrics["recovery_s"] == 0:
        return "all was well at once" if since == "that" else f"all was well by {since.removesuffix(' at worst')}"
    return f"recovered {metrics['recovery_s']:.1f} s after {since}"


def percent(share: float | None) -> str:
    """A share as a percentage, itself and what is missing to 1 with two digits at least; `-` where it is undefined."""
    if share is None:
        return "-"
    if 0 < share < 0.0001:
        return "< 0.01 %"
    if 0.9999 < share < 1:
        return "> 99.99 %"
    return f"{share * 100:.2f} %" if 0 < min(share, 1 - share) < 0.1 else f"{share * 100:.1f} %"


def quantity(value: float | None, unit: str, digits: int = 1) -> str:
    """A number with its unit; `-` where it is undefined."""
    return "-" if value is None else f"{value:,.{digits}f} {unit}"


def briefly(seconds: float) -> str:
    """A time to a tenth of a second; a shorter one in milliseconds, so that none is told as 0.0."""
    if seconds >= BRIEF_S:
        return f"{seconds:,.1f} s"
    return f"{1e3 * seconds:.0f} ms" if seconds >= LEAST_S else "less than 1 ms"


def latency(metrics: Metrics, name: str, suffix: str = "") -> str:
    """A quantile with its unit; where it lies among requests that were not served, the latency that it is beyond.

    Args:
        metrics: content of `metrics.json`.
        name: `p50`, `p90`, `p99` or `p999`.
        suffix: `_` and a phase; empty = the whole run.
    """
    bound = value_of(metrics, f"latency_{name}_beyond_ms{suffix}")
    value = value_of(metrics, f"latency_{name}_ms{suffix}")
    return quantity(value, "ms", 0) if bound is None else f"beyond {bound:,.0f} ms"


def _serves(metrics: Metrics) -> bool:
    return metrics["latency_served_max_ms"] is not None


def _latencies(metrics: Metrics) -> str:
    texts = [latency(metrics, name).removesuffix(" ms") for name in ("p50", "p90", "p99")]
    if not _serves(metrics):
        return NONE_SERVED if metrics["failed_requests"] else "-"
    if len(set(texts)) == 1 and texts[0].startswith("beyond"):
        return f"all {texts[0]} ms"
    return f"{' / '.join(texts)} ms"


def _recovery(metrics: Metrics) -> str:
    if metrics["recovered"] is None:
        return "not judged"
    if metrics["fault_harm"] is False:
        return NOTHING_HARMED
    return quantity(metrics["recovery_s"], "s") if metrics["recovered"] else "never"


def _pair(metrics: Metrics, keys: tuple[str, ...], unit: str, digits: int = 1) -> str:
    values = [value_of(metrics, key) for key in keys]
    if all(value is None for value in values):
        return "-"
    return " / ".join("-" if value is None else f"{value:,.{digits}f}" for value in values) + f" {unit}"


def _scaled(metrics: Metrics) -> str:
    waited = metrics["need_to_ready_s"]
    return f"x {metrics['scaling_regret']:.2f} / {quantity(waited, 's')}"


def _lost(method: str, count: int, metrics: Metrics) -> str:
    failed = value_of(metrics, f"failed_{method}_requests")
    most = percent(value_of(metrics, f"failed_{method}_upper_share"))
    return "-" if failed is None else f"{failed:,.0f} of {count:,} (at most {most}, with 95 % certainty)"


ABOUT = (
    ("p99 rests on", "latency p50 / p90 / p99"),
    ("not steady", "latency p50 / p90 / p99"),
    ("the warm-up of", "latency p50 / p90 / p99"),
    ("the router used", "CPU generator / router"),
    ("closed loop", "offered / goodput"),
    ("recovery is not judged", "detection / recovery"),
)
"""How a warning begins, and the row of the number that it is about."""


def notes_of(label: str, metrics: Metrics) -> list[tuple[int, str]]:
    """The warnings about a row, each with its number among all."""
    wanted = [begin for begin, row in ABOUT if row == label]
    return [(n, text) for n, text in enumerate(metrics["warnings"], 1) if text.startswith(tuple(wanted))]


def in_lines(manifest: Manifest, metrics: Metrics) -> list[str]:
    """The table as a terminal shows it, the notes on a number below it."""
    rows = table_rows(manifest, metrics)
    width = max(len(label) for label, _ in rows)
    lines = []
    told: set[int] = set()
    for label, value in rows:
        lines.append(f"{label:{width}}  {value}")
        for number, text in notes_of(label, metrics):
            lines.append(f"  note: {text}")
            told.add(number)
    return lines + [f"note: {text}" for number, text in enumerate(metrics["warnings"], 1) if number not in told]


def table_rows(manifest: Manifest, metrics: Metrics) -> list[tuple[str, str]]:
    """Label and value of what tells most, in the order of reading; renderable as a two-column table.

    Args:
        manifest: content of `manifest.json`.
        metrics: content of `metrics.json`.
    """
    offered = metrics["offered_requests"]
    rows = [
        ("offered / goodput", _pair(metrics, ("offered_rps", "goodput_rps"), "requests/s")),
        ("latency p50 / p90 / p99", _latencies(metrics)),
        ("above the floor by p50 / p99", _pair(metrics, ("excess_p50_ms", "excess_p99_ms"), "ms", 0)),
        (of_requests(manifest), percent(metrics["served_share"])),
        ("failed requests", f"{metrics['failed_requests']:,} of {offered:,} ({percent(metrics['error_rate'])})"),
        ("retried requests", "-" if metrics["retried_requests"] is None else f"{metrics['retried_requests']:,}"),
        ("queue p50 / p99", _pair(metrics, ("queue_p50_ms", "queue_p99_ms"), "ms", 0)),
        ("router's own time p50 / p99", _pair(metrics, ("router_overhead_p50_ms", "router_overhead_p99_ms"), "ms", 2)),
        ("sent late by p50 / p99", _pair(metrics, ("lateness_p50_ms", "lateness_p99_ms"), "ms", 2)),
        ("CPU generator / router", _pair(metrics, ("cpu_generator_cores", "cpu_router_cores"), "cores", 2)),
        ("replica-seconds, with warm-up", quantity(metrics["replica_seconds"], "s", 0)),
        (of_seconds(manifest), quantity(metrics["slo_violation_s"], "s", 0)),
    ]
    if metrics.get("scaling_regret") is not None:
        rows.append(("cost over hindsight's / need to ready", _scaled(metrics)))
    if metrics["exact_error_p50_ms"] is not None:
        keys = ("exact_error_p50_ms", "exact_error_p99_ms")
        rows.append(("off the exact sojourn by p50 / p99", _pair(metrics, keys, "ms", 2)))
    if metrics["faults_injected"]:
        rows.insert(6, ("detection / recovery", f"{quantity(metrics['detection_s'], 's', 2)} / {_recovery(metrics)}"))
        if words := _by(metrics):
            rows.insert(7, ("detected", words.strip(" ()")))
    if posts := metrics.get("post_requests"):
        rows.insert(5, ("failed GET", _lost("get", offered - posts, metrics)))
        rows.insert(6, ("failed POST", _lost("post", posts, metrics)))
    return rows
