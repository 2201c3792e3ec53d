"""Envoy, HAProxy and nginx in the router's place, with real processes: whole runs, and what is known of each."""

import asyncio
import collections
import contextlib
import dataclasses
import os
import signal
from typing import Any

import aiohttp
import pandas as pd
import psutil
import pytest
from aiohttp import web

from experiments.data_planes import DATA_PLANES, HOST, Front, Member
from services.processes import ServiceProcess
from services.router.settings import RouterSettings
from tests.ports import free_ports
from tests.proxied import unavailable
from tests.running import AT_MOST_S, BUSY, SHORT, events, is_alive, job_of, manifest, metrics, run, start, wait_for

ARMS = ("envoy", "haproxy", "nginx")


def needed(name):
    plane = DATA_PLANES.create(name, {})
    if plane.program() is None:
        unavailable(name, plane)
    return plane


def living(group):
    """The processes of a group."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == group and is_alive(process):
                found.append(process)
    return found


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Every arm once, with a replica that is killed and comes back."""
    for name in ARMS:
        needed(name)
    folder = tmp_path_factory.mktemp("arms")
    done = run(
        "-m", "+scenario=routed", *SHORT, f"router=aegis,{','.join(ARMS)}", *BUSY,
        "faults=[{at_s: 2, action: kill, target: r2, for_s: 1.5}]", f"hydra.sweep.dir={folder}",
    )  # fmt: skip
    assert done.returncode in (0, 3), done.stdout + done.stderr
    return folder, done


def test_a_sweep_over_data_planes_ends_in_the_usual_comparison(sweep):
    folder, done = sweep
    assert all(f"router={name}" in done.stdout for name in ("aegis", *ARMS)), done.stdout
    hashes = {manifest(job_of(folder, number))["schedule_hash"] for number in range(4)}
    assert len(hashes) == 1, "the arms are asked the same"


@pytest.mark.parametrize("number", [1, 2, 3], ids=ARMS)
def test_a_run_says_which_proxy_it_was_and_what_became_of_each_replica(sweep, number):
    folder = job_of(sweep[0], number)
    about, name = manifest(folder)["data_plane"], ARMS[number - 1]
    assert (about["name"], about["algorithm"]) == (name, DATA_PLANES.find(name).algorithms[0])
    assert any(sign.isdigit() for sign in about["version"]) and about["otherwise"]
    assert list((folder / "logs" / "data_plane").glob(DATA_PLANES.find(name).name + ".*")), "its configuration is kept"
    rows = pd.read_parquet(folder / "requests.parquet")
    served = rows[rows["outcome"] == "ok"]
    assert len(served) > 0.5 * len(rows) and served["attempts"].notna().all() and served["replica"].isin(["r1", "r2"]).all()
    told = [(e["event"], e.get("replica")) for e in events(folder) if e["source"] == "router"]
    assert told.count(("registered", "r1")) == 1 and ("readmitted", "r1") in told
    # Out of rotation by its checks, by failing at work, or as its lease has run out; and back.
    landed = next(e["t_s"] for e in events(folder) if e["event"] == "fault_injected")
    later = [e for e in events(folder) if e.get("replica") == "r2" and e["t_s"] > landed]
    assert {"ejected", "expired", "registered"} & {e["event"] for e in later}, later
    numbers = metrics(folder)
    assert numbers["retried_requests"] is not None and numbers["attempts_per_request"] >= 1
    assert numbers["cpu_router_cores"] > 0 and numbers["time_in_panic_s"] is None
    assert numbers["detection_s"] is None or numbers["detection_s"] >= 0


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=lambda how: how.name)
def test_nothing_of_nginx_is_left_when_a_run_is_killed_or_interrupted(tmp_path, how):
    needed("nginx")
    folder = tmp_path / "run"
    process = start(
        "+scenario=routed", *SHORT, "workload.duration_s=60", "router=nginx", f"hydra.run.dir={folder}"
    )
    pid_file = folder / "logs" / "data_plane" / "pid"
    try:
        master = int(wait_for(lambda: pid_file.exists() and pid_file.read_text().strip(), "nginx runs"))
        wait_for(lambda: len(living(master)) > 1, "it has a worker")
        process.send_signal(how)
        process.wait(AT_MOST_S)
        wait_for(lambda: not living(master), "all of nginx has gone")
    finally:
        process.kill()
        process.communicate()


class Server:
    """Servers of this process that answer as they are told, and remember who was asked."""

    def __init__(self):
        self.says = collections.defaultdict(lambda: 200)
        self.is_ready = collections.defaultdict(lambda: True)
        self.asked = collections.Counter()
        self.checked = collections.Counter()
        self.go = asyncio.Event()
        """Until it is set, who asks for `/hold` waits."""
        self._runners = []

    async def serve(self, port):
        async def answer(request):
            if request.path == "/readyz":
                self.checked[port] += 1
                return web.Response(status=200 if self.is_ready[port] else 503, text="ok")
            self.asked[port] += 1
            if request.path == "/hold":
                await self.go.wait()
            return web.Response(status=self.says[port], text="ok")

        app = web.Application()
        app.router.add_get("/{any:.*}", answer)
        self._runners.append(web.AppRunner(app))
        await self._runners[-1].setup()
        await web.TCPSite(self._runners[-1], HOST, port).start()

    async def close(self):
        self.go.set()
        for runner in self._runners:
            await runner.cleanup()


async def until(holds):
    """Waits until it does."""
    async with asyncio.timeout(AT_MOST_S):
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                if await holds():
                    return
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def standing(name, folder, count, *, algorithm=None, edit=None, **sections):
    """The proxy before `count` servers: what asks it, its servers, their ports, and what looks at them."""
    plane, defaults = needed(name), RouterSettings()
    settings = RouterSettings(**{k: dataclasses.replace(getattr(defaults, k), **v) for k, v in sections.items()})
    port, admin, *ports = free_ports(2 + count)
    members = tuple(Member(f"r{n}", HOST, each) for n, each in enumerate(ports, 1))
    front = Front(port, members, settings, "", folder, algorithm, admin, tuple(each.name for each in members))
    words, server = plane.command(front), Server()
    if edit is not None:
        [path] = folder.glob("*.c*f*")
        assert edit[0] in path.read_text()
        path.write_text(path.read_text().replace(*edit))
    process = ServiceProcess(name, words, folder / "log")
    await process.spawn()
    try:
        async with aiohttp.ClientSession() as session:

            async def ask():
                async with session.get(f"http://{HOST}:{port}/work") as answer:
                    await answer.read()
                    return answer.status, answer.headers.get("X-Aegis-Attempts")

            async def looked(members=members):
                return {name: each.in_rotation for name, each in (await plane.look(front, members)).items()}

            await until(lambda: _connects(port))
            yield Standing(plane, process, front, members, ports, server, ask, until, looked)
    finally:
        await process.stop()
        await server.close()


async def _connects(port):
    _, writer = await asyncio.open_connection(HOST, port)
    writer.close()
    return True


@dataclasses.dataclass
class Standing:
    plane: Any
    process: ServiceProcess
    front: Front
    members: tuple
    ports: list
    server: Server
    ask: Any
    until: Any
    looked: Any

    async def up(self, *numbers):
        for number in numbers:
            await self.server.serve(self.ports[number])

    async def answers(self):
        return (await self.ask())[0] == 200


@pytest.mark.parametrize("name", ARMS)
async def test_who_drains_or_has_gone_is_asked_nothing_more_and_who_comes_is_asked(tmp_path, name):
    async with standing(name, tmp_path, 3) as it:
        await it.up(0, 1, 2)
        first, second, third = it.members
        await it.plane.change(it.process, it.front, (first, second))
        await it.until(it.answers)
        await it.until(lambda: _all_asked(it, 0, 1))
        assert it.server.asked[it.ports[2]] == 0, "who is no member is not asked"
        for members, silent in (((dataclasses.replace(first, draining=True), second, third), 0), ((first, third), 1)):
            await it.plane.change(it.process, it.front, members)
            it.server.asked.clear()
            await it.until(lambda silent=silent: _all_asked(it, *({0, 1, 2} - {silent})))
            assert it.server.asked[it.ports[silent]] == 0


async def _all_in(it):
    return all((await it.looked()).values())


async def _all_asked(it, *numbers):
    status, attempts = await it.ask()
    assert (status, attempts) == (200, "1")
    return all(it.server.asked[it.ports[number]] for number in numbers)


@pytest.mark.parametrize(("count", "most"), [(3, 1), (4, 2)])
async def test_envoy_ejects_no_more_than_half_of_its_hosts(tmp_path, count, most):
    """(ejected + 1) / hosts may not pass `max_ejection_percent`: of three at 50 % one, where it once were two
    (envoy #26877, #27624)."""
    async with standing("envoy", tmp_path, count, algorithm="round_robin") as it:
        await it.up(*range(count))
        await it.until(lambda: _all_in(it))
        for port in it.ports:
            it.server.says[port] = 500
        seen = set()
        for _ in range(60):
            await it.ask()
            standing_now = await it.plane.look(it.front, it.members)
            out = [each for each in standing_now.values() if not each.in_rotation]
            assert {each.cause for each in out} <= {"consecutive_failures"}
            seen.add(len(out))
        assert max(seen) == most


DEFAULT = ("option redispatch 1", "option redispatch")


@pytest.mark.parametrize(
    ("edit", "algorithm", "attempts"),
    [(None, "hash", "2"), (DEFAULT, "hash", "3"), (DEFAULT, "leastconn", "2")],
    ids=["ours", "its default", "its default in turn"],
)
async def test_haproxy_tries_another_server_at_the_first_retry_and_by_its_default_at_the_last(
    tmp_path, edit, algorithm, attempts
):
    """`option redispatch` alone is -1, the last retry (HAProxy 726ab714): of two retries the first goes to the same
    server, but where servers take turns, as with leastconn."""
    no_checks = {"health": {"enabled": False}, "ejection": {"enabled": False}}
    async with standing("haproxy", tmp_path, 2, algorithm=algorithm, edit=edit, **no_checks) as it:
        await it.up(1)  # nobody listens at the first
        assert {await it.ask() for _ in range(6)} - {(200, "1")} == {(200, attempts)}


@pytest.mark.parametrize(("count", "asked"), [(1, 12), (2, 5)], ids=["alone", "of two"])
async def test_nginx_takes_out_who_has_failed_max_fails_times_but_never_the_only_one(tmp_path, count, asked):
    """ngx_http_upstream_module, `server`: with a single server `max_fails` and `fail_timeout` are ignored."""
    settings = {"retry": {"max_attempts": 2}, "ejection": {"base_s": 600.0, "max_s": 600.0}}
    async with standing("nginx", tmp_path, count, algorithm="round_robin", **settings) as it:
        await it.up(*range(count))
        await it.until(it.answers)
        it.server.says[it.ports[0]] = 500
        it.server.asked.clear()
        for _ in range(12):
            await it.ask()
        assert it.server.asked[it.ports[0]] == asked
        assert (await it.looked())["r1"] == (count == 1)


async def test_nginx_does_not_begin_anew_where_one_leaves_that_has_drained(tmp_path):
    settings = {"retry": {"max_attempts": 2}, "ejection": {"base_s": 600.0, "max_s": 600.0}}
    async with standing("nginx", tmp_path, 3, algorithm="round_robin", **settings) as it:
        await it.up(0, 1, 2)
        first, second, third = it.members
        await it.plane.change(it.process, it.front, (dataclasses.replace(first, draining=True), second, third))
        it.server.says[it.ports[1]] = 500

        async def is_out():
            await it.ask()
            return not (await it.looked())["r2"]

        def workers():
            return [each.pid for each in psutil.Process(it.process.pid).children()]

        async def is_alone():
            return len(workers()) == 1

        await it.until(is_out)
        await it.until(is_alone)
        before = workers()
        await it.plane.change(it.process, it.front, (second, third))
        assert workers() == before and await is_out(), "no reload has made it forget who has failed"
        it.server.asked.clear()
        assert {await it.ask() for _ in range(6)} == {(200, "1")}
        assert it.server.asked[it.ports[1]] == 0
