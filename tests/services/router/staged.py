"""A request on its way through the router without sockets: a client, connections and a clock that the test plays."""

import random
from typing import Any

from services.router import attempting, exchange, following, policies
from services.router.exchange import Exchange
from services.router.fleet import Fleet
from services.router.proxy import Proxy
from services.router.telemetry import Telemetry
from services.router.wire.messages import Answer, Request


class Clock:
    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


class Transport:
    def __init__(self):
        self.written = b""

    def write(self, data):
        self.written += data

    def is_closing(self):
        return False


class Deadline:
    at = None

    def set(self, at):
        self.at = at

    def clear(self):
        self.at = None


class Client:
    """What the router's own has, but for the bytes."""

    peer, is_full = b"127.0.0.1", False

    def __init__(self):
        self.transport, self.deadline = Transport(), Deadline()
        self.exchange = None
        self.ends = 0

    def write(self, data):
        self.transport.write(data)

    def has_news(self):
        return False

    def has_hung_up(self):
        return False

    def pause(self):
        pass

    def resume(self):
        pass

    def done(self, request, *, keep):
        self.exchange = None
        self.ends += 1

    def abort(self):
        self.exchange = None
        self.ends += 1

    def hang_up(self):
        """As `connection_lost` does it."""
        gone, self.exchange = self.exchange, None
        if gone is not None:
            gone.gone()


class Connection:
    """To a replica, which the test plays."""

    is_full = False

    def __init__(self, url):
        self.url, self.authority = url, url.removeprefix("http://").encode()
        self.asker = self.answer = self.wrong = self.lost = None
        self.sent = b""
        self.fate = None
        """Of what was asked: `released`, with its answer, or `closed`."""

    def ask(self, asker, to_head):
        self.asker = asker

    def write(self, data):
        self.sent += data

    def has_news(self):
        return False

    def answers(self, status=200):
        self._heads(status)
        self.ends_its_answer()

    def _heads(self, status):
        answer = self.answer = Answer()
        answer.status, answer.reason, answer.length = status, b"Said", 2
        answer.headers = [(b"content-length", b"Content-Length", b"2")]

    def begins_to_answer(self):
        """The head of a small answer, and nothing of its body."""
        self._heads(200)
        self.asker.heard()

    def begins_to_stream(self):
        """The head of an answer whose end is not announced."""
        answer = self.answer = Answer()
        answer.status, answer.reason = 200, b"Said"
        answer.headers = [(b"transfer-encoding", b"Transfer-Encoding", b"chunked")]
        self.asker.heard()

    def ends_its_answer(self):
        self.answer.body, self.answer.kept_bytes, self.answer.complete = [b"ok"], 2, True
        self.asker.heard()

    def breaks(self):
        self.lost = ConnectionError("gone")
        self.asker.heard()

    def close(self):
        self.fate, self.asker = "closed", None

    def pause(self):
        pass


class Connecting:
    """Cancelled, it calls nobody."""

    def __init__(self, then):
        self.then, self.is_cancelled = then, False

    def __call__(self, made):
        if not self.is_cancelled:
            self.then(made)

    def cancel(self):
        self.is_cancelled = True


class Pool:
    """A new connection for every attempt; `refusing` are those that nobody listens at."""

    def __init__(self):
        self.made = []
        self.refusing = set()
        self.waiting = []

    def idle(self, url):
        if url in self.refusing:
            return None
        self.made.append(connection := Connection(url))
        return connection

    def connect(self, url, then):
        self.waiting.append(connecting := Connecting(then))
        return connecting

    def silent(self, connection, asked_at):
        """None has been idle before."""
        return False

    def refuse(self):
        """Tell those that wait for a connection that there is none."""
        waiting, self.waiting = self.waiting, []
        for then in waiting:
            then(ConnectionRefusedError(111, "refused"))

    def release(self, connection):
        whole = connection.answer is not None and connection.answer.complete
        connection.fate = "released" if whole else "closed"
        connection.asker = None


class Heartbeat:
    def missed_s(self, now):
        return 0.0

    def arrived(self, now):
        return now


class Stage:
    """A router with `replicas` in rotation."""

    def __init__(self, monkeypatch, settings, replicas=3, policy="round_robin"):
        self.clock = Clock()
        for module in (attempting, exchange, following):
            monkeypatch.setattr(module, "time", self.clock)
        self.fleet = Fleet(settings.health, settings.ejection, lambda *_, **__: None)
        for number in range(1, replicas + 1):
            self.fleet.put(f"r{number}", self.clock.now, url=f"http://r{number}")
            self.fleet.on_check(f"r{number}", True, self.clock.now)
        self.pool = Pool()
        self.ends = []
        pool: Any = self.pool
        heartbeat: Any = Heartbeat()
        made = policies.create(policy, {}, random.Random(1))
        self.proxy = Proxy(settings, self.fleet, made, Telemetry(), pool, heartbeat)
        dispatcher: Any = self.proxy._means.dispatcher
        finish = dispatcher.finish

        def told(replica, outcome, *about, **more):
            self.ends.append((replica.id, outcome))
            finish(replica, outcome, *about, **more)

        dispatcher.finish = told

    @property
    def under_way(self):
        """Connections on which an answer is awaited."""
        return [connection for connection in self.pool.made if connection.asker is not None]

    @property
    def in_flight(self):
        return sum(replica.in_flight for replica in self.fleet.replicas.values())

    def ask(self, method=b"GET", body=b"", *, is_uploading=False):
        """A request; one that `is_uploading` has a body without an announced end, of which `body` is there."""
        request = Request()
        client: Any = Client()
        request.method, request.target, request.keep_alive, request.complete = method, b"/work", True, True
        request.headers = [(b"host", b"Host", b"router")]
        if is_uploading:
            request.has_body, request.complete, request.body, request.kept_bytes = True, False, [body], len(body)
        elif body:
            request.has_body, request.length, request.body, request.kept_bytes = True, len(body), [body], len(body)
        Exchange(self.proxy._means, client, request, self.clock.now).begin()
        return client

    def passes(self, client, seconds):
        """Time goes on, and what is due in it happens at its moment."""
        until = self.clock.now + seconds
        while client.exchange is not None and client.deadline.at is not None and client.deadline.at <= until:
            self.clock.now, client.deadline.at = max(self.clock.now, client.deadline.at), None
            client.exchange.expired()
        self.clock.now = max(self.clock.now, until)

    def learns(self, count=40, latency_s=0.1):
        """So many requests have taken so long."""
        for _ in range(count):
            self.ask()
            self.clock.now += latency_s
            self.under_way[-1].answers()
        self.pool.made.clear()
        self.ends.clear()
