"""Runs of a proxy or service that is not of Aegis: what of them is known, and what is not, with the reason.

Such a one owes nobody a header, an event or a count. Latency, outcome, lateness and all that is made of them are the
generator's own and as good as ever; what rests on the word of a router or of a replica is null where there is none.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from record.reading import Run
from record.schema import MEMBERS_UNHEARD, ROUTER_ENDED
from record.shapes import stands_in, tells_rotation, url_of_external

EVENTS = "detection, ejections, panics and regret"
"""What rests on the events of a router."""


def knows_replicas(run: Run) -> bool:
    """Whether it is known which replica served each request: each answer names one that the run has started.

    With Aegis' router it is; a proxy of somebody else's may answer by itself, or ask others.
    """
    if url_of_external(run.manifest) is None:
        return True
    names = {f"r{number}" for number in range(1, int(run.manifest["config"]["replicas"]) + 1)}
    replicas = run.columns["replica"][run.columns["outcome"] == "ok"].tolist()
    return bool(replicas) and names.issuperset(replicas)


def notes(run: Run) -> Iterator[str]:
    """What a reader of such a run must know, a sentence each."""
    url = url_of_external(run.manifest)
    if url is None:
        return
    yield f"{url} is not of Aegis, which cannot know {'; '.join(_unknown(run))}: null"
    status = run.columns["status"]
    redirected = int(((status >= 300) & (status < 400)).sum())
    if redirected:
        yield f"{redirected:,} of {len(status):,} answers are redirects (3xx), which are not followed and count as ok"
    if run.samples and not any("router" in (sample.get("cpu") or {}) for sample in run.samples):
        why = "what it uses of this machine counts as foreign (router.ports names more ports of it)"
        yield f"which processes {url} is, is not known: {why}"


def notes_of_stand_in(run: Run) -> Iterator[str]:
    """What a reader of a run must know whose router was another proxy."""
    name = stands_in(run.manifest)
    if name is None:
        return
    meanings = {
        ROUTER_ENDED: "what was lost with it is its own, and no reason against the run",
        MEMBERS_UNHEARD: "replicas that came, drained or left then were not known to it in time",
    }
    for event in run.events:
        if event["event"] in meanings:
            yield f"{event.get('reason', name)}, at {event['t_s']:.1f} s: {meanings[event['event']]}"
    about = run.manifest.get("data_plane")
    called = name
    if about is not None:
        called = f"{name} {about['version']} ({about['algorithm'] or 'no algorithm named'})".replace("  ", " ")
    unknown = "panics, the reasons of picks, hedges and the router's own time"
    if not tells_rotation(run.manifest):
        unknown += ", and whom it has taken out: detection"
    if np.isnan(run.columns["attempts"]).all():
        unknown += ", and retries (no X-Aegis-Attempts)"
    yield f"{called} stood in the place of Aegis' router, and does not say {unknown}: null"
    if about is not None and about["otherwise"]:
        yield f"what it does otherwise with the same settings: {'; '.join(about['otherwise'])}"


def _unknown(run: Run) -> Iterator[str]:
    yield f"{EVENTS} (no events)"
    if np.isnan(run.columns["attempts"]).all():
        yield "retries and the router's own time (no X-Aegis-Attempts)"
    named = ~pd.isna(run.columns["replica"][run.columns["outcome"] == "ok"])
    if not named.any():
        yield "who served what, queue and service times, utilisation and the floor (no X-Aegis-Replica)"
    elif not knows_replicas(run):
        yield f"utilisation and the floor (X-Aegis-Replica of this run in {named.mean():.1%} of the answers)"
