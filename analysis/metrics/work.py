"""What replicas did for the requests, by their ledger: what was done twice, and what was done for nobody."""

import numpy as np

from record.reading import Run

NAMES = (
    "amplification", "executions_per_request", "duplicate_requests", "duplicate_posts", "wasted_work_s",
    "wasted_work_share",
)  # fmt: skip
Values = dict[str, float | int | None]


def assess(run: Run) -> Values:
    """All `NAMES`, over the requests outside warm-up; None = the replicas kept no ledger, or undefined.

    A request was executed as often as its service began, whatever became of that. Of the work of an attempt something
    came where it answered a request that was served, and the answer was that replica's last.
    """
    work, measured = run.work, run.columns
    ids = measured["request_id"].astype("int64")
    if work is None or not len(ids):
        return dict.fromkeys(NAMES)
    count = int(max(ids.max(), work["request_id"].max() if len(work) else 0)) + 1
    is_measured, is_post = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    is_measured[ids], is_post[ids] = True, run.is_post
    answered_by = np.full(count, None, dtype=object)
    is_ok = measured["outcome"] == "ok"
    answered_by[ids[is_ok]] = measured["replica"][is_ok]

    work = work[is_measured[work["request_id"].to_numpy("int64")]].sort_values("ended_s", kind="stable")
    request = work["request_id"].to_numpy("int64")
    began_s, ended_s = work["began_s"].to_numpy(), work["ended_s"].to_numpy()
    is_begun = ~np.isnan(began_s)
    executed = np.bincount(request[is_begun], minlength=count)
    service_s = np.where(is_begun, ended_s - began_s, 0.0)
    is_answer = ((work["end"] == "answered") & (work["replica"] == answered_by[request])).to_numpy()
    last = np.full(count, -1)
    last[request[is_answer]] = np.flatnonzero(is_answer)  # of several the last one stays
    total_s = float(service_s.sum())
    wasted_s = total_s - float(service_s[last[last >= 0]].sum())
    return {
        "amplification": len(work) / len(ids),
        "executions_per_request": float(executed.sum()) / len(ids),
        "duplicate_requests": int((executed > 1).sum()),
        "duplicate_posts": int((executed[is_post] > 1).sum()) if is_post.any() else None,
        "wasted_work_s": wasted_s,
        "wasted_work_share": wasted_s / total_s if total_s > 0 else None,
    }
