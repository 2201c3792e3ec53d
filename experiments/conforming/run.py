"""What a live run's folder tells of its proxy's decisions: requests, the replicas' ledger, the router's events.

All stamps are of one machine's monotonic clock. A request's first attempt was decided after its client sent it and
before its replica had it, a further one after the attempt before had ended at its replica. An attempt was over for the
proxy after its replica had answered, and before the next replica had the retry, or the client the answer; `slack_s`
more, since a proxy may send the last byte before it takes the request off.
"""

import math
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from experiments.conforming.seen import Attempt, Seen, Span, Turn, doubts
from experiments.data_planes import HOST, SLOW_START_S
from experiments.data_planes.haproxy import TAKES_S, Haproxy
from experiments.data_planes.nginx import HEARD_WITHIN_S, Nginx
from experiments.exporting import Upstream, caddy, envoy, haproxy, nginx, traefik, whole_weights
from experiments.references.haproxy_leastconn import ANY_SINCE, HaproxyLeastconn
from record.reading import Run
from record.schema import FAULT_INJECTED, IN_ROTATION, OUT_OF_ROTATION

SLACK_S = 2e-3
"""How long after the client has its answer, or before a stamp of the router's, something may still happen."""
FAILED = ("refused", "failed")
"""Ends of a replica's attempt that are failures to the proxy, too, where it has heard of them."""
ANSWERED = ("answered", *FAILED)
"""Ends of a replica's attempt that it told the proxy of itself; before any other the proxy may have given up."""
AEGIS = "aegis"
OF_DATA_PLANES: dict[tuple[str, str | None], tuple[str, dict[str, Any]]] = {
    ("envoy", None): ("envoy_least_request", {}),
    ("envoy", "least_request"): ("envoy_least_request", {}),
    ("envoy", "least_request_of_four"): ("envoy_least_request", {"choices": 4}),
    ("envoy", "least_request_of_all"): ("envoy_least_request", {"choices": 0}),
    ("envoy", "round_robin"): ("envoy_round_robin", {}),
    ("envoy", "random"): ("envoy_random", {}),
    ("haproxy", None): ("haproxy_leastconn", {}),
    ("haproxy", "leastconn"): ("haproxy_leastconn", {}),
    ("haproxy", "roundrobin"): ("haproxy_roundrobin", {}),
    ("nginx", None): ("nginx_least_conn", {}),
    ("nginx", "least_conn"): ("nginx_least_conn", {}),
    ("nginx", "round_robin"): ("nginx_round_robin", {}),
    ("nginx", "random"): ("random", {}),
}
"""The reference of a data plane's algorithm (`router.data_plane`, `router.algorithm`), and its options."""
WHOLE_WEIGHTS = {
    "caddy": caddy.WEIGHTS, "envoy": envoy.WEIGHTS, "haproxy": haproxy.WEIGHTS, "nginx": nginx.WEIGHTS,
    "traefik": traefik.WEIGHTS,
}  # fmt: skip
"""Data planes whose weights are whole numbers, and the largest that each takes."""
REGISTERED, EJECTED = "registered", "ejected"
LAST_STEP_S = 2.0
"""Longest time that HAProxy's slow start lasts longer: by the rest of a whole second, and by a step."""
SEEN_LATE_S = 2.0
"""Longest time that a data plane may have had somebody out before it was asked, and said so."""
MEMBERS = frozenset({REGISTERED, "draining", "drained", "removed", "expired"})
"""Events of a replica after which a data plane is told of other members."""
OF_POLICIES = ("least_request", "random", "round_robin")
"""Aegis' policies that can be judged from outside; every one can by `router.decisions`."""


class UnjudgedError(ValueError):
    """Nothing can be said of these records; the text is one line that says what would help."""


def reference_of(run: Run) -> tuple[str, dict[str, Any]]:
    """The reference that the run's proxy is to be held against, and its options.

    Raises:
        UnjudgedError: there is no router, or none is known for it.
    """
    config = run.manifest["config"]
    router = config.get("router")
    if router is None:
        raise UnjudgedError(f"{run.folder}: router=none: nobody decided anything")
    plane = router.get("data_plane") or AEGIS
    if router.get("url") is not None:
        raise UnjudgedError(f"{run.folder}: router=external: name what it is to be with --policy")
    if plane == AEGIS:
        options = dict(config["policy"])
        name = str(options.pop("name"))
        if name not in OF_POLICIES:
            raise UnjudgedError(
                f"{run.folder}: policy={name}: goes by what only the router saw; run it with router.decisions=true"
            )
        return name, options
    known = OF_DATA_PLANES.get((plane, router.get("algorithm")))
    if known is None:
        told = ", ".join(sorted({f"{arm} {word}" for arm, word in OF_DATA_PLANES if word}))
        chosen = f"router.data_plane={plane} router.algorithm={router.get('algorithm')}"
        raise UnjudgedError(
            f"{run.folder}: {chosen}: there is a reference of {told} alone; write one, and name it with "
            "--policy (docs/conformance.md)"
        )
    name, options = known
    if name == HaproxyLeastconn.name and _version_of(run) >= ANY_SINCE:
        options = {**options, "ties": "any"}
    return name, options


def _version_of(run: Run) -> tuple[int, ...]:
    """The data plane's, of two numbers; empty where it did not say."""
    plane = run.manifest.get("data_plane")
    found = None if plane is None else re.search(r"(\d+)\.(\d+)", plane["version"])
    return tuple(map(int, found.groups())) if found else ()


def ids_of(run: Run) -> tuple[str, ...]:
    """The replicas in the order in which the proxy has them: that in which they came, before the load did."""
    ids = [f"r{number}" for number in range(1, int(run.manifest["config"]["replicas"]) + 1)]
    came = [str(event.get("replica")) for event in run.events if event["event"] == REGISTERED and event["t_s"] <= 0]
    places = {id_: place for place, id_ in reversed(list(enumerate(came)))}
    return tuple(sorted(ids, key=lambda id_: places.get(id_, len(came))))


def weights_of(run: Run) -> tuple[float, ...]:
    """The weights that the proxy was given, in the order of `ids_of`.

    Aegis' router has them as the replicas announce them; another one as its configuration has them, by the same
    function that wrote that.
    """
    config = run.manifest["config"]
    replica, router = config.get("replica") or {}, config.get("router") or {}
    weights = replica.get("weights") or []
    if weights == "by_speed":
        weights = replica.get("speeds") or []
    ids = ids_of(run)
    announced = [float(weights[int(id_[1:]) - 1]) for id_ in ids] if weights else [1.0] * len(ids)
    most = WHOLE_WEIGHTS.get(router.get("data_plane") or AEGIS)
    if most is None:
        return tuple(announced)
    upstreams = [Upstream(id_, HOST, 0, weight) for id_, weight in zip(ids, announced, strict=True)]
    return tuple(map(float, whole_weights(upstreams, most)))


def seen_of(run: Run, slack_s: float = SLACK_S) -> Seen:
    """What is known of every attempt.

    Raises:
        UnjudgedError: the run has no rows, was simulated, or had something that leaves no such records.
    """
    config = run.manifest["config"]
    router = config.get("router") or {}
    _refuse(run)
    ids = ids_of(run)
    places = {id_: place for place, id_ in enumerate(ids)}
    attempts: list[Attempt] = []
    blind: list[Span] = []
    told = _of_ledger(run, places, slack_s) if run.work is not None else _of_requests(run, places, slack_s)
    for each in told:
        if isinstance(each, Attempt):
            attempts.append(each)
        else:
            blind.append(each)
    is_aegis = (router.get("data_plane") or AEGIS) == AEGIS and router.get("url") is None
    turns = _turns(run, places, slack_s) if is_aegis else doubts(attempts, blind, _hurt(run, places), len(ids))
    panic = (router.get("health") or {}).get("panic_threshold", 0.0) if router.get("data_plane") == "envoy" else 0.0
    gaps = {Nginx.name: _reloads, Haproxy.name: _slow_starts}.get(str(router.get("data_plane")), _none)
    return Seen(ids, weights_of(run), attempts, list(turns), float(panic), blind, list(gaps(run, attempts, slack_s)))


def _refuse(run: Run) -> None:
    config, folder = run.manifest["config"], run.folder
    router = config.get("router") or {}
    why = None
    if run.is_simulated:
        why = "was simulated: its router is the reference; take a live run"
    elif not len(run.requests):
        why = "has no requests"
    elif (config.get("scaler") or {}).get("name", "none") != "none":
        why = "had replicas that came and went (scaler); take scaler=none"
    elif (router.get("hedging") or {}).get("enabled"):
        why = "sent requests to two at a time (router.hedging); run it with router.decisions=true"
    elif (router.get("limits") or {}).get("replica_requests"):
        why = "left out who was full (router.limits.replica_requests); run it with router.decisions=true, or without"
    elif (retry := router.get("retry") or {}).get("max_attempts", 1) > 1 and not retry.get("other_replica", True):
        why = "tried again on whomever (router.retry.other_replica=false); run it with router.decisions=true"
    elif int(router.get("count") or 1) > 1:
        why = "had several routers (router.count), each of which sees its own requests alone"
    elif (config.get("load") or {}).get("timeout_s", 0) <= 0:
        why = "has no load.timeout_s"
    if why is not None:
        raise UnjudgedError(f"{folder}: {why}")


def _of_requests(run: Run, places: dict[str, int], slack_s: float) -> Iterator[Attempt | Span]:
    """Without a ledger: of requests that were sent once, as the answer's headers say."""
    columns = ("request_id", "sent_s", "completed_s", "replica", "attempts", "queue_s", "service_s", "status")
    has_faults = bool(run.faults)
    for request, sent, completed, replica, attempts, queue, service, status in zip(
        *(run.requests[name].tolist() for name in columns), strict=True
    ):
        if not math.isfinite(sent):
            continue
        end = completed if math.isfinite(completed) else run.end_s
        is_once = attempts == 1 or (not math.isfinite(attempts) and not has_faults)
        if replica not in places or not is_once or not math.isfinite(queue + service):
            yield Span(sent, end + slack_s)
            continue
        taken = max(sent, completed - queue - service + slack_s)
        answered = min(max(sent, sent + queue + service - slack_s), completed)
        # Other statuses below 500 are good answers to the router, and so may be to another proxy, or not.
        is_ok = True if 200 <= status < 400 else False if status >= 500 else None
        over = Span(answered, completed + slack_s)
        yield Attempt(int(request), 1, places[replica], Span(sent, taken), over, is_ok)


def _of_ledger(run: Run, places: dict[str, int], slack_s: float) -> Iterator[Attempt | Span]:
    """With it: of every attempt that came to a replica."""
    assert run.work is not None
    rows = run.requests.set_index("request_id")
    work = run.work.sort_values(["request_id", "send", "taken_s"], kind="stable")
    columns = ("request_id", "send", "replica", "taken_s", "ended_s", "end")
    told = zip(*(work[name].tolist() for name in columns), strict=True)
    known: set[int] = set()
    for (request, _), group in groupby(told, key=lambda row: (row[0], row[1])):
        sent = list(group)
        known.add(int(request))
        row = rows.loc[request]
        completed = row["completed_s"] if math.isfinite(row["completed_s"]) else run.end_s
        is_all = not math.isfinite(row["attempts"]) or row["attempts"] <= len(sent) or row.get("sends", 1) > 1
        if not is_all or any(each[2] not in places for each in sent):
            yield Span(row["sent_s"], completed + slack_s)
        earliest = float(row["sent_s"])
        for number, (_, _, replica, taken, ended, end) in enumerate(sent, 1):
            if replica not in places:
                continue
            is_last = number == len(sent)
            low = ended if end in ANSWERED and math.isfinite(ended) else taken
            high = max(completed + slack_s, ended) if is_last else sent[number][3]
            # A request's number is its own again where its client sends it a second time.
            name = int(request) if row.get("sends", 1) <= 1 else hash((request, sent[0][1]))
            outcome = str(row["outcome"]) if row.get("sends", 1) <= 1 else ""  # it is that of the last time it was sent
            is_ok = _is_ok(end, outcome, is_last=is_last)
            yield Attempt(name, number, places[replica], Span(earliest, max(earliest, taken)), Span(low, high), is_ok)
            earliest = low
    for request, sent_s, completed in run.requests[["request_id", "sent_s", "completed_s"]].itertuples(index=False):
        if int(request) not in known and math.isfinite(sent_s):
            yield Span(sent_s, (completed if math.isfinite(completed) else run.end_s) + slack_s)


def _is_ok(end: str, outcome: str, *, is_last: bool) -> bool | None:
    """Whether an attempt that ended so at its replica was a good one to the proxy; None = nobody can tell.

    One that was given up may have been by the client, or by the proxy because its time was over. One that was answered
    and still is not the last came too late, or its answer was lost.
    """
    if end in FAILED and (not is_last or outcome == "http_error"):
        return False
    return True if end == "answered" and is_last and outcome == "ok" else None


def _turns(run: Run, places: dict[str, int], slack_s: float) -> Iterator[Turn]:
    """Who came and went, as Aegis' router said; the checks' panic leaves everybody's place open."""
    is_in = dict.fromkeys(places.values(), True)  # before the run: a first check that passes changes nothing
    for event in run.events:
        at = Span(event["t_s"] - slack_s, event["t_s"] + slack_s)
        place = places.get(str(event.get("replica", event.get("target", ""))))
        if event["event"] in ("panic", "panic_over"):
            for each in places.values():
                yield Turn(each, at, None)
        elif place is not None and event["event"] in (*OUT_OF_ROTATION, IN_ROTATION):
            returns = event["event"] == IN_ROTATION
            if returns != is_in[place]:
                is_in[place] = returns
                yield Turn(place, at, returns)


def _reloads(run: Run, attempts: Sequence[Attempt], slack_s: float) -> Iterator[Span]:
    """When nginx was told of other members: a new worker counts from 0, beside the old one for a while.

    It has taken over after `HEARD_WITHIN_S`; what the old one had then is over with the last of those attempts.
    """
    for event in run.events:
        if event["event"] in MEMBERS and event["t_s"] > 0:
            low, high = event["t_s"] - slack_s, event["t_s"] + HEARD_WITHIN_S
            ends = [each.ended.high for each in attempts if each.picked.low <= high and each.ended.high >= low]
            yield Span(low, max([high, *ends]))


def _slow_starts(run: Run, attempts: Sequence[Attempt], slack_s: float) -> Iterator[Span]:
    """While the weight of a server of HAProxy's grows (`slowstart`), which it does from a second to the next.

    So it is with each that has come, those of the run's start included: it is told of them while it runs.
    Source: server.c (`server_recalc_eweight`: in whole seconds), check.c (`server_warmup`: every second, or more).
    """
    if run.manifest["config"]["router"].get("algorithm") == haproxy.TURNS:
        return  # which is without one
    for event in run.events:
        if event["event"] == REGISTERED:
            yield Span(event["t_s"] - slack_s, event["t_s"] + TAKES_S + SLOW_START_S + LAST_STEP_S)


def _none(run: Run, attempts: Sequence[Attempt], slack_s: float) -> Iterator[Span]:
    """Others go on as they were."""
    return iter(())


def _hurt(run: Run, places: dict[str, int]) -> dict[int, float]:
    """When the first fault hit each replica, or it came, went or was out; a fault of anything else hits all."""
    first: dict[int, float] = {}
    for event in run.events:
        if event["event"] == FAULT_INJECTED or (event["event"] in (*MEMBERS, EJECTED) and event["t_s"] > 0):
            target = event.get("target", event.get("replica"))
            at_s = event["t_s"] - SEEN_LATE_S * (event["event"] == EJECTED)
            named = target if isinstance(target, list) else [target]
            for place in [places[id_] for id_ in named if id_ in places] or list(places.values()):
                first[place] = min(first.get(place, math.inf), at_s)
    return first
