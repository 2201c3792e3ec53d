"""Membership that propagates late: what a router hears, and when."""

from experiments.relay.propagation import Propagation, Word

HERE = Word("http://r1", {"url": "http://r1", "state": "ready", "lease_s": 3.0})
RENEWAL = Word("http://r1", {"url": "http://r1", "lease_s": 3.0})
FAREWELL = Word("http://r1", {"url": "http://r1", "state": "draining", "lease_s": 8.0})
GONE = Word("http://r1", None)


def test_where_nothing_is_late_everything_is_heard_at_once():
    news = Propagation()
    for word in (HERE, RENEWAL, FAREWELL, GONE):
        assert news.say(word, 0.0, 1.0) == [word]
    assert news.next_at is None


def test_a_farewell_arrives_late_and_no_lease_runs_out_before():
    news = Propagation()
    assert news.say(RENEWAL, 5.0, 0.0) == [RENEWAL]  # says nothing new
    (longer,) = news.say(FAREWELL, 5.0, 1.0)
    assert longer.body == {"url": "http://r1", "lease_s": 8.0}
    assert news.say(GONE, 5.0, 1.2) == []
    assert news.next_at == 6.0
    assert news.arrived(5.9) == []
    assert news.arrived(6.1) == [FAREWELL] and news.arrived(6.2) == [GONE]


def test_a_replica_that_comes_is_unknown_until_the_news_arrives_whatever_it_says_meanwhile():
    news = Propagation()
    assert news.say(HERE, 2.0, 0.0) == []
    assert news.say(RENEWAL, 2.0, 1.0) == []
    assert news.arrived(2.0) == [HERE]
    assert news.say(RENEWAL, 2.0, 2.5) == []  # behind the one on its way
    assert news.arrived(4.5) == [RENEWAL, RENEWAL]
    assert news.say(RENEWAL, 2.0, 5.0) == [RENEWAL]


def test_what_is_on_its_way_arrives_at_once_in_its_order_when_the_delay_ends():
    news = Propagation()
    news.say(FAREWELL, 9.0, 0.0)
    news.say(GONE, 9.0, 0.2)
    news.say(HERE, 9.0, 1.0)
    assert news.hurry() == [FAREWELL, GONE, HERE]
    assert news.next_at is None and news.say(RENEWAL, 0.0, 2.0) == [RENEWAL]
