"""Which free slot is worth it where slots are not equally fast: the slow-server problem. Pure.

Whoever takes a slow slot cannot be taken back when a faster one is free a moment later. With one fast and one slow
server the mean time is least where the slow one is left alone until the line is longer than a threshold (Lin and Kumar,
Optimal control of a queueing system with two heterogeneous servers, IEEE TAC 29, 1984; Walrand, A note on it, Systems
and Control Letters 4, 1984); for several slow ones that is open (Koole, The slow-server problem with multiple slow
servers, Queueing Systems 100, 2022).

Here a slow slot is left alone while its time is longer than what the faster ones take for all who are under way there
and all who wait. That needs no rate of arrivals. Of two servers it is the best threshold where requests are few, and
longer than the best where they are many: what is sent to slow slots is what p99 is made of. The slot then goes to the
last in line, for whom waiting is the longest.
"""

from collections.abc import Sequence
from typing import Final

from services.router.policy import Candidate, Pick

LINE: Final = 100
"""So many may wait where replicas that have no free slot may be given more than they have: the others are."""
Seen = tuple[Candidate, int, int, float, float]
"""A replica, its slots, how many of them are taken, how long one takes, whatever the unit, and what speaks against it
among equals."""


def slot(fleet: Sequence[Seen], waiting: float, reason: str) -> Pick | None:
    """The fastest free slot, of several that of whoever has the least of them taken; None: it is worth to wait.

    Args:
        fleet: all who may be picked; among equals the first is taken.
        waiting: others in line; infinite: to wait is no choice.
        reason: of the pick, unless the slot had been `held` back.
    """
    best, least = None, (0.0, 0.0, 0.0)
    for replica, slots, taken, cost, against in fleet:
        if taken < slots:
            place = (cost, taken / slots, against)
            if best is None or place < least:
                best, least = replica, place
    if best is None:
        return None
    rate, faster = 0.0, 0
    for _, slots, _, cost, _ in fleet:
        if cost < least[0]:
            rate += slots / cost
            faster += slots
    if not faster:
        return Pick(best, reason)
    return None if waiting + 1 + faster < least[0] * rate else Pick(best, "held", for_last=True)
