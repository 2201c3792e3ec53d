"""The signals that a scaler may be told to read, by name, and what each is of.

    in_flight    requests under way, waiting ones included                      of slots
    busy         slots in use                                                   of slots
    cpu          CPU cores in use, where replicas say so (replica.kind=cpu)     of slots: each has a core to burn on
    rate_rps     requests a second that were sent to replicas, repeats too      of replicas
    queue        requests that wait, in the router's line or for a slot         of replicas
    offered_rps  requests a second that came to the router                      of replicas
    p95_ms       95th percentile of latency, from the router's door, ms         of nobody: it is what it is
"""

from services.manager.observation import Observation

OF_SLOTS = ("in_flight", "busy", "cpu")
OF_REPLICAS = ("rate_rps", "queue", "offered_rps")
ITSELF = ("p95_ms",)
SIGNALS = (*OF_SLOTS, *OF_REPLICAS, *ITSELF)
BY_REPLICA = ("in_flight", "rate_rps", "busy", "cpu", "queue")
"""Those that are known of each replica, too."""


def shared(observation: Observation, name: str) -> tuple[float, float] | None:
    """A signal, and the number of those in rotation that share it: slots, replicas, or 1.

    None = it is not known, or nobody is in rotation.
    """
    total = getattr(observation, name)
    if total is None or not observation.ready:
        return None
    if name in OF_SLOTS:
        return total, sum(observation.slots_ready)
    return total, observation.ready if name in OF_REPLICAS else 1
