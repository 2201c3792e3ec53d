"""What the manager answers, typed: the documentation's schemas, and what every answer is held against."""

from typing import Literal

from pydantic import BaseModel


class ReplicaStatus(BaseModel):
    """A replica that the engine runs."""

    id: str
    url: str
    admin_url: str
    pid: int | None
    state: Literal["starting", "running", "warm", "draining", "dead"]
    """`warm`: it stands by, out of rotation."""


class Status(BaseModel):
    """What is wanted, and what there is."""

    monotonic_s: float
    """The manager's clock, seconds."""
    desired: int
    ready: int
    scaler: str
    acts: bool
    """False: it only recommends."""
    autoscaler: bool
    """Whether the scaler decides."""
    self_heal: bool
    min_replicas: int
    max_replicas: int
    first_start_s: float | None
    """How long the first replicas took to start, the median in seconds; null where they were there."""
    replicas: list[ReplicaStatus]


class Scaled(Status):
    """The status after a number was set by hand."""

    note: str


class Seen(BaseModel):
    """What a decision was made by."""

    replicas: int
    ready: int
    slots: int
    in_flight: float | None
    """Mean requests under way since the look before; null = not known."""
    rate_rps: float | None
    """Requests a second that were sent to replicas since then; likewise."""
    signals: dict[str, float | None]
    """What else the scaler was told to read (`services.manager.signals`); null likewise."""
    age_s: float | None
    """How old these numbers are (`autoscaling.signal`); null = there was nothing to see."""


class DecisionMade(BaseModel):
    """One decision."""

    seq: int
    monotonic_s: float
    unix_s: float
    desired: int
    previous: int
    reason: str
    raw_desired: float | None
    """What the scaler asked for, before every limit but its own; null = it could not tell."""
    changed: bool
    observation: Seen


class Decisions(BaseModel):
    """The decisions asked for."""

    decisions: list[DecisionMade]
    next: int
    """The number to ask with next."""


class Happening(BaseModel):
    """What became of a replica."""

    seq: int
    monotonic_s: float
    event: Literal["start_failed", "replica_ended"]
    replica: str
    reason: str
    in_a_row: int
    """How often it has failed without going well in between."""
    again_in_s: float
    """After so many seconds it is started again, if it is still wanted."""


class Events(BaseModel):
    """The events asked for."""

    events: list[Happening]
    next: int
    """The number to ask with next."""


class Failed(BaseModel):
    """Why it was not done, in one line."""

    detail: str


