"""The reference of all keys, for a terminal and as docs/configuration.md; all of it is read from the code.

What a number may be stands beside its field; where it depends on other keys, the checks themselves are asked for it,
with one that cannot be.
"""

import random
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from experiments.plan.check import check
from experiments.plan.choices import GROUPS, Choice, choices
from experiments.plan.config import Config, ConfigError
from experiments.plan.engines import ENGINES
from experiments.plan.fault_command import COMMAND as LINE_OF_SHELL
from experiments.plan.fault_command import LINES, PARAMETER, WITHIN_S
from experiments.plan.fault_plan import Fault, FaultPlanSettings, taker_of
from experiments.plan.keys import Key, about, keys_of, meaning
from experiments.process_faults import PROCESS_FAULTS
from experiments.relay import faults as path_faults
from services.backend.faults import PARAMETERS
from services.bounds import Choices
from services.manager.scalers import SCALERS
from services.plugins import Point
from services.router.policies import POLICIES
from services.units import KINDS, kind_of, typed

IMPOSSIBLE = -1e9
"""A number that no key takes."""
NO_WORD = "?"
"""Nor is this one of the words of any."""
COMMAND = "python -m experiments.keys --markdown > docs/configuration.md"
INTRODUCTION = f"""\
# Every key of the configuration

What a run is told: `python -m experiments.run +scenario=NAME [group=choice] [key=value]`. A group is chosen by its name
(`policy=round_robin`), a key is given its value (`workload.rate_rps=80`); the command line wins over the group's file,
that over the scenario's. `--cfg job` shows all keys with the values that they would have; `python -m experiments.keys
WORD` shows those below whose name holds the word.

Units stand in names: `_s` seconds, `_ms` milliseconds, `_rps` requests a second. A number is typed without its unit:
`workload.demand.mean_ms=50`. A list is typed in quotes: `'replica.speeds=[1,1,0.2]'`; `null` is a key that is not set.

This page is made from the code and held against it by a test: change a field's text where the field is, then
`{COMMAND}`.
"""


@dataclass(frozen=True)
class Line:
    """What the reference says of one key."""

    path: str
    kind: str
    default: str
    must: str
    """What it may be besides; empty = anything of its kind."""
    meaning: str


@dataclass(frozen=True)
class Section:
    """Keys that belong together."""

    name: str
    about: str
    lines: list[Line]


def sections() -> list[Section]:
    """All of them, in the order of the configuration; the keys at its top first."""
    parts = [Section("", "Keys of the run itself.", [])]
    said: dict[str, str] = {}
    for key in keys_of():
        said[key.path] = meaning(key.owner, key.name)
        if key.path in ("policy", "scaler"):
            point = POLICIES if key.path == "policy" else SCALERS
            parts.append(Section(key.path, said[key.path], list(_options(point))))
        elif key.section is not None and key.kind is not list:
            if "." not in key.path:
                parts.append(Section(key.path, about(key.section), []))
        elif "." not in key.path and key.section is not None:
            parts.append(Section(key.path, said[key.path], []))
        else:
            parent = key.path.rpartition(".")[0]
            of_section = said.get(parent, "") if parent.count(".") else ""
            text = f"{of_section} {said[key.path]}".strip()
            parts[-1 if "." in key.path else 0].lines.append(_line(key, text))
    return parts


def _line(key: Key, text: str) -> Line:
    is_word = any(isinstance(rule, Choices) for rule in key.rules)
    kind = "" if key.kind is None or is_word else kind_of(key.name, key.kind, key.item)
    must = "; ".join(f"one of {', '.join(x.words)}" if isinstance(x, Choices) else str(x) for x in key.rules)
    if not must and key.kind in (int, float):
        must = _asked(key.path)
    default = "" if key.default is None else typed(key.default) or "(empty)"
    return Line(key.path, kind, default, must, text)


def _asked(path: str) -> str:
    """What the checks say that a number must be, of a key whose bounds depend on others."""
    section, _, name = path.rpartition(".")
    config = Config(policy={"name": "random"}, scaler={"name": "target_tracking"})
    if section == "faults[]":
        config.faults = [Fault(5.0, taker_of(name), "r1")]
        setattr(config.faults[0], name, IMPOSSIBLE)
    elif section == "random_faults":
        config.random_faults = FaultPlanSettings(count=1)
        setattr(config.random_faults, name, int(IMPOSSIBLE))
    elif section:
        setattr(getattr(config, section), name, int(IMPOSSIBLE))
    else:
        setattr(config, name, int(IMPOSSIBLE))
    try:
        check(config)
    except ConfigError as error:
        return str(error).partition(": must be ")[2]
    return ""


def _options(point: Point) -> Iterator[Line]:
    """The name, and the options of each class that can be chosen."""
    names = ", ".join(point.usable())
    yield Line(f"{point.kind}.name", "", "", f"one of {names}", f"A file of `{point.package.replace('.', '/')}/`.")
    by_name = point.usable()
    if point.around is not None:
        first = next(iter(by_name))
        yield from _options_of(point, first, f"every {point.kind}", point.around, point.shared())
    for name, plugin in by_name.items():
        yield from _options_of(point, name, f"{point.kind}={name}", plugin, point.options(name, "rng"))


def _options_of(point: Point, name: str, whose: str, kind: type, options: dict[str, Any]) -> Iterator[Line]:
    """Those that the constructor of `kind` takes and tells of."""
    said = dict(re.findall(r"`(\w+)`: (.*?)(?=[.;] `|\.?$)", " ".join((kind.__init__.__doc__ or "").split())))  # type: ignore[misc]
    for option, default in options.items():
        must = _asked_of(point, name, option, default)
        is_word = isinstance(default, str) and must
        word = "" if is_word or type(default) not in KINDS else kind_of(option, type(default))
        text = said.get(option, "")
        yield Line(
            f"{point.kind}.{option}", word, typed(default), must,
            f"Of {whose}: {text}{'' if text.endswith('.') else '.'}",
        )  # fmt: skip


def _asked_of(point: Point, name: str, option: str, default: object) -> str:
    if not isinstance(default, int | float | str) or isinstance(default, bool):
        return ""
    wrong = NO_WORD if isinstance(default, str) else type(default)(IMPOSSIBLE)
    try:
        point.create(name, {option: wrong}, rng=random.Random(0))
    except ValueError as error:
        return str(error).partition(": must be ")[2]
    return ""


def in_words(lines: list[Line], width: int) -> Iterator[str]:
    """The lines of a terminal, a paragraph a key."""
    for line in lines:
        default = f" = {line.default}" if line.default else ""
        yield f"{line.path}{default}"
        for text in ("; ".join(filter(None, (line.kind, line.must))), line.meaning):
            yield from textwrap.wrap(text, width - 4, initial_indent="    ", subsequent_indent="    ")


def markdown() -> str:
    """docs/configuration.md."""
    return "\n".join([INTRODUCTION, "## Groups", "", *_groups(), "## Keys", "", *_keys()]).rstrip() + "\n"


def _groups() -> Iterator[str]:
    yield "Each choice is a file; what it sets, it sets before the command line does."
    yield ""
    for group in GROUPS:
        yield f"### `{group}`"
        yield ""
        yield from _table(("choice", "file", "what it is", "sets"), map(_cells, choices(group)))


def _cells(choice: Choice) -> tuple[str, str, str, str]:
    sign = "+" if choice.group == "scenario" else ""
    sets = ", ".join(f"`{key}`" for key in choice.sets if key not in ("defaults", "hydra"))
    return f"`{sign}{choice.group}={choice.name}`", f"`conf/{choice.group}/{choice.file.name}`", choice.about, sets


def _keys() -> Iterator[str]:
    for section in sections():
        yield f"### {f'`{section.name}`' if section.name else 'At the top'}"
        yield ""
        yield section.about
        yield ""
        defaults = [f"`{x.default}`" if x.default else "" for x in section.lines]
        rows = [(f"`{x.path}`", x.kind, y, x.must, x.meaning) for x, y in zip(section.lines, defaults, strict=True)]
        yield from _table(("key", "kind and unit", "default", "may be", "meaning"), rows)
        if section.name == "faults":
            yield from _table(("action", "parameters, with their defaults"), _actions())
        if section.name == "engine":
            rows_of = ((f"`{name}`", f"{kind.most_replicas:,}", f"{kind.most_requests:,}") for name, kind in _engines())
            yield from _table(("engine", "most replicas", "most requests of a run"), rows_of)


def _engines() -> list[tuple[str, Any]]:
    return list(ENGINES.usable().items())


def _actions() -> Iterator[tuple[str, str]]:
    for name, parameters in PARAMETERS.items():
        taken = (f"`{key}={'as rate' if value is None else format(value, 'g')}`" for key, value in parameters.items())
        yield f"`{name}`, by the replica on itself", ", ".join(taken)
    for name, defaults in path_faults.PARAMETERS.items():
        yield f"`{name}`, on the path to it", ", ".join(f"`{key}={value:g}`" for key, value in defaults.items())
    for name, kind in PROCESS_FAULTS.usable().items():
        yield f"`{name}`, on its process", ", ".join(f"`{field.name}`" for field in fields(kind))
    lines = ", ".join(f"`{name}`" for name in LINES)
    yield f"`{LINE_OF_SHELL}`, by lines for the shell", f"{lines}, `{PARAMETER}={WITHIN_S:g}`"


def _table(heads: tuple[str, ...], rows: Any) -> Iterator[str]:  # noqa: ANN401 - tuples of as many words
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""
