"""What an access log tells of its proxy's decisions: lines as nginx and HAProxy write them, of proxies that do right."""

import random

import pytest

from experiments import conformance
from experiments.conforming.log import seen_in
from experiments.references import Offer, create
from record.files import write_text

SERVERS = ("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80")
BEGAN = 1_700_000_000.0


def line(sent_s, taken_s, server, status=200):
    """One of nginx' `timed` (docs/import.md)."""
    return (
        f'10.1.1.1 - - [14/Nov/2023:22:13:20 +0000] "GET /work HTTP/1.1" {status} 2 "-" "-" '
        f"{BEGAN + sent_s + taken_s:.3f} {taken_s:.3f} {taken_s:.3f} {SERVERS[server]}"
    )


def written(tmp_path, lines):
    """A file of lines (end, text), in the order in which a proxy writes them."""
    path = tmp_path / "access.log"
    write_text(path, "".join(f"{text}\n" for _, text in sorted(lines)))
    return path


def status_of(path, policy, *more, servers=4):
    return conformance.main(
        [str(path), "--format", "nginx", "--policy", policy, "--servers", ",".join(SERVERS[:servers]), *more]
    )


def test_who_is_left_out_after_a_failure_is_not_missed(tmp_path, capsys):
    """nginx, max_fails=1: a fails, b has one in flight, and the next request goes to b as well: a is out.
    (https://nginx.org/en/docs/http/ngx_http_upstream_module.html#max_fails)"""
    rows = [(0.0, 0.1, 1, 200), (0.2, 0.1, 0, 504), (0.5, 3.0, 1, 200), (1.0, 2.8, 1, 200), (5.0, 0.1, 1, 200)]
    told = [(sent + taken, line(sent, taken, server, status)) for sent, taken, server, status in rows]
    path = written(tmp_path, told)
    assert status_of(path, "nginx_least_conn", servers=2) != conformance.OTHERWISE, capsys.readouterr().out
    good = [(at, text.replace(" 504 ", " 200 ")) for at, text in told]
    assert status_of(written(tmp_path, good), "nginx_least_conn", servers=2) == conformance.OTHERWISE
    assert "request" in capsys.readouterr().out


def played(name, count=600, seed=1, credits=None, weights=(1.0,) * 4):
    """Lines (end, text) of a proxy that decides as `name` does, 15 requests in flight, some of them for long."""
    rng, reference = random.Random(seed), create(name, weights, {})
    state = credits if credits is not None else next(iter(reference.begin(True, True)))
    under_way: list[tuple[float, float, int]] = []
    counts, told, now = [0] * 4, [], 0.0
    for _ in range(count):
        now += 0.01 + rng.expovariate(100)
        for ended in sorted(each for each in under_way if each[0] < now):
            counts[ended[2]] -= 1
            state = reference.finished(state, ended[2], tuple(counts), True)
            under_way.remove(ended)
        [(server, _, state), *_] = reference.picks(state, Offer((0, 1, 2, 3), (), tuple(counts)))
        counts[server] += 1
        taken = round(0.05 + rng.expovariate(5), 3)
        under_way.append((now + taken, now, server))
        told.append((now + taken, line(now, taken, server)))
    return told


@pytest.mark.parametrize("name", ["nginx_least_conn", "haproxy_leastconn"])
@pytest.mark.parametrize("seed", range(3))
def test_a_log_that_is_cut_at_both_ends_accuses_nobody(tmp_path, capsys, name, seed):
    """Requests that ended before the first line are in none of them, nor are those that were open after the last one."""
    told = sorted(played(name, seed=seed))
    path = written(tmp_path, told[200:-200])
    assert status_of(path, name) == 0, capsys.readouterr().out
    for other in {"nginx_round_robin", "haproxy_leastconn", "nginx_least_conn"} - {name}:
        assert status_of(path, other, "--from-start") == conformance.OTHERWISE
    seen = seen_in(path, "nginx", SERVERS, (1.0,) * 4)
    first, last = min(each.ended.high for each in seen.attempts), max(each.ended.high for each in seen.attempts)
    longest = max(each.ended.high - each.picked.low for each in seen.attempts)
    assert {tuple(gap) for gap in seen.gaps} == {(float("-inf"), first), (last - longest, float("inf"))}


def test_a_rotation_that_began_before_the_log_is_judged_where_it_is_said_to_have_begun_with_it(tmp_path, capsys):
    """Credits of after some failures are none of a rotation without: (2, -2, 0, 0) goes a c d a b, as a round never does."""
    odd = played("nginx_round_robin", 60, credits=(2.0, -2.0, 0.0, 0.0))
    path = written(tmp_path, odd)
    assert status_of(path, "nginx_round_robin", "--from-start") == conformance.OTHERWISE
    assert status_of(path, "nginx_round_robin") == conformance.WRONG
    assert "nothing could be judged" in capsys.readouterr().err
    assert status_of(written(tmp_path, played("nginx_round_robin", 60)), "nginx_round_robin", "--from-start") == 0


def test_ties_of_a_log_in_mid_life_are_broken_as_failures_before_have_left_it(tmp_path):
    """nginx' least_conn: who has had turns among a few has credits that no turns among all lead to."""
    told = played("nginx_least_conn", 300, credits=(3.0, -5.0, 1.0, 1.0))
    path = written(tmp_path, told)
    assert status_of(path, "nginx_least_conn", "--from-start") == conformance.OTHERWISE
    assert status_of(path, "nginx_least_conn") == 0


def test_a_log_without_statuses_is_refused(tmp_path, capsys):
    path = tmp_path / "log.csv"
    rows = [f"{BEGAN + n:.3f},{0.1:.3f},{SERVERS[n % 4]}" for n in range(8)]
    write_text(path, "\n".join(["ended,taken,upstream", *rows]) + "\n")
    assert conformance.main([str(path), "--format", "csv", "--policy", "random", "--servers", ",".join(SERVERS)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
