"""Headers that the user's requests have besides, from a file. Light: the generator's processes read it, too."""

import re
from collections.abc import Iterator
from pathlib import Path

NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110, section 5.6.2: a token."""
VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
"""Likewise, section 5.5: no control characters."""
OURS = re.compile(r"content-length|transfer-encoding|connection|expect|x-request-id|x-aegis-.*", re.IGNORECASE)
"""Those that the generator decides on."""
MOST_CHARACTERS = 16_384
"""Of all together: more than the servers in use take (nginx and Apache 8 KiB a line, Node 16 KiB in all)."""
MOST_BODY_BYTES = 10_000_000
"""As of `workload.body_bytes`."""


def read_headers(path: str) -> list[tuple[str, str]]:
    """The names and values of a file that has a header a line, `Name: value`; empty lines and those with # are none.

    Raises:
        ValueError: it cannot be read, or a line is none; the text shows no value.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ValueError("is no text in UTF-8") from error
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"has {len(text):,} characters, at most {MOST_CHARACTERS:,} are sent")
    return list(_headers(text))


def _headers(text: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, value = line.partition(":")
        if not colon or not NAME.fullmatch(name) or not VALUE.fullmatch(value):
            raise ValueError(f"line {number} is no header, as `Authorization: Bearer ...`")
        if OURS.fullmatch(name):
            raise ValueError(f"line {number}: {name} is set by the generator")
        yield name, value.strip()


def read_body(path: str) -> bytes:
    """The body of a POST request.

    Raises:
        ValueError: it cannot be read, or is too long.
    """
    try:
        with Path(path).open("rb") as file:
            body = file.read(MOST_BODY_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from error
    if len(body) > MOST_BODY_BYTES:
        raise ValueError(f"has more than {MOST_BODY_BYTES:,} bytes")
    return body
