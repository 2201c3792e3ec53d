"""What the requests of a load have in common: the path, headers, and the body of those that are POST."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from experiments.plan.headers import read_body, read_headers

PATH = "/work"
"""Of Aegis' own replicas."""


@dataclass(frozen=True)
class Asking:
    """All of it, the same for every target."""

    path: str = PATH
    """`{id}` and `{key}` in it become those of the request."""
    headers: list[tuple[str, str]] = field(default_factory=list)
    """Besides those that every request has; of them a `Host` takes the place of the target's own."""
    body: bytes = b""
    """Of a POST request that has no size of its own."""
    is_of_file: bool = False
    """Whether the body is the same for all POST requests, whatever their size is."""

    @classmethod
    def of(cls, asking: dict[str, Any], body_bytes: int) -> "Asking":
        """As a generator is told: `path`, `headers_file` and `body_file`, each if it is not as usual.

        Args:
            asking: those that are there.
            body_bytes: the length of a body of zeros, where there is no file.

        Raises:
            ValueError: a file cannot be read.
        """
        headers, body = asking.get("headers_file"), asking.get("body_file")
        return cls(
            asking.get("path", PATH),
            [] if headers is None else read_headers(headers),
            bytes(body_bytes) if body is None else read_body(body),
            body is not None,
        )

    @property
    def is_one_path(self) -> bool:
        """Whether all ask for the same."""
        return "{id}" not in self.path and "{key}" not in self.path

    def path_of(self, request_id: int, key: str) -> str:
        """What one request asks for; a key is encoded, so that it stays one part of the path."""
        return self.path.replace("{id}", str(request_id)).replace("{key}", quote(key, safe=""))

    def rest_of(self, method: str, size: int | None) -> bytes:
        """The end of the head, and the body; `size` is that of the request, bytes, None = it has none."""
        if method != "POST":
            return b"\r\n"
        body = self.body if size is None or self.is_of_file else bytes(size)
        return b"Content-Length: %d\r\n\r\n" % len(body) + body

    def head_of(self, host: str) -> str:
        """The header lines that every request has, each with its end; `host` is the target's."""
        names = {name.lower() for name, _ in self.headers}
        plain = [("Host", host), ("User-Agent", "aegis")]
        lines = [*(each for each in plain if each[0].lower() not in names), *self.headers]
        return "".join(f"{name}: {value}\r\n" for name, value in lines)
