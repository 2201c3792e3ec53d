"""A line a request, where it is asked for; where it is not, nothing of this is called."""

from collections.abc import Callable

from services.journal import tell_request
from services.router.wire.messages import Request

Log = Callable[[Request, int | str, float, bytes, str | None, int | None], None]


def log_request(
    request: Request, status: int | str, seconds: float, peer: bytes, replica: str | None, attempts: int | None
) -> None:
    """A request has ended: `status` is `cancelled` where nobody got an answer, or not all of it."""
    id_ = request.header(b"x-request-id")
    tell_request(
        method=request.method.decode("latin-1"),
        path=request.target.partition(b"?")[0].decode("latin-1"),  # what is asked for may be nobody else's business
        status=status,
        ms=round(seconds * 1e3, 3),
        client=peer.decode("latin-1"),
        request_id=None if id_ is None else id_.decode("latin-1"),
        replica=replica,
        attempts=attempts,
    )


def log_refusal(status: int, detail: str) -> None:
    """The same of what is no request; of it nothing is known but why."""
    tell_request(status=status, reason=detail)
