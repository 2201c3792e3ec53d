"""Who is in the fleet, over REST: what replicas say of themselves, what is read of them, and what has happened."""

import asyncio
import contextlib
import time
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from services.door.access import ID
from services.door.gate import BODY_DEADLINE_S, MAX_BODY_BYTES, Gate
from services.router.events import EventLog
from services.router.fleet import Fleet, NotOwnerError
from services.router.replica import describe

MAX_REPLICAS = 10_000
MAX_URL_CHARACTERS = 300
"""The longest name (RFC 1035: 253) with scheme and port; events keep it ten thousand times."""


class Rejected(Exception):
    """The request is wrong; the text says how."""


class Membership:
    """`/replicas` and `/events`, of the router or of what keeps the members of another proxy."""

    def __init__(self, fleet: Fleet, events: EventLog) -> None:
        """`events` has heard of all that has happened to `fleet`."""
        self._fleet = fleet
        self._events = events
        self._gate = Gate(limits_changes=False)  # every replica renews its lease every second

    def app(self) -> web.Application:
        """An application with these routes; more can be added."""
        app = web.Application(middlewares=[self._guard], client_max_size=MAX_BODY_BYTES)
        app.add_routes(
            [
                web.get("/events", self._get_events),
                web.get("/replicas", self._list),
                web.get("/replicas/{id}", self._get),
                web.put("/replicas/{id}", self._put),
                web.delete("/replicas/{id}", self._delete),
            ]
        )
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:  # noqa: ANN401
        """Refuse changes without the token; answer wrong requests in one line."""
        given = request.headers
        refusal = self._gate.judge(request.method, given.get("Authorization"), given.get("Origin"), time.monotonic())
        if refusal is not None:
            return web.json_response({"error": refusal.error}, status=refusal.status, headers=refusal.headers)
        try:
            response: web.StreamResponse = await handler(request)
        except Rejected as error:
            return web.json_response({"error": str(error)}, status=422)
        except NotOwnerError as error:
            return web.json_response({"error": str(error)}, status=409)
        return response

    async def _get_events(self, request: web.Request) -> web.Response:
        since = request.query.get("since", "0")
        if not (since.isascii() and since.isdecimal()) or len(since) > 18:
            raise Rejected(f"since={since[:40]}: must be the number of an event")
        return web.json_response(self._events.since(int(since)))

    async def _list(self, _: web.Request) -> web.Response:
        now = time.monotonic()
        return web.json_response({"replicas": [describe(r, now) for r in self._fleet.replicas.values()]})

    async def _get(self, request: web.Request) -> web.Response:
        replica = self._fleet.replicas.get(request.match_info["id"])
        if replica is None:
            return web.json_response({"error": f"no replica {request.match_info['id']}"}, status=404)
        return web.json_response(describe(replica, time.monotonic()))

    async def _put(self, request: web.Request) -> web.Response:
        id_ = request.match_info["id"]
        if not ID.fullmatch(id_):
            raise Rejected("id: up to 64 letters, digits, dots, dashes and underscores")
        try:
            async with asyncio.timeout(BODY_DEADLINE_S):
                body = await request.json()
        except TimeoutError:
            raise Rejected(f"the body did not come within {BODY_DEADLINE_S:g} s") from None
        except (ValueError, LookupError, RecursionError, aiohttp.ClientError, web.RequestPayloadError):
            raise Rejected("the body must be a JSON object") from None
        fields = _checked(body)
        if id_ not in self._fleet.replicas and len(self._fleet.replicas) >= MAX_REPLICAS:
            raise Rejected(f"there are {MAX_REPLICAS} replicas already")
        now = time.monotonic()
        try:
            is_new = self._fleet.put(id_, now, **fields)
        except KeyError:
            raise Rejected(f"url: needed for {id_}, which is not known yet") from None
        replica = self._fleet.replicas[id_]
        return web.json_response(describe(replica, now), status=201 if is_new else 200)

    async def _delete(self, request: web.Request) -> web.Response:
        """With `?url=...` only the replica at that address."""
        url = _base_url("url", request.query["url"]) if "url" in request.query else None
        if not self._fleet.remove(request.match_info["id"], time.monotonic(), url):
            return web.json_response({"error": f"no replica {request.match_info['id']}"}, status=404)
        return web.Response(status=204)


def _number(body: dict[str, Any], key: str, low: float, high: float) -> float | None:
    value = body.get(key)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise Rejected(f"{key}={value}: must be a number between {low:g} and {high:g}")
    return float(value)


def _checked(body: object) -> dict[str, Any]:
    """The fields of a replica, held against their types and bounds."""
    keys = ("url", "admin_url", "weight", "state", "lease_s", "concurrency", "cpu_s")
    if not isinstance(body, dict):
        raise Rejected("the body must be a JSON object")
    for key in body:
        if key not in keys:
            raise Rejected(f"{key}: there are {', '.join(keys)}")
    for key in ("url", "admin_url"):
        if body.get(key) is not None:
            body[key] = _base_url(key, body[key])
    if body.get("state") not in (None, "ready", "draining"):
        raise Rejected(f"state={body['state']}: must be ready or draining")
    concurrency = _number(body, "concurrency", 1, 1e6)
    return {
        "url": body.get("url"),
        "admin_url": body.get("admin_url"),
        "state": body.get("state"),
        "weight": _number(body, "weight", 0.001, 1000),
        "lease_s": _number(body, "lease_s", 0.1, 86_400),
        "cpu_s": _number(body, "cpu_s", 0, 1e12),
        "concurrency": None if concurrency is None else int(concurrency),
    }


def _base_url(key: str, url: object) -> str:
    """`http://host:port` as it can be asked, in one spelling."""
    plain = isinstance(url, str) and url.isascii() and url.isprintable() and not set(" ?#@") & set(url)
    with contextlib.suppress(ValueError):
        parsed = URL(url if plain and isinstance(url, str) and len(url) <= MAX_URL_CHARACTERS else "")
        if parsed.scheme == "http" and parsed.host and parsed.path == "/":
            parsed.host.encode("idna")  # as whoever connects does: an empty label, or one of more than 63, is none
            return str(parsed.origin())
    raise Rejected(f"{key}={str(url)[:100]!a}: must look like http://host:port")
