"""When a router hears of what becomes of one replica. Pure, for the relay and the simulator."""

from collections import deque
from typing import Any, NamedTuple

from services.backend.renewal import LEASE_S


class Word(NamedTuple):
    """What a replica says to a router."""

    url: str
    """Its own address."""
    body: dict[str, Any] | None
    """Of `PUT /replicas/{id}`; None = it deregisters."""

    @property
    def is_change(self) -> bool:
        """Whether it says something new: it comes, drains or leaves. A renewal does not."""
        return self.body is None or "state" in self.body


class Propagation:
    """What is said of changes arrives later, everything in its order; a lease lasts until its replica's farewell.

    A lease is this router's own means; what people have instead (EndpointSlices, Consul, a DNS record) stands until
    the news of its end arrives. So a replica that leaves is not forgotten for want of renewals before.
    """

    def __init__(self) -> None:
        """Nothing is on its way."""
        self._held: deque[tuple[float, Word]] = deque()

    def say(self, word: Word, late_s: float, now: float) -> list[Word]:
        """What the router hears at once of a replica that says `word`."""
        if not self._held and (late_s <= 0 or not word.is_change):
            return [word]
        leaves = word.is_change and (word.body is None or word.body["state"] == "draining")
        is_known = not self._held
        self._held.append((now + late_s, word))
        return [Word(word.url, {"url": word.url, "lease_s": late_s + LEASE_S})] if leaves and is_known else []

    @property
    def next_at(self) -> float | None:
        """When the next word arrives; None = none is on its way."""
        return self._held[0][0] if self._held else None

    def arrived(self, now: float) -> list[Word]:
        """What has arrived by now."""
        words = []
        while self._held and self._held[0][0] <= now:
            words.append(self._held.popleft()[1])
        return words

    def hurry(self) -> list[Word]:
        """All that is on its way: it is waited for no longer."""
        words = [word for _, word in self._held]
        self._held.clear()
        return words
