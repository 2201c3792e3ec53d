"""Bytes of clients and replicas that proxies disagree on, each with a name; `{path}` is where a case's own path stands.

`tests/services/router/raw_bytes.py` puts them to a proxy; docs/raw_bytes.md shows what came of it.
"""

GET = b"GET {path} HTTP/1.1\r\nHost: x\r\n"
POST = b"POST {path} HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
INNER = b"GET {path}/inner HTTP/1.1\r\nHost: x\r\n\r\n"
FROM_CLIENTS = {
    "a plain request": GET + b"\r\n",
    "two, one behind the other": (GET + b"\r\n") * 2,
    "empty lines before it": b"\r\n\r\n" + GET + b"\r\n",
    "a target in absolute form": b"GET http://y{path} HTTP/1.1\r\nHost: x\r\n\r\n",
    "a fragment in the target": b"GET {path}#f HTTP/1.1\r\nHost: x\r\n\r\n",
    "a control character in the target": b"GET {path}\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
    "obs-text in the target": b"GET {path}\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "`CONNECT`": b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n",
    "no `Host`": b"GET {path} HTTP/1.1\r\n\r\n",
    "two `Host`": GET + b"Host: y\r\n\r\n",
    "`HTTP/1.2`": b"GET {path} HTTP/1.2\r\nHost: x\r\n\r\n",
    "`HTTP/2.0` in plain text": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "`RTSP/1.0`": b"GET {path} RTSP/1.0\r\nHost: x\r\n\r\n",
    "`RTSP/1.0` behind a request": GET + b"\r\nGET {path} RTSP/1.0\r\nHost: x\r\n\r\n",
    "HTTP/0.9": b"GET {path}\r\n\r\n",
    "bare line feeds": b"GET {path} HTTP/1.1\nHost: x\n\n",
    "a bare carriage return in a header": GET + b"X-A: b\rX-B: c\r\n\r\n",
    "a folded header": GET + b"X-A: b\r\n c\r\n\r\n",
    "a space before the colon": GET + b"X-A : b\r\n\r\n",
    "a header without a name": GET + b": b\r\n\r\n",
    "a header without a colon": GET + b"X-A\r\n\r\n",
    "obs-text in a header": GET + b"X-A: \xe4\xff\r\n\r\n",
    "a control character in a header": GET + b"X-A: b\x01\r\n\r\n",
    "NUL in a header": GET + b"X-A: b\x00\r\n\r\n",
    "a head of 60,000 bytes": GET + b"X-A: " + b"a" * 60_000 + b"\r\n\r\n",
    "a head of 600,000 bytes": GET + b"X-A: " + b"a" * 600_000 + b"\r\n\r\n",
    "200 headers": GET + b"X-A: b\r\n" * 200 + b"\r\n",
    "half a head, and then nothing": GET + b"X-A",
    "both lengths (CL.TE)": POST + b"Content-Length: 6\r\n" + CHUNKED + b"0\r\n\r\n" + INNER,
    "both lengths (TE.CL)": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" + INNER,
    "a length twice, alike": POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a length twice, unlike": POST + b"Content-Length: 3\r\nContent-Length: 0\r\n\r\nabc",
    "`Content-Length: +3`": POST + b"Content-Length: +3\r\n\r\nabc",
    "`Content-Length: 3, 3`": POST + b"Content-Length: 3, 3\r\n\r\nabc",
    "a length of 20 digits": POST + b"Content-Length: 99999999999999999999\r\n\r\nabc",
    "`Transfer-Encoding : chunked`": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + INNER,
    "`Transfer-Encoding: xchunked`": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + INNER,
    "`Transfer-Encoding: chunked, identity`": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + INNER,
    "chunks in HTTP/1.0": b"POST {path} HTTP/1.0\r\nHost: x\r\n" + CHUNKED + b"0\r\n\r\n" + INNER,
    "a chunked body": POST + CHUNKED + b"3;a=b\r\nabc\r\n0\r\nX-T: t\r\n\r\n",
    "a chunk size that is none": POST + CHUNKED + b"x\r\n\r\n",
    "a chunk size `0x3`": POST + CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "a chunk size of 17 digits": POST + CHUNKED + b"10000000000000003\r\nabc\r\n0\r\n\r\n",
    "a chunk longer than its size": POST + CHUNKED + b"1\r\nabc\r\n0\r\n\r\n",
    "bare line feeds in chunks": POST + CHUNKED + b"3\nabc\n0\n\n",
    "trailers without end": POST + CHUNKED + b"0\r\nX-T: " + b"t" * 600_000,
    "a body shorter than its length, and a farewell": POST + b"Content-Length: 9\r\n\r\nabc",
    "an upgrade to `h2c`": GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n",
}
"""What clients send."""
FAREWELLS = frozenset({"a body shorter than its length, and a farewell"})
"""After which the client sends no more."""

OK = b"HTTP/1.1 200 OK\r\n"
ABC = b"Content-Length: 3\r\n\r\nabc"
FROM_REPLICAS = {
    "a plain answer": OK + ABC,
    "chunks": OK + CHUNKED + b"3;a=b\r\nabc\r\n0\r\nX-T: t\r\n\r\n",
    "a body that ends with the connection": OK + b"\r\nabc",
    "both lengths": OK + b"Content-Length: 3\r\n" + CHUNKED + b"3\r\nabc\r\n0\r\n\r\n",
    "a length twice, alike": OK + b"Content-Length: 3\r\n" + ABC,
    "a length twice, unlike": OK + b"Content-Length: 1\r\n" + ABC,
    "a length that is none": OK + b"Content-Length: x\r\n\r\nabc",
    "another coding": OK + b"Transfer-Encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "a chunk size that is none": OK + CHUNKED + b"x\r\nabc\r\n0\r\n\r\n",
    "a chunk longer than its size": OK + CHUNKED + b"1\r\nabc\r\n0\r\n\r\n",
    "a body shorter than its length": OK + b"Content-Length: 9\r\n\r\nabc",
    "chunks without the last": OK + CHUNKED + b"3\r\nabc\r\n",
    "half a head": OK + b"Content-Le",
    "nothing": b"",
    "a body longer than its length": OK + ABC + b"def",
    "two answers": OK + ABC + OK + b"Content-Length: 5\r\n\r\nstray",
    "1,000 interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 1000 + OK + ABC,
    "`101`, which nobody asked for": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
    "`204` with a body": b"HTTP/1.1 204 No Content\r\n" + ABC,
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc",
    "a folded header": OK + b"X-A: b\r\n c\r\n" + ABC,
    "a space before the colon": OK + b"X-A : b\r\n" + ABC,
    "a header without a colon": OK + b"X-A\r\n" + ABC,
    "obs-text in a header": OK + b"X-A: \xe4\xff\r\n" + ABC,
    "a control character in a header": OK + b"X-A: b\x01\r\n" + ABC,
    "NUL in a header": OK + b"X-A: b\x00\r\n" + ABC,
    "a control character in the reason": b"HTTP/1.1 200 O\x01K\r\n" + ABC,
    "no reason": b"HTTP/1.1 200\r\n" + ABC,
    "the status 99": b"HTTP/1.1 99 X\r\n" + ABC,
    "the status 999": b"HTTP/1.1 999 X\r\n" + ABC,
    "`HTTP/2.0`": b"HTTP/2.0 200 OK\r\n" + ABC,
    "`RTSP/1.0`": b"RTSP/1.0 200 OK\r\n" + ABC,
    "no first line": b"hello, world\r\n\r\nabc",
    "a head of 60,000 bytes": OK + b"X-A: " + b"a" * 60_000 + b"\r\n" + ABC,
    "a head without end": OK + b"X-A: " + b"a" * 600_000,
    "200 headers": OK + b"X-A: b\r\n" * 200 + ABC,
}
"""What a replica answers to a plain request; then it closes the connection."""
