"""What a live run's folder tells of its proxy's decisions: records made by hand, configurations as they are written."""

import itertools
import random
import re
from pathlib import Path

import pytest

from experiments.conforming.judging import judge
from experiments.conforming.run import UnjudgedError, reference_of, seen_of, weights_of
from experiments.conforming.seen import Attempt, Seen, Span
from experiments.data_planes import HOST, Front
from experiments.exporting import EXPORTERS, Deployment, Upstream
from experiments.references import create
from experiments.references.nginx_round_robin import smooth
from services.router.settings import RouterSettings
from tests.run_by_hand import attempt, recorded, request


def configured(name, weights):
    """The weights that a proxy's configuration has."""
    upstreams = tuple(Upstream(f"r{n}", HOST, 9000 + n, weight) for n, weight in enumerate(weights, 1))
    policy = {"name": "least_request", "choices": 0}
    text = EXPORTERS.create(name, {}).render(Deployment(HOST, 80, upstreams, RouterSettings(), policy)).text
    return tuple(float(weight) for weight in re.findall(r"weight[= ](\d+)", text)) or (1.0,) * len(weights)


@pytest.mark.parametrize("weights", [(3, 1, 1, 1), (2, 2, 2, 2), (1, 0.25, 0.25, 0.1), (1, 0.337, 0.123, 0.001)])
@pytest.mark.parametrize("name", ["nginx", "haproxy"])
def test_a_proxy_is_held_against_the_weights_that_its_configuration_has(name, weights):
    run = recorded({"data_plane": name}, replica={"weights": list(weights)})
    assert weights_of(run) == configured(name, weights)


def test_whole_weights_that_are_not_of_the_same_ratios_are_another_rotation():
    """100 : 33 : 33 : 33 for 3 : 1 : 1 : 1: after 16 turns of six its credits are 48, -16, -16, -16, and it goes on
    otherwise. Held against one who takes 3 : 1 : 1 : 1 it is accused; against what it was given it is not."""
    given, attempts = (100.0, 33.0, 33.0, 33.0), []
    credits: tuple[float, ...] = (0.0,) * 4
    for number in range(200):
        replica, credits = smooth(credits, (0, 1, 2, 3), given)
        assert number != 95 or credits == (48.0, -16.0, -16.0, -16.0)
        at = 0.01 * number
        attempts.append(Attempt(number, 1, replica, Span(at, at + 0.001), Span(at + 0.002, at + 0.003)))
    seen = Seen(("r1", "r2", "r3", "r4"), given, attempts)
    assert judge(seen, create("nginx_round_robin", given, {})).first is None
    assert judge(seen, create("nginx_round_robin", (3.0, 1.0, 1.0, 1.0), {})).first.place == 101
    assert weights_of(recorded({"data_plane": "nginx"}, replica={"weights": [3, 1, 1, 1]})) == (3.0, 1.0, 1.0, 1.0)
    assert configured("nginx", (3, 1, 1, 1)) == (3.0, 1.0, 1.0, 1.0)


def test_aegis_router_is_held_against_the_weights_that_replicas_announce():
    assert weights_of(recorded(replica={"weights": [1.0, 0.337, 0.5, 0.25]})) == (1.0, 0.337, 0.5, 0.25)
    by_speed = recorded({"data_plane": "haproxy"}, replica={"weights": "by_speed", "speeds": [1.0, 0.5, 0.5, 0.25]})
    assert weights_of(by_speed) == (4.0, 2.0, 2.0, 1.0)


def test_a_cycle_that_is_too_long_to_be_known_accuses_nobody():
    weights = (997.0, 991.0, 983.0, 977.0, 971.0, 967.0)
    assert list(create("nginx_round_robin", weights, {}).begin(True, True)) == [None]


def judged(run):
    name, options = reference_of(run)
    return judge(seen_of(run), create(name, weights_of(run), options))


def test_a_request_that_its_client_gave_up_may_count_on_and_may_not():
    """services/router/policies/least_request.py penalises errors and overloads, and no cancellation; which of them it
    was a replica does not know: either way is right. A failure that the client saw counts for certain."""
    given_up = [request(0, 1.0, 1.5, None, "timeout", 0, None)], [attempt(0, "r1", 1.001, 1.501, "cancelled")]
    failed = [request(0, 1.0, 1.5, "r1", "http_error", 500)], [attempt(0, "r1", 1.001, 1.499, "failed")]
    for picked, (rows, work) in itertools.product(("r1", "r2"), (given_up, failed)):
        rows, work = [*rows, request(1, 1.8, 9.0, picked)], [*work, attempt(1, picked, 1.801, 8.99)]
        run = recorded(requests=rows, work=work, replicas=2)
        assert [each.is_ok for each in seen_of(run).attempts] == [None if rows[0]["status"] == 0 else False, True]
        assert (judged(run).first is None) == (picked == "r2" or rows[0]["status"] == 0)


def test_an_answer_that_was_not_taken_is_not_held_for_a_good_one():
    """R0 was answered by r1 when its time was over, and tried again at r2; the router counts r1's failure for 1 s."""
    rows = [request(0, 1.0, 1.7, "r2", attempts=2), request(1, 1.8, 9.0, "r2"), request(2, 1.9, 9.0, "r2")]
    work = [attempt(0, "r1", 1.001, 1.501), attempt(0, "r2", 1.502, 1.699, tries=2),
            attempt(1, "r2", 1.801, 8.99), attempt(2, "r2", 1.901, 8.99)]  # fmt: skip
    run = recorded(requests=rows, work=work, replicas=2)
    assert [each.is_ok for each in seen_of(run).attempts] == [None, True, True, True]
    assert judged(run).first is None
    # What came of a request that its client sent again is what came of the last time.
    again = [attempt(0, "r1", 1.001, 1.501), attempt(0, "r2", 1.602, 1.699, send=2)]
    run = recorded(requests=[rows[0] | {"attempts": 1, "sends": 2}], work=again, replicas=2)
    assert [each.is_ok for each in seen_of(run).attempts] == [None, None]


@pytest.mark.parametrize("plane", ["aegis", "haproxy"])
@pytest.mark.parametrize(
    ("key", "router"),
    [("limits.replica_requests", {"limits": {"replica_requests": 4}}),
     ("retry.other_replica", {"retry": {"max_attempts": 3, "other_replica": False}})],
)  # fmt: skip
def test_settings_by_which_others_may_be_picked_are_refused(plane, key, router):
    with pytest.raises(UnjudgedError, match=key):
        seen_of(recorded({"data_plane": plane, **router}, requests=[request(0, 1.0, 1.1, "r1")]))
    off = {"limits": {"replica_requests": 0}, "retry": {"max_attempts": 1, "other_replica": False}}
    assert len(seen_of(recorded({"data_plane": plane, **off}, requests=[request(0, 1.0, 1.1, "r1")])).attempts) == 1


@pytest.mark.parametrize(
    ("version", "options"),
    [("2.6.12-1+deb12u1 2023/12/16", {}), ("3.1.7", {}), ("3.2.0", {"ties": "any"}), ("3.10.1", {"ties": "any"}), ("", {})],
)
def test_haproxys_ties_are_those_of_the_version_that_ran(version, options):
    run = recorded({"data_plane": "haproxy"})
    run.manifest["data_plane"] = {"name": "haproxy", "version": version}
    assert reference_of(run) == ("haproxy_leastconn", options)


@pytest.mark.parametrize("name", ["least_request_of_four", "least_request"])
def test_envoys_draws_are_as_many_as_its_configuration_has(name):
    text = Front(80, (), RouterSettings(), "", Path("nowhere"), name).exported("envoy").text
    [drawn] = map(int, re.findall(r"choice_count\W+(\d+)", text))
    reference, options = reference_of(recorded({"data_plane": "envoy", "algorithm": name}))
    assert (reference, options.get("choices", 2)) == ("envoy_least_request", drawn)


def test_envoys_random_is_not_held_against_weights_that_it_does_not_take():
    """experiments/exporting/envoy.py says of weights with RANDOM that they are lost: it conforms to even draws."""
    rng = random.Random(2)
    rows = [request(n, n, n + 0.1, f"r{rng.randint(1, 4)}") for n in range(1, 801)]
    run = recorded({"data_plane": "envoy", "algorithm": "random"}, replica={"weights": [3, 1, 1, 1]}, requests=rows)
    assert reference_of(run) == ("envoy_random", {}) and judged(run).first is None
    assert judge(seen_of(run), create("random", weights_of(run), {})).first is not None


def test_nginx_counts_from_nothing_after_a_reload():
    """https://nginx.org/en/docs/control.html: a new worker takes over, the old one finishes what it has. r1 and r2 have
    one each by the old one when r4 leaves; the new one, which knows of neither, sends its first request to r1."""
    rows = [request(0, 1.0, 19.0, "r1"), request(1, 2.0, 19.0, "r2"), request(2, 9.0, 11.0, "r1"), request(3, 10.0, 11.0, "r2")]
    after = [request(4, 21.0, 29.0, "r1"), request(5, 22.0, 29.0, "r3")]
    left = [{"t_s": 8.9, "source": "router", "event": "removed", "replica": "r4"}]
    known = {"router": {"data_plane": "nginx"}, "replicas": 4}
    assert judged(recorded(requests=[*rows, *after], **known)).first.request == 2
    run = recorded(requests=[*rows, *after], events=left, **known)
    [gap] = seen_of(run).gaps
    assert gap.low == pytest.approx(8.9, abs=0.01) and gap.high == pytest.approx(19.0, abs=0.01)
    assert judged(run).first is None and judged(run).judged == 3  # two before, and the last: r1 has one
    wrong = recorded(requests=[*rows, after[0], request(5, 22.0, 29.0, "r1")], events=left, **known)
    assert judged(wrong).first.request == 5
    others = recorded({"data_plane": "envoy"}, requests=[*rows, *after], events=left)
    assert not seen_of(others).gaps  # by a file that it reads: nothing begins anew


def test_haproxys_weights_are_not_judged_while_they_grow():
    """docs.haproxy.org, slowstart: a server that comes up gets its weight over that time; those of a run come while it
    runs. r2 has come last, and is passed over with as few in flight as r1, and fewer. Later that is a finding."""
    came = [{"t_s": -0.5, "source": "router", "event": "registered", "replica": "r2"}]
    rows = [request(n, 1.0 + n, 30.0, id_) for n, id_ in enumerate(("r1", "r2", "r1", "r1"))]
    known = {"router": {"data_plane": "haproxy"}, "events": came, "replicas": 2}
    late = [request(4, 20.0, 30.0, "r2"), request(5, 21.0, 30.0, "r2")]
    run = recorded(requests=[*rows, *late], **known)
    assert judged(run).first is None and judged(run).judged == 1
    wrong = recorded(requests=[*rows, late[0], request(5, 21.0, 30.0, "r1")], **known)
    assert judged(wrong).first.request == 5
    turns = {"router": {"data_plane": "haproxy", "algorithm": "roundrobin"}, "events": came, "replicas": 2}
    assert not seen_of(recorded(requests=rows, **turns)).gaps


def test_whom_a_data_plane_says_that_it_had_out_may_have_been_out_before():
    """A check that came too late, without a fault: HAProxy is asked ten times a second."""
    rows = [request(0, 20.0, 30.0, "r1"), request(1, 21.0, 30.0, "r2"), request(2, 24.0, 30.0, "r2")]
    out = [{"t_s": 24.1, "source": "router", "event": "ejected", "replica": "r1", "cause": "health_check"}]
    known = {"router": {"data_plane": "haproxy"}, "requests": rows, "replicas": 2}
    assert judged(recorded(**known)).first.request == 2
    assert judged(recorded(events=out, **known)).first is None
