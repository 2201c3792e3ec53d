"""What can be expected of a run or an arm: `latency_p99_ms < 300`, `latency_p99_ms <= 1.05 x reference`.

    METRIC < <= > >= == NUMBER          the value itself; true or false of what is one
    METRIC < <= > >= NUMBER x reference     of what is compared by its ratio: latencies, goodput, ...
    METRIC < <= > >= reference + NUMBER     of what is compared by its difference: shares, and whole seconds

Light: a wrong configuration must answer at once.
"""

import difflib
import math
import re
from dataclasses import dataclass
from functools import cache
from typing import Literal, cast, get_args, get_type_hints

from analysis.comparison.compared import BY_KEY
from record.metrics import Metrics

FORM = "expect='[latency_p99_ms < 300, failed_requests == 0]'"
"""What is typed; the quotes are the shell's, which takes a bare < for a redirection."""
AGAINST = "'latency_p99_ms <= 1.05 x reference' or 'error_rate <= reference + 0.001'"
NEAREST = 3
"""Names that are proposed for one that there is not."""

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_WHOLE = re.compile(r"\s*(?P<metric>[^\s<>=!]+)\s*(?P<operator><=|>=|==|<|>)\s*(?P<bound>[^<>=!]*?)\s*")
_RATIO = re.compile(rf"(?:(?P<number>{_NUMBER})\s*[x*]\s*)?reference", re.ASCII)
_DIFFERENCE = re.compile(r"reference\s*(?P<sign>[+-])\s*(?P<number>\d\S*)", re.ASCII)
_NAMED_BY_A_RUN = re.compile(r"(pick_)?share_.+|lateness_p99_ms_worker_\d+", re.ASCII)
"""Metrics of replicas and generator processes, of which only the run knows how many there are."""

Operator = Literal["<", "<=", ">", ">=", "=="]


class ExpectationError(ValueError):
    """It says nothing that can be held against a run; the text is one line with the right form."""


@dataclass(frozen=True)
class Expectation:
    """One line of `expect`."""

    text: str
    """As it is told: the words that were typed, with single spaces."""
    metric: str
    """A key of `metrics.json`."""
    operator: Operator
    bound: float
    """Of the value, of its ratio to the reference, or of its difference from it; true = 1, false = 0."""
    against: Literal["number", "ratio", "difference"] = "number"

    @property
    def has_reference(self) -> bool:
        """Whether it is about the difference from another arm."""
        return self.against != "number"

    def holds(self, value: float) -> bool:
        """Whether a value is on the right side of the bound."""
        return {
            "<": value < self.bound,
            "<=": value <= self.bound,
            ">": value > self.bound,
            ">=": value >= self.bound,
            "==": value == self.bound,
        }[self.operator]


def parse(text: str) -> Expectation:
    """Read an expectation.

    Raises:
        ExpectationError: it is none; the line names the right form, or the nearest metrics.
    """
    parts = _WHOLE.fullmatch(text)
    if parts is None or not parts["bound"]:
        raise ExpectationError(
            f"expect: '{text.strip()}': must be a metric, one of < <= > >= ==, and a number: {FORM}; or {AGAINST}"
        )
    metric, operator, bound = parts["metric"], cast(Operator, parts["operator"]), " ".join(parts["bound"].split())
    told = f"{metric} {operator} {bound}"
    _check_metric(told, metric)
    if "reference" in bound:
        return _against_reference(told, metric, operator, bound)
    if (metric, bound) in {(m, word) for m in _kinds()["flag"] for word in ("true", "false")}:
        if operator != "==":
            raise ExpectationError(f"expect: '{told}': {metric} is true or false, which goes with == only")
        return Expectation(told, metric, "==", float(bound == "true"))
    if metric in _kinds()["flag"]:
        raise ExpectationError(f"expect: '{told}': {metric} is true or false: '{metric} == true'")
    return Expectation(told, metric, operator, _number(told, bound))


def parse_all(texts: list[str]) -> list[Expectation]:
    """Read several; a text in brackets is a list of them (`split`).

    Raises:
        ExpectationError: one is wrong, or stands there twice.
    """
    expectations = [parse(one) for text in texts for one in split(text)]
    for number, one in enumerate(expectations):
        if one in expectations[:number]:
            raise ExpectationError(f"expect: '{one.text}': stands there twice")
    return expectations


def split(text: str) -> list[str]:
    """The expectations in `[a < 1, b == 0]`, without quotes around each; a text without brackets is one.

    Raises:
        ExpectationError: a bracket is open, or stands within.
    """
    inner = text.strip()
    if not inner.startswith("["):
        return [inner]
    if not inner.endswith("]") or "[" in inner[1:] or "]" in inner[:-1]:
        raise ExpectationError(f"expect: '{text}': must be one list: {FORM}")
    return [one.strip().strip("'\"").strip() for one in inner[1:-1].split(",") if one.strip()]


def _against_reference(told: str, metric: str, operator: Operator, bound: str) -> Expectation:
    ratio, difference = _RATIO.fullmatch(bound), _DIFFERENCE.fullmatch(bound)
    compared = BY_KEY.get(metric)
    if compared is None:
        raise ExpectationError(
            f"expect: '{told}': arms are not compared by {metric}, but by {', '.join(BY_KEY)}; or give a number"
        )
    if operator == "==":
        raise ExpectationError(f"expect: '{told}': no interval shows that two are equal; use <= or >=")
    kind: Literal["ratio", "difference"] = "ratio" if compared.by == "ratio" else "difference"
    if kind == "ratio" and ratio is not None:
        factor = 1.0 if ratio["number"] is None else _number(told, ratio["number"])
        if factor <= 0:
            raise ExpectationError(f"expect: '{told}': a factor of the reference must be above 0")
        return Expectation(told, metric, operator, factor, "ratio")
    if kind == "difference" and bound == "reference":
        return Expectation(told, metric, operator, 0.0, "difference")
    if kind == "difference" and difference is not None:
        size = _number(told, difference["number"])
        signed = -size if difference["sign"] == "-" else size
        return Expectation(told, metric, operator, signed, "difference")
    form = "NUMBER x reference" if kind == "ratio" else "reference + NUMBER"
    by = "ratio" if kind == "ratio" else "difference"
    raise ExpectationError(f"expect: '{told}': {metric} is compared by its {by}: '{metric} {operator} {form}'")


def _number(told: str, text: str) -> float:
    if not re.fullmatch(_NUMBER, text, re.ASCII):
        unit = " (the unit is in the metric's name)" if re.match(_NUMBER, text, re.ASCII) else ""
        raise ExpectationError(f"expect: '{told}': {text} is no number{unit}; as in {FORM}; or {AGAINST}")
    if not math.isfinite(value := float(text)):
        raise ExpectationError(f"expect: '{told}': {text} is beyond all numbers")
    return value


def _check_metric(told: str, metric: str) -> None:
    kinds = _kinds()
    if metric in kinds["number"] or metric in kinds["flag"] or _NAMED_BY_A_RUN.fullmatch(metric):
        return
    if metric in kinds["other"]:
        raise ExpectationError(f"expect: '{told}': {metric} is text, not a number")
    near = difflib.get_close_matches(metric, sorted(kinds["number"] | kinds["flag"]), NEAREST, 0.5)
    advice = f"; the nearest are {', '.join(near)}" if near else ""
    raise ExpectationError(f"expect: '{told}': there is no metric {metric}{advice} (all: docs/results.md)")


@cache
def _kinds() -> dict[str, set[str]]:
    """The keys of `metrics.json` by what they hold: a number, a flag, or other things."""
    kinds: dict[str, set[str]] = {"number": set(), "flag": set(), "other": set()}
    for key, hint in get_type_hints(Metrics).items():
        types = set(get_args(hint) or (hint,))
        kinds["flag" if bool in types else "number" if types & {int, float} else "other"].add(key)
    return kinds
