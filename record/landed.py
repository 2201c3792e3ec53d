"""The faults that landed in a run, and when its replicas were in rotation, as the run's events tell."""

from collections.abc import Mapping
from dataclasses import dataclass

from record.schema import FAULT_HEALED, FAULT_INJECTED, IN_ROTATION, OUT_OF_ROTATION
from record.shapes import Event

MOMENTARY = frozenset({"restart"})
"""Actions that are over when they have been carried out."""
SERVICES = frozenset({"router", "manager", "tier_router", "system"})
"""Targets that are no replicas: nobody takes them out of rotation. `system` is what a command of the user's hits."""


@dataclass(frozen=True)
class LandedFault:
    """A fault that was injected. Times in seconds from the run's start."""

    index: int
    action: str
    target: str
    landed_s: float
    healed_s: float | None
    """None: it lasted until the run's end (a replica lost for good), or was over at once."""
    parameters: Mapping[str, float] | None = None
    """All of them, defaults included; None in a run from before they stood in its events."""

    @property
    def is_on_replica(self) -> bool:
        """Whether a router could notice it by taking the target out of rotation."""
        return self.target not in SERVICES

    @property
    def well_from_s(self) -> float:
        """The moment from which recovery counts: the heal, else the moment the fault landed."""
        return self.landed_s if self.healed_s is None else self.healed_s

    def ends_s(self, run_end_s: float) -> float:
        """Until when it lasted, given the run's end."""
        if self.healed_s is not None:
            return self.healed_s
        return self.landed_s if self.action in MOMENTARY else run_end_s


def landed(events: list[Event]) -> list[LandedFault]:
    """The faults of a run, in order of time; a heal by the clean-up after the run is none."""
    healed = {e["fault"]: e["t_s"] for e in events if e["event"] == FAULT_HEALED and not e.get("at_end")}
    faults = [
        LandedFault(
            e["fault"],
            str(e["action"]),
            str(e["target"]),
            float(e["t_s"]),
            healed.get(e["fault"]),
            e.get("parameters"),
        )
        for e in events
        if e["event"] == FAULT_INJECTED
    ]
    return sorted(faults, key=lambda fault: (fault.landed_s, fault.index))


def left_rotation(events: list[Event], replica: str, start_s: float, end_s: float) -> Event | None:
    """The event by which a replica first left the rotation within [start_s, end_s]; None = it did not."""
    leaving = [
        e
        for e in events
        if e.get("replica") == replica and e["event"] in OUT_OF_ROTATION and start_s <= e["t_s"] <= end_s
    ]
    return min(leaving, key=lambda e: e["t_s"], default=None)


def detector(event: Event) -> str:
    """What took a replica out of rotation: `health_check`, `consecutive_failures`, `refused`, `lease`, or the event."""
    if event["event"] == "expired":
        return "lease"
    return event.get("cause", event["event"])


def is_in_rotation(events: list[Event], replica: str, moment_s: float) -> bool:
    """Whether a replica was in rotation just before a moment; one that no event speaks of was."""
    state = True
    for event in sorted(events, key=lambda e: float(e["t_s"])):
        if event["t_s"] >= moment_s:
            break
        if event.get("replica") == replica:
            if event["event"] in OUT_OF_ROTATION:
                state = False
            elif event["event"] == IN_ROTATION:
                state = True
    return state
