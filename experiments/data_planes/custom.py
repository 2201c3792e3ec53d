"""Any other program, by a template of its configuration: `router=custom router.command='...' router.template=FILE`.

The template is Jinja's (https://jinja.palletsprojects.com/en/stable/templates/). It is given

    host, port, folder, algorithm    where the program is to listen; a folder that it may write to; `router.algorithm`
    replicas                         each with `id`, `host`, `port`; all that there are in the run, from the start on
    timeouts, retry, health, ejection, limits, hedging    the run's `router.*`, as `timeouts.connect_s`

and a filter `ms`: seconds as whole milliseconds, at least one. In the command `{config}` stands for the file that is
written, `{folder}` and `{port}` for the same as there. The program stays in the foreground, and ends by SIGTERM.

Nothing is told of what becomes of the replicas, which are at fixed ports from `router.replica_port` on, and nothing is
asked: who fails is found by the program itself, and nobody knows when. Attempts are known where the template has
answers say them as `X-Aegis-Attempts`.
"""

import dataclasses
import shlex
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import jinja2
import jinja2.meta

from experiments.data_planes import HOST, Front, Member, Standing, said
from experiments.exporting import milliseconds
from services.processes import ServiceProcess
from services.router.settings import RouterSettings

CONFIG = "{config}"


class Custom:
    """One build of one program, configured once."""

    name: ClassVar[str] = "custom"
    algorithms: ClassVar[tuple[str, ...]] = ()
    """Any: the template's own words."""
    lacks: ClassVar[tuple[str, ...]] = ()
    tells: ClassVar[bool] = False
    counts: ClassVar[bool] = False
    least: ClassVar[tuple[str, str]] = ("", "")
    package: ClassVar[str] = "the program that router.command names"

    def __init__(self, *, command: str, template: str, version_command: str = "", replica_port: int) -> None:
        """As the keys of `router` that are called so.

        Raises:
            ValueError: one of them cannot be used; one line with the key.
        """
        self._words = _split("command", command)
        self._asks_version = _split("version_command", version_command)
        self._replica_port = replica_port
        if not any(CONFIG in word for word in self._words):
            raise ValueError(f"router.command={command}: must name the configuration, as `PROGRAM -f {CONFIG}`")
        self._file = f"config{Path(template).suffix}"
        try:
            source = Path(template).read_text(encoding="utf-8")
            # What is written is the program's own language, so that nothing is escaped.
            environment = jinja2.Environment(
                undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True,
                autoescape=False,
            )  # fmt: skip
            environment.filters["ms"] = milliseconds
            self._names = jinja2.meta.find_undeclared_variables(environment.parse(source))
            self._template = environment.from_string(source)
            self._rendered(Front(1, (), RouterSettings(), "", Path(), "any", ids=("r1",)))
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"router.template={template}: cannot be read ({error})") from error
        except jinja2.TemplateError as error:
            where = f"line {error.lineno}: " if isinstance(error, jinja2.TemplateSyntaxError) else ""
            raise ValueError(f"router.template={template}: {where}{error.message}") from error
        except (TypeError, ValueError) as error:
            raise ValueError(f"router.template={template}: {error}") from error

    @property
    def takes_algorithm(self) -> bool:
        """Whether the template asks for it."""
        return "algorithm" in self._names

    def program(self) -> str | None:
        """The first word of the command."""
        return shutil.which(self._words[0])

    def version(self) -> str:
        """The first line that `router.version_command` prints; empty without one."""
        return said(self._asks_version, lines=1) if self._asks_version else ""

    def command(self, front: Front) -> list[str] | None:
        """The command with what stands for the file, the folder and the port."""
        if self.program() is None:
            return None
        path, words = front.written(self._file, self._rendered(front)), list(self._words)
        known = {CONFIG: path, "{folder}": front.folder, "{port}": front.port}
        for name, value in known.items():
            words = [word.replace(name, str(value)) for word in words]
        return words

    def _rendered(self, front: Front) -> str:
        replicas = [
            {"id": id_, "host": HOST, "port": self._replica_port + number} for number, id_ in enumerate(front.ids)
        ]
        text: str = self._template.render(
            host=HOST, port=front.port, folder=front.folder, algorithm=front.algorithm, replicas=replicas,
            **dataclasses.asdict(front.settings),
        )  # fmt: skip
        return text

    async def began(self, process: ServiceProcess, front: Front) -> None:
        """Nothing is left to be done."""

    def otherwise(self, front: Front) -> Sequence[str]:
        """What follows from being configured once; the rest is the template's."""
        lost = ["its members stay: who has gone or drains is found by the program itself"]
        if unread := [each.name for each in dataclasses.fields(RouterSettings) if each.name not in self._names]:
            lost.append(f"router.{', router.'.join(unread)}: the template does not ask for them")
        return lost

    async def change(self, process: ServiceProcess, front: Front, members: Sequence[Member]) -> None:
        """It knows all of them from the start on."""

    async def look(self, front: Front, members: Sequence[Member]) -> Mapping[str, Standing]:
        """It is asked nothing: all are taken for being in rotation."""
        return {each.name: Standing(in_rotation=True) for each in members if not each.draining}

    async def end(self, process: ServiceProcess, front: Front) -> None:
        """SIGTERM, as its users are told."""
        process.signal(signal.SIGTERM)


def _split(key: str, line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise ValueError(f"router.{key}={line}: {error}") from error
