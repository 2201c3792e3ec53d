"""Work in flight over time, against an integral that is kept beside it."""

import random

import pytest

from services.router.fleet import Fleet
from services.router.settings import EjectionSettings, HealthCheckSettings


@pytest.mark.parametrize("seed", range(5))
def test_whoever_comes_drains_fails_and_leaves_the_work_is_counted_once(seed):
    rng = random.Random(seed)
    fleet = Fleet(
        HealthCheckSettings(unhealthy_threshold=1, healthy_threshold=1), EjectionSettings(), lambda *_, **__: None
    )
    now = expected = last = 0.0
    requests = []
    in_panic = set()
    for _ in range(3000):
        step = rng.expovariate(10.0)
        # Held against the states themselves: those of members now, of the others as it was when they left.
        expected += step * sum(
            (replica.state in ("ready", "draining") or id(replica) in in_panic) and working(fleet, replica)
            for replica in requests
        )
        now += step
        act = rng.choice(("join", "check", "fail", "drain", "leave", "expire", *["start", "finish"] * 6))
        id_ = f"r{rng.randint(1, 5)}"
        replica = fleet.replicas.get(id_)
        if act == "join" and replica is None:
            fleet.put(id_, now, url=f"http://{id_}/{now}", state="ready")
        elif act == "start" and (ready := fleet.candidates()) and fleet.replicas:
            chosen = rng.choice(ready)
            fleet.on_start(chosen, now)
            requests.append(chosen)
        elif act == "finish" and requests:
            fleet.on_finish(requests.pop(rng.randrange(len(requests))), "ok", 0.1, now)
        elif act in ("check", "fail") and replica is not None:
            fleet.on_check(id_, act == "check", now)
        elif act == "drain" and replica is not None:
            fleet.put(id_, now, state="draining")
        elif act == "leave" and replica is not None and replica.draining:
            fleet.remove(id_, now)
        elif act == "expire" and replica is not None:
            replica.lease_until = now
            fleet.tick(now)
        in_panic = {id(r) for r in fleet.replicas.values() if fleet.panics and r.healthy is not None}
        assert fleet.work_seconds(now) == pytest.approx(expected)
        assert fleet.work_seconds(now) >= last - 1e-9
        last = fleet.work_seconds(now)
    assert last > 100


def working(fleet, replica):
    """A member, or one that has left in order and finishes what it has."""
    return fleet.replicas.get(replica.id) is replica or replica.draining
