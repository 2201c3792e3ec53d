"""A server that keeps what it is asked, and the generator against it."""

import asyncio
import contextlib
import json
import os
import subprocess
import threading
import time
from resource import RLIMIT_NOFILE, setrlimit

import pandas as pd
from aiohttp import web

from experiments.load.command import locust_command
from experiments.plan.schedule import build_schedule
from experiments.plan.workload import WorkloadSettings
from tests.running import AT_MOST_S, ROOT, wait_for


class Server:
    """An HTTP server in a thread; `handler` is a coroutine function of the request."""

    def __init__(self, handler):
        self.handler = handler
        self.seen = []
        self.loop = asyncio.new_event_loop()
        started = threading.Event()
        self.thread = threading.Thread(target=self.serve, args=(started,), daemon=True)
        self.thread.start()
        started.wait(AT_MOST_S)

    def serve(self, started):
        async def handle(request):
            self.seen.append((time.monotonic(), request.path, request.headers))
            return await self.handler(request)

        async def begin():
            self.runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
            await self.runner.setup()
            await web.TCPSite(self.runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}"

        self.loop.run_until_complete(begin())
        started.set()
        self.loop.run_forever()
        self.loop.run_until_complete(self.runner.cleanup())

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(AT_MOST_S)


@contextlib.contextmanager
def serving(handler):
    server = Server(handler)
    try:
        yield server
    finally:
        server.close()


class Load:
    """Generator processes on one schedule, started and waited for as the runner does."""

    def __init__(self, folder, targets, schedule, shards=1, parent_pid=None, descriptors=None, **settings):
        self.folder = folder
        schedule.to_parquet(folder / "schedule.parquet", index=False)
        self.processes = []
        for shard in range(shards):
            config = {
                "schedule": str(folder / "schedule.parquet"), "targets": targets, "timeout_s": 30.0, "shard": shard,
                "shards": shards, "output": str(folder / f"load-{shard}.parquet"),
                "ready_file": str(folder / f"load-{shard}.ready"), "start_file": str(folder / "start.json"),
                "max_in_flight": 2000, "parent_pid": parent_pid or os.getpid(), "grace_s": 0.5, **settings,
            }  # fmt: skip
            path = folder / f"load-{shard}.config"
            path.write_text(json.dumps(config))
            self.processes.append(
                subprocess.Popen(
                    locust_command(), cwd=ROOT, env={**os.environ, "AEGIS_LOAD": str(path)}, stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT, text=True,
                    preexec_fn=None if descriptors is None else lambda: setrlimit(RLIMIT_NOFILE, descriptors),
                )
            )  # fmt: skip

    def start(self):
        wait_for(
            lambda: all((self.folder / f"load-{n}.ready").exists() for n in range(len(self.processes))), "ready"
        )
        t0 = time.monotonic() + 0.3
        partial = self.folder / "start.part"
        partial.write_text(json.dumps({"t0": t0}))
        partial.rename(self.folder / "start.json")
        return t0

    def end(self):
        for process in self.processes:
            said, _ = process.communicate(timeout=AT_MOST_S)
            assert process.returncode == 0, said
        return self.rows()

    def rows(self):
        tables = [pd.read_parquet(self.folder / f"load-{n}.parquet") for n in range(len(self.processes))]
        return pd.concat(tables).sort_values("request_id").reset_index(drop=True)

    def about(self, shard=0):
        return json.loads((self.folder / f"load-{shard}.json").read_text())


def schedule(rate_rps=50.0, duration_s=2.0, seed=1, **settings):
    return build_schedule(WorkloadSettings(rate_rps=rate_rps, duration_s=duration_s, **settings), seed)


async def answer(request):
    return web.Response(
        headers={
            "X-Aegis-Replica": "r7",
            "X-Aegis-Attempts": "2",
            "X-Aegis-Queue-Ms": "1.5",
            "X-Aegis-Service-Ms": "20",
            "X-Aegis-Router-Ms": "0.25",
        }
    )
