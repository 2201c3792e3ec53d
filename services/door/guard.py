"""What stands before the FastAPI services: the gate, and limits on the bodies of changes."""

import asyncio
import json
import time
from collections.abc import Collection
from typing import Any

from fastapi import Security
from fastapi.security import HTTPBearer
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.door.access import TOKEN_VARIABLE, admin_token
from services.door.gate import BODY_DEADLINE_S, MAX_BODY_BYTES, READING, Gate, Refusal

REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"description": "The bearer token is missing or wrong"},
    403: {"description": "Without a token: a web page from elsewhere asks"},
    408: {"description": f"The body did not come within {BODY_DEADLINE_S:g} s"},
    413: {"description": f"The body has more than {MAX_BODY_BYTES} bytes"},
    429: {"description": "Too many changes, or too many that were refused; `Retry-After` says how long"},
}
"""The guard's answers, for the documentation."""


def documented_token() -> list[Any]:
    """Dependencies of a guarded route: they say in its documentation that the guard asks for a token, if it does."""
    return [] if admin_token() is None else [Security(HTTPBearer(auto_error=False, description=TOKEN_VARIABLE))]


class Guard:
    """ASGI middleware: a change is judged before its body is read, and its body is read before anything sees it."""

    def __init__(self, app: ASGIApp, open_paths: Collection[str] = ()) -> None:
        """Every method that is not a reading one changes something, but on `open_paths`."""
        self._app = app
        self._open = frozenset(open_paths)
        self._gate = Gate(limits_changes=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        if scope["type"] != "http" or scope["method"] in READING or scope["path"] in self._open:
            await self._app(scope, receive, send)
            return
        given = {name: value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._gate.judge(scope["method"], given.get(b"authorization"), given.get(b"origin"), time.monotonic())
        if refusal is not None:
            await _answer(send, refusal)
            return
        try:
            async with asyncio.timeout(BODY_DEADLINE_S):
                body = await _body(receive)
        except TimeoutError:
            await _answer(send, Refusal(408, f"the body did not come within {BODY_DEADLINE_S:g} s"))
            return
        except ConnectionError:
            return
        if body is None:
            await _answer(send, Refusal(413, f"the body may have up to {MAX_BODY_BYTES} bytes"))
            return
        whole: Message | None = {"type": "http.request", "body": body, "more_body": False}

        async def replay() -> Message:
            nonlocal whole
            message, whole = whole, None
            return message if message is not None else await receive()

        await self._app(scope, replay, send)


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None where it is too large.

    Raises:
        ConnectionError: the client has gone.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return bytes(body)


async def _answer(send: Send, refusal: Refusal) -> None:
    """Answer; uvicorn drops what the client still sends of its body."""
    body = json.dumps({"detail": refusal.error}).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **refusal.headers}
    if refusal.status == 408:
        headers["Connection"] = "close"
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
