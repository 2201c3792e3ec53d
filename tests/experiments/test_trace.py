"""A trace: what is read of a file, and how it is scaled."""

import gzip
from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments.plan.schedule import build_schedule
from experiments.plan.traces import reading
from experiments.plan.traces.reading import read
from experiments.plan.traces.scaling import Scaling, busiest_rps, played
from experiments.plan.workload import DemandSettings, WorkloadSettings
from record.schedule_hash import schedule_hash
from tests.experiments.traced import ROWS, built, written

# -- reading


KINDS = ["t.parquet", "t.csv", "crlf.csv", "t.csv.gz", "t.jsonl", "crlf.jsonl", "t.jsonl.gz", "t.ndjson", "T.CSV"]


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_file_says_the_same(name, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "PIECE_BYTES", 50)  # a line or two at a time
    found = built(written(tmp_path, name))
    expected = ROWS.drop(columns="status").assign(request_id=range(4))
    pd.testing.assert_frame_equal(found, expected[found.columns], check_dtype=False)
    assert found.columns.tolist() == ["request_id", "scheduled_s", "demand_s", "key", "method", "size"]


def test_what_the_file_does_not_say_is_drawn_as_without_a_trace(tmp_path):
    given: dict[str, Any] = {"demand": DemandSettings(mean_ms=20, distribution="lognormal"), "keys": 7, "post_share": 0.5}
    found = built(written(tmp_path, "t.csv", ROWS[["scheduled_s"]]), **given)
    plain = build_schedule(WorkloadSettings(rate_rps=100, duration_s=10, **given), 1)
    assert found["scheduled_s"].tolist() == ROWS["scheduled_s"].tolist()
    for column in ("demand_s", "key", "method"):
        assert found[column].tolist() == plain[column][:4].tolist()


def test_with_all_of_it_said_every_seed_asks_the_same_and_the_hash_knows_each_column(tmp_path):
    file = written(tmp_path, "t.csv")
    assert schedule_hash(built(file, 1)) == schedule_hash(built(file, 2))
    hashes = {schedule_hash(built(file))}
    for column, value in (("scheduled_s", 0.75), ("demand_s", 1.0), ("key", "z"), ("method", "POST")):
        hashes.add(schedule_hash(built(written(tmp_path, f"{column}.csv", ROWS.assign(**{column: [value, *ROWS[column][1:]]})))))
    hashes.add(schedule_hash(built(written(tmp_path, "size.csv", ROWS.assign(size=[0, 11, 0, 2000])))))
    assert len(hashes) == 6


def test_sizes_that_were_written_as_floats_are_whole_numbers(tmp_path):
    file = written(tmp_path, "t.csv", ROWS.assign(size=[0.0, 10.0, 0.0, 2000.0]))
    assert schedule_hash(built(file)) == schedule_hash(built(written(tmp_path, "w.csv", ROWS.assign(size=[0, 10, 0, 2000]))))


def test_an_unsorted_trace_is_sorted_and_methods_that_are_not_sent_are_named(tmp_path):
    mixed = ROWS.iloc[[3, 1, 0, 2]].assign(method=["PUT", "patch", "HEAD", "POST"])
    file = written(tmp_path, "t.csv", mixed)
    found = read(file)
    assert found.scheduled_s.tolist() == sorted(ROWS["scheduled_s"])
    assert found.demand_s.tolist() == [0.1, 0.2, 0.0, 0.3]
    assert found.is_post.tolist() == [False, True, True, False]
    order, gets, posts = found.notes
    assert "sorted" in order and "2 request(s) of HEAD, PUT are sent as GET" in gets and "1 request(s) of PATCH" in posts


@pytest.mark.parametrize(("from_s", "for_s", "left"), [(0, None, 4), (1.25, None, 3), (0, 1.25, 1), (1, 3, 2), (1, 3.5, 3)])
def test_a_window_begins_at_its_first_second_and_ends_before_its_last(from_s, for_s, left, tmp_path):
    found = read(written(tmp_path, "t.parquet"), from_s, for_s)
    inside = ROWS["scheduled_s"].between(from_s, from_s + (for_s or 99), inclusive="left")
    assert found.scheduled_s.tolist() == (ROWS["scheduled_s"][inside] - from_s).tolist()
    assert len(found.key) == len(found.demand_s) == left


WRONG = {
    "empty.csv": (b"", "is empty"),
    "empty.jsonl": (b"", "has no request"),
    "header.csv": (b"scheduled_s,demand_s\r\n", "has no request"),
    "column.csv": (b"when,demand_s\n1,2\n", "no column scheduled_s .* there are: when, demand_s"),
    "twice.csv": (b"scheduled_s,key,key\n1,a,b\n", "has the column key twice"),
    "column.jsonl": (b'{"when": 1}\n', "no column scheduled_s"),
    "negative.csv": (b"scheduled_s\n1\n-0.5\n", r"scheduled_s is -0.5 in row 2: must be seconds from"),
    "nan.csv": (b"scheduled_s\nnan\n", "scheduled_s is empty or no number in row 1"),
    "infinite.csv": (b"scheduled_s\ninf\n", "scheduled_s is inf in row 1"),
    "demand.csv": (b"scheduled_s,demand_s\n1,1\n2,\n", "demand_s is empty or no number in row 2: .* in every row"),
    "demand.jsonl": (b'{"scheduled_s": 1, "demand_s": -1}\n', "demand_s is -1 in row 1"),
    "method.csv": (b"scheduled_s,method\n1,FETCH\n", "method is 'FETCH' in row 1: must be one of GET"),
    "method_empty.csv": (b"scheduled_s,method\n1,GET\n2,\n", "method is empty in row 2: must be one of GET"),
    "key.csv": ("scheduled_s,key\n1,\u00e9\n".encode(), "key is '\u00e9' in row 1: must be .* printable ASCII"),
    "key.jsonl": (b'{"scheduled_s": 1, "key": "a"}\n{"scheduled_s": 2}\n' * 9, "some lines have key|key is empty in row"),
    "parts.csv": (b"scheduled_s,size\n1,2.0\n2,1.5\n", "size is 1.5 in row 2: must be a whole number"),
    "space.csv": (b"scheduled_s, demand_s\n1, 0.1\n", "has the column ' demand_s': must be demand_s, written so"),
    "upper.csv": (b"Scheduled_S\n1\n", "has the column 'Scheduled_S': must be scheduled_s"),
    "size.csv": (b"scheduled_s,size\n1,99000000\n", "size is 99,000,000 in row 1: must be at most"),
    "word.csv": (b"scheduled_s\nsoon\n", "scheduled_s is 'soon' in row 1: must be a number"),
    "words.csv": (b"scheduled_s,demand_s,x\n1,1,a\n2,much,b\n", "demand_s is 'much' in row 2: must be a number"),
    "ragged.csv": (b"scheduled_s,key\n1,a\n2\n", "cannot be read .*Expected 2 columns"),
    "garbage.jsonl": (b"{\n", "cannot be read .*JSON"),
    "some.jsonl": (b'{"scheduled_s": 1, "demand_s": 1}\n' + b'{"scheduled_s": 1}\n' * 9, "some lines have demand_s|demand_s is"),
    "garbage.parquet": (b"no", "cannot be read .*Parquet"),
    "garbage.csv.gz": (b"no", "cannot be read"),
    "cut.jsonl.gz": (gzip.compress(b'{"scheduled_s": 1}\n')[:-9], "cannot be read"),
    "trace.txt": (b"1\n", r"its name must end in .parquet, .csv"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_trace_that_cannot_be_taken_is_refused_in_one_line(name, tmp_path, monkeypatch):
    content, words = WRONG[name]
    monkeypatch.setattr(reading, "PIECE_BYTES", 30)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=words) as told:
        read(str(tmp_path / name))
    assert "\n" not in str(told.value) and str(told.value).startswith(f"workload.trace={tmp_path / name}: ")


def test_a_file_that_is_not_there_a_folder_and_an_empty_window_are_one_line(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.csv: there is no such file"):
        read(str(tmp_path / "nowhere.csv"))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ValueError, match="cannot be read"):
        read(str(tmp_path / "folder.csv"))
    with pytest.raises(ValueError, match=r"no request lies in workload\.trace_from_s=9; the trace ends at 4 s"):
        read(written(tmp_path, "t.csv"), 9.0)


# -- scaling


@pytest.fixture(scope="module")
def bursty(tmp_path_factory):
    """20,000 s in which requests come in heaps of 1 to 9, so that the index of dispersion I of counts is known."""
    rng = np.random.default_rng(1)
    heaps = np.sort(rng.uniform(0, 20_000, rng.poisson(20_000)))
    sizes = rng.integers(1, 10, len(heaps))
    times = np.repeat(heaps, sizes)
    path = tmp_path_factory.mktemp("bursty") / "t.parquet"
    pd.DataFrame({"scheduled_s": np.round(times, 6), "demand_s": 0.01}).to_parquet(path)
    return str(path)


def dispersion(times, span_s=10.0):
    counts = np.bincount((times / span_s).astype(int))
    return counts.var() / counts.mean()


HEAPED = (285 / 9) / 5  # E[B^2] / E[B] of a compound Poisson process


def is_shifted(some, others, by):
    """Whether each of `some` lies `by` later among `others`, which ascend."""
    at = np.searchsorted(others, some + by - 2e-6)
    return bool((np.abs(others[np.minimum(at, len(others) - 1)] - some - by) < 4e-6).all())


def whole(file, **changes):
    return built(file, duration_s=20_000.0, **changes)["scheduled_s"].to_numpy()


def test_speed_divides_every_gap(bursty):
    plain, fast = whole(bursty), whole(bursty, trace_speed=4.0)
    assert np.allclose(fast, plain / 4, atol=1e-6)
    assert dispersion(plain) == pytest.approx(HEAPED, rel=0.1)


def test_thinning_keeps_the_share_and_brings_counts_nearer_to_poisson(bursty):
    plain = whole(bursty)
    for share in (0.2, 0.5):
        kept = whole(bursty, trace_height=share)
        assert len(kept) == pytest.approx(share * len(plain), rel=0.03) and np.isin(kept, plain).all()
        assert dispersion(kept) == pytest.approx(1 + share * (HEAPED - 1), rel=0.1)


def test_copies_that_are_shifted_keep_the_burstiness_and_copies_that_are_not_would_raise_it(bursty):
    plain = whole(bursty)
    for height in (2.0, 3.5):
        more = whole(bursty, trace_height=height)
        assert len(more) == pytest.approx(height * len(plain), rel=0.01)
        rest = height % 1 * 0.5 / height * (HEAPED - 1)  # the half that is thinned
        assert dispersion(more) == pytest.approx(HEAPED - rest, rel=0.1)
    assert dispersion(whole(bursty, trace_height=2.0, trace_shift_s=0.0)) == pytest.approx(2 * HEAPED, rel=0.1)
    near = whole(bursty, trace_height=2.0, trace_shift_s=100.0)
    added = np.setdiff1d(near, plain)
    assert any(is_shifted(plain[:200], added, by) for by in added[added < plain[0] + 100] - plain[0])
    assert not any(is_shifted(plain[:200], added, by) for by in (0.0, 50.0, 101.0))


def test_a_seed_decides_what_is_kept_and_how_far_copies_are_shifted(bursty):
    settings: dict[str, Any] = {"trace": bursty, "duration_s": 20_000.0, "trace_height": 1.5}
    one, again, other = (build_schedule(WorkloadSettings(**settings), seed) for seed in (1, 1, 2))
    assert schedule_hash(one) == schedule_hash(again) != schedule_hash(other)


def test_a_window_is_repeated_one_after_the_other(tmp_path):
    file = written(tmp_path, "t.csv")
    found = built(file, trace_from_s=1.0, trace_for_s=2.0, trace_repeat=3, trace_speed=2.0)
    assert found["scheduled_s"].tolist() == [0.125, 0.125, 1.125, 1.125, 2.125, 2.125]
    assert found["key"].tolist() == ["b", "a"] * 3
    cut = built(file, duration_s=2.0, trace_from_s=1.0, trace_for_s=2.0, trace_repeat=3, trace_speed=2.0)
    assert cut["scheduled_s"].tolist() == [0.125, 0.125, 1.125, 1.125]
    assert WorkloadSettings(trace=file, duration_s=12.0, trace_repeat=9).expected_requests() == 11


# -- what follows from it


def test_the_busiest_second_of_a_short_window_has_all_of_its_turns():
    scheduled_s = np.linspace(0.0, 0.098, 50, dtype=np.float64)
    for how in (Scaling(0.1, repeat=200), Scaling(0.3, speed=0.5, repeat=9), Scaling(1.5, repeat=3), Scaling(40.0)):
        times, _ = played(scheduled_s, how, 20.0, np.random.default_rng(1))
        assert busiest_rps(scheduled_s, how, 20.0) == np.bincount(times.astype(int)).max()
