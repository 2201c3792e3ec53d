"""Who may change state: loopback by default, a bearer token elsewhere; and what a replica may be called."""

import hmac
import ipaddress
import os
import re
import sys

TOKEN_VARIABLE = "AEGIS_ADMIN_TOKEN"
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""A replica's id."""


def admin_token() -> str | None:
    """The token of AEGIS_ADMIN_TOKEN, or None where it is unset or empty."""
    return os.environ.get(TOKEN_VARIABLE) or None


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an address) can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_bind(host: str) -> None:
    """Refuse to listen beyond loopback without a token.

    Raises:
        SystemExit: status 2, after one line that names the way out.
    """
    if not is_loopback(host) and admin_token() is None:
        sys.stderr.write(f"refusing to listen on {host}: set {TOKEN_VARIABLE}, or listen on 127.0.0.1\n")
        raise SystemExit(2)


def is_authorized(authorization: str | None) -> bool:
    """Whether an Authorization header may change state; compared in constant time (RFC 6750, section 2.1)."""
    token = admin_token()
    if token is None:
        return True
    scheme, _, given = (authorization or "").partition(" ")
    same = hmac.compare_digest(given.strip().encode(errors="surrogateescape"), token.encode(errors="surrogateescape"))
    return same and scheme.lower() == "bearer"


def auth_headers() -> dict[str, str]:
    """The headers with which one service asks another to change state."""
    token = admin_token()
    return {} if token is None else {"Authorization": f"Bearer {token}"}
