"""The replica's queue against the recursions it must obey."""

import heapq
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.backend.work_queue import ProcessorSharing, QueueFullError, WorkQueue

JOBS = st.lists(st.tuples(st.floats(0, 2), st.floats(0, 3)), min_size=1, max_size=40)


def oracle(jobs, slots):
    """Start and end of every job: each takes the slot that is free first (Kiefer and Wolfowitz 1955)."""
    free, times = [0.0] * slots, []
    for arrival, demand in jobs:
        start = max(arrival, heapq.heappop(free))
        heapq.heappush(free, start + demand)
        times.append((start, start + demand))
    return times


def arrive(queue, demand, now):
    """The job that arrives."""
    return queue.arrive(demand, now)[0]


def arrivals(gaps):
    now, jobs = 0.0, []
    for gap, demand in gaps:
        now += gap
        jobs.append((now, demand))
    return jobs


@settings(max_examples=200, deadline=None)
@given(JOBS, st.integers(1, 4))
def test_every_job_starts_when_a_slot_is_free_for_it_in_order_of_arrival(gaps, slots):
    queue, jobs = WorkQueue(slots, 1000), arrivals(gaps)
    planned = [arrive(queue, demand, now) for now, demand in jobs]
    for job, (start, end) in zip(planned, oracle(jobs, slots), strict=True):
        assert (job.start, job.end) == pytest.approx((start, end))


def test_a_late_timer_delays_nobody_behind_it():
    queue = WorkQueue(1, 10)
    first, second = arrive(queue, 1.0, 0.0), arrive(queue, 1.0, 0.5)
    queue.finish(first)  # whenever the event loop came to it
    assert (second.start, second.end) == (1.0, 2.0)
    third = arrive(queue, 1.0, 1.9)
    assert (third.start, third.end) == (2.0, 3.0)


def test_speed_divides_the_demand():
    assert arrive(WorkQueue(1, 10, speed=0.5), 1.0, 0.0).end == 2.0


def test_one_more_than_slots_and_line_hold_is_refused():
    queue = WorkQueue(2, 3)
    for _ in range(5):
        arrive(queue, 1.0, 0.0)
    assert queue.waiting(0.0) == 3
    with pytest.raises(QueueFullError):
        arrive(queue, 1.0, 0.5)
    assert arrive(queue, 1.0, 1.0).start == 2.0  # two have begun, so two may come
    alone = WorkQueue(1, 0)
    arrive(alone, 1.0, 0.0)
    with pytest.raises(QueueFullError):
        arrive(alone, 1.0, 0.9)
    assert arrive(alone, 1.0, 1.0).start == 1.0


def test_whoever_hangs_up_gives_way_to_those_behind():
    queue = WorkQueue(1, 10)
    first, second, third = (arrive(queue, 1.0, 0.0) for _ in range(3))
    assert queue.cancel(second, 0.5) == [third]
    assert (third.start, third.end) == (1.0, 2.0)
    assert queue.cancel(first, 0.6) == [third]  # in service: the slot is free at once
    assert (third.start, third.end) == (0.6, 1.6)
    assert not queue.cancel(first, 0.7)


def test_a_slow_fault_stretches_what_is_left_and_heals_again():
    queue = WorkQueue(1, 10)
    serving, waiting = arrive(queue, 2.0, 0.0), arrive(queue, 1.0, 0.0)
    queue.set_speed(0.2, 1.0)  # 1 s of work is left, at a fifth of the speed
    assert (serving.end, waiting.end) == (6.0, 11.0)
    queue.set_speed(1.0, 3.5)  # half of that was done
    assert (serving.end, waiting.end) == pytest.approx((4.0, 5.0))


def test_a_stopped_process_does_no_work_meanwhile():
    queue = WorkQueue(1, 10)
    serving, waiting = arrive(queue, 1.0, 0.0), arrive(queue, 1.0, 0.2)
    queue.stopped(0.5, 10.5)
    assert (serving.end, waiting.start, waiting.end) == (11.0, 11.0, 12.0)


def test_a_stop_over_a_planned_start_moves_that_too():
    queue = WorkQueue(1, 10)
    first, second, third = arrive(queue, 1.0, 0.0), arrive(queue, 1.0, 0.0), arrive(queue, 1.0, 0.0)
    queue.stopped(0.5, 5.5)  # what was planned to begin at 1.0 and 2.0 did not
    assert [job.end for job in (first, second, third)] == [6.0, 7.0, 8.0]


@settings(max_examples=100, deadline=None)
@given(JOBS, st.integers(1, 3), st.integers(0, 2**32))
def test_changes_never_overbook_a_slot_or_turn_the_order_round(gaps, slots, seed):
    queue, rng, live = WorkQueue(slots, 1000), random.Random(seed), []
    for now, demand in arrivals(gaps):
        for job in [job for job in live if job.end <= now]:
            queue.finish(job)
            live.remove(job)
        live.append(arrive(queue, demand + 0.001, now))
        if rng.random() < 0.3:
            queue.cancel(live.pop(rng.randrange(len(live))), now)
        if rng.random() < 0.2:
            queue.set_speed(rng.choice([0.2, 1.0, 3.0]), now)
        starts = [job.start for job in live]
        assert starts == sorted(starts)
        moments = {job.start for job in live if job.start >= now}
        assert all(sum(job.start <= moment < job.end for job in live) <= slots for moment in moments)
    assert len(queue) == len(live)


def small_steps(jobs, slots, step=1e-3):
    """When each job ends if all go on at min(1, slots / jobs) for a small step at a time."""
    left, ends, now = {}, {}, 0.0
    waiting = list(enumerate(jobs))
    while waiting or left:
        while waiting and waiting[0][1][0] <= now:
            index, (_, demand) = waiting.pop(0)
            left[index] = demand
        rate = min(1.0, slots / len(left)) if left else 0.0
        now += step
        for index in list(left):
            left[index] -= rate * step
            if left[index] <= 0:
                ends[index] = now
                del left[index]
    return [ends[index] for index in range(len(jobs))]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.05, 1)), min_size=1, max_size=8), st.integers(1, 3))
def test_shared_slots_serve_everybody_at_an_equal_rate(gaps, slots):
    queue, jobs = ProcessorSharing(slots, 1000), arrivals(gaps)
    planned = [arrive(queue, demand, now) for now, demand in jobs]
    # Only those who come later change a plan, so that after the last arrival all are final.
    assert [job.end for job in planned] == pytest.approx(small_steps(jobs, slots), abs=0.02 * len(jobs))


def test_who_shares_is_told_of_every_change():
    queue = ProcessorSharing(1, 10)
    first, changed = queue.arrive(1.0, 0.0)
    assert (first.end, list(changed)) == (1.0, [])
    second, changed = queue.arrive(1.0, 0.5)  # half of the first is done; both go at half the speed
    assert (list(changed), first.end, second.end) == ([first], 1.5, 2.0)
    assert list(queue.cancel(second, 1.0)) == [first]  # a quarter is left, alone again
    assert first.end == 1.25
    assert list(queue.set_speed(0.5, 1.0)) == [first]
    assert first.end == 1.5
    assert list(queue.stopped(1.25, 3.0)) == [first]
    assert first.end == 3.25
    queue.finish(first)
    assert len(queue) == 0


def test_shared_work_that_ends_in_a_stop_ends_after_it():
    queue = ProcessorSharing(1, 10)
    first, second = arrive(queue, 1.0, 0.0), arrive(queue, 5.0, 0.0)  # by 2.0 and 6.0
    queue.stopped(1.0, 11.0)
    assert (first.end, second.end) == (12.0, 16.0)


def test_sharing_refuses_who_finds_every_place_taken():
    queue = ProcessorSharing(2, 1)
    for _ in range(3):
        arrive(queue, 1.0, 0.0)
    assert queue.waiting(0.0) == 1
    with pytest.raises(QueueFullError):
        arrive(queue, 1.0, 0.5)
    assert arrive(queue, 1.0, 1.6).start == 1.6  # the three have ended at 1.5


@pytest.mark.parametrize("slots", [1, 2])
def test_a_job_whose_turn_comes_after_its_deadline_takes_no_slot(slots):
    queue = WorkQueue(slots, 10)
    for _ in range(slots):
        arrive(queue, 2.0, 0.0)
    late, _ = queue.arrive(5.0, 0.5, 2.0)
    last = arrive(queue, 1.0, 0.6)
    assert late.is_dropped and (late.start, late.end) == (2.0, 2.0), "it is told when its turn comes"
    assert (last.start, last.end) == (2.0, 3.0) and not last.is_dropped
    assert queue.waiting(1.0) == 2, "until then it has its place"


def test_a_job_is_served_after_all_where_its_turn_comes_earlier_than_planned():
    queue = WorkQueue(1, 10)
    first = arrive(queue, 2.0, 0.0)
    late, _ = queue.arrive(1.0, 0.0, 1.5)
    last = arrive(queue, 1.0, 0.0)
    assert late.is_dropped
    assert queue.cancel(first, 1.0) == [late], "it ends at the same moment, but served"
    assert not late.is_dropped and (late.start, late.end, last.start) == (1.0, 2.0, 2.0)
    queue.stopped(1.0, 4.0)
    assert not late.is_dropped and late.end == 5.0, "it was being served when the process stopped"


def test_a_stop_makes_those_in_line_expire():
    queue = WorkQueue(1, 10)
    arrive(queue, 2.0, 0.0)
    waits, _ = queue.arrive(1.0, 0.0, 3.0)
    assert not waits.is_dropped
    queue.stopped(1.0, 2.5)
    assert waits.is_dropped and waits.end == 3.5


@pytest.mark.parametrize("kind", [WorkQueue, ProcessorSharing])
def test_what_has_expired_on_its_way_is_dropped_at_once(kind):
    queue = kind(1, 10)
    job, changed = queue.arrive(1.0, 5.0, 5.0)
    assert job.is_dropped and job.end == 5.0 and not changed
    assert arrive(queue, 1.0, 5.0).end == 6.0
