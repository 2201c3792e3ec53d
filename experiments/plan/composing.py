"""Why Hydra could not make a configuration of a command line, where it ends in an exception of its own inside."""

from collections.abc import Iterator, Sequence

import yaml
from hydra import initialize_config_dir
from hydra._internal import config_loader_impl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments.plan.installed import CONF


def is_of_composing(error: BaseException) -> bool:
    """Whether it was raised while Hydra put a configuration together: then what was typed is wrong."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == config_loader_impl.__file__:
            return True
        trace = trace.tb_next
    return False


def why(arguments: Sequence[str], error: BaseException) -> str:
    """One line that names what was typed, what is wrong with it, and the way out.

    Args:
        arguments: of the command line.
        error: of which `is_of_composing` holds.
    """
    GlobalHydra.instance().clear()
    typed = [text for text in arguments if not text.startswith("-")]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        for job in _jobs(loader, typed):
            culprit = next((i for i in range(1, len(job) + 1) if not _composes(loader, job[:i])), None)
            if culprit is None:
                continue
            text, before = job[culprit - 1], job[: culprit - 1]
            return _said(loader, text, before, error)
    return f"{' '.join(typed)}: {_line(error)}"


def _jobs(loader: ConfigLoader, typed: list[str]) -> Iterator[list[str]]:
    """The overrides of each job, those first that choose a scenario or a group, and with them what others change."""
    parsed = OverridesParser.create(loader).parse_overrides(typed)
    for job in BasicSweeper.split_arguments(parsed, max_batch_size=None)[0]:
        yield sorted(job, key=lambda text: "." in text.partition("=")[0])


def _compose(loader: ConfigLoader, overrides: list[str]) -> DictConfig:
    return loader.load_configuration("config", overrides, run_mode=RunMode.RUN, validate_sweep_overrides=False)


def _composes(loader: ConfigLoader, overrides: list[str]) -> bool:
    try:
        _compose(loader, overrides)
    except (HydraException, OmegaConfBaseException):
        return True  # it says itself what is wrong
    except Exception:
        return False
    return True


def _said(loader: ConfigLoader, text: str, before: list[str], error: BaseException) -> str:
    """What is wrong with the override `text`, which cannot follow those `before` it."""
    key, _, _ = text.lstrip("+~").partition("=")
    files = sorted(path.stem for path in (CONF / key).glob("*.yaml"))
    if files:
        return f"{text}: must be one of {', '.join(files)}"
    config = _compose(loader, before)
    parts = key.split(".")
    for number in range(1, len(parts)):
        section = ".".join(parts[:number])
        try:
            there = OmegaConf.select(config, section, throw_on_missing=False)
        except OmegaConfBaseException:  # a key of what has none, such as a list
            break
        if there is None:
            scenario = next((each.partition("=")[2] for each in before if each.startswith("+scenario=")), "it")
            return f"{text}: {scenario} has no {section}{_remedy(parts[:number])}"
    return f"{text}: {_line(error)}"


def _remedy(section: list[str]) -> str:
    """The group's file that brings a section, where one does."""
    group, *inner = section
    for path in sorted((CONF / group).glob("*.yaml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        if (not inner and path.stem == "default") or (inner and inner[0] in content):
            return f"; add {group}={path.stem}"
    return ""


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
