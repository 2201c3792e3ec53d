"""What a service says of itself while it runs: one line an event on standard error, as text or as JSON.

`configure` is called once, by a service's command; whatever happens is told by `tell`, where it is decided. All of it
goes through the standard library's `logging`, what uvicorn, aiohttp and asyncio say, too, so that there is one format
and one bound. Numbers are what `/metrics` is for, the whole history stands in `/events` and `/decisions`.

A storm cannot fill a disk: of each kind of event there are `BURST` lines at once and `LINES_PER_S` a second in the long
run; how many were left out is told. The access log is not bounded so: whoever wants it wants every request.
"""

import argparse
import asyncio
import atexit
import contextlib
import itertools
import json
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from services.token_bucket import TokenBucket

FORMATS = ("text", "json")
LEVELS = ("debug", "info", "warning", "error")
VARIABLES = {"log_format": "AEGIS_LOG_FORMAT", "log_level": "AEGIS_LOG_LEVEL", "access_log": "AEGIS_ACCESS_LOG"}
"""The environment's word for each option; the processes and containers that a service starts get it on."""
LINES_PER_S, BURST = 1.0, 20.0
"""Of one kind of event: some 20 MB a day at most."""
MAX_KINDS = 200
"""Beyond so many kinds all others count as one; there are some twenty."""
TELL_LEFT_OUT_S = 10.0
"""How long after the first line that was left out their number is told, seconds."""
MAX_TEXT_CHARACTERS = 4000
"""Of a field; a traceback's end is the part that counts."""
MAX_ITEMS, MAX_DEPTH = 100, 4
"""Of a list or mapping in a field, and how many of them within each other are shown."""
MAX_BITS = 64
"""Of a whole number: what reads JSON takes no longer ones, and Python writes none of 4,300 digits."""
PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:/+-,@%*")
"""Characters that need no quotes in the text."""

_EVENTS = logging.getLogger("aegis.events")
_REQUESTS = logging.getLogger("aegis.requests")


def tell(event: str, level: int = logging.INFO, /, **fields: object) -> None:
    """Say that something happened; `fields` in the order in which they are to stand.

    Without `configure` it goes where `logging` sends it: nowhere, below a warning.
    """
    if _EVENTS.isEnabledFor(level):
        _EVENTS.log(level, event, extra={"event": event, "fields": fields})


def tell_request(**fields: object) -> None:
    """A line of the access log."""
    _REQUESTS.info("request", extra={"event": "request", "fields": fields})


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that every service has."""
    group = parser.add_argument_group("log", "one line an event, on standard error (docs/monitoring.md)")
    group.add_argument("--log-format", help=f"one of {', '.join(FORMATS)} (default text; {VARIABLES['log_format']})")
    group.add_argument("--log-level", help=f"one of {', '.join(LEVELS)} (default info; {VARIABLES['log_level']})")
    group.add_argument(
        "--access-log", action="store_true", help=f"also a line a request ({VARIABLES['access_log']}=1)", default=None
    )


def wants(arguments: argparse.Namespace) -> tuple[str, str, bool]:
    """Format, level, and whether requests are to be logged: by the command line, else by the environment.

    Raises:
        ValueError: with the choices.
    """
    values = []
    for name, choices, default in (("log_format", FORMATS, "text"), ("log_level", LEVELS, "info")):
        given = getattr(arguments, name)
        value = given or os.environ.get(VARIABLES[name], "") or default
        if value not in choices:
            source = f"--{name.replace('_', '-')}" if given else VARIABLES[name]
            raise ValueError(f"{source}={ascii(value)[1:-1]}: there are {', '.join(choices)}")
        values.append(value)
    access = os.environ.get(VARIABLES["access_log"], "")
    if access not in ("", "0", "1"):
        raise ValueError(f"{VARIABLES['access_log']}={ascii(access)[1:-1]}: must be 0 or 1")
    return values[0], values[1], bool(arguments.access_log or access == "1")


def configure(service: str, arguments: argparse.Namespace, **always: object) -> bool:
    """From now on this process logs as `service`; returns whether its requests are to be logged.

    Args:
        service: `router`, `replica` or `manager`.
        arguments: with the options of `add_options`; what it starts gets them by the environment.
        always: fields of every line.

    Raises:
        ValueError: as `wants` does.
    """
    style, level, access = wants(arguments)
    for name, value in (("log_format", style), ("log_level", level), ("access_log", str(int(access)))):
        os.environ[VARIABLES[name]] = value
    handler = Bounded()
    handler.setFormatter((Json if style == "json" else Text)(service, always))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))  # others' libraries are no news
    _EVENTS.setLevel(level.upper())
    _REQUESTS.setLevel(logging.INFO)
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a full disk or a closed pipe must not stop a service, nor make it say more
    atexit.register(handler.tell_left_out)
    return access


def passed_on() -> dict[str, str]:
    """The environment of a service that logs as this one does, where it does not inherit it."""
    return {name: os.environ[name] for name in VARIABLES.values() if os.environ.get(name)}


class Bounded(logging.StreamHandler[Any]):
    """Writes to standard error, so much of each kind."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` in seconds."""
        super().__init__(sys.stderr)
        self._clock = clock
        self._buckets: dict[str, TokenBucket] = {}
        self._left_out: Counter[str] = Counter()
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line, or count it."""
        if record.name == _REQUESTS.name:
            super().emit(record)
            return
        kind = getattr(record, "event", None) or record.name
        if kind not in self._buckets and len(self._buckets) >= MAX_KINDS:
            kind = "other"
        bucket = self._buckets.setdefault(kind, TokenBucket(LINES_PER_S, BURST))
        if bucket.take(self._clock()) == 0.0:
            super().emit(record)
            return
        if not self._left_out:
            self._since = self._clock()
        self._left_out[kind] += 1
        if self._timer is None:
            with contextlib.suppress(RuntimeError):  # another thread's; it is told with the next, or at the end
                self._timer = asyncio.get_running_loop().call_later(TELL_LEFT_OUT_S, self.tell_left_out)

    def tell_left_out(self) -> None:
        """Say how many lines of which kind are missing."""
        self._timer = None
        left_out, self._left_out = self._left_out, Counter()
        within_s = round(self._clock() - self._since, 3)
        for kind, count in left_out.items():
            extra = {"event": "left_out", "fields": {"kind": kind, "lines": count, "within_s": within_s}}
            record = _EVENTS.makeRecord(_EVENTS.name, logging.WARNING, "", 0, "left_out", (), None, extra=extra)
            super().emit(record)


class Line(logging.Formatter):
    """What is in a line."""

    def __init__(self, service: str, always: Mapping[str, object]) -> None:
        """`always` are fields of every line."""
        super().__init__()
        self._service = service
        self._always = dict(always)

    def content(self, record: logging.LogRecord) -> tuple[str, dict[str, object]]:
        """The event and its fields; what a library says is the event `message`."""
        event = getattr(record, "event", None)
        fields: dict[str, object] = {**self._always, **getattr(record, "fields", {})}
        if event is None:
            event = "message"
            fields |= {"logger": record.name, "text": record.getMessage()}
        if record.exc_info is not None and record.exc_info[0] is not None:
            fields["traceback"] = self.formatException(record.exc_info)
        return event, {name: _bounded(value) for name, value in fields.items() if value is not None}

    def moment(self, record: logging.LogRecord) -> str:
        """When, in UTC, to the millisecond (RFC 3339)."""
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Text(Line):
    """`2026-01-31T12:00:00.000Z warning router ejected replica=r2 cause=health_check reason="status 503"`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        event, fields = self.content(record)
        head = [self.moment(record), record.levelname.lower(), self._service, event]
        return " ".join([*head, *(f"{name}={_written(value)}" for name, value in fields.items())])


class Json(Line):
    """`{"ts": ..., "level": "warning", "service": "router", "event": "ejected", "replica": "r2", ...}`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        event, fields = self.content(record)
        head = {"ts": self.moment(record), "level": record.levelname.lower(), "service": self._service, "event": event}
        # When, how bad, who and what are the line's own; a field of such a name stands beside it.
        own = {f"{name}_" if name in head else name: value for name, value in fields.items()}
        return json.dumps(head | own, allow_nan=False)


def _bounded(value: object) -> object:
    """A field as JSON can hold it, of bounded length; what is no JSON becomes text."""
    bounded = _as_json(value, MAX_DEPTH)
    if isinstance(bounded, list | dict) and len(text := json.dumps(bounded, allow_nan=False)) > MAX_TEXT_CHARACTERS:
        return text[:MAX_TEXT_CHARACTERS] + "..."
    return bounded


def _as_json(value: object, depth: int) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if value.bit_length() <= MAX_BITS else f"a number of {value.bit_length()} bits"
    if isinstance(value, float):
        return round(value, 3) if abs(value) < float("inf") else str(value)  # JSON has no infinity
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        if depth == 0:
            return "..."
        more = len(value) - MAX_ITEMS
        if isinstance(value, Mapping):
            shown = itertools.islice(value.items(), MAX_ITEMS)
            of_names = {_short(str(name)): _as_json(item, depth - 1) for name, item in shown}
            return of_names if more <= 0 else of_names | {"...": f"{more} more"}
        items = [_as_json(item, depth - 1) for item in itertools.islice(value, MAX_ITEMS)]
        return items if more <= 0 else [*items, f"... {more} more"]
    return _short(str(value))


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT_CHARACTERS else "..." + text[-MAX_TEXT_CHARACTERS:]


def _written(value: object) -> str:
    """A value as it stands in text: never with a line's end, a quote or a space outside of quotes."""
    if isinstance(value, str):
        return value if value and PLAIN.issuperset(value) else json.dumps(value)
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
