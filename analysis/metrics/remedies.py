"""What helps against what made a run invalid, gate by gate as docs/validity.md has them."""

import re

PAGE = "docs/validity.md"
SPARE = "close other programs, lower workload.rate_rps, or set load.workers=2 (see python -m experiments.calibrate)"
AGAIN = "run it again"
REMEDIES = (
    (r"^fault .* late \(limit", "close other programs: the machine had no core to spare"),
    (r"^fault .* failed|never landed", "look at logs/ in the run's folder"),
    (r"requests? .*left .* late|planned requests were sent", SPARE),
    (r"were dropped", "raise load.max_in_flight, or lower load.timeout_s: too many are open at once"),
    (r"no request was planned", "a longer workload.duration_s, or a shorter workload.warmup_s"),
    (r"could not send all", "mend what the brackets name"),
    (r"CPU of (its )?generator.*limit", "set load.workers=2, or lower workload.rate_rps"),
    (r"router's loop stood still", "close other programs: the router had no core"),
    (r"CPU of foreign.*limit", "close what else runs on the machine"),
    (r"CPU of the hypervisor.*limit", "take another moment, or another machine"),
    (r"clock .*(off at|drifted|is known to)", "synchronise the machines' clocks (NTP, PTP)"),
    (r"exit_reason (failed|killed)", "look at logs/ in the run's folder"),
)
"""What a reason reads like, and what helps; the first that fits counts, and against all else another run does."""


def remedies(reasons: list[str]) -> str:
    """What helps against all of them, and the page that says more, in a sentence."""
    helps = [next((help_ for like, help_ in REMEDIES if re.search(like, reason)), AGAIN) for reason in reasons]
    return f"What helps: {'; '.join(dict.fromkeys(helps))}. More: {PAGE}."
