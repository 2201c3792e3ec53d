"""`python -m analysis.boards PROM_URL OUT.png`: a Grafana board as a picture, for those who run Prometheus alone."""

import argparse
import json
import math
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from analysis.pages import board_page
from analysis.pages.board_page import Band, Series

HERE = Path(__file__).resolve().parent
BOARDS = next(path for path in (HERE / "dashboards", HERE.parent / "monitoring/grafana/dashboards") if path.is_dir())
"""Inside the package where Aegis is installed, else the source tree's."""
SCRAPE_S = 2.0
"""The scrape interval of monitoring/prometheus/prometheus.yml."""
MOST_POINTS = 300
"""Points a series in a picture."""


def names() -> list[str]:
    """The boards there are."""
    return sorted(path.stem for path in BOARDS.glob("*.json"))


def load(name: str) -> dict[str, Any]:
    """A board as Grafana reads it."""
    board: dict[str, Any] = json.loads((BOARDS / f"{name}.json").read_text(encoding="utf-8"))
    return board


def annotations(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The annotations that come from Prometheus."""
    yield from (each for each in board["annotations"]["list"] if "expr" in each)


def expand(expr: str, step_s: float, stack: str = ".*") -> str:
    """A query as Grafana sends it: all replicas, the rate interval by Grafana's rule for a step of `step_s`.

    `stack` is a regular expression; without it all are taken for one, also what says of none.
    """
    interval = math.ceil(max(4 * SCRAPE_S, step_s + SCRAPE_S))
    return expr.replace("$__rate_interval", f"{interval}s").replace("$replica", ".+").replace("$stack", stack)


def query_range(url: str, expr: str, start: float, end: float, step_s: float) -> list[dict[str, Any]]:
    """What Prometheus at `url` answers: a list of `metric` and `values`; times in seconds since the epoch.

    Raises:
        ValueError: the query is wrong; with Prometheus' words.
        OSError: there is no answer.
    """
    body = urllib.parse.urlencode({"query": expr, "start": start, "end": end, "step": step_s}).encode()
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/api/v1/query_range", body, timeout=30) as response:
            series: list[dict[str, Any]] = json.load(response)["data"]["result"]
    except urllib.error.HTTPError as error:
        raise ValueError(f"{expr}: {error.read().decode(errors='replace')[:500]}") from error
    return series


def _legend(target: dict[str, Any], metric: dict[str, str]) -> str:
    legend: str = target["legendFormat"]
    for label, value in metric.items():
        legend = legend.replace("{{" + label + "}}", value)
    return legend


def draw(url: str, name: str, last_s: float, path: Path, stack: str = ".*") -> None:
    """The board's last `last_s` seconds, its annotations as bands, as a PNG; of one stack, or of all.

    Raises:
        ValueError: Prometheus refuses a query.
        OSError: Prometheus does not answer, or the picture cannot be written.
    """
    board = load(name)
    step_s = max(SCRAPE_S, last_s / MOST_POINTS)
    end = time.time()
    start = end - last_s
    data: list[list[Series]] = [
        [
            (_legend(target, line["metric"]), [(t, float(value)) for t, value in line["values"]])
            for target in panel["targets"]
            for line in query_range(url, expand(target["expr"], step_s, stack), start, end, step_s)
        ]
        for panel in board["panels"]
    ]
    bands: list[Band] = []
    for each in annotations(board):
        all_series = query_range(url, expand(each["expr"], SCRAPE_S, stack), start, end, SCRAPE_S)
        moments = sorted({t for series in all_series for t, value in series["values"] if float(value) > 0})
        bands.append((each["name"], [(t, t + SCRAPE_S) for t in moments]))
    board_page.draw(board, data, bands, (start, end, step_s), path)


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(prog="python -m analysis.boards", description=__doc__)
    parser.add_argument("url", help="Prometheus, such as http://127.0.0.1:9090")
    parser.add_argument("output", type=Path, help="the picture to write")
    parser.add_argument("--board", default="experiment", choices=names())
    parser.add_argument("--last", type=float, default=900.0, metavar="SECONDS", help="how far to look back")
    parser.add_argument("--stack", default=".*", metavar="NAME", help="which one, where Prometheus sees several")
    arguments = parser.parse_args()
    try:
        draw(arguments.url, arguments.board, arguments.last, arguments.output, arguments.stack)
    except (OSError, ValueError) as error:
        raise SystemExit(f"{arguments.url}: {error}") from error


if __name__ == "__main__":
    main()
