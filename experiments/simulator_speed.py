"""How fast the simulator is, beside SimPy: `python -m experiments.simulator_speed` (about two minutes).

The same model twice, in processes of their own, alternately: requests with Poisson arrivals over replicas with FIFO
queues behind `peak_ewma`, outlier detection, retry budget, health checks, network delays, and one replica that is slow
for a while. The SimPy side calls the same dispatcher, fleet and policy, but has no leases, timeouts and retries, and
its delays are constant. `--against interpreted` puts the compiled form (`make fast`) beside the Python files instead.
Prints requests a second of each round, and the ratios; by CPU time, which the simulation spends on one core, so that
other work on the machine matters less.
"""

import argparse
import multiprocessing
import os
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from experiments.plan.config import Config, DelaysConfig, EngineConfig, RouterConfig
from experiments.plan.delays import Delay
from experiments.plan.fault_plan import Fault
from experiments.plan.schedule import build_schedule
from experiments.plan.workload import DemandSettings, WorkloadSettings
from services import compiled

Side = Callable[[int, int], tuple[float, float, float]]
SLOTS, MEAN_MS, LOAD, SLOW = 2, 50.0, 0.7, 3.0


def configured(replicas: int, requests: int) -> tuple[Config, list[Fault]]:
    """The model."""
    rate = LOAD * replicas * SLOTS / (MEAN_MS / 1e3)
    config = Config(
        replicas=replicas,
        workload=WorkloadSettings(
            rate_rps=rate, duration_s=requests / rate, warmup_s=0.0, demand=DemandSettings(mean_ms=MEAN_MS)
        ),
        router=RouterConfig(),
        policy={"name": "peak_ewma"},
        scaler={"name": "none"},
        engine=EngineConfig("sim", delays=DelaysConfig(Delay(2.0, 0.3), Delay(1.0, 0.3), Delay(2.0, 0.3))),
    )
    third = config.workload.duration_s / 3
    return config, [Fault(at_s=third, action="slow", target="r1", for_s=third, factor=SLOW)]


def aegis(replicas: int, requests: int) -> tuple[float, float, float]:
    """Requests a second, mean sojourn in seconds, and the process' peak memory in MiB."""
    from experiments.simulator.stack import simulate

    config, faults = configured(replicas, requests)
    schedule = build_schedule(config.workload, config.seed)
    began = time.process_time()
    stack = simulate(config, schedule, faults)
    took = time.process_time() - began
    return len(schedule) / took, float(stack.load.sojourn_s().mean()), _memory_mib()


def simpy(replicas: int, requests: int) -> tuple[float, float, float]:
    """Likewise: the same fleet, dispatcher and policy, on SimPy's own events, timeouts and resources."""
    import simpy as library

    from services.router import policies
    from services.router.check_pacing import pause_s
    from services.router.dispatch import Dispatcher
    from services.router.fleet import Fleet
    from services.router.settings import RouterSettings

    config, faults = configured(replicas, requests)
    schedule, settings = build_schedule(config.workload, config.seed), RouterSettings()
    env = library.Environment()
    fleet = Fleet(settings.health, settings.ejection, lambda *_, **__: None)
    dispatcher = Dispatcher(settings, fleet, policies.create("peak_ewma", {}, random.Random(config.seed)))
    slots, speed, rng = (
        {},
        dict.fromkeys((f"r{n}" for n in range(1, replicas + 1)), 1.0),
        random.Random(config.seed + 1),
    )
    for id_ in speed:
        slots[id_] = library.Resource(env, SLOTS)
        fleet.put(id_, 0.0, url=id_, state="ready")
        fleet.on_check(id_, True, 0.0)
    delays = config.engine.delays
    assert delays is not None
    client_s, router_s, hop_s = delays.client.median_s, delays.router.median_s, delays.replica.median_s
    sojourn: list[float] = []

    def request(number: int, key: str, demand_s: float) -> Generator[Any, Any, None]:
        scheduled = env.now
        yield env.timeout(client_s / 2 + router_s)
        attempts, began = dispatcher.open(env.now, idempotent=True), env.now
        replica, _ = dispatcher.choose(attempts, str(number), key, began)
        yield env.timeout(hop_s / 2)
        with slots[replica.id].request() as slot:
            yield slot
            yield env.timeout(demand_s / speed[replica.id])
        yield env.timeout(hop_s / 2)
        dispatcher.finish(replica, "ok", env.now - began, env.now)
        sojourn.append(env.now + client_s / 2 - scheduled)

    def arrivals() -> Generator[Any, Any, None]:
        columns = (schedule[name].tolist() for name in ("request_id", "scheduled_s", "key", "demand_s"))
        for number, at, key, demand_s in zip(*columns, strict=True):
            yield env.timeout(at - env.now)
            env.process(request(number, key, demand_s))

    def checks(id_: str) -> Generator[Any, Any, None]:
        while True:
            fleet.on_check(id_, True, env.now)
            yield env.timeout(pause_s(settings.health, True, rng))

    def slow(fault: Fault) -> Generator[Any, Any, None]:
        yield env.timeout(fault.at_s)
        speed["r1"] = 1 / SLOW
        yield env.timeout(fault.for_s or 0.0)
        speed["r1"] = 1.0

    env.process(arrivals())
    for id_ in speed:
        env.process(checks(id_))
    env.process(slow(faults[0]))
    began = time.process_time()
    env.run(until=config.workload.duration_s + 60)
    return len(schedule) / (time.process_time() - began), statistics.fmean(sojourn), _memory_mib()


def _memory_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024  # bytes there, KiB elsewhere


def measured(side: Side, replicas: int, requests: int, *, interpreted: bool = True) -> tuple[float, float, float]:
    """What `side` returns in a process of its own."""
    if interpreted:
        os.environ[compiled.INTERPRETED] = "1"
    else:
        os.environ.pop(compiled.INTERPRETED, None)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(side, replicas, requests).result()


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.simulator_speed", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--replicas", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--against",
        choices=("simpy", "interpreted"),
        default="simpy",
        help="simpy: the Python files beside SimPy (default); interpreted: the compiled form beside the Python files",
    )
    chosen = parser.parse_args(arguments)
    if min(chosen.requests, chosen.replicas, chosen.rounds) < 1:
        parser.error("--requests, --replicas, --rounds: at least 1")
    if chosen.against == "interpreted" and not compiled.state.is_compiled:
        parser.error(f"--against interpreted: {compiled.state.why_not or 'there is no compiled form; `make fast`'}")
    sides: dict[str, tuple[Side, bool]] = {"aegis": (aegis, True), "simpy": (simpy, True)}
    if chosen.against == "interpreted":
        sides = {"compiled": (aegis, False), "interpreted": (aegis, True)}
    ratios = []
    for number in range(1, chosen.rounds + 1):
        done = {
            name: measured(side, chosen.replicas, chosen.requests, interpreted=interpreted)
            for name, (side, interpreted) in sides.items()
        }
        (ours, *_), (theirs, *_) = done.values()
        ratios.append(ours / theirs)
        words = [
            f"{name} {rps:,.0f} requests/s, mean {mean * 1e3:.1f} ms, {mib:,.0f} MiB"
            for name, (rps, mean, mib) in done.items()
        ]
        print(f"round {number}: {'; '.join(words)}; ratio {ratios[-1]:.2f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
