"""What is typed for arms: `router=aegis,router=envoy`, `policy=adaptive,peak_ewma`, `'old: router=custom ...'`.

An arm is overrides as of `experiments.run`, with spaces between them; arms have commas between them, and one without a
key is another choice for the only key of the one before. `NAME: ` before a single arm calls it so; else it is called by
what it chooses.
"""

import re
from collections.abc import Sequence

from analysis.standings.protocol import ArmPlan, fit_for_a_name
from experiments.plan.config import ConfigError
from experiments.sweep.job import key_of

NAMED = re.compile(r"([\w.+-]+):\s+(.+)", re.DOTALL)
KEYED = re.compile(r"[+~]*[\w@./]+=")
OF_ALL = (
    "scenario", "seed", "engine", "workload", "faults", "random_faults", "comparison", "validity", "slo", "expect",
    "repeat", "load", "tracking", "summary", "counterfactual", "arm",
)  # fmt: skip
"""Sections and groups that must be the same for all arms."""
OPENING, CLOSING, QUOTES = "([{", ")]}", "'\""
TOLD = 40
"""Characters of a name that is too long."""
MOST_BYTES = 255 - len(",seed=1000000,try=20")
"""Of an arm's name: its runs' folders add this to it, and most file systems take 255 bytes of a name."""


def parse_arms(texts: Sequence[str]) -> tuple[ArmPlan, ...]:
    """The arms that are typed.

    Args:
        texts: one for each `--arms`.

    Raises:
        ConfigError: a word is none, two arms are alike, or one sets what must be the same for all.
    """
    arms: list[ArmPlan] = []
    for text in texts:
        key = ""
        named = NAMED.fullmatch(text.strip())
        for part in [named[2]] if named else _split(text, ","):
            words = _split(part, " ")
            if not named and key and len(words) == 1 and not KEYED.match(words[0]):
                words = [f"{key}={words[0]}"]
            for word in words:
                _check(word, text)
            key = key_of(words[0]) if len(words) == 1 else ""
            arms.append(ArmPlan(named[1] if named else "", tuple(words)))
    return _called(arms)


def _split(text: str, at: str) -> list[str]:
    """Parts between `at`, but not within brackets or quotes."""
    parts, depth, quoted = [""], 0, ""
    for letter in text:
        if quoted:
            quoted = "" if letter == quoted else quoted
        elif letter in QUOTES:
            quoted = letter
        depth += (letter in OPENING) - (letter in CLOSING) if not quoted else 0
        if letter == at and not depth and not quoted:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def _check(word: str, text: str) -> None:
    if not KEYED.match(word):
        raise ConfigError(f"--arms {text}: {word} is no key=value, as router=envoy or 'old: router=custom ...'")
    key = key_of(word)
    if key.split(".")[0] in OF_ALL:
        raise ConfigError(f"--arms {text}: {key} must be the same for all arms; type it beside them, or leave it out")


def _called(arms: Sequence[ArmPlan]) -> tuple[ArmPlan, ...]:
    """Each by its name; one without by the value of its only override, where nobody else is called so."""
    if len({arm.overrides for arm in arms}) < len(arms):
        double = next(arm for place, arm in enumerate(arms) if arm.overrides in [a.overrides for a in arms[:place]])
        raise ConfigError(
            f"--arms: {' '.join(double.overrides)} is there twice; --aa asks how an arm differs from itself"
        )
    short = [arm.name or _short(arm) for arm in arms]
    names = [
        arm.name or (name if short.count(name) == 1 else " ".join(arm.overrides))
        for arm, name in zip(arms, short, strict=True)
    ]
    fit = [fit_for_a_name(name) for name in names]
    for name in fit:
        if len(name) > MOST_BYTES:
            told = f"{name[:TOLD]}... has {len(name)} characters, {MOST_BYTES} are most for a folder"
            raise ConfigError(f"--arms: {told}; give it a short name, NAME: before it, as 'old: router=custom ...'")
        if fit.count(name) > 1:
            raise ConfigError(f"--arms: two arms are called {name}; name them, as 'old: router=custom ...'")
    return tuple(ArmPlan(name, arm.overrides) for name, arm in zip(names, arms, strict=True))


def _short(arm: ArmPlan) -> str:
    if len(arm.overrides) > 1:
        return " ".join(arm.overrides)
    return arm.overrides[0].partition("=")[2].strip("'\"")
