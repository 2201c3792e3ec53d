"""Files that are not of one run, or tell what cannot have happened, are refused; what a run may lack is not."""

import json

import numpy as np
import pandas as pd
import pytest

from analysis.summary import summarise
from record.files import FolderError
from record.reading import read
from record.schedule_hash import schedule_hash
from tests.analysis import synthetic


def change_rows(folder, change):
    path = folder / "requests.parquet"
    change(pd.read_parquet(path)).to_parquet(path)


def with_row(number, **values):
    def change(rows):
        for name, value in values.items():
            rows.loc[number, name] = value
        return rows

    return lambda folder: change_rows(folder, change)


def change_schedule(change, is_named=True):
    def apply(folder):
        path, about = folder / "schedule.parquet", folder / "manifest.json"
        changed = change(pd.read_parquet(path))
        changed.to_parquet(path)
        if is_named and changed["demand_s"].notna().all():
            about.write_text(json.dumps({**json.loads(about.read_text()), "schedule_hash": schedule_hash(changed)}))

    return apply


def foreign_hash(folder):
    about = folder / "manifest.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "schedule_hash": "0" * 64}))


def reorder(table):
    swapped = table["scheduled_s"].to_numpy().copy()
    swapped[[3, 4]] = swapped[[4, 3]]
    return table.assign(scheduled_s=swapped)


REFUSED = {
    "another schedule": (change_schedule(lambda t: t.assign(demand_s=0.06), False), "schedule.parquet: is not the sch"),
    "a foreign hash": (foreign_hash, "in manifest.json 000000000000"),
    "ids that do not count": (change_schedule(lambda t: t.assign(request_id=t["request_id"] + 1)), "not 0 to 99"),
    "a schedule out of order": (change_schedule(reorder), "scheduled_s does not ascend"),
    "a demand that is none": (change_schedule(lambda t: t.assign(demand_s=np.nan)), "negative, or none"),
    "renumbered ids": (lambda f: change_rows(f, lambda t: t.assign(request_id=t["request_id"] + 7)), "request_id 100 "),
    "ids in another order": (
        lambda f: change_rows(f, lambda t: t.assign(request_id=t["request_id"].to_numpy()[::-1])),
        "request_id 99 has another scheduled_s",
    ),
    "deleted rows": (lambda f: change_rows(f, lambda t: t.drop(index=[5, 50])), "98 rows, but schedule.parquet has 100"),
    "moved by 2 us": (with_row(50, scheduled_s=5.000002, sent_s=5.001), "request_id 50 has another scheduled_s"),
    "sent before it was due": (with_row(50, sent_s=4.9), "request_id 50 was sent before it was due"),
    "completed before its schedule": (with_row(50, completed_s=4.0), "request_id 50 was completed before it was sent"),
    "an infinite time": (with_row(50, completed_s=np.inf), "a time that is not finite"),
    "an answer that never came": (with_row(50, completed_s=np.nan), "request_id 50 is not dropped, but lacks completed_s"),
    "never sent": (with_row(50, sent_s=np.nan), "is not dropped, but lacks sent_s"),
    "a drop with an end": (with_row(50, outcome="dropped"), "is dropped, but has completed_s"),
    "a hasty timeout": (with_row(50, outcome="timeout"), "timed out before load.timeout_s had passed"),
    "ok with 503": (with_row(50, status=503), "is ok with an HTTP status that is not"),
    "no attempt": (with_row(50, attempts=0), "an impossible number of attempts"),
    "negative service": (with_row(50, service_s=-0.5), "a negative or infinite duration"),
}


@pytest.mark.parametrize(("damage", "words"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_belong_together_is_refused_in_one_line_that_names_it(tmp_path, damage, words):
    folder = synthetic.write(tmp_path / "run", synthetic.even_requests())
    read(folder)
    damage(folder)
    with pytest.raises(FolderError) as refusal:
        read(folder)
    assert words in str(refusal.value)
    assert str(folder) in str(refusal.value) and ".parquet" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def dropped(rows, ids):
    rows.loc[rows["request_id"].isin(ids), ["sent_s", "completed_s", "attempts"]] = np.nan
    rows.loc[rows["request_id"].isin(ids), "outcome"] = "dropped"
    return rows


def no_replica(rows):
    """What a router answers that has nobody to ask."""
    rows.loc[[50, 51], ["outcome", "status", "attempts"]] = ["http_error", 503, 0]
    return rows


def closed(rows):
    """Users ask when they are ready, and do not come to the schedule's end."""
    return rows.iloc[:60].assign(scheduled_s=rows["sent_s"])


LOST = {"stopped": "lost", "worker": "w", "reason": "it hung up", "dropped": 2}
READ = {
    "killed": (lambda t: t.iloc[:40], {"exit_reason": "killed"}),
    "interrupted while some were open": (lambda t: dropped(t.iloc[:40], [38, 39]), {"exit_reason": "interrupted"}),
    "a generator that broke off": (lambda t: t.iloc[:40], {"generator": [{"stopped": "parent_gone"}]}),
    "a lost worker": (lambda t: dropped(t, [7, 70]), {"generator": [LOST]}),
    "a closed loop": (closed, {"config": {"load": {"loop": "closed", "timeout_s": 10.0}}}),
    "the web UI": (lambda t: t.assign(request_id=t["request_id"] + 5000), {"mode": "ui", "exit_reason": "interrupted"}),
    "a router without replicas": (no_replica, {}),
    "schema 1": (lambda t: t, {"schema_version": 1}),
    "no requests yet": (lambda t: None, {"exit_reason": "killed"}),
}


@pytest.mark.parametrize(("change", "about"), READ.values(), ids=READ)
def test_what_a_run_may_lack_does_not_keep_it_from_being_read(tmp_path, change, about):
    rows = synthetic.even_requests()
    planned = rows["scheduled_s"].to_numpy().copy()
    folder = synthetic.write(tmp_path / "run", change(rows), about=synthetic.manifest(**about), planned=planned)
    assert read(folder).manifest["schema_version"] in (1, 2)


def test_a_folder_of_schema_1_is_summarised_by_the_present_definitions(tmp_path):
    rows = synthetic.even_requests()
    late = rows["request_id"] >= 90
    rows.loc[late, "outcome"], rows.loc[late, "status"] = "http_error", 503
    found = summarise(synthetic.write(tmp_path, rows, about=synthetic.manifest(schema_version=1)))
    assert found["schema_version"] == 2
    assert (found["latency_p99_ms"], found["latency_p99_beyond_ms"]) == (None, pytest.approx(100))


def test_the_hash_is_that_of_the_runs_of_old():
    """Values that the first version wrote into its manifests."""
    times, demand = np.array([0.0, 0.1, 0.100001]), np.array([0.05, 0.0, 1.25])
    table = synthetic.schedule_at(times, demand).assign(key=["k3", "k17", "k3"])
    stored = "2652f199d8b61488bc0bbaa4950cc6d40ca75c0966da1f5d23483f06428f51b1"
    assert schedule_hash(table) == schedule_hash(table.astype({"request_id": "float64"})) == stored
