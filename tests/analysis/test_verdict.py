import pytest

from analysis.metrics import table as metrics
from analysis.metrics import timeline
from analysis.metrics.remedies import AGAIN, remedies
from analysis.metrics.verdict import ABOUT, in_lines, notes_of, percent, table_rows, verdict
from record.reading import read
from tests.analysis import synthetic
from tests.analysis.synthetic import healed, injected, router


def of(folder, events=(), faults=(), **about):
    made = synthetic.manifest(faults=list(faults), config={"workload": {"duration_s": 30.0, "warmup_s": 2.0}}, **about)
    requests = synthetic.even_requests(30, 10)
    requests.loc[
        requests["scheduled_s"].between(10, 16, inclusive="left") & (requests["request_id"] % 10 == 4), "outcome"
    ] = "reset"
    samples = [synthetic.sample(float(s), 4) for s in range(1, 31)]
    run = read(synthetic.write(folder, requests, about=made, events=list(events), samples=samples))
    return run.manifest, metrics.compute(run, timeline.build(run))


KILL = {"at_s": 10.0, "action": "kill", "target": "r2", "for_s": 5.0}
FAILED = "2.14 % of 280 requests failed; p99 latency beyond 100 ms."
CASES = [
    ("no fault", (), (), f"VALID. {FAILED}"),
    (
        "killed and restarted",
        (injected(0, 10.0), router("ejected", 10.4), healed(0, 15.0)),
        (KILL,),
        f"VALID. r2 was out of rotation 0.4 s after it was killed; recovered 1.0 s after its restart; {FAILED}",
    ),
    (
        "noticed by requests",
        (injected(0, 10.0), {**router("ejected", 10.4), "cause": "consecutive_failures"}, healed(0, 15.0)),
        (KILL,),
        "VALID. r2 was out of rotation 0.4 s after it was killed (by failures in a row); recovered 1.0 s after its "
        f"restart; {FAILED}",
    ),
    (
        "noticed within a hundredth of a second",
        (injected(0, 10.0), {**router("ejected", 10.009), "cause": "refused"}, healed(0, 15.0)),
        (KILL,),
        "VALID. r2 was out of rotation 9 ms after it was killed (by a refused connection); recovered 1.0 s after its "
        f"restart; {FAILED}",
    ),
    (
        "noticed by its lease",
        (injected(0, 10.0), router("expired", 12.0), healed(0, 15.0)),
        (KILL,),
        "VALID. r2 was out of rotation 2.0 s after it was killed (as its lease ran out); recovered 1.0 s after its "
        f"restart; {FAILED}",
    ),
    (
        "not noticed",
        (injected(0, 10.0, action="slow"), healed(0, 20.0, action="slow")),
        ({**KILL, "action": "slow", "for_s": 10.0},),
        f"VALID. r2 was hit by `slow` and stayed in rotation; all was well by the heal; {FAILED}",
    ),
    (
        "lost for good",
        (injected(0, 10.0), router("ejected", 10.4)),
        ({**KILL, "for_s": None},),
        f"VALID. r2 was out of rotation 0.4 s after it was killed; recovered 6.0 s after that; {FAILED}",
    ),
    (
        "the router",
        (injected(0, 10.0, "router"), healed(0, 29.0, "router")),
        ({**KILL, "target": "router", "for_s": 19.0},),
        f"VALID. The router was killed; not recovered by the run's end; {FAILED}",
    ),
    (
        "several",
        (
            injected(0, 10.0), router("ejected", 11.2), healed(0, 15.0),
            injected(1, 20.0, "r3", "slow"), healed(1, 22.0, "r3", "slow"),
        ),
        (KILL, {**KILL, "at_s": 20.0, "action": "slow", "target": "r3", "for_s": 2.0}),
        "VALID. 2 faults landed, the slowest was noticed after 1.2 s, 1 not at all; "
        f"recovered 1.0 s after the heal at worst; {FAILED}",
    ),
    (
        "several that nobody noticed",
        (
            injected(0, 10.0, action="slow"), healed(0, 15.0, action="slow"),
            injected(1, 10.0, "r3", "slow"), healed(1, 15.0, "r3", "slow"),
        ),
        ({**KILL, "action": "slow"}, {**KILL, "action": "slow", "target": "r3"}),
        "VALID. 2 faults landed, none took a replica out of rotation; "
        f"recovered 1.0 s after the heal at worst; {FAILED}",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("events", "faults", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_the_verdict_tells_the_run_in_one_sentence(tmp_path, events, faults, expected):
    assert verdict(*of(tmp_path, events, faults)) == expected


def test_an_invalid_run_says_why_and_nothing_else(tmp_path):
    text = verdict(*of(tmp_path, exit_reason="interrupted"))
    assert text == (
        "INVALID. The run did not complete (exit_reason interrupted); 30 s of 30 s were measured. "
        "What helps: run it again. More: docs/validity.md."
    )


def test_the_table_has_labels_values_and_units_for_a_run_with_and_without_data(tmp_path):
    rows = dict(table_rows(*of(tmp_path / "a", (injected(0, 10.0), healed(0, 15.0)), (KILL,))))
    assert rows["offered / goodput"] == "10.0 / 9.8 requests/s"
    assert rows["latency p50 / p90 / p99"] == "100 / 100 / beyond 100 ms"
    assert rows["served within the objective"] == "97.86 %"
    assert rows["detection / recovery"] == "- / 1.0 s"
    checked = {**router("ejected", 10.4), "cause": "health_check"}
    about, seen = of(tmp_path / "c", (injected(0, 10.0), checked, healed(0, 15.0)), (KILL,))
    assert (seen["detected_by"], dict(table_rows(about, seen))["detected"]) == ("health_check", "by the health check")
    assert rows["router's own time p50 / p99"] == "0.50 / 0.50 ms"
    about = synthetic.manifest(exit_reason="killed")
    run = read(synthetic.write(tmp_path / "b", None, about=about, samples=[]))
    empty = dict(table_rows(run.manifest, metrics.compute(run, timeline.build(run))))
    assert empty["latency p50 / p90 / p99"] == "-"
    assert all(isinstance(value, str) and "None" not in value and "nan" not in value for value in empty.values())


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "-"), (0.0, "0.0 %"), (0.00003, "< 0.01 %"), (0.0003, "0.03 %"), (0.0214, "2.14 %"), (0.5, "50.0 %"),
        (0.9997, "99.97 %"), (0.99997, "> 99.99 %"), (1.0, "100.0 %"),
    ],
)  # fmt: skip
def test_percentages_keep_two_digits_where_they_matter(share, text):
    assert percent(share) == text


def whole(folder, requests, events=(), **config):
    workload = {"duration_s": 30.0, "warmup_s": 2.0, **config}
    about = synthetic.manifest(faults=[RESTART] if events else [], config={"workload": workload})
    run = read(synthetic.write(folder, requests, about=about, events=list(events)))
    found = metrics.compute(run, timeline.build(run))
    return verdict(run.manifest, found), dict(table_rows(run.manifest, found)), found


RESTART = {"at_s": 10.0, "action": "restart", "target": "r2", "for_s": None}


def test_where_no_request_was_served_the_sentence_says_so(tmp_path):
    sentence, rows, _ = whole(tmp_path, synthetic.even_requests(30).assign(outcome="refused"))
    assert sentence == "VALID. 100.0 % of 280 requests failed; no request was served."
    assert rows["latency p50 / p90 / p99"] == "no request was served"


def test_a_restart_that_harmed_nobody_leaves_nothing_to_recover_from(tmp_path):
    sentence, rows, _ = whole(tmp_path, synthetic.even_requests(30), [injected(0, 10.0, action="restart")])
    assert sentence == (
        "VALID. R2 was restarted and stayed in rotation; nothing to recover from: no request was lost and latency "
        "stayed; none of 280 requests failed; p99 latency 100 ms."
    ).replace("R2", "r2")
    assert rows["detection / recovery"] == "- / nothing to recover from"


def test_a_short_steady_phase_judges_nothing_and_names_the_remedy(tmp_path):
    events = [injected(0, 10.0, action="restart")]
    sentence, rows, found = whole(tmp_path, synthetic.even_requests(30), events, warmup_s=9.0)
    assert "recovery is not judged;" in sentence and "never" not in sentence
    assert rows["detection / recovery"] == "- / not judged"
    (caution,) = (text for text in found["warnings"] if "recovery" in text)
    assert "1.0 s of steady phase" in caution and "a later fault or a shorter workload.warmup_s" in caution


@pytest.mark.parametrize(
    "reason, helps",
    [
        ("requests left 31.0 ms late (p99; limit 25 ms)", "load.workers=2"),
        ("980 of 1,000 planned requests were sent (at least 99.9 % needed)", "workload.rate_rps"),
        ("12 requests were dropped (limit 0)", "load.max_in_flight"),
        ("CPU of generator, in its busiest second and per process: 0.97 cores (limit 0.9)", "load.workers=2"),
        ("CPU of foreign processes, on average: 0.80 cores (limit 0.5)", "close what else runs"),
        ("CPU of the hypervisor (steal), on average: 0.30 cores (limit 0.2)", "another machine"),
        ("fault kill on r2 landed 240 ms late (limit 100 ms)", "close other programs"),
        ("fault kill on r2, planned at 12 s, never landed", "logs/"),
        ("the router clock was +31.0 ms off at the end (known to 0.1 ms; limit 10 ms)", "synchronise"),
        ("the run did not complete (exit_reason failed: no port); 0 s of 30 s were measured", "logs/"),
        ("generator process 1 stopped early (lost)", AGAIN),
    ],
)
def test_an_invalid_run_says_what_helps_and_which_page_says_more(reason, helps):
    told = remedies([reason, reason])
    assert told.startswith("What helps: ") and told.endswith(". More: docs/validity.md.")
    assert told.count(helps) == 1


def test_the_objective_is_named_by_its_limits(tmp_path):
    manifest, found = of(tmp_path)
    manifest["config"]["slo"] = {"p99_ms": 250.0, "error_rate": 0.005}
    labels = dict(table_rows(manifest, found))
    assert "served within 250 ms, the objective" in labels
    assert "seconds with p99 > 250 ms or > 0.5 % failed" in labels


def test_a_note_stands_below_the_number_that_it_is_about(tmp_path):
    manifest, found = of(tmp_path)
    found["warnings"] = ["p99 rests on 280 requests", "something else"]
    lines = in_lines(manifest, found)
    at = next(place for place, line in enumerate(lines) if line.startswith("latency p50 / p90 / p99"))
    assert lines[at + 1] == "  note: p99 rests on 280 requests"
    assert lines[-1] == "note: something else"
    assert notes_of("latency p50 / p90 / p99", found) == [(1, "p99 rests on 280 requests")]


def test_what_a_note_is_about_is_a_row_of_the_table(tmp_path):
    manifest, found = of(tmp_path, (injected(0, 10.0), healed(0, 15.0)), (KILL,))
    assert {row for _, row in ABOUT} <= dict(table_rows(manifest, found)).keys()
