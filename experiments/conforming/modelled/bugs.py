"""What may be wrong with a proxy, a class each, and the setting in which it is looked for."""

from dataclasses import dataclass

from experiments.conforming.modelled.proxy import Proxy, Setting, Try
from experiments.references import Offer, State, create

STALE_S = 0.1
HEAVY = (3.0, 1.0, 1.0, 1.0)


class StaleCounter(Proxy):
    """Counts are looked at every `STALE_S` seconds only, as between workers that tell each other so often."""

    _at = -1.0
    _told: tuple[int, ...] = ()

    def counted(self) -> tuple[int, ...]:
        """What they were then."""
        if self.now >= self._at + STALE_S or self._at < 0:
            self._at, self._told = self.now, tuple(self.counts)
        return self._told


class NoDecrementOnReset(Proxy):
    """An attempt that fails is never taken off."""

    def uncount(self, attempt: Try) -> None:
        """Good ones only."""
        if attempt.is_ok:
            super().uncount(attempt)


class PerWorkerRotation(Proxy):
    """Two workers, each with a rotation of its own, that take requests by chance."""

    _other: State = None

    def decide(self, offer: Offer) -> int:
        """Whichever wakes up."""
        if self._other is None:
            self._other = self.rng.choice(list(self.reference.begin(True, True)))
        if self.rng.random() < 0.5:
            self.state, self._other = self._other, self.state
        return super().decide(offer)


class FirstOfEqual(Proxy):
    """Of equally loaded ones always the first."""

    def decide(self, offer: Offer) -> int:
        """By the order of the configuration."""
        weights = self.setting.weights
        return min(offer.untried, key=lambda n: (offer.counts[n] / weights[n], n))


class WeightIgnored(Proxy):
    """Weights are taken for equal."""

    def __init__(self, setting: Setting, seed: int) -> None:
        """It has a reference of its own."""
        super().__init__(setting, seed)
        self.reference = create(setting.reference, (1.0,) * self.size, dict(setting.options))
        self.state = next(iter(self.reference.begin(True, True)))


class EjectedPicked(Proxy):
    """Who is out is asked all the same."""

    def offer(self, tried: tuple[int, ...]) -> Offer:
        """All of them."""
        return super().offer(tried)._replace(offered=tuple(range(self.size)))


class RetryToSame(Proxy):
    """A retry does not know where its request has been."""

    def offer(self, tried: tuple[int, ...]) -> Offer:
        """As if it were the first attempt."""
        return super().offer(())


class OffByOne(Proxy):
    """Each sixteenth decision takes the one after the one whose turn it is."""

    _turn = 0

    def decide(self, offer: Offer) -> int:
        """One is passed over."""
        self._turn += 1
        if self._turn % 16 == 0:
            super().decide(offer)
        return super().decide(offer)


class BiasedDraw(Proxy):
    """A random number of 0 to n, modulo n, so that the first is drawn twice as often."""

    def decide(self, offer: Offer) -> int:
        """The less loaded of two so drawn."""
        among = offer.untried
        first, second = (among[int(self.rng.random() * (len(among) + 1)) % len(among)] for _ in range(2))
        return second if offer.counts[second] < offer.counts[first] else first


class CountsFinished(Proxy):
    """It counts requests that came, not those in flight."""

    def uncount(self, attempt: Try) -> None:
        """Nothing is taken off."""


class LostAtEjection(Proxy):
    """What was in flight when a replica was taken out is never taken off."""

    _cut: dict[int, float] | None = None

    def out(self, replica: int) -> None:
        """From now on."""
        self._cut = {**(self._cut or {}), replica: self.now}
        super().out(replica)

    def uncount(self, attempt: Try) -> None:
        """Unless it began before its replica was taken out."""
        if attempt.picked_s > (self._cut or {}).get(attempt.replica, -1.0):
            super().uncount(attempt)


class DoubleDecrement(Proxy):
    """A failed attempt is taken off twice: where it fails, and where it is tried again."""

    def uncount(self, attempt: Try) -> None:
        """Never below 0."""
        super().uncount(attempt)
        if not attempt.is_ok:
            self.counts[attempt.replica] = max(0, self.counts[attempt.replica] - 1)


class OneChoice(Proxy):
    """It draws once: load plays no part."""

    def decide(self, offer: Offer) -> int:
        """Any."""
        return self.rng.choice(offer.untried)


class RotationRestarts(Proxy):
    """The rotation begins anew each second, as where a configuration is read again."""

    _second = 0

    def decide(self, offer: Offer) -> int:
        """From the first one on."""
        if int(self.now) != self._second:
            self._second, self.state = int(self.now), next(iter(self.reference.begin(True, True)))
        return super().decide(offer)


class SlowToCount(Proxy):
    """A request counts only once its answer begins: two at a time see the same counts."""

    def counted(self) -> tuple[int, ...]:
        """Without those that began in the last 10 ms."""
        young = [0] * self.size
        for _, _, kind, what in self._queue:
            if kind == 1 and what.picked_s > self.now - 0.01:
                young[what.replica] += 1
        return tuple(max(0, count - new) for count, new in zip(self.counts, young, strict=True))


@dataclass(frozen=True)
class Bug:
    """A bug, and where it is looked for."""

    proxy: type[Proxy]
    setting: Setting


FAILING = 0.02
LATE_S = (1e-3, 2e-3)
"""Stamps of a machine that others use, too, and of one that has not enough cores."""
TWO = (("choices", 2),)
SCAN = (("choices", 0),)
UNPUNISHED = (("error_penalty_s", 0.0),)
"""Then a replica that fails has something in flight when it is taken out."""
# What goes wrong at failures and ejections is looked for in Aegis' own policies: its router's events have stamps. Whom
# another proxy has out nobody knows, and whoever has failed there may be passed over, or not.
BUGS: dict[str, Bug] = {
    "stale counter": Bug(StaleCounter, Setting("envoy_least_request", TWO)),
    "no decrement on reset": Bug(NoDecrementOnReset, Setting("least_request", failing=FAILING)),
    "rotation per worker": Bug(PerWorkerRotation, Setting("nginx_round_robin")),
    "wrong tie break": Bug(FirstOfEqual, Setting("haproxy_leastconn")),
    "weight ignored": Bug(WeightIgnored, Setting("nginx_least_conn", weights=HEAVY)),
    "ejected host picked": Bug(EjectedPicked, Setting("random", failing=FAILING)),
    "retry to the same host": Bug(RetryToSame, Setting("least_request", failing=FAILING)),
    "off by one in the rotation": Bug(OffByOne, Setting("envoy_round_robin")),
    "biased draw": Bug(BiasedDraw, Setting("envoy_least_request", TWO)),
    "counts finished requests": Bug(CountsFinished, Setting("haproxy_leastconn")),
    "count lost at ejection": Bug(LostAtEjection, Setting("least_request", UNPUNISHED, failing=FAILING)),
    "decremented twice": Bug(DoubleDecrement, Setting("least_request", failing=FAILING)),
    "one choice for two": Bug(OneChoice, Setting("least_request", TWO)),
    "weight ignored in a draw": Bug(WeightIgnored, Setting("random", weights=HEAVY)),
    "rotation begins anew": Bug(RotationRestarts, Setting("haproxy_roundrobin", weights=HEAVY)),
    "first of equal in a full scan": Bug(FirstOfEqual, Setting("envoy_least_request", SCAN)),
    "counts too late": Bug(SlowToCount, Setting("nginx_least_conn")),
}
"""By name; `python -m experiments.conformance_calibration` measures each."""
RIGHT: tuple[Setting, ...] = (
    Setting("envoy_least_request", TWO, failing=FAILING), Setting("envoy_least_request", SCAN),
    Setting("envoy_round_robin", failing=FAILING), Setting("haproxy_leastconn", failing=FAILING),
    Setting("haproxy_leastconn", weights=HEAVY), Setting("haproxy_roundrobin"),
    Setting("haproxy_roundrobin", weights=HEAVY), Setting("nginx_least_conn", failing=FAILING),
    Setting("nginx_least_conn", weights=HEAVY), Setting("nginx_round_robin", weights=HEAVY),
    Setting("round_robin"), Setting("least_request", failing=FAILING),
    Setting("least_request", TWO, weights=HEAVY, failing=FAILING), Setting("random", weights=HEAVY, failing=FAILING),
    *(
        Setting(name, late_s=late_s)
        for late_s in LATE_S
        for name in (
            "haproxy_leastconn", "nginx_least_conn", "nginx_round_robin", "haproxy_roundrobin", "envoy_round_robin",
            "round_robin", "least_request", "envoy_least_request",
        )
    ),
)  # fmt: skip
"""Those of which none is to be accused."""
