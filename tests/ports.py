"""Ports that nobody else takes between the moment a test chooses one and the moment it is used."""

import os
import random
import socket
from collections import deque

FIRST, PER_WORKER = 20_000, 1_000
"""Below those that the kernel gives to whoever asks for any (from 32,768; ip(7)). Each worker of xdist has its own."""
_given: deque[int] = deque(maxlen=PER_WORKER // 2)
"""Lately: whoever was given one may not have taken it yet."""


def _worker() -> int:
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8


def is_free(port: int) -> bool:
    """Whether one can listen there on loopback now."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _free() -> list[int]:
    """All that nobody has, or was given lately, in an order of chance."""
    first = FIRST + _worker() * PER_WORKER
    mixed = random.sample(range(first, first + PER_WORKER), PER_WORKER)
    return [port for port in mixed if port not in _given and is_free(port)]


def free_ports(count: int) -> list[int]:
    """So many, all different, none of which was given a little before."""
    found = _free()[:count]
    _given.extend(found)
    return found


def free_row(count: int) -> int:
    """The first of so many that follow each other; likewise."""
    free = set(_free())
    first = next(port for port in sorted(free) if free.issuperset(range(port, port + count)))
    _given.extend(range(first, first + count))
    return first


def free_port() -> int:
    """One."""
    return free_ports(1)[0]
