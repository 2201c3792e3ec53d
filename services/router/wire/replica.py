"""One connection to a replica: one request out, its answer in, then the next one.

What a replica sends between two answers belongs to no request. Read as the next answer, it would go to another client;
so a connection on which it comes is closed (RFC 9112, section 9.2: the response to the last request is the end of what
is expected; HAProxy closes such idle connections, too).
"""

import asyncio
import select
from typing import Protocol, cast

import httptools

from services.router.wire.heads import read_answer, size_of, stays_open
from services.router.wire.messages import MAX_HEAD_BYTES, MAX_HEADERS, Answer, Header
from services.router.wire.outbox import Outbox
from services.router.wire.seam import Asker

HTTP = ord("H")
MAX_INTERIM = 16
"""Answers of the kind 1xx that may come before the one that counts."""


class Home(Protocol):
    """Where connections are kept."""

    outbox: Outbox
    """Of all of them."""

    def gone(self, connection: "Connection") -> None:
        """It is closed."""


class Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self, home: Home, url: str, authority: bytes) -> None:
        """To the replica at `url`, whose `host:port` is `authority`."""
        self._home = home
        self.url = url
        self.authority = authority
        self.transport: asyncio.Transport = None  # type: ignore[assignment] # as soon as it is made
        self._poll = select.poll()
        self._parser = httptools.HttpResponseParser(self)
        self._asker: Asker | None = None
        self._to_head = False
        self._headers: list[Header] = []
        self._reason = b""
        self._unparsed = 0
        self._first = 0
        """Its first byte."""
        self._moved = False
        self._interim = 0
        self.answer: Answer | None = None
        """The one that is coming, once its head is whole."""
        self.wrong: str | None = None
        """Why the answer cannot be passed on, or not further."""
        self.lost: Exception | None = None
        """Why the connection is closed."""
        self.is_full = False
        """Whether the replica does not read as fast as it is written to."""
        self._is_spent = False
        """Whether it takes no other request."""
        self._is_paused = False
        self.idle_at = 0.0
        """Since when nothing is asked on it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is made."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods only
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def ask(self, asker: Asker, to_head: bool) -> None:
        """A request is about to be written; `to_head`: it is a HEAD, whose answer has no body."""
        self._asker = asker
        self._to_head = to_head
        self._unparsed = self._interim = 0
        self._reason, self._headers = b"", []
        self.answer = self.wrong = None

    def write(self, data: bytes) -> None:
        """Write a part of the request, with this turn's others."""
        self._home.outbox.write(self.transport, data)

    # -- the answer

    def data_received(self, data: bytes) -> None:
        """Read what has come, and tell who has asked."""
        asker = self._asker
        if asker is None:
            self.close()
            return
        self._moved = False
        if not self._unparsed:
            self._first = data[0]
        self._unparsed += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._found_wrong("it changes the protocol")
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._found_wrong(str(cause if isinstance(cause, ValueError) else error))
        if self._moved:
            self._unparsed = 0
        elif self._unparsed > MAX_HEAD_BYTES:
            self._found_wrong(f"a head of more than {MAX_HEAD_BYTES} bytes")
        answer = self.answer
        if answer is not None and not answer.has_body:
            self._end_at_the_head(answer, data)
        asker.heard()

    def _found_wrong(self, what: str) -> None:
        """Where the answer is whole, only what follows is wrong: nobody asked for it."""
        self._is_spent = True
        if self.answer is None or not (self.answer.complete or not self.answer.has_body):
            self.wrong = self.wrong or what

    def _end_at_the_head(self, answer: Answer, data: bytes) -> None:
        """An answer without a body is whole, whatever length it tells; its parser does not know, and ends with it."""
        if not answer.complete:
            answer.complete = True
            self._parser = httptools.HttpResponseParser(self)
        if not data.endswith(b"\r\n\r\n"[-len(data) :]):
            self._is_spent = True

    def on_message_begin(self) -> None:
        """The first byte of an answer."""
        if self.answer is not None:  # a second one
            self._is_spent = True

    def on_status(self, reason: bytes) -> None:
        """A part of the reason phrase."""
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; after the head it is one that follows the body, and not passed on."""
        self._headers.append((name.lower(), name, value))
        if len(self._headers) > MAX_HEADERS:
            raise ValueError(f"more than {MAX_HEADERS} headers")

    def on_headers_complete(self) -> None:
        """The head is whole."""
        if self.answer is not None:
            self._is_spent = True
            return
        parser = self._parser
        status = parser.get_status_code()
        self._moved = True
        if 100 <= status < 200:
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise ValueError(f"more than {MAX_INTERIM} interim answers")
            self._reason, self._headers = b"", []
            return
        answer = Answer()
        answer.status = status
        answer.reason, self._reason = self._reason, b""
        answer.headers, self._headers = self._headers, []
        if (version := parser.get_http_version()) != "1.1":
            answer.version = version
        if answer.version != "1.1" and (self._interim or self._first != HTTP):
            raise ValueError("its protocol is not HTTP")  # the parser takes RTSP and ICE, whose first lines look alike
        if self._unparsed > MAX_HEAD_BYTES and size_of(answer.headers, answer.reason) > MAX_HEAD_BYTES:
            raise ValueError(f"a head of more than {MAX_HEAD_BYTES} bytes")
        read_answer(answer, self._to_head)
        if not (parser.should_keep_alive() if answer.has_body else stays_open(answer)):
            self._is_spent = True
        self.answer = answer

    def on_body(self, piece: bytes) -> None:
        """A piece of the body."""
        answer = self.answer
        if answer is None or answer.complete or not answer.has_body:
            self._is_spent = True
            return
        answer.body.append(piece)
        answer.kept_bytes += len(piece)
        self._moved = True

    def on_chunk_header(self) -> None:
        """A chunk begins."""
        if self.answer is not None and not self.answer.has_body:
            self._is_spent = True

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if self.answer is not None:
            self.answer.complete = True
        self._moved = True

    # -- the connection

    def eof_received(self) -> None:
        """The replica says farewell in order: an answer that ends so is whole."""
        self._is_spent = True
        answer = self.answer
        if self._asker is not None and answer is not None and answer.until_close and self.wrong is None:
            answer.complete = True
            self._asker.heard()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._is_spent = True
        self.lost = exc or ConnectionError("the connection was closed")
        self._home.gone(self)
        asker, self._asker = self._asker, None
        if asker is not None:
            asker.heard()
        self._parser = None  # type: ignore[assignment] # a circle of references less

    def pause_writing(self) -> None:
        """So much is written that the replica has to read first."""
        self.is_full = True

    def resume_writing(self) -> None:
        """It has read."""
        self.is_full = False
        if self._asker is not None:
            self._asker.sendable()

    def pause(self) -> None:
        """Read no further for now."""
        if not self._is_paused and not self.transport.is_closing():
            self._is_paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._is_paused and not self.transport.is_closing():
            self._is_paused = False
            self.transport.resume_reading()

    def leave(self) -> bool:
        """Whoever has asked wants nothing more of it; returns whether it can take another request."""
        self._asker = None
        answer, self.answer = self.answer, None
        return (
            not self._is_spent
            and not self._is_paused
            and not self.is_full
            and answer is not None
            and answer.complete
            and not self.transport.is_closing()
        )

    def has_news(self) -> bool:
        """Whether the replica has said something that has not been read: an answer, unasked bytes, or its farewell."""
        return self.transport.is_closing() or bool(self._poll.poll(0))

    def close(self) -> None:
        """Give it up."""
        self._asker = None
        self._is_spent = True
        if not self.transport.is_closing():
            self.transport.abort()
