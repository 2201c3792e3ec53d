"""A run of a sweep as the runner would have left it, with figures that a test chooses."""

from analysis.summary import summarise
from tests.analysis import synthetic


def swept(sweep, number, *, seed, policy, latency_s, dropped=False, typed=(), **about):
    """Write and summarise a run of the sweep in `sweep`; returns its folder, which is called by its number.

    Args:
        sweep: the sweep's folder.
        number: the job's, and the minute at which it began.
        seed: the run's.
        policy: the name of its policy, which was typed.
        latency_s: of every request, seconds.
        dropped: whether its generator dropped a request, so that it is not valid.
        typed: further overrides.
        about: further keys of the manifest.
    """
    manifest = synthetic.manifest(
        run_id=f"{sweep.name}/{number}",
        started_at=f"2026-01-01T00:{number:02}:00+00:00",
        ended_at=f"2026-01-01T00:{number:02}:30+00:00",
        sweep_dir=str(sweep),
        seed=seed,
        overrides=["+scenario=routed", *typed, f"seed={seed}", f"policy={policy}"],
        config={"policy": {"name": policy}, "tracking": {"experiment": "aegis"}, "seed": seed},
        **about,
    )
    requests = synthetic.even_requests(latency_s=latency_s)
    if dropped:
        requests.loc[50, ["outcome", "sent_s", "completed_s", "status", "replica"]] = ["dropped", *4 * [None]]
    folder = synthetic.write(sweep / str(number), requests, about=manifest)
    summarise(folder, draws=False)
    return folder
