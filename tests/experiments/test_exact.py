"""What a router writes down of its policy's decisions, asked again of a new one; real policies, a fleet made by hand."""

import json
import random

import pytest

from experiments.conforming.exact import Again, Told, judge
from services.router import policies
from services.router.decisions import Recorded
from services.router.policies import POLICIES, Outcome, Report, RequestInfo
from tests.run_by_hand import attempt, request
from tests.run_by_hand import recorded as run_of

ENDS: list[Outcome] = ["ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "error", "overloaded"]


def recorded(name, path, calls=400):
    """The lines of `calls` picks, with attempts that end in any order and any way, and some that rest before."""
    rng = random.Random(5)
    policy = Recorded(policies.create(name, {}, random.Random(11)), path, name, {}, 11)
    fleet = [Told(f"r{n}", 1.0, 0, 2) for n in range(1, 5)]
    now = 0.0
    under_way: list[tuple[Told, float]] = []
    uploads: list[Told] = []
    read: list[Told] = []
    may_rest = hasattr(policy, "on_rest")
    for number in range(calls):
        now += rng.expovariate(100)
        if under_way and rng.random() < 0.55:
            replica, began = under_way.pop(rng.randrange(len(under_way)))
            fate = rng.random() if may_rest else 1.0
            if fate < 0.2:  # its client still sends the body
                policy.on_rest(replica, now - began, now)  # type: ignore[attr-defined]
                replica.resting += 1
                uploads.append(replica)
            elif fate < 0.4:  # its client reads the answer
                policy.on_finish(replica, "ok", now - began, now)
                replica.resting += 1
                read.append(replica)
            else:
                replica.in_flight -= 1
                if (on_report := getattr(policy, "on_report", None)) is not None:
                    on_report(replica, Report(replica.in_flight, 0.01, 0.5, 50.0, 0.0), now)
                policy.on_finish(replica, rng.choice(ENDS), now - began, now)
        if len(uploads) > 3:
            replica = uploads.pop(0)
            policy.on_work(replica, now)  # type: ignore[attr-defined]
            replica.resting -= 1
            under_way.append((replica, now))
        if len(read) > 3:
            replica = read.pop(0)
            replica.resting -= 1
            replica.in_flight -= 1
        key = str(number % 7) if number % 2 else None
        pick = policy.pick(fleet, RequestInfo(str(number), key, 1), now)
        if pick is None:
            continue
        policy.on_start(pick.replica, now)
        picked = next(replica for replica in fleet if replica is pick.replica)
        picked.in_flight += 1
        under_way.append((picked, now))
        if (probes := getattr(policy, "probes", None)) is not None:
            for id_ in probes(now):
                policy.on_probe(  # type: ignore[attr-defined] # set where the policy has it
                    id_, fleet[int(id_[1:]) - 1].in_flight, 0.01, now)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def first_difference(lines):
    again = Again(lines[0])
    return next((where for line in lines[1:] if (where := again.follow(line)) is not None), None), again


@pytest.mark.parametrize("name", sorted(POLICIES.files()))
def test_every_policy_decides_the_same_again(name, tmp_path):
    lines = recorded(name, tmp_path / "decisions.jsonl")
    where, again = first_difference(lines)
    assert where is None and again.decisions == sum(line["do"] == "pick" for line in lines) >= 200


@pytest.mark.parametrize("name", sorted(POLICIES.files()))
def test_one_decision_that_is_otherwise_is_named(name, tmp_path):
    lines = recorded(name, tmp_path / "decisions.jsonl")
    picks = [n for n, line in enumerate(lines) if line["do"] == "pick" and line["picked"] is not None]
    wrong = lines[picks[len(picks) // 2]]
    was = wrong["picked"]
    wrong["picked"] = next(id_ for id_ in ("r1", "r2") if id_ != was)
    where, _ = first_difference(lines)
    assert where.line is wrong and where.possible == (was,) and where.why == "picks another one"


def test_a_count_that_is_not_what_is_in_flight_is_named(tmp_path):
    lines = recorded("least_request", tmp_path / "decisions.jsonl")
    [stale] = [line for line in lines if line["do"] == "pick"][100:101]
    stale["candidates"][2][2] += 1
    where, again = first_difference(lines)
    assert where.line is stale and "other counts" in where.why and again.decisions == 101


def test_who_got_a_request_that_its_client_sent_again_is_no_finding(tmp_path):
    """Both times the router has it by the same id, as a first attempt, and picks whom its policy picks."""
    (tmp_path / "logs").mkdir()
    path = tmp_path / "logs" / "decisions.jsonl"
    policy = Recorded(policies.create("round_robin", {}, random.Random(3)), path, "round_robin", {}, 3)
    fleet, picked = [Told(id_, 1.0, 0, 2) for id_ in ("r1", "r2")], []
    for now in (1.0, 2.0):
        replica = policy.pick(fleet, RequestInfo("7", None, 1), now).replica
        policy.on_start(replica, now)
        policy.on_finish(next(each for each in fleet if each is replica), "error", 0.5, now + 0.5)
        picked.append(replica.id)
    assert len(set(picked)) == 2
    work = [attempt(7, picked[0], 1.0, 1.5, "cancelled"), attempt(7, picked[1], 2.0, 2.5, send=2)]
    for known in (work, work[:1]):  # the second one may have been lost on its way
        again = run_of(requests=[request(7, 0.9, 2.6, picked[1]) | {"sends": 2}], work=known, folder=tmp_path)
        assert judge(again).conforms
    once = run_of(requests=[request(7, 0.9, 2.6, picked[1])], work=work[:1], folder=tmp_path)
    assert judge(once).first.alternative == "went elsewhere"
