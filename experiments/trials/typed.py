"""The commands that a pack is made by, so that they can be typed again: with what they take from the environment."""

import os
from collections.abc import Iterator, Mapping

from analysis.standings.protocol import Protocol
from experiments.plan.data_planes import arm_of
from experiments.plan.outside import plugins_of
from experiments.sweep.job import Job
from experiments.trials.planning import Planned
from services.plugins import VARIABLE as PLUGINS

Command = tuple[str, ...]


def with_variables(words: Command, first: Planned, environment: Mapping[str, str] = os.environ) -> Command:
    """A command, behind `env` and the variables by which its arms are found, where any of those is set.

    Args:
        words: the command.
        first: the cells that it asks for.
        environment: of this process.
    """
    names = dict.fromkeys(name for job in first.jobs.values() for name in _names(job))
    known = [f"{name}={environment[name]}" for name in names if environment.get(name)]
    return ("env", *known, *words) if known else words


def _names(job: Job) -> Iterator[str]:
    """Of the environment: what names the program in the router's place, and the folders of plugins outside the tree."""
    config = job.config
    if config.stands_in and config.router is not None:
        variable: str | None = getattr(arm_of(config.router), "variable", None)
        if variable is not None:
            yield variable
    if plugins_of(config, job.plan.faults):
        yield PLUGINS


def earlier(before: Protocol, command: Command) -> tuple[Command, ...]:
    """What was typed before `command` for the pack of `before`; the same once more says nothing."""
    return before.earlier if before.command in ((), command) else (*before.earlier, before.command)
