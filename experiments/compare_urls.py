"""Compares services or proxies of one's own: `python -m experiments.compare_urls http://127.0.0.1:8001 ...:8002`.

It is the sweep `experiments.run -m +scenario=routed 'seed=range(1,6)' router=external router.url=A,B`, which it prints:
seed after seed, in an order drawn from each, the same schedule for all, and at the end the comparison. Exit status: the
sweep's (`experiments.run`).
"""

import argparse
import re
import sys
from collections.abc import Sequence
from shlex import join

from experiments import run
from experiments.plan.external import CREDENTIALS
from experiments.runner.exit_status import ExitStatus
from experiments.runner.supervision import say

ADDRESS = re.compile(r"https?://[^\s,='\"]+")
SECRET = re.compile(r"https?://.*@", re.IGNORECASE)
ARMS = ("router", "router.url")
FEWEST = 2
"""Addresses of a comparison."""


class WordError(ValueError):
    """What was typed is no comparison; one line."""


def sweep_of(words: Sequence[str], repeats: int) -> list[str]:
    """The command line of the sweep.

    Args:
        words: addresses, the reference first, and overrides as of `experiments.run`.
        repeats: how many seeds each is measured with, where the overrides name none.

    Raises:
        WordError: there are fewer than two addresses, or a word is neither.
    """
    if any(SECRET.match(word) for word in words):
        raise WordError(f"an address {CREDENTIALS}")
    urls = [word for word in words if ADDRESS.fullmatch(word)]
    overrides = [word for word in words if word not in urls]
    for word in overrides:
        if "=" not in word.lstrip("+~"):
            raise WordError(f"{word}: is neither an address, as http://127.0.0.1:8001, nor key=value")
    if len(set(urls)) < FEWEST or len(set(urls)) < len(urls):
        raise WordError("name two addresses or more, all different: http://127.0.0.1:8001 http://127.0.0.1:8002")
    keys = {word.lstrip("+~").partition("=")[0] for word in overrides}
    if taken := keys.intersection(ARMS):
        raise WordError(f"{sorted(taken)[0]}: the arms are the addresses; leave it out")
    scenario = [] if "scenario" in keys else ["+scenario=routed"]
    names_seeds = "seed" in keys or "repeat.until_ratio_ci" in keys  # which adds pairs from the first seed on
    seeds = [] if names_seeds else [f"seed=range(1,{1 + repeats})"]
    return ["-m", *scenario, *seeds, "router=external", f"router.url={','.join(map(_as_value, urls))}", *overrides]


def _as_value(url: str) -> str:
    """For Hydra's grammar, to which the brackets of an IPv6 address are a list."""
    return f'"{url}"' if "[" in url else url


def main(arguments: list[str] | None = None) -> int:
    """Run the sweep that the command line stands for; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.compare_urls",
        description="Compare services or proxies of your own: the same load for each, and a verdict.",
        epilog="example: python -m experiments.compare_urls http://127.0.0.1:8001 http://127.0.0.1:8002 "
        "workload.rate_rps=50 load.path=/search (docs/external.md)",
    )
    parser.add_argument("words", nargs="+", metavar="URL|key=value", help="addresses, the reference first; overrides")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="seeds for each address (default 5)")
    parser.add_argument("--dry-run", action="store_true", help="start nothing, show what would be measured")
    chosen = parser.parse_intermixed_args(arguments)
    if chosen.repeats < 1:
        parser.error(f"--repeats={chosen.repeats}: must be at least 1")
    try:
        sweep = sweep_of(chosen.words, chosen.repeats)
    except WordError as error:
        say(str(error))
        return ExitStatus.WRONG
    say(f"python -m experiments.run {join(sweep)}")
    sys.argv[1:] = [*sweep, *([run.DRY_RUN] if chosen.dry_run else [])]
    return run.main()


if __name__ == "__main__":
    sys.exit(main())
