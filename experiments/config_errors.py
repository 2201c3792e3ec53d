"""One line for a wrong configuration: the key, what is wrong with it, and the choices."""

import dataclasses
import difflib
import re
from typing import Any, get_args, get_type_hints

from experiments.config import Config


def one_line(error: BaseException) -> str:
    """The error's text on one line; for a key that does not exist, with the keys that do."""
    seen: list[str] = []
    current: BaseException | None = error
    while current is not None:
        text = str(current)
        if text and text not in seen:
            seen.append(text)
        current = current.__cause__
    text = " ".join(" ".join(seen).split())
    text = re.sub(r" Config search path: .*", "", text)
    text = re.sub(r"full_key: (\S+)", r"(key: \1)", text)
    text = re.sub(r" (object_type|reference_type)=\S+", "", text)
    match = re.search(r"Could not override '([\w.@/]+)'", text)
    if match and (choices := _siblings(match[1])):
        name = match[1].rsplit(".", 1)[-1]
        near = difflib.get_close_matches(name, choices, 1)
        text += f" Did you mean {near[0]}?" if near else ""
        text += f" There are: {', '.join(choices)}."
    return text


def _siblings(key: str) -> list[str]:
    """The names beside the last part of a dotted key."""
    node: Any = Config
    for part in key.split(".")[:-1]:
        hints = get_type_hints(node)
        if part not in hints:
            return []
        node = next((t for t in (hints[part], *get_args(hints[part])) if dataclasses.is_dataclass(t)), None)
        if node is None:
            return []
    return [field.name for field in dataclasses.fields(node)]
