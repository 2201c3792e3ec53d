"""A course made of others: added, multiplied, one after another."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

from experiments.plan.profiles import PROFILES, Profile
from services.bounds import Bounds, Choices, hold

if TYPE_CHECKING:
    from experiments.plan.profiles import Knots

JOINS = ("add", "multiply", "then")


@dataclass
class Part:
    """One profile, and how it joins those before it."""

    profile: str = "constant"
    """Which one, any but `composed`."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """Its parameters that are not to be its defaults, as `{factor: 2}`."""
    join: Annotated[str, Choices(*JOINS)] = "multiply"
    """Its rate is added to what the parts before it have come to (`add`), or multiplied with it (`multiply`); `then`
    ends those and begins anew behind them. Of the first part it says nothing."""
    level: Annotated[float, Bounds(0, 1000)] = 1.0
    """Its rate, times this: `add` with 0.2 adds a fifth of what it would be alone."""
    lasts: Annotated[float, Bounds(above=0, most=1e6)] = 1.0
    """How long it lasts, in proportion to the others that begin anew; of such a part, and of the first, alone."""


def _example() -> list[Part]:
    return [
        Part("diurnal", {"periods": 2.0}),
        Part("ramp", {"start_factor": 0.8, "end_factor": 1.2}),
        Part("flash_crowd", {"at": 0.6}),
    ]


@dataclass
class Composed:
    """rate(t) = R v(t), v of the parts from the first to the last: v' = v + l p(t), or v l p(t), with a part's own rate
    p(t) and its `level` l. `then` cuts the run into pieces, each as long as its first part `lasts`; every part is
    stretched over its piece.

        R        .-.      |\\  _.-.
               .'   '-. .-' '-'   '.
             _'        '            '_
             0                       d

    A season, a trend, bursts, and their operators, as DLIM has them (von Kistowski et al., Modeling and Extracting Load
    Intensity Profiles, ACM TAAS 11, 2017); its noise is `workload.arrivals=noise`, which goes with every profile.
    """

    name: ClassVar[str] = "composed"
    parts: list[Part] = field(default_factory=_example)
    """A list of `{profile: diurnal, parameters: {periods: 2}, join: multiply, level: 1, lasts: 1}`."""

    def peak(self) -> float:
        """A bound: as if all parts of a piece were at their highest at the same time."""
        highest = []
        for piece in self._pieces():
            value = 0.0
            for number, part in enumerate(piece):
                value = _joined(value, part, part.level * _course(part).peak(), is_first=number == 0)
            highest.append(value)
        return max(highest, default=0.0)

    def knots(self, rate_rps: float, duration_s: float) -> "Knots":
        """Each piece at all moments at which one of its parts bends: exact where those are straight in between."""
        import numpy as np

        pieces = self._pieces()
        total = sum(piece[0].lasts for piece in pieces)
        at, times, counts = 0.0, [np.zeros(1)], [np.zeros(1)]
        for piece in pieces:
            length_s = duration_s * piece[0].lasts / total
            each = [_course(part).knots(rate_rps, length_s) for part in piece]
            moments = np.unique(np.concatenate([knots[0] for knots in each]))
            steps = np.diff(moments)
            value = np.zeros(len(steps))
            for number, (part, (t, count)) in enumerate(zip(piece, each, strict=True)):
                factors = np.diff(np.interp(moments, t, count)) / steps / rate_rps
                value = _joined(value, part, part.level * factors, is_first=number == 0)
            times.append(at + moments[1:])
            counts.append(counts[-1][-1] + rate_rps * np.cumsum(value * steps))
            at += length_s
        times[-1][-1] = duration_s  # the pieces' sum may miss it by a rounding
        return np.concatenate(times), np.concatenate(counts)

    def check(self) -> None:
        """Every part is a profile, with parameters that it takes."""
        if not self.parts:
            raise ValueError("parts=[]: must have one at least, as [{profile: diurnal}, {profile: ramp, join: add}]")
        for number, part in enumerate(self.parts):
            key = f"parts[{number}]"
            if part.lasts != Part.lasts and number and part.join != "then":
                raise ValueError(f"{key}.lasts={part.lasts:g}: must be of the first part, or of one with join=then")
            if part.profile == self.name:
                raise ValueError(f"{key}.profile={self.name}: must be another one; its parts can stand here themselves")
            try:
                course = PROFILES.create(part.profile, dict(part.parameters))
                hold(course)
                course.check()
            except (ValueError, TypeError) as error:
                raise ValueError(f"{key}.parameters: {error}") from error

    def _pieces(self) -> list[list[Part]]:
        """The parts, cut where one begins anew."""
        pieces: list[list[Part]] = []
        for part in self.parts:
            if not pieces or part.join == "then":
                pieces.append([])
            pieces[-1].append(part)
        return pieces


def _course(part: Part) -> Profile:
    return cast(Profile, PROFILES.find(part.profile)(**part.parameters))


def _joined(value: Any, part: Part, factors: Any, *, is_first: bool) -> Any:  # noqa: ANN401 - numbers, or arrays of them
    if is_first:
        return factors
    return value + factors if part.join == "add" else value * factors
