"""How a service begins: a bound socket, and one line that says where it listens."""

import socket


def listen(host: str, port: int, backlog: int = 2048) -> socket.socket:
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
    sock.listen(backlog)
    sock.setblocking(False)
    return sock


def url_of(sock: socket.socket) -> str:
    """The http URL of a bound socket."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def announce(service: str, **addresses: str) -> None:
    """Print the ready line that starters wait for: `aegis-router ready url=... admin=...`."""
    print(f"aegis-{service} ready " + " ".join(f"{name}={value}" for name, value in addresses.items()), flush=True)
