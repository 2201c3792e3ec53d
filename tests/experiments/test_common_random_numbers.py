"""Request i is the same in every arm of a seed, and so are the faults and what a replica adds to it."""

import asyncio
import functools
import json
import sys
from dataclasses import replace

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from experiments.live.launching import LocalLauncher
from experiments.live.stack import Stack
from experiments.live.told import manager_options
from experiments.load.sender import LoadConfig
from experiments.plan import store
from experiments.plan.check import check
from experiments.plan.replica_options import replica_options
from experiments.plan.schedule import build_schedule
from record.schedule_hash import schedule_hash
from services.backend import __main__ as backend
from services.backend.app import build_app
from services.backend.draws import demand_ms
from services.backend.faults import effects, parse
from services.backend.replica import Replica
from services.backend.settings import ReplicaSettings
from services.draws import uniform
from services.manager.engines.local import replica_command
from tests.running import ROOT

CONF = ROOT / "conf"
NEEDED = {
    "external": ["router.url=http://127.0.0.1:8000", "router.replica_port=9001"],
    "custom": ["router.command='sh {config}'", f"router.template={ROOT / 'README.md'}"],
}
"""What a choice of the router does not run without."""
ARMS = [
    *([f"{group}={path.stem}", *NEEDED.get(path.stem, [])]
      for group in ("policy", "router", "scaler") for path in (CONF / group).iterdir()),
    ["replicas=2", "replica.concurrency=1", "replica.queue_limit=0", "replica.speeds=[1,0.5]"],
    ["load.workers=3", "load.timeout_s=1", "workload.demand.replica_noise=1"],
    ["faults=[{at_s: 6, action: kill, target: r2, for_s: 4}]", "random_faults.count=2"],
]  # fmt: skip


@functools.cache
def composed(*overrides):
    store.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_object(compose("config", overrides=list(overrides)))


@pytest.mark.slow
@pytest.mark.parametrize("arm", ARMS, ids=" ".join)
def test_every_arm_is_asked_the_same(arm):
    base, other = composed("+scenario=routed"), composed("+scenario=routed", *arm)
    check(other)
    assert schedule_hash(build_schedule(other.workload, other.seed)) == schedule_hash(
        build_schedule(base.workload, base.seed)
    )


@pytest.mark.parametrize("workers", [2, 3])
def test_however_many_processes_send_it_the_schedule_is_sent_whole(workers, tmp_path):
    schedule = build_schedule(composed("+scenario=routed").workload, 1)
    schedule.to_parquet(tmp_path / "schedule.parquet", index=False)
    about = dict.fromkeys(LoadConfig.__dataclass_fields__) | {"schedule": str(tmp_path / "schedule.parquet")}
    shares = [LoadConfig(**about | {"shard": n, "shards": workers}).read_share() for n in range(workers)]
    expected = [(*row, "GET", None) for row in schedule.itertuples(index=False, name=None)]
    assert sorted(row for share in shares for row in share) == expected


SCALED = ["scaler=target_tracking", "autoscaling.max_replicas=6"]


@pytest.mark.parametrize(
    "arm", [["policy=round_robin"], ["router=no_retries"], ["router=none"], SCALED, ["load.workers=2"]], ids=" ".join
)
def test_a_seed_draws_the_same_faults_in_every_arm(arm):
    for seed in range(10):
        base, other = (
            check(replace(composed("+scenario=failure", *more), seed=seed)) for more in ([], arm)
        )
        assert base and base == other


def test_with_more_replicas_only_the_targets_of_drawn_faults_differ():
    def drawn(more):
        return [fault.as_dict() for fault in check(composed("+scenario=failure", more))]

    few, many = drawn("replicas=3"), drawn("replicas=12")
    assert [{**fault, "target": ""} for fault in few] == [{**fault, "target": ""} for fault in many]
    assert few != many


# -- what a replica is told


NOISY = ["seed=7", "workload.demand.replica_noise=0.5", "workload.demand.distribution=lognormal"]
NOISY += ["workload.demand.sigma=0.4", "workload.demand.mean_ms=30"]


def told(command, monkeypatch):
    """The settings with which a replica's own command line would start it."""
    started = {}
    monkeypatch.setattr(backend, "serve", lambda _, settings, *more: started.update(settings=settings))
    monkeypatch.setattr("uvloop.run", lambda _: None)
    monkeypatch.setattr(sys, "argv", command[command.index("services.backend") :])
    backend.main()
    return started["settings"]


@pytest.mark.parametrize("starter", ["runner", "manager"])
def test_whoever_starts_a_replica_it_has_the_runs_seed_and_noise(starter, tmp_path, monkeypatch):
    config = composed("+scenario=routed", *NOISY, *(SCALED if starter == "manager" else []))
    options = replica_options(config)
    if starter == "manager":
        stack = Stack(config, [], LocalLauncher(tmp_path), tmp_path, lambda *_, **__: None)
        manager_options(config, [], stack._replica_options, "http://127.0.0.1:1", [], stack._write)
        options = json.loads((tmp_path / "manager.json").read_text())["replica"]
    found = told(replica_command("r2", options, None), monkeypatch)
    assert found == ReplicaSettings(
        id="r2", seed=7, replica_noise=0.5, demand_mean_ms=30.0, demand_distribution="lognormal", demand_sigma=0.4
    )


# -- what a replica adds


async def asked(requests, settings, faults):
    """What a new replica answers to (request id, attempt)s in this order: (status, milliseconds of service)."""

    async def ask(app, request_id, attempt, demand):
        headers = {"x-request-id": request_id, "x-aegis-attempt": attempt} | demand
        scope = {
            "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": "/work",
            "raw_path": b"/work", "query_string": b"", "server": ("127.0.0.1", 1),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }  # fmt: skip
        sent = []
        incoming = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive():
            return incoming.pop() if incoming else await asyncio.get_running_loop().create_future()

        async def send(message):
            sent.append(message)

        await app(scope, receive, send)
        return sent[0]["status"], json.loads(sent[1]["body"]).get("service_ms")

    replica = Replica(settings)
    await replica.set_faults(faults)
    app = build_app(replica)
    return {request: await ask(app, request[0], request[1], dict(request[2:])) for request in requests}


@pytest.mark.parametrize("given", [True, False], ids=["with a demand", "without"])
async def test_what_a_replica_adds_follows_from_seed_request_replica_and_attempt_alone(given):
    settings = ReplicaSettings(
        id="r2", seed=5, replica_noise=0.5, demand_mean_ms=0.3, demand_distribution="lognormal", demand_sigma=0.4
    )
    demand = (("x-aegis-demand-ms", "0.25"),) if given else ()
    requests = [(str(number), attempt, *demand) for number in range(30) for attempt in ("1", "2")]
    faults = parse({"error": {"rate": 0.3}})
    found = await asked(requests, settings, faults)
    restarted = await asked(reversed(requests), settings, faults)  # a new object, another order
    assert found == restarted

    for (number, attempt, *_), (status, service_ms) in found.items():
        key = (5, number, "r2", attempt)
        expected = demand_ms(settings, uniform(*key, "demand"))
        if given and uniform(*key, "noise") >= 0.5:
            expected = 0.25
        assert status == (500 if uniform(*key, "error") < 0.3 else 200)
        assert service_ms is None or service_ms == pytest.approx(expected, abs=0.001)
    assert {status for status, _ in found.values()} == {200, 500}


@pytest.mark.parametrize("kind", ["latency", "hang", "reset", "error"])
def test_which_requests_a_fault_hits_does_not_hang_on_the_other_faults(kind):
    alone, together = parse({kind: {}}), parse({name: {} for name in ("latency", "hang", "reset", "error")})
    share = "rate" if kind == "error" else "share"
    field = {"latency": "added_s", "error": "status"}.get(kind, kind)
    for faults in (alone, together):
        faults[kind][share] = 0.4

    def hit(faults):
        def of_request(n):
            return lambda purpose: uniform(1, str(n), "r1", "1", purpose)

        drawn = [effects(faults, of_request(n), 0.0, check=False) for n in range(200)]
        return [bool(getattr(effect, field)) for effect in drawn]

    assert hit(alone) == hit(together)
    assert 0 < sum(hit(alone)) < 200
