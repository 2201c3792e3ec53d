"""Every format of a log, by what its own documentation says of its fields."""

import json
import math

import numpy as np
import pytest

from experiments.importing.curve import quantile
from experiments.importing.stamps import Zone
from experiments.readers import READERS
from tests.experiments.importing import imported
from tests.experiments.log_samples import (
    AEGIS,
    ALB,
    ENVOY,
    ENVOY_JSON,
    HAPROXY,
    HAR,
    ISTIO,
    JAEGER,
    K6,
    NGINX,
    OTLP,
    SAMPLES,
    T0,
    TRAEFIK,
    TRAEFIK_TEXT,
    json_lines,
    otlp_line,
    otlp_span,
)


def test_nginx_with_its_times_of_several_attempts(tmp_path, capsys):
    got = imported(tmp_path, capsys, NGINX)
    assert got.about["format"] == "nginx" and got.about["resolution_s"] == 1e-3
    # The stamp is that of the end: 10:00:00.123 less 0.123 s, 10:00:01.500 less 0.3 s.
    assert got.requests["scheduled_s"].tolist() == pytest.approx([0.0, 1.2, 2.0], abs=1e-6)
    assert got.requests["taken_s"].tolist() == [0.123, 0.3, 0.0]
    assert got.requests["upstream_s"].tolist()[:2] == [0.120, 0.199] and math.isnan(got.requests["upstream_s"][2])
    assert got.requests["upstream"].tolist()[:2] == ["u1", "u2"]
    assert got.requests["attempts"].tolist() == [1, 2, 0]
    assert got.requests["status"].tolist() == [200, 502, 400]
    assert got.requests["method"].tolist()[:2] == ["GET", "POST"]


@pytest.mark.parametrize(
    ("behind", "columns"),
    [
        ("", {}),
        (" 0.250", {"taken_s": 0.25}),
        (" 0.250 0.240", {"taken_s": 0.25, "upstream_s": 0.24, "attempts": 1}),
        (" 1796032800.500", {}),
        (' rt=0.250 uct="0.001" uht="0.200" urt="0.100, 0.140"', {"taken_s": 0.25, "upstream_s": 0.14, "attempts": 2}),
        (' "1796032800.500" "0.250" "0.240 : 0.003" "a:1 : unix:/s"', {"taken_s": 0.25, "upstream_s": 0.003, "attempts": 2}),
    ],
)
def test_nginx_with_what_people_put_behind_combined(tmp_path, capsys, behind, columns):
    line = f'192.0.2.7 - - [30/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 12 "-" "c"{behind}\n'
    got = imported(tmp_path, capsys, line, "--format", "nginx")
    assert got.status == 0
    found = got.requests.iloc[0].drop(["scheduled_s", "status", "size", "method"]).to_dict()
    found.pop("upstream", None)
    assert found == columns
    assert got.about["resolution_s"] == (1e-3 if "1796032800.500" in behind else 1.0)


def test_combined_alone_has_whole_seconds_and_no_durations(tmp_path, capsys):
    lines = [f'192.0.2.7 - - [30/Nov/2026:10:00:{n:02} +0000] "GET / HTTP/1.1" 200 1 "-" "c"\n' for n in range(20)] * 5
    got = imported(tmp_path, capsys, "".join(sorted(lines)))
    assert got.about["format"] == "nginx" and got.about["taken_s"]["p50"] is None
    said = " ".join(got.about["filled_in"])
    assert "whole seconds" in said and "no durations" in said
    assert not (np.diff(got.requests["scheduled_s"]) == 0).any()


def test_apache_stamps_the_arrival(tmp_path, capsys):
    lines = (
        r'192.0.2.7 - - [30/Nov/2026:10:00:05 +0100] "GET /a?\"q\" HTTP/1.1" 200 12 "-" "says \"hi\"" 2500000' + "\n"
        '192.0.2.7 - - [30/Nov/2026:10:00:04 +0100] "GET /b HTTP/1.1" 304 - "-" "c" 900\n'
    )
    got = imported(tmp_path, capsys, lines)
    assert got.about["format"] == "apache"
    assert got.requests["taken_s"].tolist() == pytest.approx([0.0009, 2.5])
    assert 0 < got.about["span_s"] < 2 and got.about["started_at"].startswith("2026-11-30T09:00:04")
    assert math.isnan(got.requests["size"][0]) and got.requests["size"][1] == 12


def test_haproxy_tells_the_queue_from_the_server(tmp_path, capsys):
    got = imported(tmp_path, capsys, HAPROXY)
    rows = got.requests
    assert got.about["format"] == "haproxy"
    assert rows["scheduled_s"].tolist() == pytest.approx([0, 0.345, 1.345, 2.345])
    assert rows["taken_s"].tolist() == pytest.approx([0.124, 1.0, 3.0, 0.007])
    # 124 ms less 10 for the head and 5 in the queue; nothing where nobody answered.
    assert rows["upstream_s"][0] == pytest.approx(0.109) and rows["upstream_s"][2:].isna().all()
    assert rows["upstream"].tolist()[:2] == ["u1", "u2"] and rows["upstream"].isna()[2]
    assert rows["attempts"].tolist() == [1, 3, 0, 1]
    assert rows["status"].tolist() == [200, 200, 503, 0]
    assert got.about["left_out"] == {"no request, a word of HAProxy's own": 1}
    assert got.about["error_share"] == 0.5


def test_envoys_text_and_istios(tmp_path, capsys):
    got = imported(tmp_path, capsys, ENVOY)
    rows = got.requests
    assert got.about["format"] == "envoy"
    assert rows["scheduled_s"].tolist() == pytest.approx([0, 0.69, 1.69])
    assert rows["taken_s"].tolist() == [0.226, 5.0, 0.04] and rows["upstream_s"][0] == 0.1
    assert rows["received"].tolist() == [154, 0, 0] and rows["size"].tolist() == [0, 24, 0]
    assert got.about["error_share"] == pytest.approx(2 / 3)
    assert got.trace["size"].tolist() == [154, 0, 0] and got.trace["method"].tolist() == ["POST", "GET", "GET"]
    got = imported(tmp_path, capsys, ISTIO)
    assert got.about["format"] == "envoy" and got.requests["taken_s"][0] == 0.004
    assert got.requests["status"][0] == 418 and got.requests["size"][0] == 135


def test_envoys_json(tmp_path, capsys):
    got = imported(tmp_path, capsys, json_lines(ENVOY_JSON))
    rows = got.requests
    assert got.about["format"] == "envoy_json"
    assert rows["taken_s"].tolist() == [0.226, 0.005] and rows["upstream_s"][0] == 0.1
    assert rows["upstream"].tolist()[0] == "u1" and rows["upstream"].isna()[1]
    assert rows["scheduled_s"].tolist() == pytest.approx([0, 1.0])


def test_the_load_balancer_of_aws(tmp_path, capsys):
    got = imported(tmp_path, capsys, ALB)
    rows = got.requests
    assert got.about["format"] == "alb"
    assert rows["scheduled_s"].tolist() == pytest.approx([0, 6.943])
    assert rows["taken_s"].tolist() == pytest.approx([0.443, 3.0])
    assert rows["upstream_s"][0] == 0.44 and rows["upstream_s"].isna()[1]
    assert rows["status"].tolist() == [200, 502] and got.about["upstreams"] == {"u1": 1}


def test_traefiks_json(tmp_path, capsys):
    got = imported(tmp_path, capsys, json_lines(TRAEFIK))
    row = got.requests.iloc[0]
    assert got.about["format"] == "traefik" and len(got.requests) == 1
    assert (row["taken_s"], row["upstream_s"], row["attempts"], row["status"]) == pytest.approx((0.0125, 0.012, 2, 200))
    assert got.about["left_out"] == {"no request, a word of Traefik's own": 1}
    assert got.about["started_at"] == "2026-11-30T10:00:00.500Z"


def test_traefiks_text(tmp_path, capsys):
    got = imported(tmp_path, capsys, TRAEFIK_TEXT)
    assert got.about["format"] == "traefik_text" and got.about["resolution_s"] == 1.0
    assert got.requests["taken_s"].tolist() == [0.012, 0.003]
    assert got.requests["upstream"][0] == "u1" and got.requests["upstream"].isna()[1]


def test_k6_counts_one_metric_and_dates_back(tmp_path, capsys):
    got = imported(tmp_path, capsys, json_lines(K6))
    assert got.about["format"] == "k6"
    assert got.requests["scheduled_s"].tolist() == pytest.approx([0.0, 2.0])
    assert got.requests["taken_s"].tolist() == [0.5, 0.0]
    assert got.about["left_out"] == {
        "no sample, what a metric is": 1, "a sample of another metric than http_req_duration": 1,
    }  # fmt: skip
    assert got.about["error_share"] == 0.5


def test_the_projects_own_router(tmp_path, capsys):
    got = imported(tmp_path, capsys, json_lines(AEGIS))
    assert got.about["format"] == "aegis" and got.about["left_out"] == {"no request, another event": 1}
    assert got.requests["scheduled_s"].tolist() == pytest.approx([0.0, 0.90025])
    assert got.requests["taken_s"].tolist() == [0.50025, 0.1] and got.requests["attempts"][0] == 2
    assert got.requests["status"].tolist() == [200, 0] and got.about["error_share"] == 0.5


def test_spans_of_the_collector(tmp_path, capsys):
    got = imported(tmp_path, capsys, json_lines(OTLP))
    rows = got.requests
    assert got.about["format"] == "otlp"
    assert rows["scheduled_s"].tolist() == pytest.approx([0.0, 2.0])
    assert rows["taken_s"].tolist() == pytest.approx([0.1, 0.01])
    assert rows["attempts"].tolist() == [2, 0] and rows["upstream_s"][0] == pytest.approx(0.055)
    assert rows["status"].tolist() == [200, 500] and rows["method"].tolist() == ["GET", "POST"]
    assert sum(got.about["left_out"].values()) == 4
    assert imported(tmp_path, capsys, json_lines(OTLP), "--service", "shop").about["requests"] == 1


def test_spans_of_many_services_ask_for_one(tmp_path, capsys):
    both = [otlp_line(name, otlp_span(name, "", 2, 0, 10)) for name in ("a", "b")]
    got = imported(tmp_path, capsys, json_lines(both))
    assert got.status == 2 and got.told.endswith("name one with --service, of a (1), b (1)\n")
    got = imported(tmp_path, capsys, json_lines(both), "--service", "c")
    assert got.status == 2 and "--service c: no span of kind server; there are a (1), b (1)" in got.told
    inner = otlp_line("a", otlp_span("x", "", 1, 0, 10))
    assert imported(tmp_path, capsys, json_lines([inner])).status == 3


def test_spans_of_jaeger(tmp_path, capsys):
    got = imported(tmp_path, capsys, json.dumps(JAEGER))
    row = got.requests.iloc[0]
    assert got.about["format"] == "jaeger" and len(got.requests) == 1
    assert (row["taken_s"], row["upstream_s"], row["attempts"], row["status"]) == pytest.approx((0.02, 0.015, 1, 200))
    assert row["upstream"] == "u1"


def test_a_browsers_har(tmp_path, capsys):
    got = imported(tmp_path, capsys, json.dumps(HAR))
    rows = got.requests
    assert got.about["format"] == "har" and got.about["read"] == 3
    assert got.about["broken"] == {"count": 1, "first": ["entry 3"]}
    assert rows["taken_s"].tolist() == [0.1205, 0.005] and rows["upstream_s"][0] == 0.10025
    assert rows["scheduled_s"].tolist() == [0.0, 1.0] and got.about["started_at"] == "2026-11-30T09:00:00.000Z"


def test_rates_and_a_histogram_of_prometheus(tmp_path, capsys):
    start = 1_796_032_800
    series = [
        {"metric": {"__name__": "http_requests_total", "code": "200"},
         "values": [[start, "0"], [start + 10, "100"], [start + 20, "50"], [start + 30, "150"]]},
        {"metric": {"__name__": "http_requests_total", "code": "503"},
         "values": [[start, "7"], [start + 10, "7"], [start + 20, "7"], [start + 30, "17"]]},
        {"metric": {"__name__": "http_seconds_bucket", "le": "0.1"}, "values": [[start, "0"], [start + 30, "50"]]},
        {"metric": {"__name__": "http_seconds_bucket", "le": "0.2"}, "values": [[start, "0"], [start + 30, "100"]]},
        {"metric": {"__name__": "http_seconds_bucket", "le": "+Inf"}, "values": [[start, "0"], [start + 30, "101"]]},
    ]  # fmt: skip
    answer = {"status": "success", "data": {"resultType": "matrix", "result": series}}
    got = imported(tmp_path, capsys, json.dumps(answer))
    assert got.about["format"] == "prometheus" and got.requests is None
    rates = [float(line) for line in (got.folder / "rate.txt").read_text().split()]
    # 100, then a restart that lost what it had but 50, then 100 and 10 of errors.
    assert rates == [10.0] * 10 + [5.0] * 10 + [11.0] * 10
    assert got.about["error_share"] == pytest.approx(10 / 260, rel=1e-3)
    # 101 in all: the 50.5th lies 0.5 of 50 into the bucket from 0.1 to 0.2, the 99.99th nearly at its end.
    assert got.about["taken_s"]["p50"] == pytest.approx(0.101)
    assert got.about["taken_s"]["p99"] == pytest.approx(0.19998)


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        ({"status": "error", "error": "bad query", "data": {"resultType": "matrix", "result": []}}, 2, "bad query"),
        ({"status": "success", "data": {"resultType": "vector", "result": []}}, 2, "ask /api/v1/query_range"),
        ({"status": "success", "data": {"resultType": "matrix", "result": []}}, 3, "no rate in it"),
    ],
)
def test_what_prometheus_answers_instead(tmp_path, capsys, answer, status, said):
    got = imported(tmp_path, capsys, json.dumps(answer), "--format", "prometheus")
    assert (got.status, got.told.count("\n")) == (status, 1) and said in got.told


def test_a_histograms_quantile_is_prometheus_own():
    # histogram_quantile's own rule: linear within a bucket, from 0 in the first; none in the last.
    bounds, counts = np.array([0.1, 0.2, np.inf]), np.array([50.0, 100.0, 101.0])
    assert quantile(bounds, counts, 0.25) == pytest.approx(0.0505)
    assert quantile(bounds, counts, 0.995) is None


def test_locusts_history_is_a_curve(tmp_path, capsys):
    header = (
        "Timestamp,User Count,Type,Name,Requests/s,Failures/s,50%,99%,Total Request Count,Total Failure Count,"
        "Total Median Response Time,Total Average Response Time,Total Min Response Time,Total Max Response Time,"
        "Total Average Content Size\n"
    )
    rows = [(0, 0, 0, ""), (1, 10, 0, "12"), (2, 30, 3, "12"), (3, 60, 6, "13")]
    text = header + "".join(
        f"{1_796_032_800 + t},5,,Aggregated,0.0,0.0,12,40,{n},{f},{m},12.5,1,40,10\n" for t, n, f, m in rows
    )
    got = imported(tmp_path, capsys, text, name="x_stats_history.csv")
    assert got.about["format"] == "locust"
    assert [float(line) for line in (got.folder / "rate.txt").read_text().split()] == [10, 20, 30]
    assert got.about["error_share"] == 0.1 and got.about["taken_s"]["p50"] == 0.013


@pytest.mark.parametrize(
    ("text", "columns", "scheduled", "taken"),
    [
        ("ts,lat\n1796032800.5,120\n1796032801.5,80\n", "arrived=ts,taken=lat:ms", [0, 1], [0.12, 0.08]),
        ("ts,lat\n1796032800500,120\n1796032801500,80\n", "ended=ts,taken=lat:ms", [0, 1.04], [0.12, 0.08]),
        ("ts;lat\n2026-11-30 10:00:00,5;0,12\n2026-11-30 10:00:01,5;0,08\n", "arrived=ts,taken=lat", [0, 1], [0.12, 0.08]),
        ('a,"the time",b\n1,2026-11-30T10:00:00.1Z,x\n2,2026-11-30T11:00:01.1+01:00,"y,z"\n', "arrived=the time", [0, 1], None),
    ],
)  # fmt: skip
def test_any_table_by_its_columns(tmp_path, capsys, text, columns, scheduled, taken):
    got = imported(tmp_path, capsys, text, "--columns", columns)
    assert got.status == 0 and got.about["format"] == "csv"
    assert got.requests["scheduled_s"].tolist() == pytest.approx(scheduled)
    if taken is not None:
        assert got.requests["taken_s"].tolist() == pytest.approx(taken)
    assert got.about["left_out"] == {"the line of names": 1}


def test_a_table_with_demand_gives_a_trace_that_needs_nothing_drawn(tmp_path, capsys):
    text = "TIMESTAMP,Context,Work\n2023-11-16 18:17:03.9799600,4808,0.5\n2023-11-16 18:17:04.0319600,3180,0.25\n"
    got = imported(tmp_path, capsys, text, "--columns", "arrived=TIMESTAMP,demand=Work")
    assert got.trace.columns.tolist() == ["scheduled_s", "demand_s"]
    assert got.trace["demand_s"].tolist() == [0.5, 0.25]
    assert got.trace["scheduled_s"].tolist() == pytest.approx([0, 0.052])


def test_any_lines_of_json_by_their_keys(tmp_path, capsys):
    # Caddy's access log: https://caddyserver.com/docs/logging; seconds since 1970, durations in seconds.
    entries = [
        {"level": "info", "ts": T0 + n, "msg": "handled request", "request": {"method": "GET", "uri": "/a?x=1"},
         "duration": 0.25, "size": 5, "status": 200} for n in (0.5, 1.75)
    ]  # fmt: skip
    columns = "ended=ts,taken=duration,status=status,size=size,method=request.method,path=request.uri"
    got = imported(tmp_path, capsys, json_lines([*entries, {"ts": None}]), "--columns", columns, "--keep", "paths")
    assert got.about["format"] == "json" and got.about["broken"]["count"] == 1
    assert got.requests["scheduled_s"].tolist() == pytest.approx([0, 1.25])
    assert got.requests["method"].tolist() == ["GET", "GET"] and got.requests["key"].tolist() == ["/a", "/a"]
    assert got.about["started_at"] == "2026-11-30T10:00:00.250Z"


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("taken=lat", "needs arrived=NAME or ended=NAME, one of them"),
        ("arrived=ts,ended=ts", "one of them"),
        ("arrived=when", "--columns: no column when in "),
        ("arrive=ts", "--columns arrive=ts: must be WORD=NAME"),
    ],
)
def test_a_wrong_column_is_answered_in_a_line(tmp_path, capsys, columns, said):
    got = imported(tmp_path, capsys, "ts,lat\n1,2\n", "--columns", columns)
    assert (got.status, got.told.count("\n")) == (2, 1) and said in got.told


@pytest.mark.parametrize("name", sorted(SAMPLES))
@pytest.mark.parametrize("secret", ["192.0.2.", "10.0.0.", "127.0.0.1", "card", "secret", "/a", "/b", "curl", "bob"])
def test_what_people_keep_to_themselves_is_dropped(tmp_path, capsys, name, secret):
    got = imported(tmp_path, capsys, SAMPLES[name] + ("\nGET /a?card=1 192.0.2.7\n" if name in ("nginx", "envoy") else ""))
    text = (got.folder / "import.json").read_text() + got.printed.split("\n", 1)[1].rsplit("->", 1)[0]
    text += got.requests.to_csv() + got.trace.to_csv()
    assert secret not in text


def test_every_reader_is_found_and_says_what_it_reads():
    for name, reader in READERS.usable().items():
        assert reader.name == name and reader.about
    assert len(READERS.files()) == 17
    assert READERS.create("haproxy", {}, zone=Zone("UTC"), columns=None)
