"""The fastest answer that this machine gives, for measuring load generators.

Every request gets the same small answer at once; the moments of arrival are kept, and `GET /arrivals` takes them away.
"""

import argparse
import asyncio
import json
import time
from typing import cast

import uvloop

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nX-Aegis-Replica: bare\r\n\r\nok"
END = b"\r\n\r\n"
MOST = 1_000_000
"""Arrivals that are kept."""


class Bare(asyncio.Protocol):
    """A connection; requests have no body."""

    arrivals: list[float] = []  # noqa: RUF012 - of all connections

    def __init__(self) -> None:
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer every whole request in it."""
        now = time.monotonic()
        *requests, self._rest = (self._rest + data).split(END)
        for request in requests:
            if request.startswith(b"GET /arrivals "):
                body = json.dumps(Bare.arrivals).encode()
                Bare.arrivals.clear()
                self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
                continue
            if len(Bare.arrivals) < MOST:
                Bare.arrivals.append(now)
            self._transport.write(ANSWER)


async def _serve(first: int, count: int) -> None:
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(Bare, "127.0.0.1", first + number if first else 0, backlog=4096)
        for number in range(count)
    ]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    print(f"bare ready url=http://127.0.0.1:{ports[0]} ports={','.join(map(str, ports))}", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


def main() -> None:
    """Serve until a signal ends it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, default=0, help="the first; 0 = free ones")
    parser.add_argument("--count", type=int, default=1, help="how many ports, all of the same server")
    chosen = parser.parse_args()
    uvloop.run(_serve(chosen.port, chosen.count))


if __name__ == "__main__":
    main()
