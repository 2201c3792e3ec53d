"""Answers of Prometheus with samples in them that are none."""

import json

from tests.experiments.importing import imported


def test_of_prometheus_what_is_no_sample_is_broken_and_no_more(tmp_path, capsys):
    start, huge = 1_796_032_800, 10**400
    samples = [[start + 20, "300"], [start, "0"], [start + 10, "100"], [start + 10, "200"], [start + 30, huge],
               [huge, "1"], ["x", "1"], [], None, ["NaN", "1"], [-5, "1"], [1e300, "1"]]  # fmt: skip
    series = [
        {"metric": {"__name__": "x_total", "code": 503}, "values": samples},
        {"metric": {"__name__": True}, "values": 7}, {"metric": 5}, 5, None, {"metric": {"le": None, "__name__": "x_bucket"}, "values": samples[:3]},
    ]  # fmt: skip
    answer = {"status": "success", "data": {"resultType": "matrix", "result": series}}
    got = imported(tmp_path, capsys, json.dumps(answer))
    assert (got.status, got.told) == (0, "") and got.about["broken"]["count"] == 12
    assert [float(line) for line in (got.folder / "rate.txt").read_text().split()] == [20.0] * 10 + [10.0] * 10
