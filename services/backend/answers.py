"""What a replica answers, typed, for its documentation: the answers are made without these, on the hot path."""

from pydantic import BaseModel


class Answer(BaseModel):
    """What every answer holds."""

    replica: str
    """Who answers."""


class Worked(Answer):
    """Work that was done."""

    request_id: str
    queue_ms: float
    """Planned time in line, milliseconds."""
    service_ms: float
    """Planned time in service, milliseconds."""


class Load(Answer):
    """The replica at this moment."""

    in_flight: int
    waiting: int
    wait_ms: float
    """Planned wait of a request that came now, milliseconds."""
    latency_ms: float | None
    """What requests took lately that met as many others, milliseconds; null = nothing is known."""
    concurrency: int


class Readiness(Answer):
    """Whether work may be sent."""

    ready: bool


class Refused(Answer):
    """Why there was no work done, in one line."""

    error: str
