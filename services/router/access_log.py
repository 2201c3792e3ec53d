"""A line a request, where it is asked for; where it is not, nothing of this is called."""

import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from services.journal import tell_request

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def logged(handle: Handler) -> Handler:
    """`handle`, and a line when the request has ended: `status=cancelled` where nobody got an answer."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        began = time.monotonic()
        response = None
        try:
            response = await handle(request)
            return response
        finally:
            _tell(request, response, time.monotonic() - began)

    return handler


def logged_refusal(refuse: Callable[[str], web.StreamResponse]) -> Callable[[str], web.StreamResponse]:
    """The same for what is no request; of it nothing is known but why."""

    def refusing(detail: str) -> web.StreamResponse:
        response = refuse(detail)
        tell_request(status=response.status, reason=detail)
        return response

    return refusing


def _tell(request: web.BaseRequest, response: web.StreamResponse | None, seconds: float) -> None:
    given = {} if response is None else response.headers
    tell_request(
        method=request.method,
        path=request.raw_path.partition("?")[0],  # what is asked for may be nobody else's business
        status="cancelled" if response is None else response.status,
        ms=round(seconds * 1e3, 3),
        client=request.remote,
        request_id=request.headers.get("X-Request-Id"),
        replica=given.get("X-Aegis-Replica"),
        attempts=given.get("X-Aegis-Attempts"),
    )
