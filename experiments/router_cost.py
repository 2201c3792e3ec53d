"""What a request costs the router, beside other proxies: `python -m experiments.router_cost` (five to ten minutes).

Every arm stands before the same server, which answers at once. In each round every arm is measured once, in an order
that turns from round to round: the CPU time that its process takes a request under wrk (32 connections, closed loop, as
fast as it can), and what it adds to the latency of an open loop at 200 requests a second over the same loop without it.
The proxy has one core, everything else the others. Where `make fast` has compiled the router, both of its forms are
arms. Peers that are not installed are left out, and named. Prints a Markdown table: medians of the rounds, in
parentheses the smallest and the largest.
"""

import argparse
import asyncio
import dataclasses
import math
import os
import re
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import numpy as np
import psutil

from experiments.calibrate import SETTLE, Bench, bench, finished, positive
from experiments.data_planes import DATA_PLANES, HOST, DataPlane, Front, local
from services import compiled
from services.processes import ServiceProcess, StartError
from services.router.policies import POLICIES
from services.router.settings import RouterSettings

OURS = ("aegis", "aegis_interpreted")
"""Its two forms; the second only where there is a compiled one."""
CONNECTIONS = 32
RATE_RPS = 200.0
READY_S = 15.0
CHECKS_PER_S = 8.0
"""Of all replicas together, at most: the cost of checks is theirs, not the requests'."""
SUMMARY = re.compile(r"(\d+) requests in")
FAILED = re.compile(r"(?:Non-2xx or 3xx responses|Socket errors): (.+)")


@dataclass(frozen=True)
class Arm:
    """A proxy, and for Aegis' router the policy."""

    plane: str
    policy: str
    version: str = ""
    """As the proxy itself says it; empty = it does not, or is ours."""

    def __str__(self) -> str:
        """As it stands in the table."""
        return f"{self.plane} {self.policy or self.version}".strip()


@dataclass(frozen=True)
class Cost:
    """One arm in one round."""

    cpu_us: float
    """CPU time of the proxy's process a request, microseconds."""
    added_p50_ms: float
    added_p99_ms: float
    """Its quantile of the latency less the same quantile without a proxy."""


def settings_for(replicas: int) -> RouterSettings:
    """The defaults, but for the pace of the checks where there are many replicas."""
    settings = RouterSettings()
    interval_s = max(settings.health.interval_s, replicas / CHECKS_PER_S)
    return dataclasses.replace(settings, health=dataclasses.replace(settings.health, interval_s=interval_s))


@asynccontextmanager
async def running(plane: DataPlane, front: Front, pinned: list[str]) -> AsyncIterator[ServiceProcess]:
    """The proxy of `plane`, while it passes requests on; `pinned` stands before its command.

    Raises:
        StartError: it is not installed, or does not pass a request on within 15 s.
    """
    command = plane.command(front)
    if command is None:
        raise StartError(f"{plane.name} is not installed ({plane.package})")
    process = ServiceProcess(plane.name, [*pinned, *command], front.folder / "log")
    await process.spawn()
    try:
        await plane.began(process, front)
        await _passes_on(process, front.port)
        yield process
    finally:
        await process.stop()


async def _passes_on(process: ServiceProcess, port: int) -> None:
    deadline = time.monotonic() + READY_S
    async with aiohttp.ClientSession() as session:
        while process.pid is not None and time.monotonic() < deadline:
            try:
                async with session.get(f"http://{HOST}:{port}/work", timeout=aiohttp.ClientTimeout(2)) as answer:
                    if answer.status == 200:
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.05)
    raise StartError(f"{process.name} passes nothing on\n{process.tail()}")


def _cores() -> list[int]:
    """The cores that this process may use; empty where the system does not say (macOS)."""
    if sys.platform == "linux":
        return sorted(os.sched_getaffinity(0))
    return []


def _keep_to(pid: int, cores: list[int]) -> None:
    if sys.platform == "linux":
        os.sched_setaffinity(pid, cores)


@contextmanager
def beside(server_pid: int | None) -> Iterator[list[str]]:
    """Gives the command's beginning that keeps a proxy to the first core; this process, what else it starts meanwhile,
    and the server keep to the others. Empty, and nobody is kept anywhere, where that cannot be had."""
    cores = _cores()
    if len(cores) < 2 or shutil.which("taskset") is None or server_pid is None:
        yield []
        return
    for pid in (server_pid, os.getpid()):
        _keep_to(pid, cores[1:])
    try:
        yield ["taskset", "-c", str(cores[0])]
    finally:
        _keep_to(os.getpid(), cores)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


async def cpu_us(process: ServiceProcess, port: int, seconds: float) -> float:
    """CPU time of the process a request under wrk, which knows whole seconds only, microseconds.

    Raises:
        StartError: wrk failed, or not every request was answered well.
    """
    command = ["wrk", f"-c{CONNECTIONS}", "-t1", f"-d{math.ceil(seconds)}s", f"http://{HOST}:{port}/work"]
    before = _spent_s(process)
    wrk = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        output = (await wrk.communicate())[0].decode()
    finally:
        if wrk.returncode is None:
            wrk.kill()
            await wrk.wait()
    spent = _spent_s(process) - before
    summary, failed = SUMMARY.search(output), FAILED.search(output)
    if summary is None:
        raise StartError(f"{process.name}: wrk printed no summary\n{process.tail()}")
    if failed is not None:
        raise StartError(f"{process.name}: of {summary[1]} requests failed: {failed[1]}\n{process.tail()}")
    return spent / int(summary[1]) * 1e6


def _spent_s(process: ServiceProcess) -> float:
    if process.pid is None:
        raise StartError(f"{process.name} ended\n{process.tail()}")
    return sum(psutil.Process(process.pid).cpu_times()[:2])


async def latency_ms(on: Bench, port: int) -> tuple[float, float]:
    """p50 and p99 from sending to the whole answer at 200 requests a second, milliseconds.

    Raises:
        StartError: the load failed, or a request did.
    """
    _, rows, _ = await on.send(f"http://{HOST}:{port}", RATE_RPS)
    counted = rows[rows["scheduled_s"] >= SETTLE * on.seconds]
    if not (counted["outcome"] == "ok").all():
        raise StartError(f"of {len(counted)} requests {(counted['outcome'] != 'ok').sum()} failed")
    p50, p99 = np.quantile(counted["completed_s"] - counted["sent_s"], (0.5, 0.99)).tolist()
    return p50 * 1e3, p99 * 1e3


async def measure(on: Bench, arms: list[Arm], rounds: int) -> dict[Arm, list[Cost]]:
    """Every arm once a round.

    Raises:
        StartError: an arm did not start, or lost a request.
    """
    ports = tuple(int(port) for port in on.server.addresses["ports"].split(","))
    measured: dict[Arm, list[Cost]] = {arm: [] for arm in arms}
    async with AsyncExitStack() as stack:
        pinned = stack.enter_context(beside(on.server.pid))
        up = {}
        for number, arm in enumerate(arms):
            folder = on.folder / f"arm-{number}"
            folder.mkdir()
            front = Front(free_port(), local(ports), settings_for(len(ports)), arm.policy, folder)
            process = await stack.enter_async_context(running(DATA_PLANES.create(arm.plane, {}), front, pinned))
            up[arm] = process, front.port
        for turn in range(rounds):
            direct = await latency_ms(on, ports[0])
            start = turn % len(arms)
            for arm in arms[start:] + arms[:start]:
                process, port = up[arm]
                cpu = await cpu_us(process, port, on.seconds)
                p50, p99 = await latency_ms(on, port)
                measured[arm].append(Cost(cpu, p50 - direct[0], p99 - direct[1]))
                print(f"round {turn + 1} of {rounds}, {arm}: {cpu:.0f} µs", file=sys.stderr, flush=True)
    return measured


def table(measured: dict[Arm, list[Cost]]) -> str:
    """Markdown: a row an arm, from the cheapest to the dearest."""
    lines = [f"| proxy | CPU µs a request | added p50 ms at {RATE_RPS:g}/s | added p99 ms |", "|---|---|---|---|"]

    def shown(values: list[float], digits: int) -> str:
        middle = statistics.median(values)
        return f"{middle:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"

    for arm, costs in sorted(measured.items(), key=lambda item: statistics.median(c.cpu_us for c in item[1])):
        cells = (
            shown([c.cpu_us for c in costs], 0),
            shown([c.added_p50_ms for c in costs], 2),
            shown([c.added_p99_ms for c in costs], 2),
        )
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def chosen_arms(policies: list[str], peers: list[str]) -> list[Arm]:
    """The arms, without the peers that are not installed, which are named."""
    forms = OURS if compiled.state.is_compiled else OURS[:1]
    arms = [Arm(form, policy) for policy in policies for form in forms]
    with tempfile.TemporaryDirectory() as name:
        for peer in peers:
            plane = DATA_PLANES.create(peer, {})
            if plane.command(Front(1, local([1]), RouterSettings(), "", Path(name))) is None:
                print(f"left out, not installed: {peer} ({plane.package})", file=sys.stderr)
            else:
                arms.append(Arm(peer, "", _version(plane)))
    return arms


def _version(plane: DataPlane) -> str:
    """The number alone, where it can be asked for."""
    return str(plane.version()).partition(" ")[0] if hasattr(plane, "version") else ""


async def _measure(arms: list[Arm], rounds: int, seconds: float, replicas: int) -> None:
    with tempfile.TemporaryDirectory(prefix="aegis-router-cost-") as name:
        on = await bench(seconds, Path(name), replicas)
        try:
            print(table(await measure(on, arms, rounds)), end="")
        finally:
            await on.server.stop()


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.router_cost", description=(__doc__ or "").partition("\n")[0]
    )
    peers = [name for name in DATA_PLANES.usable() if name not in OURS and not DATA_PLANES.options(name)]
    parser.add_argument("--policies", nargs="*", default=["adaptive", "least_request", "peak_ewma"], metavar="NAME",
                        help=f"of Aegis' router: {POLICIES.listed()}")  # fmt: skip
    parser.add_argument("--peers", nargs="*", default=peers, metavar="NAME", choices=peers,
                        help=f"what it stands beside, where installed: {', '.join(peers)}")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=3, choices=range(1, 21), metavar="N")
    parser.add_argument("--seconds", type=positive, default=5.0, help="length of a step; an arm has two a round")
    parser.add_argument("--replicas", type=int, default=4, choices=range(1, 1001), metavar="N", help="up to 1000")
    chosen = parser.parse_args(arguments)
    for policy in chosen.policies:
        try:
            POLICIES.find(policy)
        except ValueError as error:
            parser.error(str(error))
    if shutil.which("wrk") is None:
        parser.error("wrk is not installed (Debian: wrk), and the CPU time a request is measured under it")
    arms = chosen_arms(chosen.policies, chosen.peers)
    if not arms:
        parser.error("nothing to measure: name a policy or a peer that is installed")
    return finished(_measure(arms, chosen.rounds, chosen.seconds, chosen.replicas))


if __name__ == "__main__":
    sys.exit(main())
