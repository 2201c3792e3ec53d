"""HAProxy: `leastconn`, active checks and `observe layer7` (experiments/exporting/haproxy.py).

As an arm it has a slot for every replica that there can be, and is told by its runtime interface who is behind each
(https://docs.haproxy.org/2.6/management.html#9.3), without a reload. Answers say how many attempts there were: the
retries of its log, and one. Who is down, and for which of the two reasons, `show stat` says.
"""

import asyncio
import csv
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from experiments.data_planes import HOST, NOWHERE, Front, Member, Standing, found, said
from experiments.exporting import whole_weights
from experiments.exporting.haproxy import ALGORITHMS, WEIGHTS
from services.processes import ServiceProcess

BACKEND = "replicas"
OBSERVED = "HANA"
"""The status of a check that failed because of what was observed at work (`observe`), not of a check."""
REFUSED = ("No such", "Invalid", "Unknown", "Require")
"""What the answer to a command that is not taken begins with."""
UP = ("UP", "no check")
TAKES_S = 2.0
ATTEMPTS = (
    "http-after-response set-var-fmt(txn.retries) %rc",
    r"http-after-response set-header X-Aegis-Attempts %[var(txn.retries),regsub(\+,),add(1)]",
)
"""`%rc` has a plus in front where the last attempt went to another server."""


class Haproxy:
    """One thread in the foreground."""

    name: ClassVar[str] = "haproxy"
    package: ClassVar[str] = "haproxy"
    variable: ClassVar[str] = "HAPROXY"
    algorithms: ClassVar[tuple[str, ...]] = tuple(ALGORITHMS)
    lacks: ClassVar[tuple[str, ...]] = (
        "hedging.enabled", "timeouts.adaptive_factor", "timeouts.told", "limits.adaptive",
    )  # fmt: skip
    tells: ClassVar[bool] = True
    counts: ClassVar[bool] = True
    least: ClassVar[tuple[str, str]] = ("2.5", "set-var-fmt")  # its CHANGELOG, 2.5-dev

    def program(self) -> str | None:
        """Of HAPROXY, the Python environment, the path, or /usr/sbin."""
        return found("haproxy", self.variable)

    def version(self) -> str:
        """The number after its name, and its date."""
        return said([self.program() or "haproxy", "-v"]).partition("version ")[2].partition(" - ")[0]

    def command(self, front: Front) -> list[str] | None:
        """One process, which stays in the foreground."""
        program = self.program()
        if program is None:
            return None
        path = front.configured(self.name) if front.admin is None else front.written("haproxy.cfg", _as_arm(front))
        return [program, "-db", "-f", str(path)]

    async def began(self, process: ServiceProcess, front: Front) -> None:
        """Nothing is left to be done."""

    def otherwise(self, front: Front) -> Sequence[str]:
        """What the exporter says is lost."""
        return front.exported(self.name).lost

    async def change(self, process: ServiceProcess, front: Front, members: Sequence[Member]) -> None:
        """Fill the slots by `set server`; a slot whose replica has gone is put into maintenance."""
        weights = dict(zip(members, whole_weights(members, WEIGHTS) if members else [], strict=True))
        by_name = {each.name: each for each in members}
        commands = []
        for id_ in front.ids:
            slot = f"set server {BACKEND}/{id_}"
            member = by_name.get(id_)
            if member is None:
                commands.append(f"{slot} state maint")
            elif member.draining:
                commands.append(f"{slot} state drain")
            else:
                commands.append(f"{slot} addr {member.host} port {member.port}")
                commands += [f"{slot} weight {weights[member]}", f"{slot} state ready"]
        answer = await _asked(front, ";".join(commands))
        if refused := [line for line in answer.splitlines() if line.startswith(REFUSED)]:
            raise OSError(f"haproxy: {refused[0]}")

    async def look(self, front: Front, members: Sequence[Member]) -> Mapping[str, Standing]:
        """By `show stat` of all servers."""
        text = await _asked(front, "show stat -1 4 -1")
        if not text.endswith("\n"):
            raise OSError("haproxy: its answer is cut off")
        rows = csv.DictReader(text.removeprefix("# ").splitlines())
        names = {each.name for each in members}
        return {row["svname"]: _standing(row) for row in rows if row["svname"] in names}

    async def end(self, process: ServiceProcess, front: Front) -> None:
        """SIGUSR1: https://docs.haproxy.org/2.6/management.html#4."""
        process.signal(signal.SIGUSR1)


def _standing(row: Mapping[str, str]) -> Standing:
    is_up = row["status"].startswith(UP)
    is_observed = row["check_status"].removeprefix("* ") == OBSERVED
    return Standing(
        in_rotation=is_up,
        cause="" if is_up else "consecutive_failures" if is_observed else "health_check",
        in_flight=int(row["scur"]),
        requests=int(row["stot"]),
    )


def _as_arm(front: Front) -> str:
    """The exporter's configuration with a slot for everybody, a runtime interface, and the count of attempts."""
    there = {each.name: each for each in front.replicas if not (isinstance(each, Member) and each.draining)}
    slots = tuple(there.get(id_) or replace(NOWHERE, name=id_) for id_ in front.ids)
    lines = []
    for line in front.behind(slots).exported("haproxy").text.splitlines():
        words = line.split()
        is_empty = words[:1] == ["server"] and words[1] not in there
        lines.append(f"{line} disabled" if is_empty else line)
        if line == "global":
            lines.append(f"  stats socket ipv4@{HOST}:{front.admin} level admin")
        elif line == "frontend data":
            lines += [f"  {each}" for each in ATTEMPTS]
    return "\n".join(lines) + "\n"


async def _asked(front: Front, commands: str) -> str:
    """The answer of its runtime interface.

    Raises:
        OSError: it gives none.
    """
    async with asyncio.timeout(TAKES_S):
        reader, writer = await asyncio.open_connection(HOST, front.admin)
        try:
            writer.write(f"{commands}\n".encode())
            return (await reader.read()).decode(errors="replace")
        finally:
            writer.close()
