"""The command lines of the load processes."""

import sys
from pathlib import Path

LOCUSTFILE = Path(__file__).with_name("locustfile.py")


def locust_command(locustfile: Path = LOCUSTFILE, *more: str) -> list[str]:
    """Locust without its web UI and with one user; ours replays a schedule, AEGIS_LOAD names its configuration."""
    return [
        sys.executable,
        "-m",
        "locust",
        "-f",
        str(locustfile),
        "--headless",
        "--users",
        "1",
        "--spawn-rate",
        "1",
        "--only-summary",
        "--loglevel",
        "WARNING",
        "--exit-code-on-error",
        "0",
        "--stop-timeout",
        "0",
        *more,
    ]


def ui_command(host: str, port: int, users: int, folder: Path) -> list[str]:
    """Locust's web UI with closed-loop users against `host`; the form begins with `users` users.

    Its statistics go to `folder` as CSV files (`load_*.csv`), and its report at the end (`report.html`, on SIGINT).
    """
    return [
        sys.executable,
        "-m",
        "locust",
        "-f",
        str(LOCUSTFILE),
        "--host",
        host,
        "--web-host",
        "127.0.0.1",
        "--web-port",
        str(port),
        "--users",
        str(users),
        "--spawn-rate",
        str(users),
        "--csv",
        str(folder / "load"),
        "--csv-full-history",
        "--html",
        str(folder / "report.html"),
        "--loglevel",
        "WARNING",
    ]
