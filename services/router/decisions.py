"""What a policy is told and what it answers, a line of JSON each, so that it can be asked the same again.

Off unless the router is told a file (`--decisions FILE`): then `Recorded` stands before the policy, and nothing else
changes. A line has `do` and the arguments of that call: `begin` (the policy's name, options and seed), `pick`, `start`,
`rest`, `work`, `finish`, `report`, `probes`, `probe`. Numbers are written so that reading them gives the same ones.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.router.policy import Candidate, Outcome, Pick, Policy, Report, RequestInfo

MOST_LINES = 4_000_000
"""As a replica's ledger: some 1 GB. Beyond them nothing is written, which the last line says."""
FULL = "full"


class Recorded:
    """A policy whose calls are written down."""

    def __init__(self, policy: Policy, path: Path, name: str, options: dict[str, Any], seed: int) -> None:
        """`name`, `options` and `seed` are what `policy` was made of.

        Raises:
            OSError: the file cannot be written.
        """
        self._policy = policy
        self._file = path.open("w", encoding="utf-8", buffering=1)
        self._lines = 0
        self._write({"do": "begin", "policy": name, "options": options, "seed": seed})
        # Whether a policy has these says what the router tells it, and whether there is a line to stand in.
        for method, recorded in (
            ("on_rest", self._on_rest), ("on_work", self._on_work), ("on_report", self._on_report),
            ("on_probe", self._on_probe), ("probes", self._asks),
        ):  # fmt: skip
            if hasattr(policy, method):
                setattr(self, method, recorded)
        if hasattr(policy, "line"):
            self.line = policy.line

    def _write(self, line: dict[str, Any]) -> None:
        if self._lines > MOST_LINES:
            return
        self._lines += 1
        text = json.dumps(line if self._lines <= MOST_LINES else {"do": FULL}, separators=(",", ":"))
        self._file.write(text + "\n")

    def pick(self, candidates: Sequence[Candidate], request: RequestInfo, now: float) -> Pick | None:
        """The policy's."""
        told = [_told(candidate) for candidate in candidates]
        pick = self._policy.pick(candidates, request, now)
        self._write(
            {
                "do": "pick", "now": now, "candidates": told, "id": request.id, "key": request.key,
                "attempt": request.attempt, "waiting": request.waiting, "may_wait": request.may_wait,
                "picked": None if pick is None else pick.replica.id, "reason": None if pick is None else pick.reason,
                "for_last": pick is not None and pick.for_last,
            }
        )  # fmt: skip
        return pick

    def on_start(self, replica: Candidate, now: float) -> None:
        """An attempt begins."""
        self._write({"do": "start", "now": now, "replica": _told(replica)})
        self._policy.on_start(replica, now)

    def on_finish(self, replica: Candidate, outcome: Outcome, latency: float, now: float) -> None:
        """It ended."""
        self._write({"do": "finish", "now": now, "replica": _told(replica), "outcome": outcome, "latency": latency})
        self._policy.on_finish(replica, outcome, latency, now)

    def _on_rest(self, replica: Candidate, worked_s: float, now: float) -> None:
        self._write({"do": "rest", "now": now, "replica": _told(replica), "worked_s": worked_s})
        self._policy.on_rest(replica, worked_s, now)  # type: ignore[attr-defined]

    def _on_work(self, replica: Candidate, now: float) -> None:
        self._write({"do": "work", "now": now, "replica": _told(replica)})
        self._policy.on_work(replica, now)  # type: ignore[attr-defined]

    def _on_report(self, replica: Candidate, report: Report, now: float) -> None:
        values = {name: getattr(report, name) for name in ("in_flight", "service_s", "utilisation", "rps", "eps")}
        self._write({"do": "report", "now": now, "replica": _told(replica), "report": values})
        self._policy.on_report(replica, report, now)  # type: ignore[attr-defined]

    def _asks(self, now: float) -> list[str]:
        ids: list[str] = list(self._policy.probes(now))  # type: ignore[attr-defined]
        self._write({"do": "probes", "now": now, "ids": ids})
        return ids

    def _on_probe(self, id_: str, in_flight: int, latency_s: float | None, now: float) -> None:
        self._write({"do": "probe", "now": now, "id": id_, "in_flight": in_flight, "latency_s": latency_s})
        self._policy.on_probe(id_, in_flight, latency_s, now)  # type: ignore[attr-defined]


def _told(replica: Candidate) -> list[Any]:
    return [replica.id, replica.weight, replica.in_flight, replica.concurrency, replica.resting]
