"""The fleet as Prometheus discovers it: the answer of `/sd` (Prometheus, HTTP service discovery). Pure."""

from collections.abc import Iterable
from typing import Any

from yarl import URL

from services.router.replica import Replica


def target_groups(replicas: Iterable[Replica]) -> list[dict[str, Any]]:
    """One target a registered replica: its admin port where it has one, which faults do not touch, else its data port.

    Every registered replica is listed, whatever its state. An ejected one is what somebody wants to look at. A draining
    one still serves what is in flight, and its last counts belong to the whole. A dead one stays until its lease runs
    out, so that it is seen to be down; then it is gone here, as it is in the fleet, and its series end. State and
    address go into `__meta_` labels, which relabelling may use: as labels they would make new series at every change.
    """
    return [
        {
            "targets": [_host_port(replica.admin_url or replica.url)],
            "labels": {
                "replica": replica.id,
                "__meta_aegis_state": replica.state,
                "__meta_aegis_url": replica.url,
            },
        }
        for replica in replicas
    ]


def _host_port(url: str) -> str:
    parsed = URL(url)
    host = parsed.host or ""
    return f"[{host}]:{parsed.port}" if ":" in host else f"{host}:{parsed.port}"
