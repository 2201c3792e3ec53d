"""What goes between a load's master and its workers: who may join, whose files are where, and files in pieces."""

from pathlib import Path

import pytest

from experiments.load import transfer as load_transfer
from experiments.load.handshake import differences, localised, portable, version
from experiments.load.rows import Rows, are_of
from experiments.load.sender import LoadConfig
from experiments.load.transfer import PULL, Transfer, TransferError

OURS = {"code": "abc", "schema": "1", "locust": "2.47.0"}


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        (OURS, []),
        ({**OURS, "more": "1"}, []),
        ({**OURS, "code": "abd"}, ["code abd instead of abc"]),
        ({"code": "abc", "schema": "1"}, ["locust unknown instead of 2.47.0"]),
        ({}, ["code unknown", "schema unknown", "locust unknown"]),
    ],
)
def test_a_worker_with_other_code_or_another_lock_is_told_what_differs(theirs, words):
    found = differences(OURS, theirs)
    assert len(found) == len(words)
    assert all(word in said for word, said in zip(words, found, strict=True))


def test_the_version_names_the_generators_code_and_the_packages_that_send():
    assert {"code", "schema", "python", "locust", "gevent", "geventhttpclient", "pyarrow"} <= version().keys()
    assert differences(version(), version()) == []


SHARE = [(1, 0.25, 0.01, "a"), (3, 0.75, 0.02, "b")]


@pytest.mark.parametrize(
    ("rows", "same"),
    [
        ([(1, 0.25), (3, 0.75)], True),
        ([(3, 0.75), (1, 0.25)], True),
        ([(1, 0.25)], False),
        ([(1, 0.25), (1, 0.25)], False),
        ([(1, 0.25), (3, 0.75), (5, 1.25)], False),
        ([(1, 0.25), (4, 0.75)], False),
        ([(1, 0.25), (3, 0.7500001)], False),
        ([], False),
    ],
)
def test_rows_that_are_not_those_of_the_share_are_found_out(rows, same, tmp_path):
    written = Rows()
    for request_id, scheduled_s in rows:
        written.drop(request_id, scheduled_s, None)
    written.write(tmp_path / "rows.parquet")
    assert are_of((tmp_path / "rows.parquet").read_bytes(), SHARE) is same


CONFIG = {
    "schedule": "/here/schedule.parquet", "targets": ["http://a", "http://b"], "timeout_s": 2.0, "shard": 1, "shards": 3,
    "output": "/here/load-1.parquet", "ready_file": "/here/load-1.ready", "start_file": "/here/start.json",
    "max_in_flight": 9, "parent_pid": 17, "grace_s": 0.5, "users": 0, "off": [],
}  # fmt: skip


def test_no_path_and_no_process_of_one_machine_goes_to_another():
    job = portable(CONFIG)
    assert "/here" not in str(job) and "parent_pid" not in job
    there = LoadConfig(**localised(job, Path("/there"), 23, []))
    assert (there.shard, there.shards, there.targets, there.parent_pid) == (1, 3, CONFIG["targets"], 23)
    assert all(str(path).startswith("/there/") for path in (there.schedule, there.output, there.start_file))


@pytest.mark.parametrize(
    ("given", "taken"),
    [([], CONFIG["targets"]), (["http://c", "http://d"], ["http://c", "http://d"]), (["http://c"], None)],
)
def test_a_worker_may_know_the_targets_by_other_addresses_if_there_are_as_many(given, taken):
    if taken is None:
        with pytest.raises(ValueError, match=r"1 target\(s\) given, but the run has 2"):
            localised(portable(CONFIG), Path("/there"), 23, given)
    else:
        assert localised(portable(CONFIG), Path("/there"), 23, given)["targets"] == taken


def channel(change=lambda data: data):
    """Two ends; `change` is what the way does to messages on their way to the first."""
    here = Transfer(lambda kind, data: there.on_pull(data) if kind == PULL else None)
    there = Transfer(lambda kind, data: here.on_piece(change(data)))
    return here, there


@pytest.mark.parametrize("size", [0, 1, 100, 101, 250])
def test_a_file_comes_across_whole_whatever_its_size(size, monkeypatch):
    monkeypatch.setattr(load_transfer, "PIECE_BYTES", 100)
    content = bytes(number % 251 for number in range(size))
    here, there = channel()
    assert here.fetch(there.hold("rows", content)) == content


def test_a_file_that_was_changed_or_is_not_there_is_refused(monkeypatch):
    here, there = channel(lambda data: {**data, "content": data["content"][:-1] + b"x"})
    with pytest.raises(TransferError, match="not the 3 promised"):
        here.fetch(there.hold("rows", b"abc"))
    here, there = channel()
    label = there.hold("rows", b"abc")
    with pytest.raises(TransferError, match="0 bytes came"):
        here.fetch({**label, "name": "other"})


def test_a_peer_that_falls_silent_is_noticed(monkeypatch):
    monkeypatch.setattr(load_transfer, "PIECE_TIMEOUT_S", 0.05)
    silent = Transfer(lambda kind, data: None)
    with pytest.raises(TransferError, match="0 of 3 bytes came, then nothing"):
        silent.fetch({"name": "rows", "size": 3, "sha256": ""})
