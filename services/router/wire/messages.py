"""A request and an answer on their way through the router: heads as bytes, and what of their bodies is here."""

Header = tuple[bytes, bytes, bytes]
"""The name in lower case, the name as it came, the value as it came."""
MAX_HEAD_BYTES = 65_536
"""Of a first line with all headers, and of what may stand between two pieces of a chunked body."""
MAX_HEADERS = 128
"""Of a message, those at its end (trailers) likewise (aiohttp's default; Envoy's is 100)."""


class Message:
    """What both are."""

    __slots__ = ("body", "complete", "has_body", "headers", "kept_bytes", "length", "names", "version")

    def __init__(self) -> None:
        """Nothing of it is known."""
        self.version = "1.1"
        self.headers: list[Header] = []
        self.names = False
        """Whether `Connection` names some of them as the hop's own, as it hardly ever does."""
        self.length: int | None = None
        """Of its body, where the head tells it."""
        self.has_body = False
        self.body: list[bytes] = []
        """The pieces that have come and have not been passed on."""
        self.kept_bytes = 0
        """The size of those."""
        self.complete = False

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

    __slots__ = ("asks_upgrade", "expects", "fault", "keep_alive", "method", "target")

    def __init__(self) -> None:
        """Its first byte is here."""
        super().__init__()
        self.method = b""
        self.target = b""
        self.keep_alive = False
        self.expects = False
        """Whether the client waits for `100 Continue` (RFC 9110, section 10.1.1)."""
        self.asks_upgrade = False
        self.fault: tuple[str, str] | None = None
        """What is wrong with it: a reason among the router's rejections, and a few words."""


class Answer(Message):
    """What a replica answers."""

    __slots__ = ("reason", "status", "until_close")

    def __init__(self) -> None:
        """Its head is here."""
        super().__init__()
        self.status = 0
        self.reason = b""
        self.has_body = True
        self.until_close = False
        """Whether its body ends with the connection (RFC 9112, section 6.3)."""
