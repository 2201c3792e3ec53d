"""The best schedule, against cases worked by hand, and against every schedule that there is."""

import random
from functools import cache
from itertools import product

import numpy as np
import pytest

from analysis.scaling.hindsight import Terms, cost_of, hindsight

BY_HAND = {
    # name: demand, (start-up, price, least, most), replicas that are ready, starts, cost
    "a constant demand is met": ([2] * 5, (3, 10, 0, 4), [2] * 5, 0, 10),
    "a rise is paid for before it comes": ([1, 1, 1, 2, 2, 2], (2, 10, 1, 4), [1, 1, 1, 2, 2, 2], 1, 9 + 2),
    "a fall is followed at once": ([3, 3, 1, 1, 1], (3, 10, 1, 4), [3, 3, 1, 1, 1], 0, 9),
    "a dip shorter than a start is sat out": ([2, 2, 1, 1, 2, 2], (3, 10, 1, 4), [2] * 6, 0, 12),
    "a longer one is not": ([2, 1, 1, 1, 1, 2], (3, 10, 1, 4), [2, 1, 1, 1, 1, 2], 1, 8 + 3),
    "a spike that is worth less than a start passes": (
        [1] * 6 + [2] * 3 + [1] * 6, (4, 2, 1, 4), [1] * 15, 0, 15 + 2 * 3,
    ),
    "at a higher price it is met": (
        [1] * 6 + [2] * 3 + [1] * 6, (4, 3, 1, 4), [1] * 6 + [2] * 3 + [1] * 6, 1, 15 + 3 + 4,
    ),
    "two spikes are worth a start that neither is alone": (
        [1] * 5 + [2] * 3 + [1] + [2] * 3 + [1] * 2, (4, 2, 1, 4), [1] * 5 + [2] * 7 + [1] * 2, 1, 14 + 7 + 4,
    ),
    "there are no fewer than there must be": ([0, 0, 0], (3, 10, 2, 4), [2] * 3, 0, 6),
    "and no more than there may be": ([5, 5], (3, 10, 1, 3), [3, 3], 0, 6 + 10 * 4),
    "a start may take less than a second": ([1, 2, 1], (0.5, 10, 1, 4), [1, 2, 1], 1, 4.5),
    "a start that takes no time is free": ([1, 3, 1, 3], (0, 10, 1, 4), [1, 3, 1, 3], 4, 8),
    "nobody is needed": ([0, 0], (3, 10, 0, 4), [0, 0], 0, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_a_case_worked_by_hand(name):
    demanded, terms, ready, starts, cost = BY_HAND[name]
    best = hindsight(np.array(demanded), np.ones(len(demanded)), Terms(*terms))
    assert best.ready.tolist() == ready
    assert best.starts == starts
    assert best.cost.total == pytest.approx(cost)


def test_a_shorter_last_second_counts_by_its_length():
    best = hindsight(np.array([1, 2]), np.array([1.0, 0.25]), Terms(2, 10, 1, 4))
    assert best.ready.tolist() == [2, 2]  # there from the beginning, as it takes longer to start one
    assert best.cost.total == pytest.approx(2.5)


def cheapest(demanded, startup, price, least, most):
    """By trying all: each second any number stops and any number starts, and is ready so many seconds later."""

    @cache
    def from_here(second, ready, starting):
        if second == len(demanded):
            return 0
        arrived = ready + (starting[0] if startup else 0)
        rest = starting[1:]
        cheapest_way = float("inf")
        for kept in range(most + 1 if not startup else arrived + 1):
            if kept < least:
                continue
            for more in range(most - kept - sum(rest) + 1 if startup else 1):
                then = (*rest, more) if startup else ()
                paid = kept + sum(then) + price * max(0, demanded[second] - kept)
                cheapest_way = min(cheapest_way, paid + from_here(second + 1, kept, then))
        return cheapest_way

    return min(from_here(0, count, (0,) * startup) for count in range(least, most + 1))


def test_no_schedule_is_cheaper_than_the_best_by_hand():
    for demanded, (startup, price, least, most), _, _, cost in BY_HAND.values():
        if startup == int(startup) and len(demanded) <= 8:
            assert cheapest(tuple(demanded), int(startup), price, least, min(most, 3)) == pytest.approx(cost)


def test_no_schedule_is_cheaper_for_any_short_demand():
    for demanded, startup, price in product(product(range(3), repeat=5), (1, 2), (1, 2, 5)):
        best = hindsight(np.array(demanded), np.ones(5), Terms(startup, price, 0, 2))
        assert best.cost.total == pytest.approx(cheapest(demanded, startup, price, 0, 2)), (demanded, startup, price)


def test_no_schedule_is_cheaper_for_random_demands():
    rng = random.Random(16)
    for _ in range(60):
        demanded = tuple(rng.choices(range(5), k=rng.randint(1, 8)))
        startup, price, least = rng.randint(0, 3), rng.choice([1, 1.5, 2, 3, 10]), rng.randint(0, 1)
        most = rng.randint(max(1, least), 3)
        best = hindsight(np.array(demanded), np.ones(len(demanded)), Terms(startup, price, least, most))
        about = (demanded, startup, price, least, most)
        assert best.cost.total == pytest.approx(cheapest(demanded, startup, price, least, most)), about
        assert best.ready.min() >= least and best.ready.max() <= most


def test_many_levels_are_as_few():
    best = hindsight(np.array([1, 700, 1, 1, 1, 700]), np.ones(6), Terms(2, 10, 1, 1000))
    assert best.ready.tolist() == [700, 700, 1, 1, 1, 700]
    assert best.cost.total == 3 * 700 + 3 + 2 * 699


def test_a_day_that_changes_every_second():
    demanded = np.random.default_rng(16).integers(1, 65, 86_400)
    best = hindsight(demanded, np.ones(86_400), Terms(30, 10, 1, 64))
    always = cost_of(demanded, np.full(86_400, 64), np.full(86_400, 64), np.ones(86_400), 10)
    assert demanded.sum() <= best.cost.total <= always.total


@pytest.mark.parametrize("wrong", [(3, 0.5, 1, 4), (-1, 10, 1, 4), (3, 10, 5, 4)])
def test_terms_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match="price of 1"):
        hindsight(np.array([1]), np.ones(1), Terms(*wrong))
