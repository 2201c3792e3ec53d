"""Servers of a test's own behind a router."""

import contextlib

from aiohttp import web

from tests.services.live import until


class Upstream:
    """A server that keeps what it was asked; `handler` answers, and is healthy to the checks."""

    def __init__(self, handler):
        self.handler = handler
        self.runner = None
        self.seen = []

    async def handle(self, request):
        if request.path == "/readyz":
            return web.Response()
        self.seen.append((request.method, request.raw_path, request.headers.copy()))
        return await self.handler(request)


@contextlib.asynccontextmanager
async def upstreams(started, session, *handlers, prefix="u", raw=False):
    """Servers behind the router, in rotation; gone from it afterwards. `raw`: they see bodies as they were sent."""
    made, runners, ids = [], [], []
    try:
        for number, handler in enumerate(handlers, 1):
            made.append(upstream := Upstream(handler))
            runner = web.ServerRunner(
                web.Server(upstream.handle, handler_cancellation=True, auto_decompress=not raw), shutdown_timeout=0.1
            )
            runners.append(runner)
            upstream.runner = runner
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            ids.append(f"{prefix}{number}")
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            async with session.put(f"{started.admin}/replicas/{ids[-1]}", json={"url": url}) as response:
                assert response.status == 201
            await until(session, started.admin, ids[-1], "ready")
        yield made if len(made) > 1 else made[0]
    finally:
        for id_ in ids:
            await session.delete(f"{started.admin}/replicas/{id_}")
        for runner in runners:
            await runner.cleanup()
