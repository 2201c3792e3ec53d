"""A span a request of work, where they are asked for."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.tracing import Tracing

PATH = "/work"
GONE = 499
"""What a replica answers where nobody reads it any more."""
MS = {"aegis.queue_ms": b"x-aegis-queue-ms", "aegis.service_ms": b"x-aegis-service-ms"}
"""Attributes of a span, and the header of the answer that each is read from."""


def traced(app: ASGIApp, tracing: Tracing) -> ASGIApp:
    """`app`, and a span of each request of work, below that of the router's attempt."""

    async def tracing_app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await app(scope, receive, send)
            return
        given = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        trace = tracing.request(scope["method"], PATH, given)
        answer: Message = {}

        async def noting(message: Message) -> None:
            nonlocal answer
            if message["type"] == "http.response.start":
                answer = message
            await send(message)

        try:
            await app(scope, receive, noting)
        finally:
            status = None if answer.get("status") == GONE else answer.get("status")
            told = dict(answer.get("headers", ()))
            spent = {name: float(told[header]) for name, header in MS.items() if header in told}
            trace.ended(status, "cancelled" if status is None else None, **spent)

    return tracing_app
