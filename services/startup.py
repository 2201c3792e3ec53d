"""How a service begins: its settings, a bound socket, and one line that says where it listens."""

import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

BACKLOG = 2048
"""Connections that may wait to be accepted (uvicorn's default; aiohttp would make it 128)."""


def read_config(value: str | None) -> Any:  # noqa: ANN401 - JSON
    """What `--config` says: JSON itself (a container needs no file then), or the file that holds it; None = `{}`.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    if value is None:
        return {}
    return json.loads(value if value.lstrip().startswith("{") else Path(value).read_text(encoding="utf-8"))


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket on `host:port`; port 0 picks a free one.

    Raises:
        SystemExit: where the port is taken, with one line that names it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except (OSError, OverflowError) as error:
        sock.close()
        reason = error.strerror if isinstance(error, OSError) else "no such port"
        raise SystemExit(f"cannot listen on {host}:{port}: {reason}; choose another port, or 0") from error
    sock.listen(BACKLOG)
    sock.setblocking(False)
    return sock


def url_of(sock: socket.socket) -> str:
    """The http URL of a bound socket."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def own_address(family: int, router: str) -> str:
    """The address from which this machine speaks to `router`. Raises OSError: nobody knows its name."""
    parts = urlsplit(router)
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((parts.hostname, parts.port or 80))
        return str(probe.getsockname()[0])


def url_for(sock: socket.socket, router: str) -> str | None:
    """The URL under which others reach a bound socket; None as long as nobody knows the router's name.

    One that listens everywhere is reached at the address from which this machine speaks to `router` (an URL); nothing
    is sent to find it out.
    """
    if sock.getsockname()[0] not in ("0.0.0.0", "::"):
        return url_of(sock)
    try:
        host = own_address(sock.family, router)
    except OSError:
        return None
    return f"http://[{host}]:{sock.getsockname()[1]}" if ":" in host else f"http://{host}:{sock.getsockname()[1]}"


def announce(service: str, **addresses: str) -> None:
    """Print the ready line that starters wait for: `aegis-router ready url=... admin=...`."""
    print(f"aegis-{service} ready " + " ".join(f"{name}={value}" for name, value in addresses.items()), flush=True)
