"""The faults of the path between router and replica: which there are, and what they do to bytes. Pure."""

from collections.abc import Callable

from services.backend.faults import FaultSet, added_s, check_parameters

PARAMETERS: dict[str, dict[str, float]] = {
    "delay": {"added_ms": 100.0, "sigma": 0.0},
    "partition": {},
    "lost_requests": {},
    "lost_answers": {},
    "half_open": {"idle_s": 0.0},
    "late_membership": {"delay_s": 2.0},
}
"""Every kind with its parameters and their defaults.

`delay`: each way takes longer (netem, Chaos Mesh). `partition`: nothing gets through, in neither direction, and none of
the next two can be told from it by a new connection, whose handshake needs both ways: `lost_requests` (towards the
replica) and `lost_answers` (back: what was asked is done, and nobody hears of it) are one-way partitions (Jepsen; Chaos
Mesh's `direction`). `half_open`: established connections are forgotten by what lies between (RFC 1122, 4.2.3.6: a
NAT or firewall that lost its state), neither end hears of it, and new ones work. `late_membership`: the router hears
later who has come and who has gone (EndpointSlices, DNS, xDS).
"""
BOUNDS: dict[str, tuple[float, float]] = {
    "added_ms": (0.0, 60_000.0),
    "sigma": (0.0, 3.0),
    "idle_s": (0.0, 3_600.0),
    "delay_s": (0.0, 600.0),
}
"""Smallest and largest value of a parameter."""
LOSES_REQUESTS = frozenset({"partition", "lost_requests"})
LOSES_ANSWERS = frozenset({"partition", "lost_answers"})


def parse(body: object) -> FaultSet:
    """The active set of one path that is asked for, defaults filled in.

    Raises:
        ValueError: an unknown kind or parameter, or a value out of bounds; names the choices.
    """
    if not isinstance(body, dict):
        raise ValueError('the body must be an object such as {"delay": {"added_ms": 50}}')
    parsed: FaultSet = {}
    for kind, given in body.items():
        if kind not in PARAMETERS or not isinstance(given, dict):
            raise ValueError(f"{kind}: there are {', '.join(PARAMETERS)}, each with an object of parameters")
        check_parameters(kind, given, PARAMETERS[kind], BOUNDS)
        parsed[kind] = {name: float(given.get(name, default)) for name, default in PARAMETERS[kind].items()}
    return parsed


class Weather:
    """What the faults of one path do at this moment."""

    def __init__(self, active: FaultSet) -> None:
        """`active` as `parse` returns it."""
        self.active = active
        self.loses_requests = not LOSES_REQUESTS.isdisjoint(active)
        self.loses_answers = not LOSES_ANSWERS.isdisjoint(active)
        self.late_s = active["late_membership"]["delay_s"] if "late_membership" in active else 0.0
        """By how much the router hears later of what becomes of the replica, seconds."""
        self._forgets_s = active["half_open"]["idle_s"] if "half_open" in active else 0.0
        self._delay = {**active["delay"], "tail_index": 0.0} if "delay" in active else None

    @property
    def connects(self) -> bool:
        """Whether a new connection can be made: its handshake goes both ways."""
        return not (self.loses_requests or self.loses_answers)

    def added_s(self, draw: Callable[[], float]) -> float:
        """How much longer one way takes, seconds; lognormal with the mean `added_ms` where there is a `sigma`."""
        return 0.0 if self._delay is None else added_s(self._delay, draw())

    def forgets(self, idle_s: float) -> bool:
        """Whether a connection on which nothing has moved for so long is forgotten."""
        return 0.0 < self._forgets_s < idle_s

    def forgets_all_after(self, before: "Weather") -> bool:
        """Whether this change of the weather is the moment at which every connection is forgotten."""
        return "half_open" in self.active and "half_open" not in before.active and self._forgets_s == 0.0


FAIR = Weather({})
