"""The files that a run is planned by: the commit says nothing of them, so the manifest says what they were."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig

from experiments.plan.config import Config
from experiments.plan.workload import ClassDemandSettings
from record.shapes import Input


def from_here(file: str) -> str:
    """A file's absolute path, from where the command was typed: Hydra may have gone to another folder."""
    here = HydraConfig.get().runtime.cwd if HydraConfig.initialized() else "."
    return str((Path(here) / Path(file).expanduser()).absolute())


def make_absolute(config: Config) -> None:
    """Give it the files' absolute paths, in place."""
    for place in _places(config):
        if place.file:
            place.put(from_here(place.file))


def take_over(config: Config, resolved: dict[str, Any]) -> None:
    """Write its paths into a resolved configuration, in place."""
    for place in _places(config):
        node: Any = resolved
        for section in place.sections:
            node = node[section]
        node[place.name] = place.file


def inputs_of(config: Config) -> list[Input]:
    """Those that are read and hold no secret, each with its key, absolute path, size and SHA-256.

    Raises:
        OSError: one cannot be read.
    """
    return [_input(place.key, place.file) for place in _places(config) if place.is_told]


@dataclass(frozen=True)
class _Place:
    """A key that names a file."""

    sections: tuple[str | int, ...]
    """To the one that has it."""
    holder: Any
    """An object, or a dictionary."""
    name: str
    is_told: bool
    """Whether it is read, and the manifest says what it was."""

    @property
    def file(self) -> str:
        """What it says; empty or None = nothing."""
        is_mapping = isinstance(self.holder, dict)
        return cast(str, self.holder[self.name] if is_mapping else getattr(self.holder, self.name))

    def put(self, file: str) -> None:
        """Write another path there."""
        if isinstance(self.holder, dict):
            self.holder[self.name] = file
        else:
            setattr(self.holder, self.name, file)

    @property
    def key(self) -> str:
        """As errors say it."""
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in (*self.sections, self.name))
        return path.removeprefix(".")


def _places(config: Config) -> Iterator[_Place]:
    workload = config.workload
    yield _Place(("workload",), workload, "trace", workload.trace is not None)
    of_profile = getattr(workload, "file")  # noqa: B009 - of a plugin
    yield _Place(("workload", "file"), of_profile, "path", workload.profile == "file")
    for number, part in enumerate(getattr(workload, "composed").parts):  # noqa: B009 - likewise
        if part.profile == "file" and "path" in part.parameters:
            inner = ("workload", "composed", "parts", number, "parameters")
            yield _Place(inner, part.parameters, "path", workload.profile == "composed")
    demands: list[tuple[tuple[str | int, ...], ClassDemandSettings]] = [(("workload", "demand"), workload.demand)]
    for number, each in enumerate(workload.classes):
        demands.append((("workload", "classes", number, "demand"), each.demand))
    for sections, demand in demands:
        yield _Place(sections, demand, "file", demand.distribution == "empirical")
    yield _Place(("autoscaling",), config.autoscaling, "capacity", config.autoscaling.capacity is not None)
    if config.router is not None:
        yield _Place(("router",), config.router, "template", config.router.template is not None)
    yield _Place(("load",), config.load, "headers_file", False)  # a hash of a short secret would tell it
    yield _Place(("load",), config.load, "body_file", config.load.body_file is not None)


def _input(key: str, file: str) -> Input:
    return {"key": key, "file": file, "bytes": Path(file).stat().st_size, "sha256": sha256_of(file)}


def sha256_of(file: str) -> str:
    """Of a file's content, in hexadecimal digits; of one that stays as it is once, whatever runs of a sweep take it.

    Raises:
        OSError: it cannot be read.
    """
    about = Path(file).stat()
    return _sha256(file, about.st_mtime_ns, about.st_size)


@lru_cache(16)
def _sha256(file: str, _changed_ns: int, _size: int) -> str:
    with Path(file).open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
