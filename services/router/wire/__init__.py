"""HTTP/1.1 on the data port: bytes and connections, both ways; who gets a request is decided elsewhere (RFC 9112).

    clients ── server ── client ── messages, heads ── (attempts, one floor up: seam) ── pool ── replica ── replicas

What a client sends is read in `reading`; `closing` lets it read what it was sent before its connection ends.
"""
