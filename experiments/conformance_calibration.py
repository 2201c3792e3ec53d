"""How right `aegis conformance` is, on modelled proxies: `python -m experiments.conformance_calibration`.

Each of the bugs of experiments/conforming/modelled/bugs.py is looked for in --seeds runs; --runs runs of proxies
without one say how often one is accused. Exit status: 0 at least nine of ten bugs were found in every run, and at most
1 % of the right proxies were accused; 3 not so.
"""

import argparse
import sys

from analysis.distributions.shares import most_of
from experiments.conforming.modelled import measuring
from experiments.conforming.modelled.proxy import Setting

MISSED = 3
FOUND_SHARE, ACCUSED_SHARE = 0.9, 0.01


def _named(setting: Setting) -> str:
    words = [f"{key}={value}" for key, value in setting.options]
    if len(set(setting.weights)) > 1:
        words.append("weights " + ":".join(f"{weight:g}" for weight in setting.weights))
    if setting.failing:
        words.append("failures")
    if setting.late_s != Setting.late_s:
        words.append(f"stamps late by {1e3 * setting.late_s:g} ms")
    return setting.reference + (f" ({', '.join(words)})" if words else "")


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the tables; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.conformance_calibration", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--seeds", type=int, default=20, help="runs of each bug (default 20)")
    parser.add_argument("--runs", type=int, default=200, help="runs of right proxies, all together (default 200)")
    parser.add_argument("--requests", type=int, default=measuring.REQUESTS, help="of a run (default 2,000)")
    chosen = parser.parse_args(arguments)
    if min(chosen.seeds, chosen.runs, chosen.requests) < 1:
        parser.error("--seeds, --runs and --requests must be at least 1")
    print("| bug | held against | found in | after decisions (median) |\n|---|---|---|---|")
    found = 0
    total = 0
    for each in measuring.bugs(range(chosen.seeds), chosen.requests):
        total += 1
        found += each.count == len(each.after)
        median = "-" if each.median is None else f"{each.median:,.0f}"
        print(f"| {each.bug} | `{each.reference}` | {each.count} of {len(each.after)} | {median} |", flush=True)
    print("\n| right proxy | accused | decisions that were judged |\n|---|---|---|")
    alarms = runs = 0
    for right in measuring.right(chosen.runs, chosen.requests):
        alarms, runs = alarms + right.alarms, runs + right.runs
        print(f"| {_named(right.setting)} | {right.alarms} of {right.runs} | {100 * right.judged:.0f} % |", flush=True)
    bound = 100 * most_of(alarms, runs)
    print(f"\n{found} of {total} bugs found in every run within {chosen.requests:,} requests; "
          f"{alarms} of {runs} right runs accused (95 %: at most {bound:.2g} %)")  # fmt: skip
    return 0 if found >= FOUND_SHARE * total and alarms <= ACCUSED_SHARE * runs else MISSED


if __name__ == "__main__":
    sys.exit(main())
