"""The replica with the fewest requests in flight, but for those that stand out from their fleet."""

import random
from collections.abc import Sequence
from typing import ClassVar

from services.router import held_back
from services.router.policies import Candidate, Outcome, Pick, RequestInfo
from services.router.policy import sample
from services.router.standing_out import GAIN, LIMIT, LONGEST, Known, StandingOut, told_speeds
from services.router.waiting import Line

NOTHING: dict[str, Known] = {}


class Adaptive:
    """The least (in_flight + 1) / weight of all, in large fleets of `choices` drawn; latency counts as an exception.

    Averages of latency cost more than they bring while replicas are alike: here one counts only where a replica stands
    out (services/router/standing_out.py). It is then so many times as dear, and its free slots no cheaper than the last
    of them: the shortest expected delay (Banawan and Zahorjan, Load sharing in heterogeneous queueing systems, INFOCOM
    1989); so are those of one that by its weight is slower. Among equals the one that less speaks against is taken. A
    few of a large fleet are nearly as good as all (Mitzenmacher, The power of two choices in randomized load balancing,
    IEEE TPDS 12, 2001).
    Where one of them is slower, and all have said their slots, requests wait in a line at the router rather than for a
    slot that takes longer than the line (services/router/held_back.py).
    Slow start: a replica that joins later is looked at by a share of the requests that grows over `slow_start_s` from
    a tenth (Envoy's least share of a weight) to all; in Envoy the weight grows, which here, where the least of all is
    taken, would keep it out until the end, and then flood it.
    """

    name: ClassVar[str] = "adaptive"

    def __init__(
        self,
        *,
        rng: random.Random,
        scan: int = 16,
        choices: int = 4,
        slow_start_s: float = 5.0,
        error_penalty_s: float = 1.0,
    ) -> None:
        """`scan`: the largest fleet of which all are looked at; `choices`: how many are drawn of a larger one;
        `slow_start_s`: seconds until a new replica is looked at always; `error_penalty_s`: what a failure counts as at
        least, seconds."""
        if not 1 <= scan <= 1000:
            raise ValueError(f"policy.scan={scan}: must be between 1 and 1000")
        if not 2 <= choices <= 64:
            raise ValueError(f"policy.choices={choices}: must be between 2 and 64")
        for name, value in (("slow_start_s", slow_start_s), ("error_penalty_s", error_penalty_s)):
            if not 0 <= value <= 60:
                raise ValueError(f"policy.{name}={value:g}: must be between 0 and 60")
        self._rng = rng
        self._scan = scan
        self._choices = choices
        self._slow_start_s = slow_start_s
        self.line = Line("fifo", held_back.LINE, 0.0, takes_all=False)
        self._outliers = StandingOut(error_penalty_s)
        self._since: dict[str, float] = {}
        self._told: dict[str, float] = {}
        """Of replicas that are slower by their weights: how fast beside the best."""
        self._settled: Sequence[Candidate] | None = None
        """A fleet nobody of which has joined of late; one that has changed is another tuple."""

    def pick(self, candidates: Sequence[Candidate], request: RequestInfo, now: float) -> Pick | None:
        """The least of those looked at; None where a slot that is faster than theirs is worth the wait."""
        outliers, since, total = self._outliers, self._since, len(candidates)
        if not since:  # those of the beginning are no newer than others
            since.update(dict.fromkeys((candidate.id for candidate in candidates), float("-inf")))
        if now >= outliers.due:
            self._look(candidates, now)
        count = total if total <= self._scan else min(self._choices, total)
        best, least, reason = candidates[0], float("inf"), "least" if total <= self._scan else "sampled"
        fleet_s, told = outliers.fleet_s, self._told
        known_of = (outliers.known if fleet_s else NOTHING).get
        drawn, is_uneven = sample(candidates, count, self._rng), False
        if candidates is not self._settled:
            looked_at = [candidate for candidate in drawn if not self._is_left_out(candidate.id, now)]
            if len(looked_at) < count:
                reason, drawn = "slow_start", looked_at or drawn
        for candidate in drawn:
            load, known = candidate.in_flight + 1, known_of(candidate.id)
            if told and candidate.id in told:
                is_uneven, load = True, max(load, candidate.concurrency or 1)
            if known is None:
                cost = load / candidate.weight
            elif known.starts and (
                (evidence := known.sum + GAIN * (now * known.share - known.share_began) / fleet_s) < LIMIT
                and (now - known.oldest) * known.largest <= LONGEST * fleet_s
            ):  # the usual case of `times_of`, without a call
                cost = (1 + 0.01 * evidence / LIMIT) * load / candidate.weight
            elif known.sum < LIMIT and not known.starts:  # likewise
                cost = load / candidate.weight
            else:
                times, stands_out = outliers.times_of(known, now)
                if stands_out:
                    is_uneven, reason, load = True, "standing_out", max(load, candidate.concurrency or 1)
                cost = times * load / candidate.weight
            if cost < least:
                best, least = candidate, cost
        if is_uneven and request.may_wait and count == total and (fleet := self._uneven(drawn, now)):
            return held_back.slot(fleet, request.waiting, reason)
        return Pick(best, reason)

    def _uneven(self, candidates: Sequence[Candidate], now: float) -> list[held_back.Seen]:
        """How long their slots take beside the best one's; nothing where that is the same, or their slots are unknown.

        By silence alone nobody is slow: who has answered nothing may have lost it, and have free slots.
        """
        seen: list[held_back.Seen] = []
        lasting = set()
        for each in candidates:
            if not each.concurrency:
                return []
            told = self._told.get(each.id, 1.0)
            times, stands_out = self._outliers.times(each.id, now)
            ended, lost = self._outliers.ended(each.id, now)
            lasting.add(ended / told)
            taken = each.in_flight - each.resting
            seen.append((each, each.concurrency + lost, taken, (times if stands_out else 1.0) / told, times))
        return seen if len(lasting) > 1 else []

    def _look(self, candidates: Sequence[Candidate], now: float) -> None:
        """Look at the fleet: what it takes, who has left, and whether nobody has joined of late."""
        ids, since = [candidate.id for candidate in candidates], self._since
        self._outliers.refresh(ids, now)
        self._told = told_speeds(candidates)
        if len(since) > 2 * len(ids) + self._scan:
            since = self._since = {id_: since.get(id_, now) for id_ in ids}
        has_settled = all(now - since.get(id_, now) >= self._slow_start_s for id_ in ids)
        self._settled = candidates if has_settled and isinstance(candidates, tuple) else None

    def _is_left_out(self, id_: str, now: float) -> bool:
        """Whether a replica that may have joined of late is not looked at this time."""
        since_s = now - self._since.setdefault(id_, now)
        return since_s < self._slow_start_s and self._rng.random() > max(0.1, since_s / self._slow_start_s)

    def on_start(self, replica: Candidate, now: float) -> None:
        """A time at a replica whose slots are taken is that of several, one after another; at a slow one likewise.

        Whoever rests there takes no slot from the others.
        """
        slots = replica.concurrency
        load = replica.in_flight - replica.resting + 1
        places = 1.0 if slots is None or load <= slots else load / slots
        self._outliers.begin(replica.id, places / self._told.get(replica.id, 1.0) if self._told else places, now)

    def on_rest(self, replica: Candidate, worked_s: float, now: float) -> None:
        """The client's time is not the replica's."""
        self._outliers.rest(replica.id, worked_s, now)

    def on_work(self, replica: Candidate, now: float) -> None:
        """The replica's time begins."""
        self.on_start(replica, now)

    def on_finish(self, replica: Candidate, outcome: Outcome, latency: float, now: float) -> None:
        """A failed attempt is no answer, and a cancelled one no sign of anything but its time."""
        failed = outcome in ("error", "overloaded")
        self._outliers.end(replica.id, latency, now, answered=outcome == "ok", failed=failed)
