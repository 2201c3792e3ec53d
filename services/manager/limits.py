"""Bounds, tolerance, stabilisation windows and rate limits around every scaler. Pure: it is told the time."""

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal, get_args

from services.manager.settings import ScalingSettings

Kind = Literal[
    "up", "down", "steady", "bounded", "waiting", "no_numbers", "no_router", "by_hand", "new_bounds", "taken_over"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""`bounded`: the wish lies beyond the bounds, at which the number is; `waiting`: it has not been wished for long enough
yet; `no_numbers`, `no_router`: the scaler cannot tell, the router does not answer."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A number of replicas, and why."""

    desired: int
    kind: Kind
    reason: str


class Limits:
    """Turns a scaler's wish into a decision (the order of Kubernetes' HPA: tolerance, window, rate, bounds)."""

    def __init__(self, settings: ScalingSettings) -> None:
        self.settings = settings
        self.time_factor = 1.0
        """The seconds of its windows pass so many times as fast, as the scaler's do whose limits these are."""
        self._wishes: deque[tuple[float, int]] = deque()
        self._grows = False
        """Whether those that were added last have not all been in rotation for a whole interval yet."""
        self._was_full = False
        """Whether at the last look as many were in rotation as were wanted."""

    def decide(
        self, wish: float | None, current: int, now: float, *, ready: int | None = None, present: int | None = None
    ) -> Decision:
        """The decision at `now`.

        Args:
            wish: what the scaler wants; None, NaN = it cannot tell; infinity = as many as there may be.
            current: replicas wanted until now.
            now: seconds.
            ready: replicas in rotation; None = all that are wanted.
            present: replicas there are, starting ones too; likewise.
        """
        if wish is None or math.isnan(wish):
            return Decision(self._bound(current), "no_numbers", "cannot tell: the scaler has no numbers")
        ready = current if ready is None else ready
        wish = min(max(wish, 0.0), 1e6)
        whole = self._whole(wish, current, ready, current if present is None else present)
        decision = self._decide(wish, whole, current, now)
        is_full = ready >= decision.desired
        self._grows = decision.kind == "up" or (self._grows and not (is_full and self._was_full))
        self._was_full = is_full
        return decision

    def hold(self, wish: float | None, current: int) -> Decision:
        """The decision where a scaler has windows and rates of its own: the next whole number up, within the bounds."""
        if wish is None or math.isnan(wish):
            return Decision(self._bound(current), "no_numbers", "cannot tell: the scaler has no numbers")
        whole = math.ceil(min(max(wish, 0.0), 1e6) - 1e-9)
        desired = self._bound(whole)
        if desired == current:
            kind: Kind = "steady" if whole == desired else "bounded"
            word = "stays" if kind == "steady" else "bounded"
            return Decision(desired, kind, f"wish {wish:.2f}: {word} at {current}")
        way: Kind = "up" if desired > current else "down"
        bounded = "" if whole == desired else ", bounded"
        return Decision(desired, way, f"wish {wish:.2f}: {way} from {current} to {desired}{bounded}")

    def _decide(self, wish: float, whole: int, current: int, now: float) -> Decision:
        """What bounds, windows and rates leave of it."""
        kind: Kind = "steady" if whole == self._bound(whole) else "bounded"
        whole = self._bound(whole)
        self._wishes.append((now, whole))
        horizon = now - max(self._up_s, self._down_s)
        while self._wishes[0][0] < horizon:
            self._wishes.popleft()
        if whole > current:
            return self._up(wish, whole, current, now)
        if whole < current:
            return self._down(wish, whole, current, now)
        return Decision(whole, kind, f"wish {wish:.2f}: within tolerance or bounds of {current}")

    def _whole(self, wish: float, current: int, ready: int, present: int) -> int:
        """The next whole number up, unless the metric is near its target, or the change would go the other way.

        Kubernetes' tolerance is on the metric over its target, hence on the wish over those that the metric is of: for
        more, over all there are, of whom those that are not ready count as idle; for fewer, over those in rotation. In
        between, the assumption has turned the change round: nothing is done. Likewise where the number of those that
        are measured alone would turn it round (replica_calculator.go, `GetResourceReplicas`).

        One thing is not Kubernetes': a fleet that has been told to grow and has not been seen at that size for an
        interval goes on without tolerance. A mean lags behind a load that rises, so its first number is too small, and
        would be kept for being nearly right. Tolerance is there for a fleet that has settled.
        """
        tolerance = self.settings.tolerance
        if wish > present * (1 + (0 if self._grows else tolerance)) + 1e-9:
            return max(current, math.ceil(wish - 1e-9))
        if wish < ready * (1 - tolerance) - 1e-9:
            return min(current, math.ceil(wish - 1e-9))
        return current

    def _up(self, wish: float, whole: int, current: int, now: float) -> Decision:
        s = self.settings
        since = now - self._up_s
        stable = min(w for t, w in self._wishes if t >= since)
        if stable <= current:
            return Decision(current, "waiting", f"wish {wish:.2f}: not for {s.stabilization_up_s:g} s yet")
        desired = min(stable, current + s.max_up)
        limited = f", at most {s.max_up} more at a time" if desired < stable else ""
        return Decision(desired, "up", f"wish {wish:.2f}: up from {current} to {desired}{limited}")

    def _down(self, wish: float, whole: int, current: int, now: float) -> Decision:
        s = self.settings
        since = now - self._down_s
        stable = max(w for t, w in self._wishes if t >= since)
        # A window that has not been watched in full says nothing about what would have been wished.
        if stable >= current or self._wishes[0][0] > since + s.interval_s * 1.5:
            return Decision(current, "waiting", f"wish {wish:.2f}: not for {s.stabilization_down_s:g} s yet")
        desired = max(stable, current - s.max_down)
        return Decision(desired, "down", f"wish {wish:.2f}: down from {current} to {desired}")

    @property
    def _up_s(self) -> float:
        return self.settings.stabilization_up_s / self.time_factor

    @property
    def _down_s(self) -> float:
        return self.settings.stabilization_down_s / self.time_factor

    def _bound(self, number: int) -> int:
        return min(max(number, self.settings.min_replicas), self.settings.max_replicas)
