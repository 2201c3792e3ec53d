"""A proxy or a service of the user's own as the system under test: what its keys may be, and what goes with them."""

import re
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit, urlunsplit

from experiments.plan.config import Config, ConfigError, LoadConfig, RouterConfig, require
from experiments.plan.differing import differing
from experiments.plan.engines import Engine
from experiments.plan.fault_command import COMMAND
from experiments.plan.fault_plan import Fault, is_on_path
from experiments.plan.headers import read_body, read_headers
from services.door.access import is_loopback

MUST = "the address of what runs, as router.url=http://127.0.0.1:8000"
CREDENTIALS = "has credentials (an @), which everybody would read; load.headers_file is for them"
PATH = re.compile(r"/[\x21-\x7e]*")
PORTS = range(1, 65_536)
OF_ROUTER = ("url", "replica_port", "ports")
OF_LOAD = ("path", "headers_file", "body_file")
"""Keys that go with `router.url`."""


def address_of(url: str) -> tuple[str, int]:
    """Host and port of an address.

    Raises:
        ConfigError: it is none that can be measured.
    """
    if "@" in url:  # before anything repeats it
        raise ConfigError(f"router.url: {CREDENTIALS}")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"router.url={url}: must be {MUST}") from error
    is_whole = bool(host) and port != 0 and PATH.fullmatch(f"/{url}") is not None
    require(is_whole and parts.scheme in ("http", "https"), "router.url", url, MUST)
    if parts.scheme == "https":
        raise ConfigError(f"router.url={url}: TLS is not spoken; give the http port behind what ends it")
    if parts.path.strip("/") or parts.query or parts.fragment:
        more = urlunsplit(("", "", parts.path or "/", parts.query, ""))
        raise ConfigError(f"router.url={url}: must be {MUST}, and no more; load.path={more}")
    return str(host), 80 if port is None else port


def check_external(config: Config, engine: type[Engine]) -> None:
    """`router.url`, and what goes with it; or that nothing was set that does.

    Raises:
        ConfigError: with the key and the way out.
    """
    router, load = config.router, config.load
    if router is None or router.url is None:
        given = [] if router is None else [("router", router, RouterConfig(), OF_ROUTER)]
        for section, values, plain, names in (*given, ("load", load, LoadConfig(), OF_LOAD)):
            for name in names:
                if name == "replica_port" and router is not None and router.data_plane == "custom":
                    continue  # which is told where they are, too
                if (value := getattr(values, name)) != getattr(plain, name):
                    raise ConfigError(f"{section}.{name}={value}: goes with router=external router.url=...")
        return
    host, _ = address_of(router.url)
    if not getattr(engine, "has_external", False):
        raise ConfigError(f"router.url={router.url}: engine={engine.name} cannot measure it; take engine=local")
    if not is_loopback(host) and not load.allow_external:
        raise ConfigError(f"router.url={router.url}: is not on loopback; add load.allow_external=true if it is yours")
    own = RouterConfig(url=router.url, replica_port=router.replica_port, ports=router.ports)
    for key, value in differing(router, own, "router"):
        raise ConfigError(f"{key}={value}: is of Aegis' own router; leave it out with router.url")
    _check_ports(config, router)
    _check_load(load)
    tier, nobody = config.tier.replicas, config.replicas == 0
    for key, value, clashes, must in (
        ("scaler", config.scaler["name"], config.has_manager, "none with router.url: a manager reads Aegis' router"),
        ("load.ui", load.ui, load.ui, "false with router.url"),
        ("ledger", config.ledger, config.ledger == "always", "auto or never with router.url: ids may not arrive"),
        ("counterfactual", "always", config.counterfactual == "always", "auto or never: router.url is not simulated"),
        ("tier.replicas", tier, tier > 0 and nobody, "0 with replicas=0: nobody would call them"),
    ):
        require(not clashes, key, value, must)


def _check_ports(config: Config, router: RouterConfig) -> None:
    for port in router.ports:
        require(port in PORTS, "router.ports", router.ports, f"numbers between {PORTS[0]} and {PORTS[-1]}")
    if router.replica_port is None:
        more = "needs router.replica_port, where your proxy looks for r1; or replicas=0"
        if config.replicas:
            raise ConfigError(f"replicas={config.replicas}: {more}")
        return
    most = len(PORTS) - router.replica_port + 1
    must = f"at most {most} with router.replica_port={router.replica_port}: ports end at {PORTS[-1]}"
    require(config.replicas <= most, "replicas", config.replicas, must)
    require(config.replicas > 0, "router.replica_port", router.replica_port, "left out with replicas=0")


def _check_load(load: LoadConfig) -> None:
    must = "a path that begins with /, without spaces, percent-encoded where it is not ASCII"
    require(PATH.fullmatch(load.path) is not None, "load.path", load.path, must)
    files: tuple[tuple[str, str | None, Callable[[str], object]], ...] = (
        ("headers_file", load.headers_file, read_headers),
        ("body_file", load.body_file, read_body),
    )
    for name, path, read in files:
        if path is not None:
            try:
                read(path)
            except ValueError as error:
                raise ConfigError(f"load.{name}={path}: {error}") from error


def check_faults_of_others(config: Config, engine: type[Engine], faults: Iterable[Fault]) -> None:
    """Commands run where something real is, and paths have Aegis' router at their other end.

    Where the system under test is not on loopback `load.allow_external` has let it pass, its commands too.

    Raises:
        ConfigError: with the way out.
    """
    for fault in faults:
        if fault.action == COMMAND and engine.is_virtual:
            raise ConfigError(f"faults: engine={engine.name} runs no command; take engine=local")
        if is_on_path(fault.action) and config.is_external:
            raise ConfigError(f"faults: {fault.action} happens between Aegis' router and replicas; take router=default")
