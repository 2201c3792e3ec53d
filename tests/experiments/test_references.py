"""What references do against what their proxies' authors say that these do."""

import random

import pytest

from experiments.conforming.exact import Told
from experiments.references import REFERENCES, Offer, create
from experiments.references.haproxy_leastconn import key
from experiments.references.nginx_round_robin import smooth
from services.router.policies import RequestInfo
from services.router.policies import create as policy

EQUAL = (1.0, 1.0, 1.0, 1.0)


def chances(name, counts, weights=EQUAL, tried=(), **options):
    reference = create(name, weights, options)
    offer = Offer(tuple(range(len(counts))), tried, tuple(counts))
    return {replica: round(chance, 12) for replica, chance, _ in reference.picks(0, offer)}


def turns(name, weights, count, state=None):
    """Whom a rotation picks from its first start on, nothing in flight."""
    reference = create(name, weights, {})
    state = next(iter(reference.begin(True, True))) if state is None else state
    picked, idle = [], Offer(tuple(range(len(weights))), (), (0,) * len(weights))
    for _ in range(count):
        [(replica, _, state)] = reference.picks(state, idle)
        picked.append(replica)
    return picked


def held(name, weights, count):
    """How many each has of `count` requests that never end."""
    reference = create(name, weights, {})
    state, counts = next(iter(reference.begin(True, True))), [0] * len(weights)
    for _ in range(count):
        replica, _, state = reference.picks(state, Offer(tuple(range(len(weights))), (), tuple(counts)))[0]
        counts[replica] += 1
    return counts


def test_smooth_weighted_round_robin_is_as_in_nginx_own_commit():
    # nginx, changeset c90801720a0c (Upstream: smooth weighted round-robin balancing): weights 5, 1, 1.
    assert "".join("abc"[n] for n in turns("nginx_round_robin", (5.0, 1.0, 1.0), 14)) == "aabacaa" * 2
    told: list[tuple[float, ...]] = []
    credits: tuple[float, ...] = (0.0, 0.0, 0.0)
    for _ in range(7):
        _, credits = smooth(credits, (0, 1, 2), (5.0, 1.0, 1.0))
        told.append(credits)
    assert told == [(-2, 1, 1), (-4, 2, 2), (1, -4, 3), (-1, -3, 4), (4, -2, -2), (2, -1, -1), (0, 0, 0)]


def test_leastconn_fills_weights_2_and_5_as_its_author_says():
    # haproxy #1393: 27 and 73 % at about ten connections, where the weights say 28.5 and 71.5.
    one, other = held("haproxy_leastconn", (2.0, 5.0), 11)
    assert (one, other) == (3, 8) and round(100 * one / 11) == 27 and round(100 * other / 11) == 73


def test_leastconn_takes_the_one_that_has_stood_there_longest():
    # docs.haproxy.org, balance leastconn: round robin among servers of the same load.
    reference = create("haproxy_leastconn", EQUAL, {})
    order: list[int] = []
    [state] = reference.begin(True, True)
    for _ in range(8):  # one request after the other
        replica, _, state = reference.picks(state, Offer((0, 1, 2, 3), (), (0, 0, 0, 0)))[0]
        order.append(replica)
        state = reference.finished(state, replica, (0, 0, 0, 0), True)
    assert order == [0, 1, 2, 3] * 2
    assert [key(count, 1.0) for count in (0, 1, 2)] == [0, 512, 768]


def test_leastconn_since_3_2_takes_any_of_equals():
    # git.haproxy.org, 9fe72bba3: servers of one key stand in several lists, of which one is chosen randomly; #3223: so
    # are idle ones, whatever their weights; #881: equals shared one list before. The key itself is the same.
    reference = create("haproxy_leastconn", (5.0, 1.0, 1.0), {"ties": "any"})
    [state] = reference.begin(True, True)
    for counts, equal in (((0, 0, 0), {0, 1, 2}), ((1, 0, 0), {1, 2}), ((8, 1, 1), {0}), ((9, 1, 1), {0, 1, 2})):
        told = reference.picks(state, Offer((0, 1, 2), (), counts))
        assert {replica for replica, _, _ in told} == equal
        state = reference.finished(reference.turned(told[0][2], 0, True, counts), 0, counts, True)
    with pytest.raises(ValueError, match="longest or any"):
        create("haproxy_leastconn", EQUAL, {"ties": "first"})


@pytest.mark.parametrize(
    ("weights", "count"), [(EQUAL, 8), ((3.0, 1.0, 1.0, 1.0), 96), ((5.0, 1.0, 1.0), 112), ((1.0, 2.0), 48)]
)
def test_haproxys_roundrobin_gives_each_its_share_of_every_round(weights, count):
    # docs.haproxy.org, balance roundrobin: each is used in turns, according to its weight.
    picked = turns("haproxy_roundrobin", weights, count)
    assert [picked.count(n) for n in range(len(weights))] == [count * weight / sum(weights) for weight in weights]
    assert len(set(weights)) > 1 or picked == list(range(len(weights))) * (count // len(weights))


def test_envoys_two_choices_are_drawn_with_replacement():
    # least_request_lb.cc; of n hosts the least loaded gets 1 - (1 - 1/n)^2 (Mitzenmacher 2001), the most loaded 1/n^2.
    assert chances("envoy_least_request", (0, 1, 2, 3)) == {0: 7 / 16, 1: 5 / 16, 2: 3 / 16, 3: 1 / 16}
    assert chances("envoy_least_request", (1, 2), (1.0, 1.0)) == {0: 0.75, 1: 0.25}


def test_envoys_full_scan_draws_among_equals():
    # least_request_lb.cc, the comment on reservoir sampling: each tied host has an equal chance.
    assert chances("envoy_least_request", (2, 1, 1, 1), choices=0) == {n: round(1 / 3, 12) for n in (1, 2, 3)}


def test_envoys_random_draws_evenly_whatever_the_weights():
    # random_lb.cc: the host is a random number modulo the number of hosts.
    assert chances("envoy_random", (9, 0, 0, 0), (3.0, 1.0, 1.0, 1.0)) == dict.fromkeys(range(4), 0.25)


def test_an_envoy_that_retries_comes_back_to_a_tried_host_after_eight_draws_more():
    # load_balancer_impl.cc, chooseHost: hostSelectionRetryCount + 1 draws, of which the last is taken as it is.
    told = chances("envoy_random", (0, 0, 0, 0), tried=(0,))
    assert told == {0: round(0.25**9, 12), **{n: round((1 - 0.25**9) / 3, 12) for n in (1, 2, 3)}}
    assert chances("envoy_random", (0, 0), (1.0, 1.0), tried=(0, 1)) == {0: 0.5, 1: 0.5}
    assert chances("envoy_least_request", (0, 0), (1.0, 1.0), tried=(0,)) == {0: 0.5**9, 1: 1 - 0.5**9}
    # Of four drawn who has failed at once, with nothing in flight, is among them with 1 - (3/4)^4; of all, always.
    assert chances("envoy_least_request", (0, 1, 1, 1), tried=(0,), choices=4)[0] == round((1 - 0.75**4) ** 9, 12)
    assert chances("envoy_least_request", (0, 1, 1, 1), tried=(0,), choices=0) == {0: 1.0}


def test_envoys_rotation_begins_anywhere_and_passes_over_whom_a_retry_has_tried():
    reference = create("envoy_round_robin", EQUAL, {})
    first = {reference.picks(state, Offer((0, 1, 2, 3), (), (0,) * 4))[0][0] for state in reference.begin(True, True)}
    assert first == {0, 1, 2, 3}
    [(replica, _, state)] = reference.picks(0, Offer((0, 1, 2, 3), (0,), (0,) * 4))
    assert (replica, state) == (1, 2)


def test_aegis_two_choices_are_drawn_without_replacement():
    # The r-th least loaded of n gets 2 (n - r) / (n (n - 1)).
    assert chances("least_request", (0, 1, 2, 3), choices=2) == {0: 0.5, 1: round(1 / 3, 12), 2: round(1 / 6, 12)}
    assert chances("least_request", (1, 1, 0, 0)) == {2: 0.5, 3: 0.5}
    assert chances("least_request", (1, 0, 0, 0), (4.0, 1.0, 1.0, 1.0)) == {0: 1.0}  # 2 / 4 is below 1


def test_chances_are_those_of_the_policy_itself():
    """Aegis' own object, asked 20,000 times, beside the formula: within 5 standard errors."""
    told = zip((0, 0, 1, 2), (1.0, 1.0, 2.0, 1.0), strict=True)
    among = [Told(f"r{n}", weight, count, None) for n, (count, weight) in enumerate(told)]
    asked = policy("least_request", {"choices": 2}, random.Random(1))
    picks = [asked.pick(among, RequestInfo("1", None, 1), 0.0).replica.id for _ in range(20_000)]
    for n, chance in chances("least_request", (0, 0, 1, 2), (1.0, 1.0, 2.0, 1.0), choices=2).items():
        assert abs(picks.count(among[n].id) / 20_000 - chance) < 5 * (chance * (1 - chance) / 20_000) ** 0.5


@pytest.mark.parametrize("name", ["envoy_least_request", "envoy_round_robin", "round_robin"])
def test_a_start_that_nobody_is_told_is_refused(name):
    with pytest.raises(ValueError, match="equal weights"):
        create(name, (1.0, 2.0), {})


def test_an_unknown_policy_names_those_that_there_are():
    with pytest.raises(ValueError, match="nginx_least_conn"):
        create("nginx_least_con", EQUAL, {})
    assert len(REFERENCES.files()) == 10
