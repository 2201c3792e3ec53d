"""Samples of every format with bytes changed, lines cut, doubled and joined: an answer or one line, never a traceback."""

import json
import random

import pytest

from tests.experiments.importing import imported
from tests.experiments.log_samples import SAMPLES

TABLE = "at,took,code\n" + "".join(f"2026-11-30 10:00:{n:02}.5,{n}0,200\n" for n in range(20))
PROMETHEUS = json.dumps({
    "status": "success",
    "data": {"resultType": "matrix", "result": [
        {"metric": {"__name__": "n_total", "code": "200"}, "values": [[1796032800 + 15 * n, str(9 * n)] for n in range(9)]},
        {"metric": {"__name__": "s_bucket", "le": "+Inf"}, "values": [[1796032800 + 15 * n, str(9 * n)] for n in range(9)]},
    ]},
})  # fmt: skip
LOCUST = "Timestamp,Name,Total Request Count,Total Failure Count\n" + "".join(
    f"{1796032800 + n},Aggregated,{9 * n},0\n" for n in range(9)
)
ALL = {**SAMPLES, "csv": TABLE, "json": SAMPLES["envoy_json"], "prometheus": PROMETHEUS, "locust": LOCUST}
COLUMNS = {"csv": "arrived=at,taken=took:ms,status=code", "json": "arrived=start_time,taken=duration:ms"}
TURNS = 40
INSERTED = (b"\x00", b"\xff", b'"', b"\n", b"\r", b"{", b"]", b"null", b"-1", b"1e999", b"NaN", b" ", b"9" * 40, b"\\u0000")


def damaged(content, rng):
    data = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(len(data))
        match rng.randrange(4):
            case 0:
                data[place] = rng.randrange(256)
            case 1:
                data[place:place] = rng.choice(INSERTED)
            case 2:
                del data[place : place + rng.randint(1, 30)]
            case _:
                data += data[: rng.randrange(len(data))]
        data = data or bytearray(b"x")
    return bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ALL))
def test_a_damaged_log_is_answered_or_refused_in_a_line(tmp_path, capsys, name):
    rng = random.Random(name)
    arguments = ["--format", name, "--keep", "keys", *(["--columns", COLUMNS[name]] if name in COLUMNS else [])]
    statuses = set()
    for _ in range(TURNS):
        content = damaged(ALL[name].encode(), rng)
        got = imported(tmp_path, capsys, content, *arguments)
        assert got.status in (0, 2, 3), content
        statuses.add(got.status)
        assert got.told.count("\n") == (0 if got.status == 0 else 1), (content, got.told)
        if got.status == 0 and got.requests is not None:
            assert got.requests["scheduled_s"].is_monotonic_increasing and got.requests["scheduled_s"][0] == 0
            assert len(got.trace) == len(got.requests) and not got.trace.isna().any(axis=None)
    assert 0 in statuses
