"""How long a connection to a replica may have been idle and still be used: learnt from those that were dead. Pure.

What lies between (a NAT, a firewall, a load balancer) forgets connections that are idle for longer than it remembers,
and tells neither end; whoever asks on one gets neither answer nor error (RFC 5382, REQ-5, asks for two hours and four
minutes; many remember for minutes). The remedy that people arrive at is to keep none idle for as long (haproxy #2135,
reactor-netty #764), by hand, since nobody says how long that is. Here a request that got no answer on a connection that
had been idle for t says that it is less, and half of t is tried: by halving, a few suffice. It holds for all replicas,
which stand behind the same. A replica that hangs says the same, and costs some new connections.
"""

from typing import Final

LEAST_S: Final = 0.5
"""Nobody is expected to remember for less, seconds."""
KEPT_S: Final = 300.0
"""So long after the last dead connection the limit is forgotten, seconds."""


class IdleLimit:
    """Of one router."""

    def __init__(self) -> None:
        """Nothing has been learnt."""
        self._limit_s = float("inf")
        self._until = float("-inf")

    def silent(self, idle_s: float, now: float) -> None:
        """A connection that had been idle for `idle_s` seconds when it was used again gave no answer until `now`."""
        if idle_s < LEAST_S:
            return
        known_s = self._limit_s if now <= self._until else float("inf")
        self._limit_s = min(known_s, max(LEAST_S, idle_s / 2))
        self._until = now + KEPT_S

    def trusts(self, idle_s: float, now: float) -> bool:
        """Whether one that has been idle for `idle_s` seconds may be used."""
        return idle_s < self._limit_s or now > self._until
