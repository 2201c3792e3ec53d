"""Aegis' own router, which wrote down what its policy was told and answered: a new policy object is asked the same.

It is made of the same name, options and seed, so that its draws are the same, too: every policy is decided, whatever
chance it has. What the policy was told is held against the log itself: a replica's requests in flight are those that
have begun there less those that have ended. Where the replicas kept a ledger, who was picked is who got the attempt.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.conforming.judging import Finding, Judgement
from experiments.conforming.run import UnjudgedError
from record.reading import Run
from record.schema import DECISIONS, LOGS, SENDS
from services.router import policies
from services.router.decisions import FULL
from services.router.policy import Report, RequestInfo


@dataclass
class Told:
    """A replica as the policy saw it."""

    id: str
    weight: float
    in_flight: int
    concurrency: int | None
    resting: int = 0


@dataclass(frozen=True)
class Where:
    """A difference: at which line, what ought to be."""

    line: dict[str, Any]
    place: int
    possible: tuple[str, ...]
    counts: dict[str, tuple[int, int]]
    why: str


def path_of(run: Run) -> Path:
    """Where a run has what its router wrote down, if it did."""
    return run.folder / LOGS / DECISIONS


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            try:
                line = json.loads(text)
            except ValueError as error:
                if text.endswith("\n"):
                    raise UnjudgedError(f"{path}: line {number} cannot be read ({error})") from error
                return  # a router that was killed leaves a part of one
            yield line


class Again:
    """A policy that is asked the same again."""

    def __init__(self, begin: dict[str, Any]) -> None:
        """As the first line says."""
        self.policy: Any = policies.create(begin["policy"], dict(begin["options"]), random.Random(begin["seed"]))
        self.name = str(begin["policy"])
        self._is_told_of_rest = hasattr(self.policy, "on_rest")
        """Then who rests has ended for it, as far as nobody works on it again."""
        self.decisions = 0
        self.counts: dict[str, int] = {}
        self._replicas: dict[str, Told] = {}
        self._picked: str | None = None

    def _told(self, values: list[Any]) -> Told:
        """The same object for the same replica, with what is now known of it; older logs do not say what rests."""
        replica = self._replicas.get(values[0])
        if replica is None:
            replica = self._replicas[values[0]] = Told(*values)
        replica.weight, replica.in_flight, replica.concurrency, replica.resting = (*values[1:], 0)[:4]
        return replica

    def follow(self, line: dict[str, Any]) -> Where | None:
        """One line; what is otherwise in it than the policy has it."""
        do = line["do"]
        if do == "pick":
            return self._pick(line)
        if do == "start":
            replica = self._told(line["replica"])
            wrong = self._miscounted(line, [replica])
            if self._picked is not None and wrong is None and replica.id != self._picked:
                wrong = Where(line, self.decisions, (self._picked,), self._bounds([replica]), "began elsewhere")
            self.counts[replica.id] = self.counts.get(replica.id, 0) + 1
            self.policy.on_start(replica, line["now"])
            return wrong
        if do == "finish":
            replica = self._told(line["replica"])
            self.counts[replica.id] = self.counts.get(replica.id, 0) - 1
            self.policy.on_finish(replica, line["outcome"], line["latency"], line["now"])
        elif do == "rest":
            replica = self._told(line["replica"])
            self.counts[replica.id] = self.counts.get(replica.id, 0) - 1
            self.policy.on_rest(replica, line["worked_s"], line["now"])
        elif do == "work":
            replica = self._told(line["replica"])
            self.counts[replica.id] = self.counts.get(replica.id, 0) + 1
            self.policy.on_work(replica, line["now"])
        elif do == "report":
            self.policy.on_report(self._told(line["replica"]), Report(**line["report"]), line["now"])
        elif do == "probes":
            asked = list(self.policy.probes(line["now"]))
            if asked != line["ids"]:
                return Where(line, self.decisions, tuple(asked), {}, "asks others for a probe")
        elif do == "probe":
            self.policy.on_probe(line["id"], line["in_flight"], line["latency_s"], line["now"])
        return None

    def _pick(self, line: dict[str, Any]) -> Where | None:
        self.decisions += 1
        candidates = [self._told(values) for values in line["candidates"]]
        request = RequestInfo(line["id"], line["key"], line["attempt"], line["waiting"], line["may_wait"])
        pick = self.policy.pick(candidates, request, line["now"])
        picked = None if pick is None else pick.replica.id
        self._picked = line["picked"]
        if (wrong := self._miscounted(line, candidates)) is not None:
            return wrong
        if picked != line["picked"]:
            possible = () if picked is None else (picked,)
            return Where(line, self.decisions, possible, self._bounds(candidates), "picks another one")
        return None

    def _bounds(self, replicas: list[Told]) -> dict[str, tuple[int, int]]:
        return {each.id: (self.counts.get(each.id, 0),) * 2 for each in replicas}

    def _miscounted(self, line: dict[str, Any], replicas: list[Told]) -> Where | None:
        """Whether the policy was told other counts than began and ended."""
        rests = self._is_told_of_rest
        if all(each.in_flight - rests * each.resting == self.counts.get(each.id, 0) for each in replicas):
            return None
        return Where(line, self.decisions, (), self._bounds(replicas), "was told other counts than are in flight")


def judge(run: Run) -> Judgement:
    """Ask the policy again for everything in the run's log of decisions.

    Raises:
        UnjudgedError: it cannot be read.
    """
    path = path_of(run)
    lines = _lines(path)
    begin = next(lines, None)
    if begin is None or begin.get("do") != "begin":
        raise UnjudgedError(f"{path}: does not begin with what the policy was made of")
    again, first, wrong = Again(begin), None, 0
    t0 = float(run.manifest.get("t0_monotonic") or 0.0)
    ledger = _ledger(run)
    for line in lines:
        if line["do"] == FULL:
            break
        where = again.follow(line)
        if where is None and line["do"] == "pick":
            where = _elsewhere(line, ledger, again.decisions)
        if where is None:
            continue
        wrong += 1
        first = first or _finding(where, t0)
        if where.why != "went elsewhere":
            break  # from here on the two have other states
    return Judgement(again.name, again.decisions, again.decisions, 0, first, wrong)


def _ledger(run: Run) -> dict[tuple[str, int], str]:
    """Who got each attempt, as the replicas have it; of requests that were sent once.

    One that its client sent again comes to the router as another one with the same id: its attempts begin at 1 again.
    """
    if run.work is None:
        return {}
    again = set(run.work["request_id"][run.work["send"] > 1])
    if SENDS in run.requests:
        again.update(run.requests["request_id"][run.requests[SENDS] > 1])
    columns = ("request_id", "attempt", "replica")
    told = zip(*(run.work[name].tolist() for name in columns), strict=True)
    return {(str(int(request)), int(attempt)): replica for request, attempt, replica in told if request not in again}


def _elsewhere(line: dict[str, Any], ledger: dict[tuple[str, int], str], place: int) -> Where | None:
    got = ledger.get((line["id"], line["attempt"]))
    if got is None or line["picked"] is None or got == line["picked"]:
        return None
    return Where(line, place, (got,), {}, "went elsewhere")


def _finding(where: Where, t0: float) -> Finding:
    line = where.line
    at = float(line["now"]) - t0
    told = [values[0] for values in line.get("candidates", [])]
    return Finding(
        int(line["id"]) if str(line.get("id", "")).isdecimal() else -1, int(line.get("attempt", 0)), where.place, at,
        at, str(line.get("picked")), where.possible or tuple(told), where.counts, (), (), where.why,
    )  # fmt: skip
