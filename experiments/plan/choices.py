"""What can be chosen of each group of `conf/`: its file, what that says of itself, and what it sets."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from experiments.plan.installed import CONF

GROUPS = ("scenario", "workload", "router", "policy", "scaler", "engine")
"""In the order in which a person meets them."""
SENTENCE = re.compile(r"(?<=[.?!])\s")


@dataclass(frozen=True)
class Choice:
    """One file of a group."""

    group: str
    name: str
    file: Path
    about: str
    """The first sentence of its comment."""

    @property
    def sets(self) -> dict[str, Any]:
        """What it sets; parsed when it is asked for, as every start asks for the names and sentences of all files."""
        return yaml.safe_load(self.file.read_text(encoding="utf-8")) or {}


def choices(group: str) -> list[Choice]:
    """The files of a group, by name."""
    return [_choice(group, file) for file in sorted((CONF / group).glob("*.yaml"))]


def _choice(group: str, file: Path) -> Choice:
    return Choice(group, file.stem, file, _about(file.read_text(encoding="utf-8")))


def _about(text: str) -> str:
    """The first sentence below the command that a file begins with."""
    comment: list[str] = []
    for line in text.splitlines():
        said = line.removeprefix("#").strip()
        if not line.startswith("#"):
            break
        if said and not said.startswith(("@package", "python -m")):
            comment.append(said)
        elif comment:
            break
    return SENTENCE.split(" ".join(comment))[0].removesuffix(":")
