"""What users extend, one file each, found by its name, in the tree or outside of it.

A `Point` is a package whose files are plugins: `mine.py` holds a class with `name = "mine"`, and is imported when it is
chosen, so that a broken file refuses nobody but itself. The same file outside the tree lies in the point's room under a
folder of `AEGIS_PLUGINS` (several are joined by a colon):

    AEGIS_PLUGINS=/home/me/plugins   ->   /home/me/plugins/policies/mine.py   ->   policy=mine

The variable goes to every process of a run by its environment. A name that two files have is refused when it is chosen.
"""

import contextlib
import difflib
import hashlib
import importlib
import inspect
import os
from collections.abc import MutableSequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.units import must_be

VARIABLE = "AEGIS_PLUGINS"
ROOMS = (
    "policies", "scalers", "manager_engines", "process_faults", "profiles", "arrivals", "engines", "panels",
    "data_planes", "exporters", "readers", "references",
)  # fmt: skip
"""The folders that a plugins' folder may have; `panels` are found by `analysis/pages/panels/`."""


def folders() -> list[Path]:
    """The plugins' folders, absolute, in the order in which they were named."""
    return [Path(text).absolute() for text in os.environ.get(VARIABLE, "").split(os.pathsep) if text]


def check_folders() -> None:
    """Refuse a plugins' folder in which nothing would be found.

    Raises:
        ValueError: it is none, or has no room.
    """
    for folder in folders():
        if not any((folder / room).is_dir() for room in ROOMS):
            raise ValueError(f"{VARIABLE}={folder}: must be a folder with one of {', '.join(ROOMS)} in it")


def _extends_compiled(error: Exception) -> str:
    """What helps where a class extends one whose compiled form is used (services/compiled.py); else nothing."""
    if not (isinstance(error, TypeError) and "inherit from compiled" in str(error)):
        return ""
    return "; AEGIS_INTERPRETED=1 in the environment has it extend the Python files"


@dataclass(frozen=True)
class Point:
    """One kind of plugin."""

    package: str
    path: MutableSequence[str]
    """The package's `__path__`; the rooms outside the tree are added to it, so that imports find them."""
    room: str
    """Its folder's name outside the tree."""
    kind: str
    """The key by which one is chosen, for the errors."""
    methods: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    """What a class must have."""
    around: type | None = None
    """A class that is put around an instance of each of them; its keyword arguments are options of all."""

    def __post_init__(self) -> None:
        """Look outside of the tree, too."""
        assert self.room in ROOMS
        self.path.extend(text for f in folders() if (text := str(f / self.room)) not in self.path)

    def files(self) -> dict[str, list[Path]]:
        """The files of each name, the tree's first."""
        by_name: dict[str, list[Path]] = {}
        for folder in self.path:
            for name in _names(folder):
                by_name.setdefault(name, []).append(Path(folder, f"{name}.py"))
        return dict(sorted(by_name.items()))

    def find(self, name: str) -> Any:  # noqa: ANN401 - of the type that its package describes
        """The class called `name`.

        Raises:
            ValueError: there is no such file, there are two, or it cannot be used; one line that says why.
        """
        there = self._files_of(name)
        if not there:
            where = self.package.replace(".", "/")
            raise ValueError(
                f"{self.kind}={name or None}: there is no {name or '<name>'}.py in {where}/ or in {self.room}/ of a "
                f"folder of {VARIABLE}; there are {', '.join(self.files())}"
            )
        file, *others = there
        if others:
            raise ValueError(f"{self.kind}={name}: {_shown(file)} and {_shown(others[0])} have this name; rename one")
        try:
            module = importlib.import_module(f"{self.package}.{name}")
        except Exception as error:
            text = " ".join(str(error).split())
            text += _extends_compiled(error)
            raise ValueError(
                f"{self.kind}={name}: {_shown(file)} cannot be imported ({type(error).__name__}: {text})"
            ) from error
        plugin = next((c for c in vars(module).values() if isinstance(c, type) and getattr(c, "name", 0) == name), None)
        if plugin is None:
            raise ValueError(f'{self.kind}={name}: {_shown(file)} has no class with `name = "{name}"`')
        missing = [method for method in self.methods if not callable(getattr(plugin, method, None))]
        missing += [value for value in self.values if not hasattr(plugin, value)]
        if missing:
            raise ValueError(f"{self.kind}={name}: {plugin.__name__} in {_shown(file)} lacks {', '.join(missing)}")
        return plugin

    def _files_of(self, name: object) -> list[Path]:
        """Those of one name; all folders are not listed for it, as a plan asks some twenty times."""
        if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
            return self.files().get(name, []) if isinstance(name, str) else []
        return [file for folder in self.path if (file := Path(folder, f"{name}.py")).exists()]

    def usable(self) -> dict[str, Any]:
        """The classes by name; a file that cannot be used is left out."""
        by_name = {}
        for name in self.files():
            try:
                by_name[name] = self.find(name)
            except ValueError:
                continue
        return by_name

    def listed(self) -> str:
        """The names there are, for a help text, and what is wrong with the files that cannot be used."""
        good, broken = [], []
        for name in self.files():
            try:
                self.find(name)
            except ValueError as error:
                broken.append(str(error).removeprefix(f"{self.kind}="))
            else:
                good.append(name)
        text = ", ".join(good) + "".join(f"; not usable: {text}" for text in broken)
        return text.replace("%", "%%")  # argparse formats its help texts

    def options(self, name: str, *fixed: str) -> dict[str, Any]:
        """The keyword arguments of the class called `name` with their defaults, without those in `fixed`.

        Raises:
            ValueError: as `find`.
        """
        parameters = inspect.signature(self.find(name)).parameters.values()
        return {p.name: None if p.default is p.empty else p.default for p in parameters if p.name not in fixed}

    def shared(self) -> dict[str, Any]:
        """The options of all of them, with their defaults."""
        if self.around is None:
            return {}
        parameters = inspect.signature(self.around).parameters.values()
        return {p.name: p.default for p in parameters if p.kind == p.KEYWORD_ONLY}

    def lacks(self, name: str, option: str, *fixed: str) -> str:
        """One line on an option that the class called `name` does not take: what it takes, and which others take it."""
        known = [*(each for each in self.options(name, *fixed) if each not in fixed), *self.shared()]
        text = f"{self.kind}.{option}: {name} takes {', '.join(known) or 'no options'}"
        if others := [each for each in self.usable() if each != name and option in self.options(each, *fixed)]:
            return f"{text}; {option} goes with {' and '.join(f'{self.kind}={each}' for each in others)}"
        near = [each for each in known if each.startswith(option)] or difflib.get_close_matches(option, known, 1)
        return f"{text}; did you mean {self.kind}.{near[0]}?" if near else text

    def create(self, name: str, options: dict[str, Any], **fixed: object) -> Any:  # noqa: ANN401
        """An instance of the class called `name`, its options checked against its constructor.

        Args:
            name: which one.
            options: keyword arguments by the user.
            fixed: keyword arguments by the program; given where the constructor takes them.

        Raises:
            ValueError: as `find`, or an option or its value is wrong; names the choices.
        """
        plugin = self.find(name)
        taken = inspect.signature(plugin).parameters
        own, shared = self.options(name, *fixed), self.shared()
        if both := sorted(own.keys() & shared.keys()):
            raise ValueError(f"{self.kind}={name}: {plugin.__name__} must not take {both[0]}, an option of all of them")
        known = own | shared
        for option, value in options.items():
            if option not in known:
                raise ValueError(self.lacks(name, option, *fixed))
            default = known[option]
            if default is None:
                continue
            accepted = (int, float) if isinstance(default, float) else type(default)
            if not isinstance(value, accepted) or (isinstance(value, bool) and not isinstance(default, bool)):
                key = f"{self.kind}.{option}"
                raise ValueError(f"{key}={value}: {must_be(key, value, type(default), default)}")
        for option in own:
            if option not in options and taken[option].default is inspect.Parameter.empty:
                raise ValueError(f"{self.kind}.{option}: must be given, {name} has no default for it")
        try:
            made = plugin(**{key: value for key, value in (options | fixed).items() if key in taken})
        except TypeError as error:
            if not (hint := _extends_compiled(error)):
                raise
            raise ValueError(f"{self.kind}={name}: {error}{hint}") from error
        of_all = {key: value for key, value in options.items() if key in shared}
        return made if self.around is None else self.around(made, **of_all)

    def outsiders(self) -> dict[str, Path]:
        """The names that only files outside the tree have, usable or not, with the file."""
        return {name: files[0] for name, files in self.files().items() if files[0].parent != Path(self.path[0])}

    def outside(self, name: str) -> dict[str, str] | None:
        """What the manifest says of the plugin called `name`: key, name, file, its SHA-256; None = of the tree."""
        file = self.outsiders().get(name)
        if file is None:
            return None
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        return {"key": self.kind, "name": name, "file": str(file), "sha256": digest}


def _names(folder: str) -> list[str]:
    """Of the plugins in a folder; none where there is no such folder."""
    with contextlib.suppress(OSError):
        return sorted(name[:-3] for name in os.listdir(folder) if name.endswith(".py") and name[0] not in "_.")
    return []


def _shown(file: Path) -> str:
    """From the tree's root where it is of the tree."""
    root = Path(__file__).parents[1]
    return str(file.relative_to(root)) if file.is_relative_to(root) else str(file)
