"""`+scenario=day`: hours of virtual time, each scaler at its own pace, and nothing done for nothing."""

from itertools import pairwise

import pytest

from experiments.plan.schedule import build_schedule
from experiments.simulator.simulation import rows
from experiments.simulator.stack import VirtualStack
from tests.experiments.traced import of_words

HOUR = ("workload.duration_s=1800", "workload.warmup_s=0", "workload=spike")


def played(*overrides, renews=None):
    """The stack after the run, and its decisions."""
    config = of_words(["+scenario=day", *HOUR, *overrides]).config
    schedule, decisions = build_schedule(config.workload, config.seed), []

    def sink(source, event, now, **about):
        if event == "scaling_decision":
            decisions.append((now, about["desired"]))

    stack = VirtualStack(config, [], schedule, sink)
    if renews is not None:
        for node in stack.nodes.values():
            node.registering.renews = renews
    stack.run(lambda _: True)
    assert stack.records.ended == stack.load.asked == len(schedule)
    return stack, decisions, rows(stack, schedule)


def test_an_hpa_decides_every_fifteen_seconds_and_its_replicas_take_a_minute():
    stack, decisions, _ = played("scaler=hpa")
    gaps = {round((after - before) % 15.0, 3) for (before, _), (after, _) in pairwise(decisions)}
    assert decisions and gaps <= {0.0, 15.0}
    grown = next(at for at, desired in decisions if desired > 4)
    ready = next(each["t_s"] for each in stack.samples if each["replicas_ready"] > 4)
    assert 20 < ready - grown < 180


def test_without_faults_leases_are_not_renewed_and_nothing_else_is_otherwise():
    lazy, few, of_lazy = played("scaler=knative")
    busy, many, of_busy = played("scaler=knative", renews=True)
    assert few == many and lazy.samples == busy.samples and of_lazy.equals(of_busy)
    assert lazy.agenda.done < 0.8 * busy.agenda.done


@pytest.mark.parametrize(
    ("scaler", "of_100_ms"),
    [("queueing", ("scaler.wait_ms=20", "scaler.window_s=5")), ("predictive", ("scaler.step_s=1",))],
)
def test_without_constants_long_requests_are_not_taken_for_a_crowd(scaler, of_100_ms):
    """Three requests in flight: by constants for short ones their noise keeps whole fleets."""
    means = []
    for constants in ((), of_100_ms):
        stack, _, _ = played(f"scaler={scaler}", "workload=constant", *constants)
        later = [each["replicas_ready"] for each in stack.samples if each["t_s"] > 900]
        means.append(sum(later) / len(later))
    assert 4 <= means[0] < 10 and means[1] > 20, means
