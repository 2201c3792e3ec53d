"""Who may change state: loopback by default, a bearer token elsewhere."""

import hmac
import ipaddress
import os

TOKEN_VARIABLE = "AEGIS_ADMIN_TOKEN"


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
        SystemExit: with one line that names the way out, status 2 is the caller's convention.
    """
    if not is_loopback(host) and admin_token() is None:
        raise SystemExit(f"refusing to listen on {host}: set {TOKEN_VARIABLE}, or listen on 127.0.0.1")


def is_authorized(authorization: str | None) -> bool:
    """Whether an Authorization header may change state; compared in constant time (RFC 6750, section 2.1)."""
    token = admin_token()
    if token is None:
        return True
    return hmac.compare_digest((authorization or "").encode(), f"Bearer {token}".encode())


def auth_headers() -> dict[str, str]:
    """The headers with which one service asks another to change state."""
    token = admin_token()
    return {} if token is None else {"Authorization": f"Bearer {token}"}
