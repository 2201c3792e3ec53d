"""From a log to the fleet behind it: known queues in, their slots, speeds and demands out, or a refusal."""

import numpy as np
import pandas as pd
import pytest

from analysis.distributions.queues import erlang_c
from analysis.fitting.assigning import assignment
from analysis.fitting.demand import nearest
from analysis.fitting.failing import failing
from analysis.fitting.fleet import fit, settled
from analysis.fitting.inversion import presence, services_s
from analysis.fitting.log import read_log, step_of
from analysis.fitting.refusal import FitRefused
from analysis.fitting.sharing import demands_s, events_of
from analysis.fitting.slots import candidates, host_log
from analysis.metrics.queueing import sojourn_s

MEAN_S = 0.05


def drawn(family, count, rng):
    match family:
        case "exponential":
            return rng.exponential(MEAN_S, count)
        case "lognormal":
            return np.exp(rng.standard_normal(count) - 0.5) * MEAN_S
    return np.full(count, MEAN_S)


def logged(slots=2, load=0.7, count=4000, family="exponential", speeds=(1.0,), seed=1, step_s=0.0, turns=False):
    """The log of hosts with slots, each with a line before it; hosts are chosen in proportion to their speeds."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(MEAN_S / (load * slots * sum(speeds)), count))
    demands = drawn(family, count, rng)
    host = rng.choice(len(speeds), count, p=np.array(speeds) / sum(speeds))
    if turns:
        host = np.arange(count) % len(speeds)
    lasted = np.empty(count)
    for number, speed in enumerate(speeds):
        mine = host == number
        lasted[mine] = sojourn_s(arrivals[mine], demands[mine] / speed, slots)
    ends = arrivals + lasted
    if step_s:
        arrivals, ends = np.floor(arrivals / step_s) * step_s, np.floor(ends / step_s) * step_s
    return pd.DataFrame(
        {"scheduled_s": arrivals, "upstream_s": ends - arrivals, "upstream": [f"h{number}" for number in host]}
    )


def refusal(table):
    with pytest.raises(FitRefused) as refused:
        fit(settled(read_log(table)))
    return refused.value


def test_services_of_a_worked_example():
    """Law, Simulation Modeling and Analysis, section 1.4: one server, the delays of six customers add up to 5.7."""
    arrivals = np.array([0.4, 1.6, 2.1, 3.8, 4.0, 5.6])
    departures = np.array([2.4, 3.1, 3.3, 4.9, 8.6, 9.2])
    services = services_s(arrivals, departures, [1])[:, 0]
    assert services == pytest.approx([2.0, 0.7, 0.2, 1.1, 3.7, 0.6])
    assert (departures - arrivals - services).sum() == pytest.approx(5.7)


@pytest.mark.parametrize("slots", [1, 2, 5])
@pytest.mark.parametrize("family", ["exponential", "lognormal", "constant"])
def test_services_come_back_exactly_from_the_departures_of_a_queue(slots, family):
    rng = np.random.default_rng(slots)
    arrivals = np.cumsum(rng.exponential(MEAN_S / (0.8 * slots), 500))
    demands = drawn(family, 500, rng)
    departures = arrivals + sojourn_s(arrivals, demands, slots)
    assert services_s(arrivals, departures, [slots])[:, 0] == pytest.approx(demands)


def test_nobody_overtakes_as_many_as_there_are_slots():
    rng = np.random.default_rng(3)
    arrivals = np.cumsum(rng.exponential(MEAN_S / 2.7, 3000))
    departures = arrivals + sojourn_s(arrivals, rng.exponential(MEAN_S, 3000), 3)
    assert presence(arrivals, departures).overtaken.max() == 2


@pytest.mark.parametrize(
    ("slots", "load", "family"),
    [(1, 0.5, "exponential"), (2, 0.6, "lognormal"), (4, 0.5, "exponential"), (8, 0.8, "constant"), (16, 0.8, "constant")],
)
def test_slots_are_found_where_requests_waited(slots, load, family):
    log = read_log(logged(slots, load, 3000, family))
    found = candidates([host_log(log.arrivals_s, log.departures_s, log.step_s)], log.step_s)
    assert (found.best, found.kept()) == (slots, [slots])


@pytest.mark.parametrize(("slots", "load"), [(1, 0.5), (2, 0.5), (4, 0.75)])
def test_the_share_that_waited_is_erlangs(slots, load):
    fleet = fit(read_log(logged(slots, load, 12_000, seed=4)))
    assert fleet.waited == pytest.approx(erlang_c(slots, load * slots), abs=0.04)
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)  # the textbook's


@pytest.mark.parametrize("step_s", [0.0, 1e-3])
@pytest.mark.parametrize("family", ["exponential", "lognormal", "constant"])
def test_a_fleet_is_found_with_its_slow_host(family, step_s):
    fleet = fit(read_log(logged(2, 0.7, 6000, family, (1.0, 1.0, 0.5), step_s=step_s)))
    assert fleet.slots == (2,)
    speeds = dict(zip(fleet.hosts, fleet.speeds, strict=True))
    assert speeds["h2"].high < 0.7
    assert speeds["h2"].holds(0.5)
    assert speeds["h0"].holds(1.0) and speeds["h1"].holds(1.0)
    assert fleet.demand.family == family
    assert fleet.demand.mean_ms.holds(MEAN_S * 1e3)
    assert all(0.55 < busy < 0.85 for busy in fleet.utilisation)


def test_where_nobody_waited_slots_have_no_upper_bound():
    refused = refusal(logged(8, 0.15, 3000))
    assert refused.kind == "nobody_waited"
    assert "at least" in refused.reason and "busier hours" in refused.collect


def shared(load, count, seed):
    """Processor sharing at one host, by its definition: all who are there have the same part of it."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(MEAN_S / load, count)).tolist()
    left, ends, now = {}, np.zeros(count), 0.0
    for index, arrival in enumerate([*arrivals, np.inf]):
        while left:
            first = min(left, key=left.get)
            done = left[first] * len(left)
            if now + done > arrival:
                break
            now += done
            least = left.pop(first)
            left = {each: rest - least for each, rest in left.items()}
            ends[first] = now
        if left:
            left = {each: rest - (arrival - now) / len(left) for each, rest in left.items()}
        now = arrival
        if index < count:
            left[index] = rng.exponential(MEAN_S)
    return pd.DataFrame({"scheduled_s": arrivals, "upstream_s": ends - arrivals})


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_a_host_that_shares_its_speed_is_refused_and_named(load):
    refused = refusal(shared(load, 3000, 1))
    assert refused.kind == "not_a_queue" and "1 slots were shared" in refused.reason


def test_demands_come_back_from_a_host_that_shares():
    """Three at once by hand: 0.5 alone, 1 at a half, 1.5 at a third, and so on."""
    arrivals, departures = np.array([0.0, 0.5, 1.5]), np.array([4.0, 3.0, 4.5])
    demands, rates = demands_s(events_of(arrivals, departures), 1)
    assert demands == pytest.approx([0.5 + 0.5 + 0.5 + 0.5, 0.5 + 0.5, 0.5 + 0.5 + 0.5])
    assert rates == pytest.approx([1 / 2, 1 / 3, 1.0])


def test_hosts_with_other_numbers_of_slots_are_refused():
    first, second = logged(1, 0.7, 3000, seed=1), logged(6, 0.8, 3000, seed=2)
    table = pd.concat([first, second.assign(upstream="h1")]).sort_values("scheduled_s", ignore_index=True)
    assert refusal(table).kind == "hosts_differ"


def test_a_log_that_cannot_be_fitted_says_what_to_collect():
    table = logged()
    assert refusal(table.head(100)).kind == "too_little"
    assert refusal(table[["scheduled_s"]]).kind == "no_durations"
    assert refusal(table.assign(scheduled_s=np.floor(table["scheduled_s"]))).kind == "coarse_clock"
    with pytest.raises(FitRefused, match="steps of 1000 ms"):
        read_log(table, resolution_s=1.0)
    assert refusal(table.assign(status=503)).kind == "too_little"


def test_what_is_left_out_is_counted():
    table = logged()
    table.loc[::50, "upstream_s"] = -1.0
    table.loc[1::50, "upstream"] = None
    log = read_log(table)
    assert len(log) == 4000 - 80 - 80
    assert any("80 of 4,000" in note for note in log.notes) and any("80 requests" in note for note in log.notes)


def test_a_host_that_only_came_by_is_left_out_and_said():
    table = logged(speeds=(1.0, 1.0))
    table.loc[3900:3920, "upstream"] = "h9"
    fleet = fit(settled(read_log(table)))
    assert fleet.hosts == ("h0", "h1") and any("1 hosts" in note for note in fleet.notes)
    few = logged(count=1500)
    few.loc[1420:, "upstream"] = "h9"
    assert refusal(few).kind == "too_little"


def test_rows_may_stand_in_any_order():
    table = logged()
    shuffled = table.sample(frac=1, random_state=1)
    assert fit(read_log(shuffled)).slots == fit(read_log(table)).slots


@pytest.mark.parametrize(("step_s", "shown"), [(1.0, 1.0), (1e-3, 1e-3), (1e-6, 1e-6), (0.0, 0.0)])
def test_the_clocks_step_is_seen(step_s, shown):
    moments = np.random.default_rng(1).uniform(0, 1000, 500)
    assert step_of(np.floor(moments / step_s) * step_s if step_s else moments) == shown


def test_a_line_at_the_proxy_is_no_line_at_the_host():
    """HAProxy's maxconn: the proxy holds requests back, its own time passes before the host is asked."""
    table = logged(2, 0.7, 4000)
    held = np.random.default_rng(2).exponential(0.1, len(table))
    proxied = table.assign(
        scheduled_s=table["scheduled_s"] - held + held.max(), taken_s=table["upstream_s"] + held
    ).sort_values("scheduled_s", ignore_index=True)
    assert fit(settled(read_log(proxied))).slots == (2,)


def test_an_outage_is_between_the_answers_around_it():
    table = logged(2, 0.5, 6000, speeds=(1.0, 1.0))
    failed = (table["upstream"] == "h1") & table["scheduled_s"].between(40.0, 50.0)
    found = failing(read_log(table.assign(status=np.where(failed, 502, 200))))
    (outage,) = [each for each in found.outages if each.kind == "failing"]
    first_s = table["scheduled_s"].iloc[0]
    assert outage.host == "h1" and outage.failed == int(failed.sum())
    assert outage.begin_s.low + first_s <= 40.0 <= outage.begin_s.high + first_s
    assert outage.end_s.low + first_s <= 50.0 <= outage.end_s.high + first_s
    assert found.error_share.value == 0.0


def test_a_host_that_is_not_asked_any_more_is_silent():
    table = logged(2, 0.5, 6000, speeds=(1.0, 1.0))
    away = (table["upstream"] == "h1") & table["scheduled_s"].between(40.0, 50.0)
    (outage,) = failing(read_log(table[~away])).outages
    assert (outage.host, outage.kind) == ("h1", "silent")


def test_single_errors_are_no_outage():
    table = logged(2, 0.5, 6000, speeds=(1.0, 1.0))
    failed = np.random.default_rng(1).random(len(table)) < 0.02
    found = failing(read_log(table.assign(status=np.where(failed, 500, 200))))
    assert not found.outages
    assert found.error_share.holds(0.02)


def test_how_hosts_are_chosen_is_seen():
    assert assignment(read_log(logged())) == "one host"
    assert assignment(read_log(logged(speeds=(1.0, 1.0, 1.0), turns=True))) == "by turns"
    assert assignment(read_log(logged(speeds=(1.0, 1.0, 1.0)))) == "without load"


@pytest.mark.parametrize("family", ["exponential", "lognormal", "constant"])
def test_a_familys_name_is_found(family):
    name, off = nearest(drawn(family, 5000, np.random.default_rng(1)), 0.0)
    assert name == family and off < 0.03


def test_a_demand_of_two_kinds_has_no_familys_name():
    rng = np.random.default_rng(1)
    both = np.where(rng.random(5000) < 0.3, rng.normal(0.2, 0.01, 5000), rng.normal(0.02, 0.001, 5000))
    assert nearest(both, 0.0)[1] > 0.05
