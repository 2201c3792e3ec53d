"""A line a request of the FastAPI services, where it is asked for."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.journal import tell_request

PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked several times a second by machines: told only where they fail."""
GONE = 499
"""What a replica answers where nobody reads it any more."""

def logged(app: ASGIApp) -> ASGIApp:
    """`app`, and a line when a request has ended: `status=cancelled` where nobody got an answer."""

    async def logging_app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        began = time.monotonic()
        status: int | None = None

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await app(scope, receive, noting)
        finally:
            if status != 200 or scope["path"] not in PROBES:
                _tell(scope, status, time.monotonic() - began)

    return logging_app


def _tell(scope: Scope, status: int | None, seconds: float) -> None:
    given = dict(scope["headers"])
    tell_request(
        method=scope["method"],
        path=scope["path"],  # what is asked for may be nobody else's business
        status="cancelled" if status in (None, GONE) else status,
        ms=round(seconds * 1e3, 3),
        client=(scope.get("client") or (None,))[0],
        request_id=given.get(b"x-request-id", b"").decode("latin-1") or None,
        attempt=given.get(b"x-aegis-attempt", b"").decode("latin-1") or None,
    )
