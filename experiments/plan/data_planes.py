"""Another proxy in the router's place: what `router.data_plane` and what goes with it may be."""

import re
from collections.abc import Collection
from operator import attrgetter
from typing import Any

from experiments.data_planes import DATA_PLANES, OF_ARMS, OURS, Arm
from experiments.plan.config import Config, ConfigError, RouterConfig, require
from experiments.plan.engines import Engine

OF_CUSTOM = ("command", "template", "version_command")
NEEDED = ("command", "template")
"""Without which router=custom is nothing; `router.replica_port` is of its group."""
LAST_PORT = 65_535
LATENCY = "p95_ms"
"""The signal of scalers that only Aegis' router knows."""


def arms() -> list[str]:
    """The data planes that a run can be measured with."""
    return [OURS, *(name for name, plane in DATA_PLANES.usable().items() if not _lacking(plane))]


def _lacking(plane: type) -> list[str]:
    return [name for name in OF_ARMS if not hasattr(plane, name)]


def _arm_of(router: RouterConfig) -> type[Arm]:
    plane: type[Arm] = DATA_PLANES.find(router.data_plane)
    if lacking := _lacking(plane):
        choices = ", ".join(arms())
        raise ConfigError(
            f"router.data_plane={router.data_plane}: no run can be measured with it, it lacks {', '.join(lacking)}; "
            f"there are {choices}"
        )
    return plane


def arm_of(router: RouterConfig) -> Any:  # noqa: ANN401 - an Arm; each has options of its own
    """The data plane that `router` names, with those of its options that are keys of `router`.

    Raises:
        ValueError: there is none, or it refuses them.
    """
    fields = {key: value for key in DATA_PLANES.options(router.data_plane) if (value := getattr(router, key, None))}
    return DATA_PLANES.create(router.data_plane, fields)


def _check_options(router: RouterConfig, key: str) -> None:
    """That the keys of one data plane alone are set with it, all of them."""
    known = DATA_PLANES.options(router.data_plane)
    for name in OF_CUSTOM:
        value = getattr(router, name)
        if name not in known and value:
            raise ConfigError(f"router.{name}={value}: goes with router=custom")
        if name in known and name in NEEDED and not value:
            raise ConfigError(f"{key}: needs router.{name}, see docs/data_planes.md")


def _check_algorithm(router: RouterConfig, plane: Any) -> None:  # noqa: ANN401 - as above
    """That it has it; or that its template asks for one."""
    if router.algorithm is None:
        return
    known = plane.algorithms
    if known and router.algorithm not in known:
        raise ConfigError(f"router.algorithm={router.algorithm}: {router.data_plane} has {', '.join(known)}")
    if not known and not hasattr(plane, "takes_algorithm"):
        raise ConfigError(f"router.algorithm={router.algorithm}: {router.data_plane} has one way alone; leave it out")
    if not known and not plane.takes_algorithm:
        raise ConfigError(f"router.algorithm={router.algorithm}: router.template does not ask for `algorithm`")


def check_data_plane(config: Config, engine: type[Engine]) -> None:
    """That there is such a one, that the engine can start it, and that it has what is turned on.

    Raises:
        ValueError: with the key and the way out.
    """
    router = config.started_router
    if router is None:
        return
    if not config.stands_in:
        must = "left out with Aegis' router, which has policy=NAME; it goes with router=envoy and the like"
        require(router.algorithm is None, "router.algorithm", router.algorithm, must)
        _check_options(router, "")
        return
    plane, key = _arm_of(router), f"router.data_plane={router.data_plane}"
    if not getattr(engine, "has_data_planes", False):
        raise ConfigError(f"{key}: engine={engine.name} cannot run it; take engine=local")
    _check_options(router, key)
    if router.replica_port is not None:
        most = LAST_PORT - router.replica_port + 1
        must = f"at most {most} with router.replica_port={router.replica_port}: ports end at {LAST_PORT}"
        require(len(config.replica_ids) <= most, "replicas", config.replicas, must)
    _check_algorithm(router, arm_of(router))
    for name in plane.lacks:
        if value := attrgetter(name)(router):
            raise ConfigError(f"router.{name}={value}: {router.data_plane} has nothing like it; leave it out")
    if config.counterfactual == "always":
        raise ConfigError(f"counterfactual=always: must be auto or never: {key} is not simulated")


def check_scaled(config: Config, reads: Collection[str]) -> None:
    """That what the scaler reads is known.

    Args:
        config: the run's; its data plane has been checked.
        reads: the signals that its scaler was told to read.

    Raises:
        ConfigError: with the way out.
    """
    if not (config.stands_in and config.has_manager and config.router is not None):
        return
    name, scaler = config.router.data_plane, config.scaler["name"]
    if not DATA_PLANES.find(name).counts:
        raise ConfigError(f"scaler={scaler}: {name} counts no requests by replica, by which it goes; set scaler=none")
    if LATENCY in reads:
        raise ConfigError(f"scaler: {LATENCY} is read, which nobody knows with router.data_plane={name}")


def refuse_policy(config: Config, typed: Collection[str]) -> None:
    """That no policy was typed, which would do nothing.

    Raises:
        ConfigError: one was; names the algorithms.
    """
    assert config.router is not None
    for key in sorted(typed):
        if key.partition(".")[0] == "policy":
            plane = config.router.data_plane
            known = ", ".join(_arm_of(config.router).algorithms) or "a word for its template"
            raise ConfigError(f"{key}: is of Aegis' own router; {plane} has router.algorithm={known}")


def check_installed(config: Config) -> None:
    """That its program is there, and takes its configuration.

    Raises:
        ConfigError: it is not, and names the package; or it is too old, and names the version.
    """
    assert config.router is not None
    plane = arm_of(config.router)
    if plane.program() is None:
        raise ConfigError(f"router.data_plane={plane.name}: is not installed; install {plane.package}")
    least, why = plane.least
    if not least:
        return
    version = plane.version().partition(" ")[0]
    if (numbers := _numbers(version)) and numbers < _numbers(least):
        key = f"router.data_plane={plane.name}"
        raise ConfigError(f"{key}: {plane.name} {version} is too old: {least} at least (its {why})")


def _numbers(version: str) -> tuple[int, ...]:
    """Those that it begins with; empty = it begins with none."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()
