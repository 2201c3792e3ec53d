"""Which replicas a run waits for before it begins."""

from pathlib import Path

import pytest

from experiments.live.readiness import until_ready

LOGS = Path("logs")


def looking(*looks):
    """(ready, desired) at each look; the last one for ever. And how many looks there were."""
    left, count = list(looks), []

    async def look():
        count.append(1)
        ready, desired = left[0] if len(left) == 1 else left.pop(0)
        return {"replicas_ready": ready, "replicas_desired": desired}

    return look, count


async def test_a_run_begins_once_its_first_replicas_are_in_rotation():
    look, count = looking((0, 2), (None, None), (1, None), (2, 2))
    await until_ready(look, 2, 60.0, LOGS)
    assert len(count) == 4


async def test_a_manager_that_has_taken_one_away_before_the_first_request_keeps_no_run_from_beginning():
    look, count = looking((1, 2), (1, 1))
    await until_ready(look, 2, 60.0, LOGS)
    assert len(count) == 2
    look, count = looking((2, 5))  # nor one that wants more by now
    await until_ready(look, 2, 60.0, LOGS)
    assert len(count) == 1


@pytest.mark.parametrize(("ready", "desired", "said"), [(1, 2, "1 of 2"), (1, None, "1 of 2"), (0, 1, "0 of 1")])
async def test_replicas_that_do_not_come_up_end_it_with_where_to_look(ready, desired, said):
    look, _ = looking((ready, desired))
    with pytest.raises(TimeoutError, match=rf"sees {said} replicas ready after 0 s: logs says why.*startup_timeout_s"):
        await until_ready(look, 2, 0.0, LOGS)
