"""A request and an answer on their way through the router: heads as bytes, and what of their bodies is here."""

Header = tuple[bytes, bytes, bytes]
"""The name in lower case, the name as it came, the value as it came."""
MAX_HEAD_BYTES = 65_536
"""Of a first line with all headers, and of what may stand between two pieces of a chunked body."""
MAX_HEADERS = 128
"""Of a message, those at its end (trailers) likewise (aiohttp's default; Envoy's is 100)."""


class Message:
    """What both are. What most messages have alike stands at the class: nothing is set that is not known to differ."""

    version = "1.1"
    names = False
    """Whether `Connection` names some of its headers as the hop's own, as it hardly ever does."""
    length: int | None = None
    """Of its body, where the head tells it."""
    has_body = False
    kept_bytes = 0
    """The size of the pieces in `body`."""
    complete = False

    def __init__(self) -> None:
        """Nothing of it is known."""
        self.headers: list[Header] = []
        self.body: list[bytes] = []
        """The pieces that have come and have not been passed on."""

    def header(self, name: bytes) -> bytes | None:
        """The value of the first header of that name (lower case)."""
        return next((value.strip() for lower, _, value in self.headers if lower == name), None)

    def take(self) -> bytes:
        """The pieces that are here; they are here no more."""
        taken = self.body[0] if len(self.body) == 1 else b"".join(self.body)
        self.body.clear()
        self.kept_bytes = 0
        return taken


class Request(Message):
    """What a client asks."""

    method = b""
    target = b""
    keep_alive = False
    expects = False
    """Whether the client waits for `100 Continue` (RFC 9110, section 10.1.1)."""
    asks_upgrade = False
    fault: tuple[str, str] | None = None
    """What is wrong with it: a reason among the router's rejections, and a few words."""


class Answer(Message):
    """What a replica answers."""

    status = 0
    reason = b""
    has_body = True
    until_close = False
    """Whether its body ends with the connection (RFC 9112, section 6.3)."""
