"""What a pack is measured with, and that it goes on with nothing else: a board is about one state of everything."""

import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from analysis.standings.versions import CODE, COMMIT, NAME, Versions, changed, read_versions, shown
from experiments.plan.config import ConfigError
from experiments.plan.data_planes import arm_of
from experiments.plan.inputs import inputs_of, sha256_of
from experiments.plan.outside import plugins_of
from experiments.trials.planning import Planned
from record.files import write_json
from record.provenance import code_digest, commit_of, provenance, provenance_of_process
from record.schema import MANIFEST
from record.settings import flatten
from record.shapes import Provenance
from services import compiled

DIGITS = 12
"""Of a program's hash: enough to tell two builds apart."""
OF_ALL = ("python", "packages")
OF_LIVE = ("kernel", "cpu", "cores")
"""Sections of a manifest: those that a live run's numbers depend on as well, and a simulated one's do not."""

UNKNOWN = {COMMIT: "what nobody knows", CODE: "unknown"}
"""The entry of runs whose own is lost: what is measured beside them is mixed with they cannot say what."""


@dataclass
class Held:
    """A pack that is held to what it was begun with."""

    pack: Path
    first: Planned
    """Its cells."""
    may_mix: bool
    """Whether runs of several states may stand side by side."""
    _code: str = ""

    def check(self) -> None:
        """That the pack's runs were made with what there is now, or may be mixed with such; notes what that is.

        Raises:
            ConfigError: there are runs of another state.
            FolderError: what is written of them cannot be read.
            OSError: it cannot be written.
        """
        now = made_with(self.first)
        self._code = now[CODE]
        before = read_versions(self.pack)
        if any(not changed(entry, now) for entry in before):
            return
        if next(self.pack.glob(f"**/{MANIFEST}"), None) is None:
            before = []  # nothing is measured yet
        elif not self.may_mix:
            way = "choose another --output, or add --mixed: the board will say so"
            raise ConfigError(f"{self.pack}: {_why(before, now)}, {way}")
        elif not before:
            before = [UNKNOWN]
        write_json(self.pack / NAME, [*before, now])

    def check_again(self) -> None:
        """Likewise between two runs that start processes anew, whose code may have changed meanwhile."""
        if code_digest() != self._code:
            self.check()


def made_with(first: Planned) -> dict[str, str]:
    """Code, programs, packages and, live, the machine, as they are now."""
    made = provenance_of_process() if first.is_virtual else provenance()
    form = "compiled" if compiled.state.is_compiled else "interpreted"
    sections = OF_ALL if first.is_virtual else (*OF_ALL, *OF_LIVE)
    environment: dict[str, str] = {} if first.is_virtual else {"router": form}
    for name in sections:
        environment |= flatten(made.get(name), name)
    return {COMMIT: _commit(made), CODE: code_digest(), **_programs(first), **environment}


def _commit(made: Provenance) -> str:
    git = made["git"]
    if git["commit"] is None:
        return f"Aegis {made['aegis']}"
    return f"commit {commit_of(made)}{' with uncommitted changes' if git['dirty'] else ''}"


def _programs(first: Planned) -> dict[str, str]:
    """What stands outside the tree: a proxy's version and program, files that are read, and plugins."""
    found: dict[str, str] = {}
    for (_, arm), job in first.jobs.items():
        config = job.config
        if config.stands_in and config.router is not None and arm not in found:
            plane = arm_of(config.router)
            found[arm] = plane.version()
            # A new build may call itself as the old one did.
            for name, path in _files(plane.program(), config.router.command):
                found[f"{arm}'s {name}"] = sha256_of(path)[:DIGITS]
        for each in inputs_of(config):
            whose = f"{arm}'s " if each["key"].startswith("router.") else ""
            found[f"{whose}{each['key']}={Path(each['file']).name}"] = each["sha256"][:DIGITS]
        for plugin in plugins_of(config, job.plan.faults):
            found[f"{plugin['key']}={plugin['name']}"] = plugin["sha256"]
    return found


def _files(program: str, command: str | None) -> Iterator[tuple[str, str]]:
    """What a command starts, by what it is called: its program, and those among its words, as after `taskset -c 1`."""
    yield "program", program
    for word in shlex.split(command or "")[1:]:
        if (path := shutil.which(word)) is not None:
            yield f"program {Path(word).name}", path


def _why(before: list[dict[str, str]], now: Versions) -> str:
    if not before:
        return f"{NAME} is missing, and what its runs were made with is not known: put it back"
    then = before[-1]
    key = changed(then, now)[0]
    if key == CODE:
        return f"was measured with the code of {shown(then, key)}, which has changed since: check that out"
    return f"was measured with {key} {shown(then, key)}, here is {shown(now, key)}: bring that back"
