"""The file of `autoscaling.capacity`: the rates that 1, 2, ... replicas were measured to stand, and of what fleet.

`aegis capacity` writes it. A run takes it whose fleet and requests are those that were measured; its rate's course, its
scaler, its length and its seed are its own.
"""

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.plan.config import Config, ConfigError
from experiments.plan.engines import engine_of
from experiments.plan.of_trace import SAID
from record.provenance import cpu_model
from record.settings import flatten

if TYPE_CHECKING:
    from analysis.scaling.demand import Curve

KEY = "autoscaling.capacity"
VERSION = 1
FLEET = ("engine.name", "engine.delays", "replica", "router", "policy", "tier", "load.loop", "load.timeout_s",
         "load.deadline_ms", "load.retries", "slo")  # fmt: skip
"""Keys, and sections, that a curve holds for."""
ASKED = ("demand", "classes", "keys", "key_skew", "post_share", "body_bytes")
"""Likewise, below `workload`."""
EACH = ("replica.speeds", "replica.weights")
"""Lists with a value a replica: those count that both have."""
ANY = ("engine.delays.startup",)
"""Sections that say nothing of what a fleet stands."""
PLAIN = "poisson"
"""Arrivals that those of a rate of their own are like while it stays as it is."""


@dataclass(frozen=True)
class Capacity:
    """What a file holds."""

    file: str
    config: Mapping[str, Any]
    """The resolved configuration of its runs."""
    machine: Mapping[str, Any]
    """As `machine` gave it."""
    rates: tuple[float, ...]
    """Requests a second that 1, 2, ... n replicas were found to stand."""

    def curve(self) -> "Curve":
        """It as a curve: who has more replicas than it takes may leave one idle."""
        from analysis.scaling.demand import Curve, Objective

        slo = self.config["slo"]
        objective = Objective(float(slo["p99_ms"]), float(slo["error_rate"]))
        return Curve(tuple(accumulate(self.rates, max)), "measured", objective)


def machine() -> dict[str, Any]:
    """By what a machine is told from another one."""
    python = platform.python_version()
    return {"cpu": cpu_model(), "cores": os.cpu_count(), "architecture": platform.machine(), "python": python}


def read(file: str) -> Capacity:
    """Read it.

    Raises:
        ConfigError: it cannot be read, or is none that this version of the code writes.
    """
    try:
        about = Path(file).stat()
        return _read(file, about.st_mtime_ns, about.st_size)
    except OSError as error:
        raise ConfigError(f"{KEY}={file}: cannot be read ({error.strerror}); aegis capacity makes one") from None


@lru_cache(16)
def _read(file: str, _changed_ns: int, _size: int) -> Capacity:
    """Of a file that stays as it is once, whatever runs of a sweep take it."""
    try:
        content = json.loads(Path(file).read_text(encoding="utf-8"))
        version, points = content["schema_version"], content["points"]
        if version != VERSION:
            raise ConfigError(f"{KEY}={file}: version {version}, but {VERSION} is read here; measure it anew")
        rates = tuple(float(point["rate_rps"]) for point in points)
        if [point["replicas"] for point in points] != list(range(1, len(rates) + 1)):
            raise ValueError("its points are not those of 1, 2, ... replicas")
        capacity = Capacity(file, content["config"], content["machine"], rates)
        capacity.curve()
        for section in ("workload", "replica"):
            flatten(dict(capacity.config[section].items()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ConfigError(f"{KEY}={file}: is no curve of capacity ({what}); aegis capacity makes one") from error
    return capacity


def check_capacity(config: Config, resolved: Mapping[str, Any]) -> list[str]:
    """Hold the file against the run that is to take it; return what is to be said, a line each.

    Args:
        config: names a file.
        resolved: the same as it stands in the manifest.

    Raises:
        ConfigError: it is of another fleet or other requests, or cannot be read.
    """
    assert config.autoscaling.capacity is not None
    capacity = read(config.autoscaling.capacity)
    name = f"{KEY}={config.autoscaling.capacity}"
    for key, then, now in differences(capacity, config, resolved):
        raise ConfigError(f"{name}: was measured with {key}={then}, this run has {now}; measure that by aegis capacity")
    notes = []
    workload = config.workload
    if workload.trace is not None and workload.recorded().demand_s is not None:
        asked_ms = workload.mean_demand_s() * 1e3
        notes.append(f"{name}: whether the trace's own demands, {asked_ms:.4g} ms in the mean, are those that were "
                     f"measured is not known")
    if not engine_of(config).is_virtual:
        here = machine()
        other = [f"{key} {capacity.machine.get(key)}, here {here[key]}" for key in here
                 if capacity.machine.get(key) != here[key]]
        if other:
            notes.append(f"warning: {name}: was measured on another machine ({'; '.join(other)})")
    return notes


def differences(capacity: Capacity, config: Config, resolved: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What a run has otherwise than those that were measured: (key, then, now), in the order of keys.

    A key that only one of them has is one that another version of the code has added: nothing is said of it.
    """
    workload = config.workload
    replaced = set[str]()
    if workload.trace is not None:
        recorded = workload.recorded()
        replaced = {name.partition(".")[0] for column, names in SAID.items() for name in names
                    if getattr(recorded, column) is not None}
    wanted = [*FLEET, *(f"workload.{name}" for name in ASKED if name not in replaced)]
    if workload.trace is None and not workload.has_own_rate():
        wanted += ["workload.arrivals", f"workload.{workload.arrivals}"]
    then, now = (_chosen(each, wanted) for each in (capacity.config, resolved))
    differing = [(key, then[key], now[key]) for key in sorted(then.keys() & now.keys()) if then[key] != now[key]]
    if workload.trace is None and workload.has_own_rate():
        measured = str(capacity.config["workload"].get("arrivals", PLAIN))
        if measured != PLAIN:
            differing.append(("workload.arrivals", measured, f"{workload.arrivals}, which is {PLAIN} for a while"))
    count = min(len(capacity.rates), len(config.replica_ids))
    return differing + differences_of_each(capacity.config, resolved, count)


def differences_of_each(before: Mapping[str, Any], after: Mapping[str, Any], count: int) -> list[tuple[str, str, str]]:
    """Likewise of `EACH`, for the first `count` replicas of two resolved configurations."""
    lists = {
        key: [_each(config["replica"].get(key.partition(".")[2]), count) for config in (before, after)] for key in EACH
    }
    return [(key, str(then), str(now)) for key, (then, now) in lists.items() if then != now]


def _chosen(config: Mapping[str, Any], wanted: list[str]) -> dict[str, str]:
    """The leaves of some sections."""
    return {
        key: value
        for key, value in flatten(dict(config)).items()
        if any(key == name or key.startswith(f"{name}.") for name in wanted)
        and key not in EACH
        and not any(key.startswith(f"{name}.") for name in ANY)
    }


def _each(values: Any, count: int) -> Any:  # noqa: ANN401 - a list, or a word for one
    """Those of the first replicas; 1 is what a replica has without."""
    if not isinstance(values, list):
        return values
    return [float(value) for value in values][:count] or [1.0] * count
