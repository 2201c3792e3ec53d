"""A sample of each format, after its own documentation (named in the front page of its reader); the values are made up."""

import json

T0 = 1_796_032_800
"""2026-11-30 10:00:00 UTC."""
NGINX = (
    '192.0.2.7 - - [30/Nov/2026:10:00:00 +0000] "GET /a?card=1234 HTTP/1.1" 200 12 "-" "curl/8" '
    "1796032800.123 0.123 0.120 127.0.0.1:9001\n"
    '192.0.2.8 - bob smith [30/Nov/2026:10:00:01 +0000] "POST /b HTTP/1.1" 502 0 "-" "x y" '
    "1796032801.500 0.300 0.100, 0.199 127.0.0.1:9001, 127.0.0.1:9002\n"
    r'192.0.2.9 - - [30/Nov/2026:10:00:02 +0000] "\x16\x03" 400 150 "-" "-" 1796032802.000 0.000 - -' + "\n"
)
HAPROXY = (
    "Nov 30 10:00:00 lb haproxy[99]: 192.0.2.7:33317 [30/Nov/2026:10:00:00.655] http-in static/srv1 10/5/30/69/124 "
    '200 2750 - - ---- 1/1/1/1/0 0/0 {example.org} {} "GET /index.html HTTP/1.1"\n'
    "Nov 30 10:00:02 lb haproxy[99]: 192.0.2.7:33318 [30/Nov/2026:10:00:01.000] http-in~ static/srv2 0/0/1/998/+1000 "
    '200 +9 - - ---- 1/1/1/1/+2 0/0 "POST /b HTTP/1.1"\n'
    "Nov 30 10:00:03 lb haproxy[99]: 192.0.2.7:33319 [30/Nov/2026:10:00:02.000] http-in static/<NOSRV> 0/3000/-1/-1/3000 "
    '503 217 - - sQ-- 1/1/1/1/0 0/4 "GET / HTTP/1.1"\n'
    "Nov 30 10:00:04 lb haproxy[99]: 192.0.2.7:33320 [30/Nov/2026:10:00:03.000] http-in static/srv1 0/0/0/-1/7 "
    '-1 0 - - CD-- 1/1/1/1/0 0/0 "GET / HTTP/1.1"\n'
    "Nov 30 10:00:05 lb haproxy[99]: Server static/srv1 is DOWN, reason: Layer4 timeout.\n"
)
ENVOY = (
    '[2026-11-30T10:00:00.310Z] "POST /api/v1/locations HTTP/2" 204 - 154 0 226 100 "192.0.2.1" "nsq" "cc21d9b0" '
    '"locations" "tcp://10.0.0.9:80"\n'
    '[2026-11-30T10:00:01.000Z] "GET /slow HTTP/1.1" 504 UT 0 24 5000 - "-" "curl" "1" "h" "10.0.0.8:80"\n'
    '[2026-11-30T10:00:02.000Z] "GET /gone HTTP/1.1" 0 DC 0 0 40 - "-" "curl" "1" "h" "-"\n'
)
ISTIO = (
    '[2026-11-30T10:00:00.310Z] "GET /status/418 HTTP/1.1" 418 - via_upstream - "-" 0 135 4 4 "-" "curl/7" "84961386" '
    '"httpbin:8000" "10.0.0.9:80" outbound|8000||httpbin.foo 10.44.1.23:37652 10.0.45.184:8000 - default\n'
)
ALB = (
    "http 2026-11-30T10:00:00.500000Z app/lb/50dc6c495c0c9188 192.0.2.1:2817 10.0.0.1:80 0.001 0.440 0.002 200 200 34 366 "
    '"GET http://example.com:80/?a=1 HTTP/1.1" "curl/7.46.0" - - arn:aws:elasticloadbalancing:x "Root=1-58337262-36" "-" "-" '
    '0 2026-11-30T10:00:00.057000Z "forward" "-" "-" "10.0.0.1:80" "200" "-" "-"\n'
    "h2 2026-11-30T10:00:10.000000Z app/lb/50dc6c495c0c9188 192.0.2.1:2817 - -1 -1 -1 502 - 34 366 "
    '"GET https://example.com:443/ HTTP/2.0" "curl" ECDHE TLSv1.2 arn:aws:elasticloadbalancing:x "Root=1" "e" "arn" '
    '0 2026-11-30T10:00:07.000000Z "forward" "-" "-" "-" "-" "-" "-"\n'
)
TRAEFIK = [
    {
        "ClientAddr": "192.0.2.1:5", "DownstreamContentSize": 16, "DownstreamStatus": 200, "Duration": 12_500_000,
        "OriginContentSize": 16, "OriginDuration": 12_000_000, "OriginStatus": 200, "Overhead": 500_000,
        "RequestContentSize": 7, "RequestMethod": "PUT", "RequestPath": "/a?x=1", "RetryAttempts": 1,
        "ServiceURL": "http://10.0.0.1:80", "StartLocal": "2026-11-30T11:00:00.5+01:00",
        "StartUTC": "2026-11-30T10:00:00.5Z", "level": "info", "msg": "", "time": "2026-11-30T10:00:01Z",
    },
    {"level": "error", "msg": "no such service", "time": "2026-11-30T10:00:01Z"},
]  # fmt: skip
TRAEFIK_TEXT = (
    '192.0.2.1 - - [30/Nov/2026:10:00:00 +0000] "GET /a?x=1 HTTP/1.1" 200 16 "-" "curl/8" 1 "web@docker" "http://10.0.0.1:80" 12ms\n'
    '192.0.2.1 - - [30/Nov/2026:10:00:01 +0000] "GET /b HTTP/1.1" 502 11 "-" "curl/8" 2 "web@docker" "-" 3ms\n'
)
K6 = [
    {"type": "Metric", "data": {"type": "trend", "contains": "time"}, "metric": "http_req_duration"},
    {"type": "Point", "data": {"time": "2026-11-30T12:00:01.500000+02:00", "value": 500.0,
                               "tags": {"method": "GET", "status": "200", "url": "http://h/a"}}, "metric": "http_req_duration"},
    {"type": "Point", "data": {"time": "2026-11-30T12:00:01.500000+02:00", "value": 1, "tags": None}, "metric": "vus"},
    {"type": "Point", "data": {"time": "2026-11-30T12:00:03.000000+02:00", "value": 0,
                               "tags": {"method": "GET", "status": "0", "url": "http://h/a"}}, "metric": "http_req_duration"},
]  # fmt: skip
ENVOY_JSON = [
    {"start_time": "2026-11-30T10:00:00.310Z", "duration": 226, "upstream_service_time": "100", "response_code": 204,
     "upstream_host": "10.0.0.9:80", "bytes_sent": 0, "bytes_received": 154, "method": "POST", "path": "/a"},
    {"start_time": "2026-11-30T10:00:01.310Z", "duration": "5", "upstream_service_time": None, "response_code": 503,
     "upstream_host": None, "bytes_sent": 9, "bytes_received": 0, "method": "GET", "path": "/a"},
]  # fmt: skip


AEGIS = [
    {"ts": "2026-11-30T10:00:00.000Z", "level": "info", "service": "router", "event": "ready", "url": "http://127.0.0.1:1"},
    {"ts": "2026-11-30T10:00:01.500Z", "level": "info", "service": "router", "event": "request", "method": "GET",
     "path": "/work", "status": 200, "ms": 500.25, "client": "127.0.0.1", "replica": "r2", "attempts": 2},
    {"ts": "2026-11-30T10:00:02.000Z", "level": "info", "service": "router", "event": "request", "method": "POST",
     "path": "/work", "status": "cancelled", "ms": 100.0, "client": "127.0.0.1"},
]  # fmt: skip


def json_lines(entries):
    return "".join(json.dumps(entry) + "\n" for entry in entries)


def attribute(key, value):
    kind = "intValue" if isinstance(value, int) else "stringValue"
    return {"key": key, "value": {kind: str(value)}}


def otlp_span(identity, parent, kind, began_ms, lasted_ms, **attributes):
    start = 1_796_032_800_000_000_000 + began_ms * 1_000_000
    pairs = [attribute(key.replace("__", "."), value) for key, value in attributes.items()]
    return {
        "traceId": "0" * 31 + "1", "spanId": identity, "parentSpanId": parent, "name": "x", "kind": kind,
        "startTimeUnixNano": str(start), "endTimeUnixNano": str(start + lasted_ms * 1_000_000), "attributes": pairs,
    }  # fmt: skip


def otlp_line(service, *spans):
    resource = {"attributes": [attribute("service.name", service)]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}


OTLP = [
    otlp_line("router", otlp_span("a2", "a1", 3, 5, 30, server__address="10.0.0.1", server__port=80)),
    otlp_line(
        "router",
        otlp_span("a1", "", 2, 0, 100, http__request__method="GET", http__response__status_code=200, url__path="/a"),
        otlp_span("a3", "a1", 3, 40, 55, server__address="10.0.0.2", server__port=80),
        otlp_span("a9", "a1", 1, 1, 1),
    ),
    otlp_line("shop", otlp_span("b1", "a3", 2, 41, 50)),
    otlp_line("router", otlp_span("c1", "", "SPAN_KIND_SERVER", 2000, 10, http__method="POST", http__status_code=500)),
]
JAEGER = {
    "data": [
        {
            "traceID": "t",
            "processes": {"p1": {"serviceName": "shop"}},
            "spans": [
                {"traceID": "t", "spanID": "s", "operationName": "GET", "references": [], "startTime": 1_796_032_800_000_000,
                 "duration": 20_000, "processID": "p1", "tags": [{"key": "span.kind", "value": "server"},
                                                                 {"key": "http.status_code", "value": 200}]},
                {"traceID": "t", "spanID": "c", "operationName": "call", "startTime": 1_796_032_800_001_000,
                 "references": [{"refType": "CHILD_OF", "traceID": "t", "spanID": "s"}], "duration": 15_000,
                 "processID": "p1", "tags": [{"key": "span.kind", "value": "client"}, {"key": "net.peer.name", "value": "db"}]},
                {"traceID": "t", "spanID": "i", "operationName": "inside", "startTime": 1_796_032_800_001_000,
                 "references": [], "duration": 1, "processID": "p1", "tags": []},
            ],
        }
    ]
}  # fmt: skip
HAR = {
    "log": {
        "version": "1.2",
        "entries": [
            {"startedDateTime": "2026-11-30T10:00:00.000+01:00", "time": 120.5,
             "request": {"method": "GET", "url": "https://example.org/a?secret=1", "bodySize": 0},
             "response": {"status": 200, "bodySize": 900}, "timings": {"wait": 100.25, "receive": 2},
             "serverIPAddress": "192.0.2.1"},
            {"startedDateTime": "2026-11-30T10:00:01.000+01:00", "time": 5, "request": {"method": "GET", "url": "u"},
             "response": {"status": 0, "bodySize": -1}, "timings": {"wait": -1}},
            {"startedDateTime": "soon", "time": 5, "request": {"method": "GET", "url": "u"}},
        ],
    }
}  # fmt: skip


SAMPLES = {
    "nginx": NGINX, "haproxy": HAPROXY, "envoy": ENVOY, "envoy_json": json_lines(ENVOY_JSON), "alb": ALB,
    "traefik": json_lines(TRAEFIK), "k6": json_lines(K6), "otlp": json_lines(OTLP), "jaeger": json.dumps(JAEGER),
    "har": json.dumps(HAR), "aegis": json_lines(AEGIS),
    "traefik_text": TRAEFIK_TEXT,
}  # fmt: skip
