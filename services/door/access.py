"""Who may change state: loopback by default, a bearer token elsewhere; and what a replica may be called."""

import functools
import hmac
import ipaddress
import os
import re
import sys
from pathlib import Path

TOKEN_VARIABLE = "AEGIS_ADMIN_TOKEN"
FILE_VARIABLE = "AEGIS_ADMIN_TOKEN_FILE"
"""Names a file that holds the token, as Compose and Swarm hand out secrets."""
MIN_TOKEN_CHARACTERS = 16
"""Nobody guesses so many random characters; what a word or a date takes is refused."""
MAX_TOKEN_CHARACTERS = 1024
"""Far below the length at which HTTP servers refuse a header."""
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What can be sent as a bearer token (RFC 6750, section 2.1)."""
MAKE_ONE = "python -c 'import secrets; print(secrets.token_urlsafe(32))'"
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""A replica's id."""


class TokenError(ValueError):
    """The token cannot be used; the text says why and what to do, and never holds the token."""


def admin_token() -> str | None:
    """The token of AEGIS_ADMIN_TOKEN, or of the file that AEGIS_ADMIN_TOKEN_FILE names; None where neither is set.

    Set to nothing is not set. The file is read once; a new token in it needs a restart.

    Raises:
        TokenError: both are set, the file cannot be read, or the token is too short, too long or no bearer token.
    """
    return _token(os.environ.get(TOKEN_VARIABLE, ""), os.environ.get(FILE_VARIABLE, ""))


@functools.lru_cache(maxsize=8)
def _token(given: str, file: str) -> str | None:
    if given and file:
        raise TokenError(f"{TOKEN_VARIABLE} and {FILE_VARIABLE} are both set: unset one of them")
    if not given and not file:
        return None
    source = TOKEN_VARIABLE if given else f"{FILE_VARIABLE}={ascii(file)[1:-1]}"
    token = given or _first_line(Path(file), source)
    if not MIN_TOKEN_CHARACTERS <= len(token) <= MAX_TOKEN_CHARACTERS:
        bounds = f"{MIN_TOKEN_CHARACTERS} to {MAX_TOKEN_CHARACTERS}"
        raise TokenError(f"{source}: must hold {bounds} characters, not {len(token)}; to make one: {MAKE_ONE}")
    if not TOKEN.fullmatch(token):
        raise TokenError(f"{source}: may hold letters, digits and -._~+/= only; to make one: {MAKE_ONE}")
    return token


def _first_line(path: Path, source: str) -> str:
    """The file's text without the line's end, no more of it than a token may have."""
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            text = file.read(MAX_TOKEN_CHARACTERS + 3)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "no such path"
        raise TokenError(f"{source}: cannot be read ({reason}); write a token into it: {MAKE_ONE}") from error
    token = text.removesuffix("\n").removesuffix("\r")
    if not token:
        raise TokenError(f"{source}: is empty; write a token into it: {MAKE_ONE}")
    return token


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an address) can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_bind(host: str) -> None:
    """Refuse to start with a token that cannot be used, and to listen beyond loopback without one.

    Raises:
        SystemExit: status 2, after one line that names the way out.
    """
    try:
        token = admin_token()
    except TokenError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from error
    if not is_loopback(host) and token is None:
        where = ascii(host)[1:-1] or "every address"
        sys.stderr.write(
            f"refusing to listen on {where}: set {TOKEN_VARIABLE} or {FILE_VARIABLE}, or listen on 127.0.0.1\n"
        )
        raise SystemExit(2)


def is_authorized(authorization: str | None) -> bool:
    """Whether an Authorization header may change state; compared in constant time (RFC 6750, section 2.1).

    What is no ASCII becomes question marks, which no token holds.
    """
    token = admin_token()
    if token is None:
        return True
    scheme, _, given = (authorization or "").partition(" ")
    same = hmac.compare_digest(given.strip().encode("ascii", "replace"), token.encode("ascii"))
    return same and scheme.lower() == "bearer"


def auth_headers() -> dict[str, str]:
    """The headers with which one service asks another to change state."""
    token = admin_token()
    return {} if token is None else {"Authorization": f"Bearer {token}"}
