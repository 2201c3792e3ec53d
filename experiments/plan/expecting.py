"""The key `expect`: how it is typed, and what it can be asked of."""

from collections.abc import Sequence

from analysis.expectations.grammar import FORM, ExpectationError, parse_all, split
from experiments.plan.config import Config, ConfigError

KEY = "expect"
SHARE = "share_"
"""Begins the names of the metrics of each replica."""


def quoted(arguments: Sequence[str]) -> list[str]:
    """The command line for Hydra, whose grammar knows no `<` and `=` outside of quotes: each expectation in its own.

    `expect=[latency_p99_ms < 300]` becomes `expect=['latency_p99_ms < 300']`; what is quoted stays as it is.

    Raises:
        ConfigError: it is no list.
    """
    return [_quoted(text) if text.lstrip("+").startswith(f"{KEY}=") else text for text in arguments]


def _quoted(argument: str) -> str:
    key, _, value = argument.partition("=")
    if not value.strip().startswith("["):
        raise ConfigError(f"{argument}: must be a list: {FORM}")
    try:
        items = split(value)
    except ExpectationError as error:
        raise ConfigError(str(error)) from error
    return f"{key}=[{','.join(_in_quotes(item) for item in items)}]"


def _in_quotes(item: str) -> str:
    escaped = item.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def check_expected(config: Config) -> None:
    """Refuse an expectation that cannot be held against a run.

    Raises:
        ExpectationError: one is wrong.
        ConfigError: nothing is measured, or not of that replica.
    """
    expected = parse_all(config.expect)
    if expected and config.load.ui:
        raise ConfigError("load.ui=true: nothing is measured that could be held against expect")
    ids = config.replica_ids
    for one in expected:
        if ids and one.metric.startswith(SHARE) and one.metric.removeprefix(SHARE) not in ids:
            known = ids[0] if len(ids) == 1 else f"{ids[0]} to {ids[-1]}"
            raise ConfigError(f"expect: '{one.text}': there is no such replica; it has {known}")


def check_has_reference(config: Config, *, arms: int) -> None:
    """Refuse to hold a run against a reference that there is not.

    Args:
        config: of a run.
        arms: how many are compared.

    Raises:
        ConfigError: with the way out.
    """
    asked = [one.text for one in parse_all(config.expect) if one.has_reference]
    if asked and arms < 2:
        raise ConfigError(
            f"expect: '{asked[0]}': there is no reference; sweep two arms or more (-m policy=round_robin,peak_ewma), "
            f"or afterwards: python -m analysis.compare DIR --baseline NAME --expect '[{asked[0]}]'"
        )
