"""What is let in, and what many refusals change: decided without a socket, by a clock that the test turns."""

import pytest

from services.door.gate import CHANGES_BURST, REFUSALS_BURST, REFUSALS_PER_S, Gate
from services.token_bucket import TokenBucket

REPLICAS = 10_000


def gate(limits_changes=False, token="right"):
    return Gate(limits_changes=limits_changes, is_authorized=lambda given: token is None or given == token)


def test_a_bucket_gives_its_burst_at_once_and_its_rate_for_ever():
    bucket = TokenBucket(10, 5)
    assert [bucket.take(0.0) for _ in range(5)] == [0.0] * 5
    assert bucket.take(0.0) == pytest.approx(0.1)
    assert bucket.take(0.1) == 0.0 and bucket.take(0.1) > 0
    taken = sum(bucket.take(1 + n / 1000) == 0.0 for n in range(10_000))
    assert taken == pytest.approx(10 * 10 + 5, abs=2)


def test_a_clock_that_goes_back_gives_and_takes_nothing():
    bucket = TokenBucket(10, 1)
    assert bucket.take(5.0) == 0.0
    assert bucket.take(4.0) > 0
    assert bucket.take(4.05) > 0


def test_reading_is_let_in_whatever_was_refused():
    door = gate()
    for _ in range(1000):
        door.judge("PUT", "wrong", None, 0.0)
    assert all(door.judge(method, None, "http://evil.example", 0.0) is None for method in ("GET", "HEAD", "OPTIONS"))


def test_a_guesser_hears_429_after_a_while_and_when_to_come_again():
    door = gate()
    heard = [door.judge("PUT", "wrong", None, 0.0) for _ in range(int(REFUSALS_BURST) + 1)]
    assert {refusal.status for refusal in heard[:-1]} == {401}
    assert heard[0].headers == {"WWW-Authenticate": "Bearer"}
    assert (heard[-1].status, heard[-1].headers) == (429, {"Retry-After": "1"})
    assert door.judge("PUT", "wrong", None, 1.0).status == 401
    later = [door.judge("PUT", "wrong", None, 10 + n / 1000).status for n in range(5000)]
    assert later.count(401) == pytest.approx(5 * REFUSALS_PER_S + REFUSALS_BURST, abs=2)


def test_ten_thousand_leases_are_renewed_every_second_beside_a_guesser():
    door = gate()
    for second in range(3):
        for replica in range(REPLICAS):
            now = second + replica / REPLICAS
            door.judge("PUT", "wrong", None, now)
            assert door.judge("PUT", "right", None, now) is None


@pytest.mark.parametrize("token", ["right", None])
def test_where_changes_are_limited_many_are_too_many_and_the_next_second_is_another(token):
    door = gate(limits_changes=True, token=token)
    heard = [door.judge("PUT", token, None, 0.0) for _ in range(int(CHANGES_BURST) + 1)]
    assert heard[:-1] == [None] * int(CHANGES_BURST)
    assert (heard[-1].status, heard[-1].headers) == (429, {"Retry-After": "1"})
    assert door.judge("PUT", token, None, 1.0) is None


def test_refused_changes_do_not_use_up_those_of_others():
    door = gate(limits_changes=True)
    for _ in range(10_000):
        door.judge("PUT", "wrong", None, 0.0)
    assert all(door.judge("PUT", "right", None, 0.0) is None for _ in range(int(CHANGES_BURST)))


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, None),
        ("http://127.0.0.1:8082", None),
        ("http://localhost:8082", None),
        ("http://[::1]:8082", None),
        ("https://evil.example", 403),
        ("http://127.0.0.1.evil.example", 403),
        ("http://localhost@evil.example", 403),
        ("null", 403),
        ("", 403),
        ("http://[", 403),
    ],
)
@pytest.mark.parametrize("authorization", [None, "Bearer made up"])
def test_without_a_token_a_page_from_elsewhere_changes_nothing(origin, status, authorization):
    refusal = gate(token=None).judge("POST", authorization, origin, 0.0)
    assert (refusal and refusal.status) == status


def test_with_a_token_a_page_that_knows_it_may_come_from_anywhere():
    assert gate().judge("PUT", "right", "https://operations.example", 0.0) is None
