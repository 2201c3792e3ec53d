"""From a suite and arms to jobs: every cell composed and checked before the first run, and what cannot be asked."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from analysis.standings.measures import measure_for
from analysis.standings.protocol import ArmPlan, Refusal, RowPlan
from experiments.plan import store
from experiments.plan.choices import Choice
from experiments.plan.composing import is_of_composing, why
from experiments.plan.config import Config, ConfigError
from experiments.plan.engines import engine_of
from experiments.plan.errors import one_line
from experiments.plan.installed import CONF
from experiments.sweep.composer import Composer
from experiments.sweep.job import Job, key_of
from experiments.trials.suites import sized, why_not_sized
from experiments.trials.times import fitted

LIVE_S = 20.0
"""A live run takes so long where nothing else is said."""
QUIET = ("summary=never", "counterfactual=never", "expect=[]")
"""Of all runs: pictures are drawn at the end, one a cell, and arms are held against each other."""
UNTRACKED = "tracking.enabled=false"
KEPT_FOR_US = ("seed", "scenario", "summary", "counterfactual", "expect", "repeat", "workload.duration_s")
REASON = 300
"""Characters of why a cell cannot be asked."""
Cell = tuple[str, str]
"""Row and arm."""


@dataclass(frozen=True)
class Asked:
    """What is to be measured, from the command line."""

    scenarios: Sequence[Choice]
    arms: Sequence[ArmPlan]
    common: tuple[str, ...]
    """Overrides of all arms, as typed."""
    duration_s: float | None
    """None = live `LIVE_S`, simulated as each scenario has it."""
    sizes: Sequence[int | None] = (None,)
    """Of the fleet; None = as each scenario has it."""


@dataclass(frozen=True)
class Planned:
    """Every cell."""

    rows: tuple[RowPlan, ...]
    refused: tuple[Refusal, ...]
    skipped: tuple[str, ...]
    jobs: dict[Cell, Job]
    """Of each cell that can be asked, of one seed; `Job.with_seed` gives the others."""
    is_virtual: bool
    engine: str
    duration_s: float | None


@contextmanager
def loading() -> Iterator[ConfigLoader]:
    """Hydra's loader of `conf/`."""
    store.register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


def planned(asked: Asked) -> Planned:
    """Compose and check every cell.

    Raises:
        ConfigError: what is typed for all is wrong, or an arm can be asked nowhere; one line.
        HydraException, OmegaConfBaseException: likewise, of a scenario itself.
    """
    for word in asked.common:
        if key_of(word) in KEPT_FOR_US or "=" not in word:
            raise ConfigError(f"{word}: is not for what all arms have; see --help")
    for word in (*asked.common, *(word for arm in asked.arms for word in arm.typed)):
        if OverridesParser.create().parse_override(word).is_sweep_override():
            raise ConfigError(f"{word}: is more than one value; several arms are --arms {word}")
    with loading() as loader:
        composer = Composer(loader)
        bare = {choice.name: _bare(composer, choice, asked.common) for choice in asked.scenarios}
        engine = engine_of(next(iter(bare.values())))
        duration_s = LIVE_S if asked.duration_s is None and not engine.is_virtual else asked.duration_s
        rows, skipped = _rows(asked, bare, duration_s)
        jobs, failures = _cells(composer, rows, asked)
    refused = tuple(Refusal(*cell, _reason(words, error)) for cell, words, error in failures)
    for arm in asked.arms:
        if not any((row.name, arm.name) in jobs for row in rows):
            reasons = dict.fromkeys(each.reason for each in refused if each.arm == arm.name)
            raise ConfigError(f"{arm.name}: cannot be asked anything: {'; '.join(reasons) or 'no pathology is left'}")
    _check_loads(rows, jobs)
    return Planned(tuple(rows), refused, tuple(skipped), jobs, engine.is_virtual, engine.name, duration_s)


def _bare(composer: Composer, choice: Choice, common: Sequence[str]) -> Config:
    words = [f"+scenario={choice.name}", *QUIET, *common]
    try:
        return composer.compose(0, words).config
    except (ConfigError, HydraException, OmegaConfBaseException):
        raise
    except Exception as error:
        if not is_of_composing(error):
            raise
        raise ConfigError(why(words, error)) from error


def _rows(asked: Asked, bare: dict[str, Config], duration_s: float | None) -> tuple[list[RowPlan], list[str]]:
    rows, skipped = [], []
    for size in asked.sizes:
        for choice in asked.scenarios:
            config = bare[choice.name]
            name, overrides = choice.name, list[str]()
            if size is not None:
                name = f"{choice.name},replicas={size}"
                reason = why_not_sized(config)
                if reason is not None or size < config.replicas:
                    skipped.append(f"{name}: {reason or f'has {config.replicas} replicas at least'}")
                    continue
                overrides += sized(config, size)
            if duration_s is not None:
                overrides += fitted(config, duration_s)
            expects = " ".join(map(str, choice.sets.get("expect") or []))
            has_faults = bool(config.faults or config.random_faults.count)
            measure = measure_for(has_faults=has_faults, has_floor=_has_floor(config), expects=expects)
            rows.append(RowPlan(name, choice.name, measure, tuple(overrides), choice.about, size))
    if not rows:
        raise ConfigError(f"nothing is left to be asked: {'; '.join(skipped)}")
    return rows, skipped


def _has_floor(config: Config) -> bool:
    """Whether its runs will have one (analysis/metrics/floor.py), as far as the configuration tells."""
    replica, demand = config.replica, config.workload.demand
    is_played = replica.kind == "sleep" and replica.discipline == "fifo" and demand.replica_noise == 0
    return is_played and not config.tier.replicas and not config.has_manager


def _cells(
    composer: Composer, rows: Sequence[RowPlan], asked: Asked
) -> tuple[dict[Cell, Job], list[tuple[Cell, list[str], Exception]]]:
    jobs: dict[Cell, Job] = {}
    failures: list[tuple[Cell, list[str], Exception]] = []
    for row in rows:
        for arm in asked.arms:
            words = words_of(row, arm, asked.common)
            try:
                jobs[row.name, arm.name] = composer.compose(len(jobs), words)
            except (ConfigError, HydraException, OmegaConfBaseException) as error:
                failures.append(((row.name, arm.name), words, error))
            except Exception as error:
                if not is_of_composing(error):
                    raise
                failures.append(((row.name, arm.name), words, error))
    return jobs, failures


def words_of(row: RowPlan, arm: ArmPlan, common: Sequence[str]) -> list[str]:
    """The overrides of a cell, as `experiments.run` takes them, without the seed."""
    return [f"+scenario={row.scenario}", UNTRACKED, *QUIET, *common, *row.overrides, *arm.typed]


def _reason(words: Sequence[str], error: Exception) -> str:
    """The line that `experiments.run` would end with, with exit status 2."""
    told = why(words, error) if is_of_composing(error) else one_line(error)
    return told if len(told) <= REASON else f"{told[:REASON]}..."


def _check_loads(rows: Sequence[RowPlan], jobs: dict[Cell, Job]) -> None:
    """All arms are asked the same."""
    for row in rows:
        loads: dict[str, tuple[str, Any]] = {}
        for (name, arm), job in jobs.items():
            if name == row.name:
                loads.setdefault(str(asdict(job.config.workload)), (arm, job.config.workload))
        if len(loads) > 1:
            (one, first), (other, second) = list(loads.values())[:2]
            rates = f"{first.rate_rps:g} and {second.rate_rps:g} requests/s"
            raise ConfigError(
                f"{row.name}: {one} and {other} would be asked differently ({rates}); an arm may not change the load"
            )
