"""What the connections tell whoever serves a request: all that the attempts and the answer hear of the wire."""

from typing import Protocol


class Exchange(Protocol):
    """What becomes of one request; told of all that happens on its client's connection."""

    def more(self) -> None:
        """More of the request's body is here, or its end, or what is wrong with it."""

    def expired(self) -> None:
        """The moment has come that was set as the connection's deadline."""

    def full(self) -> None:
        """The client does not read as fast as it is written to."""

    def drained(self) -> None:
        """The client has read."""

    def gone(self) -> None:
        """The client has hung up."""


class Asker(Protocol):
    """Whose request is under way."""

    def heard(self) -> None:
        """More of the answer is here: see `answer`, `wrong`, `lost`."""

    def sendable(self) -> None:
        """More of the request can be written."""
