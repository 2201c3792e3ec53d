"""One HTTP request over gevent, sent once: no retry that nobody asked for, nothing shared between greenlets.

geventhttpclient (the library under Locust's FastHttpUser) gives sockets, pool and parser; its own
`HTTPClient.request` is passed over, because it sends an idempotent request again, silently, as often as the
pool has connections (client.py, `attempts_left`), which would hide a failing server.
"""

import select
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import gevent
from gevent.monkey import get_original
from geventhttpclient.connectionpool import ConnectionPool
from geventhttpclient.response import HTTPParseError, HTTPSocketPoolResponse

from experiments.load.asking import Asking
from record.schema import HEDGES
from services.descriptors import own_fault

MOST = 1e9
"""Largest number in a header that is believed, NaN is none."""
MOST_ATTEMPTS = 32_767
"""So many have room in a row."""
POLL = get_original("select", "poll")
"""gevent's own would give way to other greenlets."""


@dataclass(slots=True)
class Answer:
    """How a request ended: `outcome` is ok, http_error, timeout, refused, reset, or dropped: it could not be sent."""

    outcome: str
    status: int | None = None
    replica: str | None = None
    attempts: int | None = None
    queue_s: float | None = None
    service_s: float | None = None
    router_s: float | None = None
    hedge: str | None = None
    """What became of the router's second attempt beside the first, where it made one: `won` or `lost`."""
    lacks: str | None = None
    """What this machine lacked for sending it (`EMFILE`, ...); says nothing of the system under test."""


class Pool(ConnectionPool):
    """Connections to one target, kept open between requests, however many there are."""

    def _is_socket_alive(self, sock: Any) -> bool:  # noqa: ANN401 - gevent's
        """Whether an idle connection is as it was left: no farewell and nothing unasked has come.

        The library asks select(2), which fails from descriptor 1,024 on, so that nothing would be kept open there.
        """
        if sock is None or sock.fileno() < 0:
            return False
        poll = POLL()
        poll.register(sock.fileno(), select.POLLIN)
        return not poll.poll(0)


class Target:
    """A base URL with its pool of connections; a pool never makes a request wait for a connection."""

    def __init__(
        self, url: str, timeout_s: float, size: int, deadline_ms: float | None = None, asking: Asking | None = None
    ) -> None:
        """`size` is the largest number of requests in flight; `deadline_ms` is what every request says, if anything.

        `asking` is what they have in common; None = as Aegis' own replicas are asked.
        """
        parts = urlsplit(url)
        host, port = parts.hostname or "127.0.0.1", parts.port or 80
        self._pool = Pool(
            host,
            port,
            host,
            port,
            size=size,
            network_timeout=timeout_s,
            connection_timeout=timeout_s,
        )
        self._asking = asking = asking or Asking()
        self._path = asking.path if asking.is_one_path else None
        self._head = f" HTTP/1.1\r\n{asking.head_of(f'[{host}]:{port}' if ':' in host else f'{host}:{port}')}"
        self._deadline_ms = deadline_ms
        self._timeout_s = timeout_s

    def ask(
        self, request_id: int, demand_s: float, key: str, method: str = "GET",
        size: int | None = None, *, send: int = 1, waited_s: float = 0.0, limit_s: float | None = None,
    ) -> Answer:  # fmt: skip
        """Send request `request_id`, wait for the whole answer or the timeout.

        Args:
            request_id: of the schedule, like the next four.
            demand_s: seconds of service.
            key: what it asks for.
            method: GET or POST.
            size: of a POST request's body, bytes; None = that of all.
            send: how often it is sent by now.
            waited_s: since it was sent for the first time, seconds.
            limit_s: the timeout, seconds; None = the target's.
        """
        sock = None
        response = None
        more = ""
        if self._deadline_ms is not None:
            more = f"X-Aegis-Deadline-Ms: {max(0.0, self._deadline_ms - waited_s * 1e3):g}\r\n"
        if send > 1:
            more += f"X-Aegis-Send: {send}\r\n"
        try:
            with gevent.Timeout(self._timeout_s if limit_s is None else limit_s):
                # The pool replaces an idle connection that the server has closed: nothing was sent on it.
                sock = self._pool.get_socket()
                path = self._path or self._asking.path_of(request_id, key)
                head = (
                    f"{method} {path}{self._head}{more}X-Request-Id: {request_id}\r\n"
                    f"X-Aegis-Demand-Ms: {demand_s * 1e3:.3f}\r\nX-Aegis-Key: {key}\r\n"
                )
                sock.sendall(head.encode() + self._asking.rest_of(method, size))
                taken, sock = sock, None  # from here on the response gives it back
                response = HTTPSocketPoolResponse(taken, self._pool, method=method)
                response.read()
                return _answer(response)
        except gevent.Timeout:
            if response is not None:
                response.release()
            return Answer("timeout")
        except TimeoutError:
            return Answer("timeout")
        except ConnectionRefusedError:
            return Answer("refused")
        except (OSError, HTTPParseError) as error:
            lacks = own_fault(error)
            return Answer("reset") if lacks is None else Answer("dropped", lacks=lacks)
        finally:
            if sock is not None:
                self._pool.release_socket(sock)

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.close()


def _answer(response: HTTPSocketPoolResponse) -> Answer:
    status = response.status_code

    def text(header: str) -> str | None:
        value = response.get(header)
        return value if isinstance(value, str) or value is None else value[-1]

    def number(header: str) -> float | None:
        try:
            value = float(text(header) or "")
        except ValueError:  # a server of someone else's, which means something else by it
            return None
        return value if abs(value) <= MOST else None

    def seconds(header: str) -> float | None:
        value = number(header)
        return None if value is None else value / 1e3

    attempts = number("x-aegis-attempts")
    return Answer(
        "ok" if status < 400 else "http_error",
        status,
        text("x-aegis-replica"),
        None if attempts is None or abs(attempts) > MOST_ATTEMPTS else int(attempts),
        seconds("x-aegis-queue-ms"),
        seconds("x-aegis-service-ms"),
        seconds("x-aegis-router-ms"),
        hedge if (hedge := text("x-aegis-hedge")) in HEDGES else None,
    )
