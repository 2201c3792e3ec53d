"""HTTP/1.1 on the data port: bytes and connections, both ways; who gets a request is decided elsewhere (RFC 9112).

clients ── server ── client ── messages, heads ── (exchange, one floor up) ── pool ── replica ── replicas
"""
