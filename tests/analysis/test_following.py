"""How far a twin's replicas are from those of the run, and for which reason."""

import numpy as np
import pandas as pd
import pytest

from analysis.scaling.following import following

SECONDS = 60


def course(wanted, ready=None, work=None):
    """A timeline; each is a number a second, or (from, number) steps."""
    return pd.DataFrame(
        {
            "replicas_desired": stepped(wanted),
            "replicas_ready": stepped(wanted if ready is None else ready),
            "router_in_flight": stepped([(0, 4)] if work is None else work),
        }
    )


def stepped(steps):
    values = np.zeros(SECONDS)
    for since, number in steps:
        values[since:] = number
    return values


LIVE = course([(0, 2), (20, 6)], [(0, 2), (21, 6)], [(0, 4), (20, 12)])


@pytest.mark.parametrize(
    ("twin", "reasons"),
    [
        (LIVE, {}),
        (course([(0, 3), (20, 5)], [(0, 1), (21, 7)], [(0, 9)]), {}),  # one apart is none
        (course([(0, 2), (22, 6)], [(0, 2), (23, 6)], [(0, 4), (22, 12)]), {"moments": 3}),
        (course([(0, 2), (20, 6)], [(0, 2), (31, 6)], [(0, 4), (20, 12)]), {"starts": 10}),
        (course([(0, 2), (20, 6), (30, 9)], [(0, 2), (21, 6), (30, 9)], [(0, 4), (20, 12), (29, 24)]), {"work": 30}),
        (course([(0, 2), (20, 6), (30, 9)], [(0, 2), (21, 6), (30, 9)], [(0, 4), (20, 12)]), {"memory": 30}),
    ],
)
def test_each_second_apart_has_the_reason_that_it_was_made_with(twin, reasons):
    found = following(LIVE, twin, shift_s=2)
    assert found.reasons == reasons
    assert found.seconds == SECONDS and found.within == SECONDS - sum(reasons.values())


def test_the_warm_up_and_what_was_not_sampled_are_left_out():
    unsampled = LIVE.copy()
    unsampled.loc[:4, "replicas_ready"] = np.nan
    assert following(LIVE, unsampled, shift_s=2).seconds == SECONDS - 5
    assert following(LIVE, LIVE, shift_s=2, since_s=10).seconds == SECONDS - 10
    assert following(LIVE, LIVE, shift_s=2, since_s=SECONDS) is None


def test_runs_add_up():
    once = following(LIVE, course([(0, 2)], work=[(0, 4)]), shift_s=2)
    twice = once + once
    assert (twice.seconds, twice.within, twice.most_apart) == (2 * SECONDS, 2 * once.within, 4)
    assert twice.reasons == {"work": 2 * once.reasons["work"]} and once.desired_within == 20
