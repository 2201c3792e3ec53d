"""Arms over a suite of pathologies, to a board that can be shown: `python -m experiments.evidence --arms A,B`.

Every arm is measured under every pathology with the same seeds, seed after seed; then `analysis.leaderboard` makes the
board, the page and the text for a pull request of the folders. Whatever ends it, the same command goes on with it.
Exit status: 0 the board is whole; 1 runs are missing that failed however often they were tried; 2 what was typed is
wrong, or code, programs or machine are not those that the pack was begun with (no run was started); 3 runs are missing
whose instrument did not work; 4 an arm got worse than in the pack of --against, whatever is missing; 130 and 143
interrupted.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from analysis.comparison.run_time import span
from analysis.standings.gathering import MOST_ATTEMPTS
from analysis.standings.protocol import FAMILIES, RUNS, SAME, Protocol, read_protocol
from analysis.standings.protocol import NAME as PROTOCOL
from analysis.standings.tuned import NAME as TUNED
from experiments.plan.config import ConfigError
from experiments.plan.errors import one_line
from experiments.runner.exit_status import ExitStatus
from experiments.runner.reader import outlive_the_reader
from experiments.runner.supervision import Interrupted, ended_by_signals, say, status_of
from experiments.sweep.at_once import LostError
from experiments.trials.arms import parse_arms
from experiments.trials.grids import read_grids
from experiments.trials.made_with import Held
from experiments.trials.measuring import Campaign, Trial, cores, drawn, in_order
from experiments.trials.planning import Asked, Planned, planned
from experiments.trials.suites import ALL, scenarios_of
from experiments.trials.tuning import Tuning, at_most, tuned_arms
from experiments.trials.typed import earlier, with_variables
from record.files import FolderError
from record.place import Claim, hold
from services.door.access import TokenError, admin_token

PLACE = Path("results/evidence")
SEEDS, TRIES = 5, 3
TUNE_TRIES, TUNE_SEEDS = 8, 2
MAY_DIFFER = ("seeds", "command", "earlier", "ended", "tries", "same_groups", "refused")
"""What may be otherwise when a pack is gone on with."""
EXAMPLE = """\
examples:
  python -m experiments.evidence --arms policy=adaptive,least_request,round_robin engine=sim --seeds 20 --aa 4
  python -m experiments.evidence --arms policy=adaptive,round_robin engine=sim --replicas 8,64,512
  python -m experiments.evidence --suite gray_failure,hang --arms policy=adaptive --arms 'old: policy=round_robin'
"""


def main(arguments: list[str] | None = None) -> int:
    """Measure and judge what the command line asks for; return the exit status."""
    outlive_the_reader()
    parser = _parser()
    chosen = parser.parse_intermixed_args(arguments)
    typed = ("python", "-m", "experiments.evidence", *(sys.argv[1:] if arguments is None else arguments))
    pack = chosen.output or PLACE / Path(chosen.suite).stem.replace(",", "+")
    claim: Claim | None = None
    try:
        with ended_by_signals():
            asked, tuning = _asked(chosen)
            admin_token()
            first = planned(asked)
            if pack.exists() and not pack.is_dir():
                raise ConfigError(f"--output={pack}: is a file; choose another one")
            protocol = _gone_on_with(pack, _protocol(chosen, asked, first, typed), tuning)
            if protocol.arms != tuple(asked.arms):
                first = planned(replace(asked, arms=protocol.arms))
            _check_ends(chosen, protocol, first)
            if chosen.dry_run:
                tried = (0, 0.0)
                if tuning is not None and not (pack / TUNED).exists():
                    tried = at_most(asked, first, tuning)
                campaign = Campaign(pack, _trials(protocol, first), chosen.tries, first.is_virtual, chosen.processes)
                _show(campaign, protocol, tried)
                return ExitStatus.COMPLETE
            pack.mkdir(parents=True, exist_ok=True)
            if (claim := hold(pack)) is None:
                raise ConfigError(f"{pack}: another `aegis evidence` writes here; choose another --output")
            held = Held(pack, first, chosen.mixed)
            held.check()
            if tuning is not None:
                arms = tuned_arms(held, asked, tuning, tries=chosen.tries, processes=chosen.processes)
                protocol, first = replace(protocol, arms=arms), planned(replace(asked, arms=arms))
            protocol.write(pack)
            return _measured(held, protocol, first, chosen)
    except (ConfigError, TokenError, FolderError, HydraException, OmegaConfBaseException) as error:
        say(one_line(error))
        return ExitStatus.WRONG
    except (Interrupted, KeyboardInterrupt) as error:
        say(f"interrupted; what is measured is kept in {pack}. To go on, the same command:\n  {shlex.join(typed)}")
        if (pack / PROTOCOL).exists():
            say(f"What there is so far, drawn: python -m analysis.leaderboard {shlex.quote(str(pack))}")
        return status_of(error)
    except (OSError, LostError) as error:
        say(f"failed: {error}")
        return ExitStatus.FAILED
    finally:
        if claim is not None:
            claim.release()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.evidence",
        description=(__doc__ or "").partition("\n\n")[0],
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("words", nargs="*", metavar="key=value", help="overrides of all arms, as of experiments.run: engine=sim")
    add("--arms", action="append", required=True, metavar="ARMS",
        help="router=aegis,router=envoy; policy=adaptive,peak_ewma; 'old: router=custom ...'; may be given again")
    add("--suite", default=ALL, metavar="SUITE", help=f"{ALL} (the default), scenarios with commas, or a YAML list")
    add("--seeds", type=int, default=SEEDS, metavar="N", help=f"runs of each cell (default {SEEDS})")
    add("--duration", type=float, metavar="S", help="of a run, seconds (default: live 20, else the scenario's)")
    add("--replicas", metavar="N,N", help="sizes of the fleet, simulated (default: the scenario's own)")
    add("--family", choices=FAMILIES, default=FAMILIES[0], help="what errs with at most 5 %% together (default board)")
    add("--tries", type=int, default=TRIES, metavar="N", help=f"of a run that is not valid (default {TRIES})")
    add("--aa", type=int, default=0, metavar="GROUPS",
        help="each arm against itself: groups of as many pairs as the board has, a pathology; live 1")
    add("--tune", type=Path, metavar="GRID", help="tune every arm first, by a grid as conf/tuning.yaml")
    add("--tune-suite", metavar="SUITE", help="pathologies that arms are tuned under (default: of --suite)")
    add("--tune-tries", type=int, metavar="N", help=f"settings of each arm, its own among them (default {TUNE_TRIES})")
    add("--tune-seeds", type=int, metavar="N", help=f"runs of each setting and pathology (default {TUNE_SEEDS})")
    add("--processes", type=int, default=cores(), metavar="N", help="of simulated runs at once (default: cores)")
    add("--against", type=Path, metavar="DIR", help="an earlier pack; exit status 4 where an arm got worse")
    add("--series", type=Path, metavar="CSV", help="add a line for tools that look for change points (Otava)")
    add("--output", "-o", type=Path, metavar="DIR", help=f"the pack (default: {PLACE}/<suite>)")
    add("--mixed", action="store_true",
        help="go on with a pack though code, programs or machine are not as they were; the board says so")
    add("--dry-run", action="store_true", help="start nothing, show what would be measured")
    return parser  # fmt: skip


def _asked(chosen: argparse.Namespace) -> tuple[Asked, Tuning | None]:
    """What is to be measured.

    Raises:
        ConfigError: an argument is wrong.
    """
    for name, least in (("seeds", 2), ("tries", 1), ("aa", 0), ("tune_tries", 2), ("tune_seeds", 1), ("processes", 1)):
        value, option = getattr(chosen, name), f"--{name.replace('_', '-')}"
        if value is not None and value < least:
            raise ConfigError(f"{option}={value}: must be at least {least}")
        if name.startswith("tune") and value is not None and chosen.tune is None:
            raise ConfigError(f"{option}={value}: goes with --tune")
    if chosen.tries > MOST_ATTEMPTS:
        raise ConfigError(f"--tries={chosen.tries}: must be at most {MOST_ATTEMPTS}")
    sizes: list[int | None] = [None]
    if chosen.replicas is not None:
        texts = chosen.replicas.split(",")
        if not all(text.isdecimal() and int(text) for text in texts):
            raise ConfigError(f"--replicas={chosen.replicas}: must be numbers with commas, as 8,64,512")
        sizes = [int(text) for text in texts]
        if len(set(sizes)) < len(sizes):
            raise ConfigError(f"--replicas={chosen.replicas}: must be different numbers")
    arms = parse_arms(chosen.arms)
    if chosen.tune is not None:
        read_grids(chosen.tune)
    asked = Asked(scenarios_of(chosen.suite), arms, tuple(chosen.words), chosen.duration, sizes)
    if chosen.tune is None:
        if chosen.tune_suite is not None:
            raise ConfigError(f"--tune-suite={chosen.tune_suite}: goes with --tune")
        return asked, None
    suite = asked.scenarios if chosen.tune_suite is None else scenarios_of(chosen.tune_suite, "--tune-suite")
    return asked, Tuning(chosen.tune, chosen.tune_tries or TUNE_TRIES, chosen.tune_seeds or TUNE_SEEDS, suite)


def _protocol(chosen: argparse.Namespace, asked: Asked, first: Planned, typed: Sequence[str]) -> Protocol:
    """What is set before the data.

    Raises:
        ConfigError: live runs cannot be measured so.
    """
    if not first.is_virtual and chosen.aa > 1:
        raise ConfigError(f"--aa={chosen.aa}: live 1, a second run of each seed")
    if not first.is_virtual and chosen.replicas is not None:
        raise ConfigError(f"--replicas={chosen.replicas}: is for the simulator; add engine=sim")
    return Protocol(
        suite=chosen.suite,
        engine=first.engine,
        is_virtual=first.is_virtual,
        arms=tuple(asked.arms),
        rows=first.rows,
        seeds=tuple(range(1, 1 + chosen.seeds)),
        duration_s=first.duration_s,
        common=asked.common,
        family=chosen.family,
        tries=chosen.tries,
        refused=first.refused,
        skipped=first.skipped,
        same_groups=chosen.aa,
        command=with_variables(tuple(typed), first),
    )


def _check_ends(chosen: argparse.Namespace, protocol: Protocol, first: Planned) -> None:
    """That what the board is to end with can be done, before the hours that it takes.

    Raises:
        ConfigError: the packs cannot be compared, or the series cannot be read.
        FolderError: there is no earlier pack, or the series is of others.
    """
    from analysis.comparison.arms import ComparisonError
    from analysis.standings import against, series

    try:
        if chosen.against is not None:
            configs = {cell: job.plan.resolved for cell, job in first.jobs.items()}
            against.check_pack(chosen.against, protocol, configs)
        if chosen.series is not None:
            series.check(protocol, chosen.series)
    except ComparisonError as error:
        raise ConfigError(f"--against={chosen.against}: {error}") from error
    except OSError as error:
        raise ConfigError(f"--series={chosen.series}: cannot be read ({error})") from error


def _gone_on_with(pack: Path, protocol: Protocol, tuning: Tuning | None) -> Protocol:
    """With what an earlier start in the same place has left: its arms as they were tuned.

    Raises:
        ConfigError: that was another protocol.
        FolderError: it cannot be read.
    """
    is_begun, is_tuned = (pack / PROTOCOL).exists(), (pack / TUNED).exists()
    if is_tuned and tuning is None:
        raise ConfigError(f"{pack}: was begun with --tune; add it, or choose another --output")
    if not is_begun:
        return protocol
    if tuning is not None and not is_tuned:
        raise ConfigError(f"{pack}: was begun without --tune; leave it out, or choose another --output")
    before = read_protocol(pack)
    now = _set_before(protocol)
    for key, was in _set_before(before).items():
        if was != now[key]:
            raise ConfigError(f"{pack}: was begun with another {key}, which must stay; choose another --output")
    if len(protocol.seeds) < len(before.seeds):
        raise ConfigError(f"--seeds={len(protocol.seeds)}: the pack in {pack} has {len(before.seeds)}; give as many")
    groups = max(protocol.same_groups, before.same_groups)
    commands = earlier(before, protocol.command)
    return replace(protocol, arms=before.arms, ended=before.ended, same_groups=groups, earlier=commands)


def _set_before(protocol: Protocol) -> dict[str, Any]:
    """What must stay; what tuning chose for an arm and what is said of a pathology may follow from it."""
    arms = [(arm.name, arm.overrides) for arm in protocol.arms]
    rows = [replace(row, about="") for row in protocol.rows]
    return {key: value for key, value in vars(protocol).items() if key not in MAY_DIFFER} | {"arms": arms, "rows": rows}


def _trials(protocol: Protocol, first: Planned) -> list[Trial]:
    """The runs of the board and of arms against themselves; live each of these in the board's block of its seed and
    pathology, all in an order drawn from both.
    """
    from analysis.standings.same import seeds_of

    measures = {row.name: row.measure for row in protocol.rows}
    is_virtual = protocol.is_virtual
    board = in_order(first.jobs, protocol.seeds, RUNS, measures, is_virtual=is_virtual)
    # An extension after an end that was looked at is judged as one (docs/validity.md).
    looks = {seed: tuple(e for e in protocol.ended if e < place) for place, seed in enumerate(protocol.seeds, 1)}
    board = [replace(trial, looks=looks[trial.seed]) for trial in board]
    if not protocol.same_groups:
        return board
    again = in_order(first.jobs, seeds_of(protocol), SAME, measures, is_virtual=is_virtual)
    if is_virtual:
        return [*board, *again]
    blocks: dict[tuple[int, str], list[Trial]] = {}
    for trial in (*board, *again):  # as near to each other as the board's own pairs are
        blocks.setdefault((trial.seed, trial.row), []).append(trial)
    return [trial for (seed, row), block in blocks.items() for trial in drawn(block, seed, row)]


def _show(campaign: Campaign, protocol: Protocol, tuning: tuple[int, float]) -> None:
    for arm in protocol.arms:
        print(f"arm {arm.name}: {shlex.join(arm.typed)}")
    for row in protocol.rows:
        print(f"pathology {row.name}: by {row.measure}; {' '.join(row.overrides) or 'as it is'}"[:200])
    for each in protocol.refused:
        print(f"cannot be asked: {each.row}, {each.arm}: {each.reason}")
    for text in protocol.skipped:
        print(f"not asked of anybody: {text}")
    if tuning[0]:
        print(f"tuning first: at most {_length(tuning[0], tuning[1] / campaign.at_once)}")
    print(f"{_length(*campaign.left())}\nnothing was started (--dry-run)")


def _length(runs: int, seconds: float) -> str:
    if not runs:
        return "no run is missing"
    return f"{runs:,} runs, about {span(seconds)}, until {datetime.now() + timedelta(seconds=seconds):%a %H:%M}"


def _measured(held: Held, protocol: Protocol, first: Planned, chosen: argparse.Namespace) -> int:
    """Measure what is missing, judge, write."""
    pack = held.pack
    # All of it before the hours that it takes: a tree that changes meanwhile must not cost the board its end.
    import analysis.pages.html.of_evidence
    import analysis.pages.leaderboard_page  # noqa: F401
    from analysis.comparison.arms import ComparisonError
    from analysis.leaderboard import WORSE, finish
    from analysis.standings.gathering import gather
    from analysis.standings.same import twins

    trials = _trials(protocol, first)
    campaign = Campaign(pack, trials, protocol.tries, protocol.is_virtual, chosen.processes, held.check_again)
    print(f"{pack}: {_length(*campaign.left())}", flush=True)
    campaign.measure()
    # Before it is shown: who adds seeds afterwards has seen it, whole or not.
    ended = tuple(sorted({*protocol.ended, len(protocol.seeds)}))
    replace(protocol, ended=ended).write(pack)
    try:
        status = finish(pack, chosen.against, chosen.series)
    except (ComparisonError, FolderError) as error:
        say(str(error))
        status = ExitStatus.FAILED
    cells = [*gather(pack, protocol).values(), *twins(pack, protocol).values()]
    if status == WORSE or not any(cell.unmeasured for cell in cells):
        return status
    return ExitStatus.FAILED if any(cell.failing for cell in cells) else ExitStatus.INVALID


if __name__ == "__main__":
    sys.exit(main())
