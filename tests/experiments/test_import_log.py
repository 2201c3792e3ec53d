"""An import on bad days: an answer, or a refusal in one line; what is broken is counted, never fatal, never silent."""

import gzip
import hashlib

import numpy as np
import pyarrow as pa
import pytest

from experiments import import_log
from experiments.importing import source, stamps
from experiments.importing.describing import dispersion
from experiments.importing.gathering import spread_within_seconds
from experiments.importing.source import Source
from experiments.importing.stamps import Zone
from tests.experiments.importing import imported, run

T0 = 1_796_032_800
"""2026-11-30 10:00:00 UTC."""


def line(at_s, taken="0.100", upstream="127.0.0.1:9001", status=200, path="/a"):
    """nginx', which ended at `at_s` of the log."""
    return (
        f'192.0.2.7 - - [30/Nov/2026:10:00:00 +0000] "GET {path} HTTP/1.1" {status} 12 "-" "c" '
        f"{T0 + at_s:.3f} {taken} {taken} {upstream}\n"
    )


def log(count=100, gap_s=0.25, **how):
    return "".join(line(n * gap_s, **how) for n in range(count))


def haproxy(clock):
    return (
        f"192.0.2.7:33317 [{clock}] http-in static/srv1 0/0/0/10/10 "
        '200 2750 - - ---- 1/1/1/1/0 0/0 "GET /index.html HTTP/1.1"\n'
    )


def one_line(got, status, *words):
    assert (got.status, got.told.count("\n"), got.printed) == (status, 1, "")
    assert all(word in got.told for word in words), got.told
    assert not got.folder.exists()


@pytest.mark.parametrize("content", ["", "\n\n", "   \r\n"])
def test_an_empty_file_is_refused_in_a_line(tmp_path, capsys, content):
    one_line(imported(tmp_path, capsys, content), 3, "access.log: empty, there is nothing to import")


def test_one_line_is_one_request_and_has_no_rate(tmp_path, capsys):
    got = imported(tmp_path, capsys, line(0))
    assert got.status == 0 and got.about["requests"] == 1 and got.about["rate_rps"] is None
    assert any("there is no rate" in text for text in got.about["cautions"])


def test_garbage_is_counted_shown_when_asked_and_nothing_else(tmp_path, capsys):
    lines = log(990).splitlines(keepends=True)
    for place in range(0, 1000, 100):
        lines.insert(place, b"\xff\x00 pass=hunter2\n".decode("latin-1"))
    content = "".join(lines).encode("latin-1")
    got = imported(tmp_path, capsys, content)
    assert got.about["requests"] == 990 and got.about["read"] == 1000
    assert got.about["broken"] == {"count": 10, "first": ["line 1", "line 101", "line 201"]}
    assert "10 broken (line 1, line 101, line 201, ...)" in got.printed and "hunter2" not in got.printed
    got = imported(tmp_path, capsys, content, "--show-broken")
    assert len(got.about["broken"]["examples"]) == 3 and got.printed.count("hunter2") == 3


def test_garbage_alone_is_refused(tmp_path, capsys):
    one_line(imported(tmp_path, capsys, "what\never\n"), 2, "of no format that is known", "--columns")
    one_line(imported(tmp_path, capsys, "what\never\n", "--format", "nginx"), 3, "no request in it", "2 lines do not fit")


def test_the_wrong_format_is_told_the_right_one(tmp_path, capsys):
    one_line(imported(tmp_path, capsys, log(), "--format", "envoy"), 2, "looks like --format nginx")


@pytest.mark.parametrize("change", [lambda text: text.replace("\n", "\r\n"), lambda text: text.rstrip("\n"), lambda text: "\ufeff" + text])
def test_other_ends_of_lines_and_marks_change_nothing(tmp_path, capsys, change):
    assert imported(tmp_path, capsys, change(log())).about["broken"]["count"] == 0
    got = imported(tmp_path, capsys, change(log()))
    assert got.about["requests"] == 100 and got.about["span_s"] == pytest.approx(24.75)


def test_gzip_is_read_as_it_is_and_hashed_as_it_lies_there(tmp_path, capsys):
    packed = gzip.compress(log().encode())
    got = imported(tmp_path, capsys, packed, name="access.log.gz")
    assert got.about["requests"] == 100
    assert got.about["files"] == [{"name": "access.log.gz", "sha256": hashlib.sha256(packed).hexdigest()}]


def test_gzip_that_breaks_off_gives_what_came_before(tmp_path, capsys):
    lines = "".join(line(n, path=f"/{hashlib.sha256(str(n).encode()).hexdigest()}") for n in range(2000))
    packed = gzip.compress(lines.encode())
    got = imported(tmp_path, capsys, packed[: len(packed) // 2])
    assert 100 < got.about["requests"] < 1500 and got.about["broken"]["count"] <= 1
    assert any("breaks off" in text for text in got.about["cautions"])
    assert got.about["files"][0]["sha256"] == hashlib.sha256(packed[: len(packed) // 2]).hexdigest()


@pytest.mark.parametrize(("magic", "name"), [(b"BZh9", "bzip2"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"PK\x03\x04", "zip")])
def test_other_packings_are_named(tmp_path, capsys, magic, name):
    one_line(imported(tmp_path, capsys, magic + b"x" * 100), 2, f"is packed as {name}; unpack it first")


def test_a_gap_of_hours_is_told(tmp_path, capsys):
    got = imported(tmp_path, capsys, log(50) + "".join(line(4 * 3600 + n) for n in range(50)))
    assert got.about["longest_gap_s"] == pytest.approx(4 * 3600 - 49 * 0.25)
    assert any("nothing for 14,388 s from 12 s on" in text for text in got.about["cautions"])


def test_a_clock_that_jumps_back_is_told_and_sorted(tmp_path, capsys):
    got = imported(tmp_path, capsys, log(100, 10.0) + "".join(line(100 + n) for n in range(50)))
    assert got.requests["scheduled_s"].is_monotonic_increasing
    assert any("50 requests are over 5 s earlier" in text and "worst by 890 s" in text for text in got.about["cautions"])


def test_workers_that_write_a_little_out_of_order_are_no_clock_that_jumps(tmp_path, capsys):
    got = imported(tmp_path, capsys, "".join(line(n + (3 if n % 7 else 0)) for n in range(100)))
    assert not any("s earlier than" in text for text in got.about["cautions"])


def test_a_long_request_is_no_clock_that_jumps(tmp_path, capsys):
    lines = [haproxy(f"30/Nov/2026:10:00:{n:02}.000") for n in range(30)]
    lines.append(haproxy("30/Nov/2026:10:00:01.000").replace("0/0/0/10/10", "0/0/0/29000/29000"))
    assert not any("s earlier than" in text for text in imported(tmp_path, capsys, "".join(lines)).about["cautions"])


def test_equal_lines_are_told_and_left_out_when_asked(tmp_path, capsys):
    got = imported(tmp_path, capsys, log() + log())
    assert got.about["requests"] == 200 and got.about["repeats"] == 100
    assert any("100 lines are equal to an earlier one (kept" in text for text in got.about["cautions"])
    got = imported(tmp_path, capsys, log() + log(), "--drop-repeats")
    assert got.about["requests"] == 100 and got.about["repeats"] == 100
    assert got.requests["scheduled_s"].tolist() == pytest.approx([n / 4 for n in range(100)])


def test_durations_below_zero_are_unknown_and_zero_is_zero(tmp_path, capsys):
    csv = f"end,took\n{T0}.5,-3\n{T0 + 1}.5,0\n{T0 + 2}.5,0.25\n"
    got = imported(tmp_path, capsys, csv, "--columns", "ended=end,taken=took")
    assert got.requests["scheduled_s"].tolist() == pytest.approx([0, 1, 1.75])
    assert np.isnan(got.requests["taken_s"][0]) and got.requests["taken_s"].tolist()[1:] == [0, 0.25]
    assert any("1 durations are below zero or" in text for text in got.about["cautions"])
    assert any("no duration of 1 requests" in text for text in got.about["filled_in"])


def test_a_stamp_or_a_duration_without_bounds_is_none(tmp_path, capsys):
    csv = f"at,took\n{T0}.5,1e300\n{T0 + 1}.5,inf\n1e300,1\n-5,1\n9e9,1\n{T0 + 2}.5,0.25\n"
    got = imported(tmp_path, capsys, csv, "--columns", "ended=at,taken=took")
    assert got.about["broken"]["count"] == 3 and got.about["span_s"] == pytest.approx(1.75)
    assert got.requests["taken_s"].isna().tolist() == [True, True, False]
    csv = f"at\n0.5\n{T0}.5\n"
    assert imported(tmp_path, capsys, csv, "--columns", "arrived=at").about["dispersion"]["index"] > 0


def test_a_quote_that_nobody_closes_costs_one_row(tmp_path, capsys):
    rows = "".join(f'"a, b",{T0 + n}.5\r\n' for n in range(20))
    csv = f"name,at\r\n{rows}\r\n\"open,{T0}.5\r\na,b,c\r\n\r\n\xff,{T0 + 20}.5\r\n".encode("latin-1")
    got = imported(tmp_path, capsys, csv, "--columns", "arrived=at")
    assert got.about["broken"] == {"count": 2, "first": ["line 23", "line 24"]}
    assert got.requests["scheduled_s"].tolist() == pytest.approx([*range(21)])
    assert got.about["left_out"] == {"the line of names": 1, "blank": 2}
    got = imported(tmp_path, capsys, csv.replace(b'"open', b"open"), "--columns", "arrived=at")
    assert got.about["broken"] == {"count": 1, "first": ["line 24"]} and got.about["requests"] == 22


def test_an_outage_alone_is_told(tmp_path, capsys):
    got = imported(tmp_path, capsys, log(status=503, upstream="-", taken="-"))
    assert got.status == 0 and got.about["error_share"] == 1.0 and got.about["upstreams"] in (None, {})
    assert any("log of an outage alone" in text for text in got.about["cautions"])


def test_one_host_alone(tmp_path, capsys):
    assert imported(tmp_path, capsys, log()).about["upstreams"] == {"u1": 100}


def test_several_files_are_one_log(tmp_path, capsys):
    for number, name in enumerate(("b.log", "a.log")):
        (tmp_path / name).write_text("".join(line(100 * number + n) for n in range(10)) + "broken\n")
    got = run(tmp_path, capsys, tmp_path / "b.log", tmp_path / "a.log")
    assert got.about["requests"] == 20 and [each["name"] for each in got.about["files"]] == ["b.log", "a.log"]
    assert got.about["broken"]["first"] == ["b.log:11", "a.log:11"]


def test_what_is_asked_for_is_kept(tmp_path, capsys):
    text = log(3, path="/a?x=1") + line(2, path="/b")
    got = imported(tmp_path, capsys, text, "--keep", "keys,addresses")
    assert got.requests["upstream"].unique().tolist() == ["127.0.0.1:9001"]
    keys = got.requests["key"]
    assert keys.nunique() == 2 and keys.str.fullmatch("[0-9a-f]{16}").all() and got.trace["key"].equals(keys)
    assert imported(tmp_path, capsys, text, "--keep", "keys").requests["key"].equals(keys)
    assert not imported(tmp_path, capsys, text, "--keep", "keys", "--seed", "7").requests["key"].equals(keys)
    assert imported(tmp_path, capsys, text, "--keep", "paths").requests["key"].tolist() == ["/a", "/a", "/a", "/b"]
    assert imported(tmp_path, capsys, text, "--keep", "queries").requests["key"][0] == "/a?x=1"


def test_blocks_make_no_difference(tmp_path, capsys, monkeypatch):
    text = log(300) + "broken\n" + log(300, 0.5)
    whole = imported(tmp_path, capsys, text, "--keep", "keys")
    monkeypatch.setattr(source, "BLOCK_BYTES", 1000)
    parts = imported(tmp_path, capsys, text, "--keep", "keys")
    assert parts.about == whole.about and parts.requests.equals(whole.requests)
    monkeypatch.setattr(source, "BLOCK_BYTES", 100)  # shorter than a line
    assert imported(tmp_path, capsys, text, "--keep", "keys").requests.equals(whole.requests)


def test_a_line_without_end_takes_no_memory_without_end(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(source, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(source, "LONGEST_LINE_BYTES", 2000)
    got = imported(tmp_path, capsys, log(10) + "x" * 10_000 + "\n" + log(10))
    assert got.about["requests"] == 20 and 1 <= got.about["broken"]["count"] <= 6


def test_a_folder_with_other_things_in_it_is_not_touched(tmp_path, capsys):
    assert imported(tmp_path, capsys, log()).status == 0
    got = imported(tmp_path, capsys, log(50))
    assert got.about["requests"] == 50  # an earlier import makes room
    (got.folder / "import.json").unlink()
    got = imported(tmp_path, capsys, log())
    assert got.status == 2 and "is not empty, and no earlier import" in got.told and len(got.requests or []) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "iis"], "--format=iis: there is no iis.py in experiments/readers/"),
        (["--format", "nginx", "--columns", "arrived=a"], "--columns: is none of --format nginx, but of csv and json"),
        (["--format", "nginx", "--service", "a"], "--service: is none of --format nginx, but of jaeger and otlp"),
        (["--time-zone", "Mars/North"], "--time-zone Mars/North: no such zone"),
        (["--format", "csv"], "--format csv: say what means what"),
    ],
)
def test_wrong_words_are_refused_in_a_line(tmp_path, capsys, arguments, said):
    one_line(imported(tmp_path, capsys, log(), *arguments), 2, said)


def test_a_missing_file_and_a_wrong_word_to_keep(tmp_path, capsys):
    got = run(tmp_path, capsys, tmp_path / "none.log")
    assert got.status == 2 and got.told.count("\n") == 1 and "none.log: cannot be read (No such file" in got.told
    got = imported(tmp_path, capsys, log(), "--keep", "cookies")
    assert got.status == 2 and "cookies is none of keys, paths, queries, addresses" in got.told


def test_the_same_log_and_seed_give_the_same_bytes_of_values(tmp_path, capsys):
    text = "".join(f'192.0.2.7 - - [30/Nov/2026:10:00:{n // 5:02} +0000] "GET / HTTP/1.1" 200 1\n' for n in range(100))
    first, again = (imported(tmp_path, capsys, text, "--format", "apache").requests for _ in range(2))
    assert first.equals(again)
    assert not first.equals(imported(tmp_path, capsys, text, "--format", "apache", "--seed", "1").requests)


def test_whole_seconds_are_spread_within_them_in_the_logs_order():
    stamps_s = np.repeat(np.arange(1000.0, 1100.0), 7)
    moments = spread_within_seconds(stamps_s, 3)
    assert (np.floor(moments) == stamps_s).all() and (np.diff(moments) >= 0).all()
    # Evenly: of 700 the mean of the fractions lies within four standard errors of a half.
    assert abs(np.mean(moments % 1) - 0.5) < 4 / np.sqrt(12 * 700)


def test_the_dispersion_of_poisson_is_one_and_of_a_clock_none():
    rng = np.random.default_rng(1)
    poisson = np.cumsum(rng.exponential(0.01, 200_000))
    assert dispersion(poisson - poisson[0]) == pytest.approx(1.0, abs=0.13)  # four standard errors of 2,000 windows
    assert dispersion(np.arange(10_000) * 0.01 + 0.005) == pytest.approx(0.0, abs=1e-9)
    batches = np.repeat(poisson[:20_000], 10)
    assert dispersion(batches - batches[0]) == pytest.approx(10.0, rel=0.4)
    assert dispersion(np.array([0.0, 5.0])) is None


def texts(*values):
    return pa.array([value.encode() for value in values], pa.binary())


def test_offsets_of_summer_and_winter_are_one_clock(tmp_path, capsys):
    # Berlin, 2026-10-25: 02:59:59 +0200 is one second before 02:00:00 +0100.
    moments = stamps.clf(texts("25/Oct/2026:02:59:59 +0200", "25/Oct/2026:02:00:00 +0100", "25/Oct/2026:01:00:00 -0000"))
    assert moments[1] - moments[0] == 1 and moments[2] == moments[1]
    moments = stamps.iso(texts("2026-10-25T02:59:59.5+02:00", "2026-10-25 01:00:00,75Z", "2026-10-25T01:00:00"), Zone("UTC"))
    assert moments.tolist() == [moments[2] - 0.5, moments[2] + 0.75, moments[2]]


def test_local_stamps_go_through_the_hour_that_comes_twice(tmp_path, capsys):
    minutes = [*range(120, 180, 5), *range(120, 180, 5), *range(180, 200, 5)]
    lines = [haproxy(f"25/Oct/2026:{m // 60:02}:{m % 60:02}:00.000") for m in minutes]
    got = imported(tmp_path, capsys, "".join(lines), "--time-zone", "Europe/Berlin")
    assert got.requests["scheduled_s"].tolist() == [300.0 * n for n in range(len(minutes))]
    assert not any("s earlier than" in text for text in got.about["cautions"])
    # Without the zone it is a clock that goes back, and that is told.
    got = imported(tmp_path, capsys, "".join(lines))
    assert any("--time-zone" in text for text in got.about["cautions"])


def test_the_hour_that_comes_twice_goes_on_in_the_next_block():
    zone = Zone("Europe/Berlin")
    first = 1_792_893_600.0  # the wall shows 02:00 of 2026-10-25
    before = zone.unix(first + np.arange(0, 3600, 600.0))
    after = zone.unix(first + np.arange(0, 3600, 600.0))
    assert (after - before == 3600).all()
    assert zone.unix(np.array([first + 3600]))[0] == after[-1] + 600


@pytest.mark.parametrize("text", ["31/Feb/2026:10:00:00 +0000", "30/Xyz/2026:10:00:00 +0000", "30/Nov/2026:25:00:00 +0000", ""])
def test_days_that_there_are_not_have_no_moment(text):
    assert np.isnan(stamps.clf(texts(text))[0])


def test_a_leap_second_is_the_end_of_the_minute():
    assert np.diff(stamps.clf(texts("31/Dec/2016:23:59:60 +0000", "01/Jan/2017:00:00:00 +0000")))[0] == 0


@pytest.mark.parametrize("number", ["1796032800", "1796032800000", "1796032800000000", "1796032800000000000"])
def test_the_size_of_a_number_tells_its_unit(number):
    assert stamps.unix(texts(number))[0] == pytest.approx(1_796_032_800)


def test_a_long_file_says_how_far_it_is(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(import_log, "FIRST_TOLD_S", 0.0)
    monkeypatch.setattr(import_log, "TOLD_EVERY_S", 0.0)
    monkeypatch.setattr(source, "BLOCK_BYTES", 5000)
    got = imported(tmp_path, capsys, log())
    said = got.told.splitlines()
    assert len(said) > 2 and " % read, " in said[0] and said[-1].startswith("  100 % read, 100 lines")


def test_a_lines_hash_does_not_depend_on_its_block(tmp_path):
    file = tmp_path / "x"
    file.write_bytes(b"a\nb\na\n")
    [lines] = Source([file]).blocks()
    assert lines.hashes[0] == lines.hashes[2] != lines.hashes[1]
