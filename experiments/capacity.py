"""Finds what 1, 2, ... replicas stand: `python -m experiments.capacity +scenario=routed engine=sim`.

By bisection it seeks the highest rate at which they meet the objective (`slo`), each rate with runs of several seeds.
Writes a file that `autoscaling.capacity` takes, so that a scaler is judged against what was needed, its picture, and
beside them the probes, a line each: who types the same again goes on. Exit status: 0 found; 1 a run failed, or no rate
meets the objective; 2 the configuration is wrong; 3 the instrument did not work; 130 and 143 interrupted.
"""

import argparse
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from analysis.scaling.searching import Rule, Search, Try
from experiments.plan import store
from experiments.plan.choices import choices
from experiments.plan.composing import is_of_composing, why
from experiments.plan.config import ConfigError
from experiments.plan.engines import engine_of
from experiments.plan.errors import one_line
from experiments.plan.installed import CONF
from experiments.probing.kept import Kept
from experiments.probing.probes import ProbeError, Prober
from experiments.probing.settings import IDLE_SHARE, Asked, Fleets, keys_in_words
from experiments.probing.written import Point, by_formula, draw, notes, objective_of, saturated_rps, table, write
from experiments.runner.exit_status import ExitStatus
from experiments.runner.reader import outlive_the_reader
from experiments.runner.supervision import Interrupted, say, status_of
from services.door.access import TokenError, admin_token

PLACE = Path("results") / "capacity"
AMPLE = 4.0
"""Times what would do where nothing is late, for half of what may be late to be told from all of it."""
LEAST_RPS = 0.01
"""Of `workload.rate_rps`."""
TABLE_WIDTH = 110
"""Columns that the table may take."""


@dataclass
class Seeking:
    """The search over all numbers of replicas of one command line."""

    fleets: Fleets
    kept: Kept
    console: Console
    made: int = 0
    """Probes made by now, those that were kept before left out."""
    _began_s: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        """Hold the lengths of the runs against what the rule asks for.

        Raises:
            ConfigError: no rate that is sought could be told to meet the objective.
        """
        asked, config = self.fleets.asked, self.fleets.config
        self._prober = Prober(self.kept, self.fleets.scenario, asked.overrides, asked.settings.tries)
        self._formula = by_formula(config, asked.settings.max_replicas)
        self._rule = Rule(objective_of(config), asked.settings.seeds, asked.settings.precision)
        runs, window_s = self._rule.looks[-1], config.workload.duration_s - config.workload.warmup_s
        self._least_rps = max(LEAST_RPS, self._rule.least_requests / (runs * window_s))
        start_rps = self._start_rps(1, [])
        if self._least_rps > start_rps:
            raise ConfigError(
                f"workload.duration_s={config.workload.duration_s:g}: too short: that {objective_of(config).sentence} "
                f"takes {self._rule.least_requests:,} requests to be told, and {runs} runs at about {start_rps:.3g} "
                f"requests/s have {runs * window_s * start_rps:,.0f}; raise it, or capacity.seeds"
            )

    def in_words(self) -> str:
        """What is sought."""
        config, most = self.fleets.config, self.fleets.asked.settings.max_replicas
        return (
            f"{self.fleets.scenario}: what 1 to {most} replica(s) stand ({objective_of(config).sentence}), by runs of "
            f"{config.workload.duration_s:g} s, engine={config.engine.name}; {len(self.kept)} probe(s) are kept already"
        )

    def points(self) -> Iterator[Point]:
        """What 1, 2, ... replicas stand, one after the other.

        Raises:
            ProbeError: a run failed, or its instrument did not work.
        """
        found: list[Point] = []
        for replicas in range(1, self.fleets.asked.settings.max_replicas + 1):
            search = Search(self._rule, self._start_rps(replicas, found), self._least_rps)
            while (wanted := search.next()) is not None:
                rate_rps, number = wanted
                search.add(self._tried(replicas, rate_rps, self.fleets.config.seed + number))
                self._tell(replicas, search, rate_rps)
            if search.found().rate_rps == 0 and (factor := search.lacking()) >= 1:
                raise ProbeError(self._too_short(replicas, factor), ExitStatus.INVALID)
            formula_rps = None if self._formula is None else self._formula[replicas - 1]
            found.append(Point(replicas, search.found(), search, formula_rps))
            yield found[-1]

    def _too_short(self, replicas: int, factor: float) -> str:
        """What to do where no rate can be told to meet the objective."""
        seeds = math.ceil(AMPLE * factor * self.fleets.asked.settings.seeds)
        workload = self.fleets.config.workload
        long_s = workload.warmup_s + AMPLE * factor * (workload.duration_s - workload.warmup_s)
        return (
            f"{replicas} replica(s): late requests come in clusters, and {self._rule.looks[-1]} runs of "
            f"{workload.duration_s:g} s have too few of them to tell that a rate meets the objective; "
            f"take capacity.seeds={seeds}, or workload.duration_s={long_s:.2g} and another -o"
        )

    def _start_rps(self, replicas: int, found: list[Point]) -> float:
        """Erlang's formula, corrected by how far it was off for one replica less."""
        expected = self._expected_rps(replicas)
        if not found or found[-1].found.rate_rps == 0:
            return expected
        return expected * found[-1].found.rate_rps / self._expected_rps(replicas - 1)

    def _expected_rps(self, replicas: int) -> float:
        by_formula_rps = 0.0 if self._formula is None else self._formula[replicas - 1]
        return by_formula_rps or IDLE_SHARE * saturated_rps(self.fleets.config, replicas)

    def _tried(self, replicas: int, rate_rps: float, seed: int) -> Try:
        probe = self.kept.get(replicas, rate_rps, seed)
        if probe is None:
            probe = self._prober.probe(self.fleets[replicas], replicas, rate_rps, seed)
            self.made += 1
            if not engine_of(self.fleets.config).is_virtual:
                minutes = (time.monotonic() - self._began_s) / 60
                late = 100 * (probe.late or 0.0)
                told = f"{late:.2f} % late (probe {self.made}, {minutes:.0f} min)"
                self.say(f"  {replicas} replica(s), {rate_rps:g} requests/s, seed {seed}: {told}")
        return Try(rate_rps, probe.requests, probe.late or 0.0, probe.failed or 0.0)

    def _tell(self, replicas: int, search: Search, rate_rps: float) -> None:
        """The verdict on a rate, when it is given."""
        verdict, tries = search.verdicts()[rate_rps], search.tries[rate_rps]
        if verdict is not None:
            late = 100 * sum(each.late for each in tries) / len(tries)
            told = f"{verdict} ({late:.2f} % late, {len(tries)} runs)"
            self.say(f"{replicas} replica(s), {rate_rps:g} requests/s: {told}")

    def say(self, text: str) -> None:
        """Print a line."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def main(arguments: list[str] | None = None) -> int:
    """Find what the command line asks for; return the exit status."""
    outlive_the_reader()
    parser = argparse.ArgumentParser(
        prog="python -m experiments.capacity",
        description=(__doc__ or "").partition("\n\n")[0],
        epilog=f"keys of its own, beside those of experiments.run:\n{keys_in_words()}\n\nexample: python -m "
        "experiments.capacity +scenario=routed engine=sim workload.duration_s=300 workload.warmup_s=60",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="key=value", help="overrides as of experiments.run, +scenario=NAME")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE",
                        help="default: results/capacity/<scenario>-<policy>-<engine>.json")
    chosen = parser.parse_intermixed_args(arguments)
    if not any(word.startswith("+scenario=") for word in chosen.words):
        say(f"no scenario: add +scenario=NAME, one of {', '.join(choice.name for choice in choices('scenario'))}")
        return ExitStatus.WRONG
    try:
        store.register()
        asked = Asked.of(chosen.words)
        admin_token()
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return _find(Fleets(asked, GlobalHydra.instance().config_loader()), chosen.output)
    except (ConfigError, TokenError, HydraException, OmegaConfBaseException) as error:
        say(one_line(error))
        return ExitStatus.WRONG
    except ProbeError as error:
        say(f"{error}; the probes that were valid are kept")
        return error.status
    except (Interrupted, KeyboardInterrupt) as error:
        say("interrupted; the probes are kept: the same command goes on")
        return status_of(error)
    except OSError as error:
        say(f"failed: {error}")
        return ExitStatus.FAILED
    except Exception as error:
        if not is_of_composing(error):
            raise
        say(why(chosen.words, error))
        return ExitStatus.WRONG


def _find(fleets: Fleets, output: Path | None) -> int:
    """Search, write, draw, print."""
    config, settings = fleets.config, fleets.asked.settings
    name = f"{fleets.scenario}-{config.policy['name']}-{config.engine.name}"
    path = output or PLACE / f"{name}.json"
    if path.suffix != ".json":
        raise ConfigError(f"-o {path}: must end in .json")
    kept = Kept(path.with_suffix(""), fleets.resolved, is_virtual=engine_of(config).is_virtual)
    console = Console(soft_wrap=True)
    try:
        for note in kept.notes:
            say(note)
        seeking = Seeking(fleets, kept, console)
        seeking.say(seeking.in_words())
        points = list(seeking.points())
    finally:
        kept.close()
    Console(width=max(console.width, TABLE_WIDTH)).print(table(points, config))
    for text in notes(points, config):
        say(f"note: {text}")
    if not any(point.found.rate_rps for point in points):
        say(f"no rate was found at which {objective_of(config).sentence}: nothing is written")
        return ExitStatus.FAILED
    about = {"scenario": fleets.scenario, "overrides": list(fleets.asked.overrides), "search": asdict(settings)}
    write(path, points, config, fleets.resolved, about)
    picture = path.with_suffix(".png")
    draw(picture, points, config, fleets.scenario)
    print(f"{seeking.made} probe(s) made, {sum(point.runs for point in points) - seeking.made} kept before")
    print(f"written: {path} (autoscaling.capacity={path}), picture: {picture}")
    return ExitStatus.COMPLETE


if __name__ == "__main__":
    sys.exit(main())
