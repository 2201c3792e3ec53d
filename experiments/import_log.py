"""Your own traffic from your own logs: `python -m experiments.import_log access.log -o my-traffic` (docs/import.md).

Writes `requests.parquet` (a row a request: when it came, how long it took, at which host, how it ended),
`trace.parquet` (what a run plays again) and `import.json` (what was read, what was broken, what the format does not
tell and how it was filled in). Paths, queries and addresses are dropped unless --keep names them.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.importing import describing, folder
from experiments.importing.batch import EXAMPLES, Batch
from experiments.importing.curve import Curve, by_second
from experiments.importing.errors import UnusableLog, WrongImport
from experiments.importing.gathering import KEPT, Asked, Gathered
from experiments.importing.source import Head, Source
from experiments.importing.stamps import Zone
from experiments.readers import READERS, Reader
from record.files import one_line
from services.plugins import check_folders

WRONG, UNUSABLE, INTERRUPTED = 2, 3, 130
AUTO = "auto"
SURE = 0.5
"""A format is told by so large a share of the beginning."""
SHOWN_BYTES = 300
LARGEST_SEED = 2**63 - 1
FIRST_TOLD_S, TOLD_EVERY_S = 2.0, 5.0
NAMED = {b"{": "json"}
"""First byte of a file -> the format that `--columns` is about; of any other file it is a table."""
OPTIONS = ("columns", "service")
"""Of the command line, which some formats take."""


class Told:
    """The line on standard error that says how far it is."""

    def __init__(self) -> None:
        """Nothing is said in the first seconds."""
        self._started = time.monotonic()
        self._next_s = FIRST_TOLD_S
        self._is_terminal = sys.stderr.isatty()
        self._has_line = False

    def __call__(self, share: float, lines: int) -> None:
        """So much is read."""
        elapsed = time.monotonic() - self._started
        if elapsed < self._next_s:
            return
        self._next_s = elapsed + (0.5 if self._is_terminal else TOLD_EVERY_S)
        left = elapsed / share - elapsed if share > 0 else 0.0
        text = f"  {100 * share:3.0f} % read, {lines:,} lines, about {left:.0f} s left"
        print(f"\r{text}   " if self._is_terminal else text, end="" if self._is_terminal else "\n", file=sys.stderr)
        sys.stderr.flush()
        self._has_line = self._is_terminal

    def end(self) -> None:
        """It is read."""
        if self._has_line:
            print("\r" + " " * 70, end="\r", file=sys.stderr, flush=True)


def create(name: str, zone: Zone, options: dict[str, str | None]) -> Reader:
    """The reader of a format.

    Raises:
        WrongImport: there is none, or it does not take an option that was given.
    """
    given = {option: value for option, value in options.items() if value is not None}
    try:
        taken = READERS.options(name)
        for option in given:
            if option not in taken:
                takes = [each for each in READERS.usable() if option in READERS.options(each)]
                raise WrongImport(f"--{option}: is none of --format {name}, but of {' and '.join(takes)}")
        reader: Reader = READERS.create(name, {}, zone=zone, **{each: options[each] for each in OPTIONS})
    except WrongImport:
        raise
    except ValueError as error:
        raise WrongImport(f"--{error}") from error
    return reader


def detect(head: Head, zone: Zone) -> tuple[str | None, float]:
    """The format that fits the beginning best, and its share; None = none is sure."""
    best, most = None, SURE
    for name in READERS.usable():
        share = create(name, zone, dict.fromkeys(OPTIONS)).sniff(head)
        if share >= most and (best is None or share > most):
            best, most = name, share
    return best, most


def read(reader: Reader, source: Source, asked: Asked) -> Gathered | Curve:
    """Everything that the reader gives.

    Raises:
        WrongImport, UnusableLog: as the reader.
    """
    gathered = Gathered(asked)
    parts: Iterator[Batch | Curve] = reader.read(source)
    for part in parts:
        if isinstance(part, Curve):
            return part
        gathered.add(part)
    return gathered


def import_log(chosen: argparse.Namespace, told: Told) -> str:
    """Do what the command line says; return what is printed.

    Raises:
        WrongImport, UnusableLog, OSError: nothing was imported.
    """
    try:
        check_folders()
    except ValueError as error:
        raise WrongImport(str(error)) from error
    zone = _zone(chosen.time_zone)
    source = Source(chosen.files, told)
    head = source.head()
    name = chosen.format
    options = {each: getattr(chosen, each) for each in OPTIONS}
    share = None
    if name == AUTO and chosen.columns is not None:
        name = NAMED.get(head.text.lstrip()[:1], "csv")
    elif name == AUTO:
        name, share = detect(head, zone)
        if name is None:
            raise WrongImport(
                f"{source.names}: of no format that is known; name it with --format, or its columns with --columns "
                f"arrived=NAME,... ({', '.join(READERS.files())})"
            )
    reader = create(name, zone, options)
    folder.check(chosen.output)
    what = read(reader, source, Asked(frozenset(chosen.keep), chosen.seed, chosen.drop_repeats))
    about: dict[str, Any] = {
        "format": name,
        "reader": READERS.outside(name),
        "format_detected": None if share is None else {"share": share, "lines": len(head.lines)},
        "files": [],
        "time_zone": zone.name,
        "seed": chosen.seed,
        "kept": sorted(chosen.keep),
    }
    if not isinstance(what, Curve) and not what.count:
        raise _nothing(source, name, head, zone, what)
    with folder.prepared(chosen.output) as place:
        if isinstance(what, Curve):
            about, files = _of_curve(what, place, about)
        else:
            about, files = _of_requests(what, source, place, about, is_shown=chosen.show_broken)
        about["files"] = [{"name": Path(path).name, "sha256": digest} for path, digest in source.hashes.items()]
        about["cautions"] += source.cut
        folder.write_about(place, about)
    return summary(about, source.names, chosen.output, [*files, folder.IMPORT])


def _zone(name: str) -> Zone:
    try:
        return Zone(name)
    except (ValueError, KeyError, OSError) as error:
        raise WrongImport(f"--time-zone {name}: no such zone; as Europe/Berlin, America/New_York, UTC") from error


def _nothing(source: Source, name: str, head: Head, zone: Zone, gathered: Gathered) -> Exception:
    """Why there is no request, and what may help."""
    other, _ = detect(head, zone)
    if other not in (None, name):
        return WrongImport(f"{source.names}: no line fits --format {name}; it looks like --format {other}")
    left_out = "".join(f", {count:,} left out ({why})" for why, count in gathered.left_out.items())
    return UnusableLog(
        f"{source.names}: no request in it by --format {name}: {gathered.broken:,} lines do not fit it{left_out}; "
        "docs/import.md says how to configure the log"
    )


def _of_requests(
    gathered: Gathered, source: Source, place: Path, about: dict[str, Any], *, is_shown: bool
) -> tuple[dict[str, Any], list[str]]:
    requests = gathered.arranged()
    table = folder.as_table(requests)
    files = folder.write_requests(place, table)
    numbers = describing.numbers(requests)
    entries = source.lines if gathered.entries is None else gathered.entries
    broken: dict[str, Any] = {
        "count": gathered.broken,
        "first": [source.place(line) if source.lines else f"entry {line + 1}" for line in gathered.broken_lines],
    }
    if is_shown:
        broken["examples"] = [_shown(text) for _, text in gathered.examples]
    about |= {
        "read": entries,
        "broken": broken,
        "left_out": gathered.left_out,
        "repeats": gathered.repeats if gathered.is_repeat_told else None,
        "resolution_s": gathered.resolution_s,
        **numbers,
        "filled_in": describing.filled_in(gathered, requests, gathered.asked.seed) + folder.filled_in(table),
        "cautions": describing.cautions(gathered, requests, numbers, entries),
    }
    return about, files


def _of_curve(curve: Curve, place: Path, about: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    rates, holes = by_second(curve)
    files = folder.write_rate(place, rates)
    broken = {"count": curve.broken, "first": []}
    return about | {"read": curve.entries, "broken": broken, **describing.of_curve(curve, rates, holes)}, files


def _shown(line: bytes) -> str:
    return line[:SHOWN_BYTES].decode("utf-8", "backslashreplace").strip()


def summary(about: dict[str, Any], names: str, place: Path, files: list[str]) -> str:
    """What is printed: some lines."""
    detected = " (found)" if about["format_detected"] else ""
    broken = about["broken"]
    where = f" ({', '.join(broken['first'])}{', ...' if broken['count'] > len(broken['first']) else ''})"
    lines = [
        f"{names}: {about['format']}{detected}, {about['read']:,} read, {broken['count']:,} broken"
        + (where if broken["first"] else "")
    ]
    lines += [f"    {text}" for text in broken.get("examples", [])]
    lines += [f"  left out: {count:,}, {why}" for why, count in about.get("left_out", {}).items()]
    span, rate = about["span_s"], about["rate_rps"]
    head = "a rate a second" if about["requests"] is None else f"{about['requests']:,} requests"
    text = f"  {head} from {about['started_at']} on, over {span:,.1f} s"
    text += "" if rate is None else f": {rate:,.4g} a second"
    index = about.get("dispersion", {}).get("index")
    lines.append(text + ("" if index is None else f", index of dispersion {index:.3g} (by second; Poisson: 1)"))
    known = {name: value for name, value in about["taken_s"].items() if value is not None}
    text = ", ".join(f"{name} {1e3 * value:,.4g} ms" for name, value in known.items()) or "durations are not told"
    share = about["error_share"]
    lines.append(f"  {text}; " + ("errors are not told" if share is None else f"{100 * share:.3g} % not served"))
    if hosts := about.get("upstreams"):
        most = sorted(hosts.items(), key=lambda item: -item[1])
        text = ", ".join(f"{name} {count:,}" for name, count in most[:8]) + (", ..." if len(most) > 8 else "")
        lines.append(f"  {len(most)} host(s): {text}")
    lines += [f"  filled in: {text}" for text in about["filled_in"]]
    lines += [f"  careful: {text}" for text in about["cautions"]]
    return "\n".join([*lines, f"  -> {place}: {', '.join(files)}"])


def _kept(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if wrong := [word for word in words if word not in KEPT]:
        raise argparse.ArgumentTypeError(f"{wrong[0]} is none of {', '.join(KEPT)}")
    return words


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[: len(str(LARGEST_SEED)) + 1]) > LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"{text[:40]}: must be a whole number from 0 to {LARGEST_SEED}")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    """Import what the command line names; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.import_log",
        description=(__doc__ or "").partition("\n")[0],
        epilog="Formats: "
        + "; ".join(f"{name}: {reader.about}" for name, reader in READERS.usable().items()).replace("%", "%%")
        + ". Exit status: 0 imported, 2 wrong arguments or format, 3 nothing in it that can be used.",
    )
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="the log, or several in their order; gzip, too"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="the folder to be made")
    parser.add_argument("--format", default=AUTO, metavar="NAME", help=f"{AUTO} (default), {READERS.listed()}")
    parser.add_argument("--columns", metavar="WORD=NAME,...", help="of a table, or of JSON lines: which column is what")
    parser.add_argument("--time-zone", default="UTC", metavar="ZONE", help="of stamps that name none (default: UTC)")
    parser.add_argument("--service", metavar="NAME", help="of spans: whose requests")
    parser.add_argument(
        "--keep", type=_kept, default=[], metavar="WORDS",
        help="what is dropped otherwise: keys (a hash of the path as key), paths, queries (paths with them), addresses",
    )  # fmt: skip
    parser.add_argument("--seed", type=_seed, default=0, help="of what is drawn, and of the keys' hash (default: 0)")
    parser.add_argument("--drop-repeats", action="store_true", help="leave out lines that are equal to an earlier one")
    parser.add_argument(
        "--show-broken", action="store_true", help=f"keep and show up to {EXAMPLES} broken lines; they may hold secrets"
    )
    chosen = parser.parse_args(arguments)
    told = Told()
    try:
        text = import_log(chosen, told)
    except (WrongImport, UnusableLog, OSError) as error:
        told.end()
        refusal = isinstance(error, UnusableLog)
        print(f"{parser.prog}: {error if not isinstance(error, OSError) else one_line(error)}", file=sys.stderr)
        return UNUSABLE if refusal else WRONG
    except KeyboardInterrupt:
        told.end()
        print(f"{parser.prog}: interrupted; nothing was imported", file=sys.stderr)
        return INTERRUPTED
    told.end()
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
