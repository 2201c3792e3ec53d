"""How fast a number of pods may change: `behavior` of autoscaling/v2 (horizontal.go). Pure: it is told the time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.bounds import Bounds, Choices

DIRECTIONS = ("scaleUp", "scaleDown")
DEFAULTS: dict[str, Any] = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Max",
        "policies": [
            {"type": "Pods", "value": 4, "periodSeconds": 15},
            {"type": "Percent", "value": 100, "periodSeconds": 15},
        ],
        "tolerance": 0.1,
    },
    "scaleDown": {
        "stabilizationWindowSeconds": 300,
        "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
        "tolerance": 0.1,
    },
}
"""The API's (pkg/apis/autoscaling/v2/defaults.go); the tolerance is the controller's."""
WINDOW = Bounds(0, 3600)
PERIOD = Bounds(1, 1800)
VALUE = Bounds(1, 100_000)
"""The API's bounds (pkg/apis/autoscaling/validation); a value has none above there."""


@dataclass(frozen=True, slots=True)
class Policy:
    """So many pods, or so many per cent of those that there were, in a period of seconds."""

    type: str
    value: int
    period_s: float


@dataclass(frozen=True, slots=True)
class Rules:
    """Of one direction."""

    window_s: float
    select: str
    policies: tuple[Policy, ...]
    tolerance: float


class Behavior:
    """Both directions, what was recommended and what has changed lately."""

    def __init__(self, up: Rules, down: Rules) -> None:
        self.up = up
        self.down = down
        self._recommended: list[tuple[float, int]] | None = None
        """None = it has not been asked yet."""
        self._changes: list[tuple[float, int]] = []
        """When how many were added; fewer are below 0."""
        self._longest_s = max((p.period_s for rules in (up, down) for p in rules.policies), default=0.0)

    def note(self, change: int, at: float) -> None:
        """So many more have been wanted since `at`."""
        self._changes = [(t, n) for t, n in self._changes if t > at - self._longest_s]
        self._changes.append((at, change))

    def begin(self, current: int, now: float) -> None:
        """The number that it finds counts as recommended, once: a new controller takes none away for a window."""
        if self._recommended is None:
            self._recommended = [(now, current)]

    def stabilised(self, desired: int, current: int, now: float) -> int:
        """The number within the lowest recommendation of the window upwards and the highest of the one downwards."""
        least = most = desired
        recommended = self._recommended or []
        for at, number in recommended:
            if at > now - self.up.window_s:
                least = min(least, number)
            if at > now - self.down.window_s:
                most = max(most, number)
        window_s = max(self.up.window_s, self.down.window_s)
        self._recommended = [(at, number) for at, number in recommended if at >= now - window_s]
        self._recommended.append((now, desired))
        return min(max(current, least), most)

    def limited(self, desired: int, current: int, now: float) -> int:
        """The number as far as the policies let it be reached by now."""
        if desired > current:
            return min(desired, max(current, self._most(current, now)))
        if desired < current:
            return max(desired, min(current, self._least(current, now)))
        return desired

    def _most(self, current: int, now: float) -> int:
        rules = self.up
        if rules.select == "Disabled":
            return current
        starts = ((policy, self._before(policy.period_s, current, now)) for policy in rules.policies)
        reached = [
            n + policy.value if policy.type == "Pods" else math.ceil(n * (1 + policy.value / 100))
            for policy, n in starts
        ]
        return max(reached) if rules.select == "Max" else min(reached)

    def _least(self, current: int, now: float) -> int:
        rules = self.down
        if rules.select == "Disabled":
            return current
        starts = ((policy, self._before(policy.period_s, current, now)) for policy in rules.policies)
        reached = [
            n - policy.value if policy.type == "Pods" else math.trunc(n * (1 - policy.value / 100))
            for policy, n in starts
        ]
        return min(reached) if rules.select == "Max" else max(reached)

    def _before(self, period_s: float, current: int, now: float) -> int:
        """How many were wanted a period ago."""
        return current - sum(change for at, change in self._changes if at > now - period_s)


def read(content: Mapping[str, Any], key: str) -> Behavior:
    """The behaviour that `content` describes, in the API's words; what it leaves out is the API's default.

    Raises:
        ValueError: with the key below `key`, its value and what it must be.
    """
    _known(content, DIRECTIONS, key)
    return Behavior(*(_rules({**DEFAULTS[way], **_section(content.get(way, {}), f"{key}.{way}")}, f"{key}.{way}")
                      for way in DIRECTIONS))  # fmt: skip


def _rules(content: Mapping[str, Any], key: str) -> Rules:
    _known(content, DEFAULTS["scaleUp"], key)
    window, tolerance = content["stabilizationWindowSeconds"], content["tolerance"]
    whole(window, f"{key}.stabilizationWindowSeconds", WINDOW)
    Bounds(0, 1).check(f"{key}.tolerance", number(tolerance, f"{key}.tolerance"))
    Choices("Max", "Min", "Disabled").check(f"{key}.selectPolicy", content["selectPolicy"])
    policies = content["policies"]
    if not isinstance(policies, Sequence) or isinstance(policies, str) or not policies:
        raise ValueError(f"{key}.policies={policies}: must be a list of {{type, value, periodSeconds}}, not empty")
    each = tuple(_policy(policy, f"{key}.policies.{place}") for place, policy in enumerate(policies))
    return Rules(float(window), content["selectPolicy"], each, float(tolerance))


def _policy(content: object, key: str) -> Policy:
    names = ("type", "value", "periodSeconds")
    section = _section(content, key)
    _known(section, names, key)
    for name in names:
        if name not in section:
            raise ValueError(f"{key}.{name}: must be given")
    Choices("Pods", "Percent").check(f"{key}.type", section["type"])
    whole(section["value"], f"{key}.value", VALUE)
    whole(section["periodSeconds"], f"{key}.periodSeconds", PERIOD)
    return Policy(section["type"], int(section["value"]), float(section["periodSeconds"]))


def _section(content: object, key: str) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise ValueError(f"{key}={content}: must be a section")
    return content


def _known(content: Mapping[str, Any], names: Sequence[str] | Mapping[str, Any], key: str) -> None:
    for name in content:
        if name not in names:
            raise ValueError(f"{key}.{name}: there is no such key; there are {', '.join(names)}")


def number(value: object, key: str) -> float:
    """The number that it must be.

    Raises:
        ValueError: with the key.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key}={value}: must be a number")
    return value


def whole(value: object, key: str, bounds: Bounds) -> int:
    """The whole number within bounds that it must be: the API's type is int32.

    Raises:
        ValueError: with the key.
    """
    bounds.check(key, number(value, key))
    if value != int(number(value, key)):
        raise ValueError(f"{key}={value}: must be a whole number {bounds}")
    return int(number(value, key))
