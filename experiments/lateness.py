"""How late load generators are, side by side: `python -m experiments.lateness` (about fifteen minutes).

Aegis as it is, without each of its measures against lateness and without all, plain Locust, hey and wrk, at several
rates against one bare server, interleaved over several rounds. One yardstick for all, at the server: arrival k against
slot k of an even schedule whose start is set by the earliest arrivals. Prints a Markdown table of the rounds' medians.
"""

import argparse
import asyncio
import itertools
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import numpy as np

from experiments.calibrate import SETTLE, Bench, bench, cpu_cores, finished, positive
from experiments.load.command import locust_command
from experiments.load.sender import MEASURES
from services.processes import ServiceProcess, StartError

RATES = (100.0, 300.0, 500.0, 1000.0)
STARTING_S = 4.0
"""Time for a tool to start before it is looked at."""
ON_TIME = 0.01
"""The share of the earliest arrivals that sets the schedule's start."""


@dataclass(frozen=True)
class Seen:
    """One generator at one rate."""

    rps: float
    """Arrivals a second."""
    late_p50_ms: float
    late_p99_ms: float
    cpu_ms_per_request: float


def lateness_ms(arrivals_s: list[float], rate_rps: float) -> tuple[float, float]:
    """p50 and p99 of the arrivals against an even schedule, milliseconds."""
    slots = np.sort(np.asarray(arrivals_s)) - np.arange(len(arrivals_s)) / rate_rps
    late = np.maximum(slots - np.quantile(slots, ON_TIME), 0.0) * 1e3
    p50, p99 = np.quantile(late, (0.5, 0.99)).tolist()
    return p50, p99


class Comparison:
    """Runs each generator in turn against the bench's server."""

    def __init__(self, on: Bench) -> None:
        self._on = on
        self.url = on.server.addresses["url"]

    async def aegis(self, rate_rps: float, off: tuple[str, ...]) -> Seen:
        """The open loop with some of its measures left off."""
        await self._arrivals()
        step = await self._on.step(rate_rps, 1, off=off, arrivals="uniform")
        arrivals = await self._arrivals()
        skip = int(SETTLE * len(arrivals))
        return self._seen(arrivals[skip:], rate_rps, step.cpu_ms_per_request)

    async def tool(self, command: list[str], rate_rps: float | None, env: dict[str, str]) -> Seen:
        """Another generator; it is ended after the window."""
        process = ServiceProcess(command[0], command, self._on.folder / "tool.log", env=env)
        await process.spawn()
        try:
            start = time.monotonic() + STARTING_S
            await asyncio.sleep(STARTING_S - 0.1)
            await self._arrivals()
            if process.pid is None:
                raise StartError(f"{command[0]} ended early\n{process.tail()}")
            [cores] = await cpu_cores([process.pid], start, start + self._on.seconds)
            arrivals = [a for a in await self._arrivals() if start <= a < start + self._on.seconds]
        finally:
            await process.stop()
        if not arrivals:
            raise StartError(f"{command[0]} sent nothing\n{process.tail()}")
        return self._seen(arrivals, rate_rps, cores * self._on.seconds / len(arrivals) * 1e3)

    def _seen(self, arrivals: list[float], rate_rps: float | None, cpu_ms: float) -> Seen:
        elapsed = max(arrivals) - min(arrivals)
        p50, p99 = (np.nan, np.nan) if rate_rps is None else lateness_ms(arrivals, rate_rps)
        return Seen(len(arrivals) / elapsed, p50, p99, cpu_ms)

    async def _arrivals(self) -> list[float]:
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/arrivals") as answer:
            return list(await answer.json(content_type=None))


def _tools(url: str, seconds: float, rate_rps: float) -> dict[str, tuple[list[str], float | None, dict[str, str]]]:
    """Name: command, the rate that it aims at (wrk knows none: as fast as it can), environment; one connection each."""
    plain = locust_command(Path(__file__).parent / "calibration" / "plain_locustfile.py", "--host", url)
    return {
        "plain Locust (constant_throughput)": (plain, rate_rps, {"AEGIS_PLAIN_RPS": str(rate_rps)}),
        "hey": (["hey", "-z", f"{seconds:.0f}s", "-c", "1", "-q", f"{rate_rps:g}", f"{url}/work"], rate_rps, {}),
        "wrk (closed loop, unpaced)": (["wrk", "-t1", "-c1", f"-d{seconds:.0f}s", f"{url}/work"], None, {}),
    }


async def compare(on: Bench, rates: list[float], rounds: int) -> dict[tuple[str, float], list[Seen]]:
    """Every generator at every rate, `rounds` times; a tool that is not installed is said and left out."""
    comparison, measured = Comparison(on), dict[tuple[str, float], list[Seen]]()
    variants = {"Aegis": (), **{f"Aegis without {m}": (m,) for m in MEASURES}, "Aegis without all three": MEASURES}
    missing: set[str] = set()
    for turn, rate in itertools.product(range(rounds), rates):
        for name, off in variants.items():
            measured.setdefault((name, rate), []).append(await comparison.aegis(rate, off))
        for name, (command, aim, env) in _tools(comparison.url, on.seconds + STARTING_S + 5, rate).items():
            if shutil.which(command[0]) is None:
                missing.add(command[0])
                continue
            measured.setdefault((name, rate), []).append(await comparison.tool(command, aim, env))
        print(f"round {turn + 1} of {rounds}, {rate:g} requests/s: done", file=sys.stderr, flush=True)
    if missing:
        print(f"left out, not installed: {', '.join(sorted(missing))} (Debian packages)", file=sys.stderr)
    return measured


def table(measured: dict[tuple[str, float], list[Seen]]) -> str:
    """Markdown: medians over the rounds, a row a generator, `p50 / p99 ms, CPU ms per request` at each rate."""
    rates = list(dict.fromkeys(rate for _, rate in measured))
    lines = ["| generator | " + " | ".join(f"{rate:g} rps" for rate in rates) + " |", "|---|" + "---|" * len(rates)]
    for name in dict.fromkeys(name for name, _ in measured):
        cells = []
        for rate in rates:
            seen = measured[name, rate]
            p50, p99, cpu, rps = np.median(
                [(s.late_p50_ms, s.late_p99_ms, s.cpu_ms_per_request, s.rps) for s in seen], axis=0
            )
            late = f"{rps:,.0f} rps" if np.isnan(p50) else f"{p50:.2f} / {p99:.2f}"
            cells.append(f"{late}, {cpu:.2f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


async def _measure(rates: list[float], rounds: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory(prefix="aegis-lateness-") as name:
        on = await bench(seconds, Path(name))
        try:
            print(table(await compare(on, rates, rounds)), end="")
        finally:
            await on.server.stop()


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.lateness", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--rates", type=positive, nargs="+", default=list(RATES), metavar="RPS")
    parser.add_argument("--rounds", type=int, default=3, choices=range(1, 21), metavar="N")
    parser.add_argument("--seconds", type=positive, default=5.0, help="length of a step")
    chosen = parser.parse_args(arguments)
    return finished(_measure(chosen.rates, chosen.rounds, chosen.seconds))


if __name__ == "__main__":
    sys.exit(main())
