"""What is expected of runs: what can be said, what is met, and how pipelines read it."""

import json
from xml.etree import ElementTree

import pytest

from analysis.compare import main
from analysis.comparison.arms import arms_of
from analysis.expectations.grammar import ExpectationError, parse, parse_all, split
from analysis.expectations.judging import decide, hold_runs
from analysis.expectations.junit import junit
from analysis.expectations.of_arm import of_arm, of_metrics
from analysis.metrics.measured import in_numbers
from tests.analysis import synthetic

NAMES = {"policy": {"name": "round_robin"}}


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """The picture takes longer than all the rest, and is not what is looked at."""
    monkeypatch.setattr("analysis.pages.comparison_page.draw_comparison", lambda comparison, path: None)


def run(folder, latency_s=0.1, *, seed=1, failed=0, **about):
    """A run of 80 requests in the window, all of one latency, the last of which failed."""
    requests = synthetic.even_requests(latency_s=latency_s)
    last = requests.index[len(requests) - failed :]
    requests.loc[last, "outcome"], requests.loc[last, "status"] = "http_error", 503
    return synthetic.write(folder, requests, about=synthetic.manifest(seed=seed, **about))


def outcomes(folder, *texts):
    """By expectation: outcome, value and reason of one run."""
    found = hold_runs(parse_all(list(texts)), "routed", [in_numbers(folder).metrics])
    return {one.expectation: (one.outcome, one.value, one.reason) for one in found}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("latency_p99 < 3", ["there is no metric latency_p99", "latency_p99_ms"]),
        ("latency_p99_ms < 300ms", ["300ms is no number", "unit is in the metric's name"]),
        ("latency_p99_ms = 300", ["< <= > >= ==", "expect='[latency_p99_ms < 300"]),
        ("latency_p99_ms != 300", ["< <= > >= =="]),
        ("latency_p99_ms < nan", ["nan is no number"]),
        ("latency_p99_ms < 1e999", ["beyond all numbers"]),
        ("detected_by == 1", ["detected_by is text"]),
        ("recovered == 1", ["'recovered == true'"]),
        ("recovered < true", ["== only"]),
        ("error_rate <= 1.05 x reference", ["compared by its difference", "error_rate <= reference + NUMBER"]),
        ("latency_p99_ms <= reference + 5", ["compared by its ratio", "latency_p99_ms <= NUMBER x reference"]),
        ("latency_p99_ms == reference", ["no interval shows that two are equal"]),
        ("latency_p99_ms < -1 x reference", ["above 0"]),
        ("queue_p99_ms < 2 x reference", ["not compared by queue_p99_ms", "latency_p99_ms"]),
        ("latency_p99_ms < \u0663\u0660\u0660", ["is no number"]),  # Arabic-Indic digits
        ("", ["must be a metric"]),
    ],
)
def test_what_cannot_be_held_against_a_run_is_one_line_with_the_right_form(text, said):
    with pytest.raises(ExpectationError) as error:
        parse(text)
    assert "\n" not in str(error.value) and str(error.value).startswith("expect: ")
    for word in said:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("latency_p99_ms<300", ("latency_p99_ms", "<", 300.0, "number")),
        (" error_rate  <=  1e-3 ", ("error_rate", "<=", 0.001, "number")),
        ("recovered == true", ("recovered", "==", 1.0, "number")),
        ("share_r1 >= .2", ("share_r1", ">=", 0.2, "number")),
        ("latency_p99_ms <= 1.05 x reference", ("latency_p99_ms", "<=", 1.05, "ratio")),
        ("goodput_rps >= reference", ("goodput_rps", ">=", 1.0, "ratio")),
        ("error_rate <= reference + 0.001", ("error_rate", "<=", 0.001, "difference")),
        ("served_share >= reference - 0.01", ("served_share", ">=", -0.01, "difference")),
    ],
)
def test_what_can_be_expected(text, read):
    one = parse(text)
    assert (one.metric, one.operator, one.bound, one.against) == read
    assert parse(one.text) == one


def test_a_list_is_what_stands_in_its_brackets_and_nothing_is_expected_twice():
    assert split("[a < 1, 'b == 2' ,\"c > 3\"]") == ["a < 1", "b == 2", "c > 3"]
    assert split("a < 1") == ["a < 1"]
    for wrong in ("[a < 1", "[a < 1],[a < 2]"):
        with pytest.raises(ExpectationError, match="one list"):
            split(wrong)
    with pytest.raises(ExpectationError, match="twice"):
        parse_all(["[dropped == 0, dropped==0]"])


def test_a_value_is_held_against_its_bound_as_k6_does(tmp_path):
    """k6 v0.4x, metrics/thresholds.go: the sink's one number by the operator, strict ones strictly."""
    at = {"<": False, "<=": True, ">": False, ">=": True, "==": True}
    found = outcomes(run(tmp_path), *(f"latency_p99_ms {operator} 100" for operator in at))
    assert [word for word, _, _ in found.values()] == ["met" if is_met else "not met" for is_met in at.values()]
    assert {value for _, value, _ in found.values()} == {100.0}


def test_failing_does_not_buy_a_latency_and_what_it_can_buy_says_so(tmp_path):
    found = outcomes(
        run(tmp_path, 0.1, failed=20), "latency_p50_ms < 200", "latency_p99_ms < 200", "latency_mean_ms < 200",
        "latency_served_p99_ms < 200", "error_rate < 0.3",
    )  # fmt: skip
    assert found["latency_p50_ms < 200"][:2] == ("met", 100.0)
    word, value, reason = found["latency_p99_ms < 200"]
    assert (word, value) == ("not met", None) and "requests that were not served, beyond 100 ms" in reason
    assert found["latency_mean_ms < 200"][0] == "not met"
    word, _, reason = found["latency_served_p99_ms < 200"]
    assert word == "met" and "20 of 80 failed" in reason
    assert found["error_rate < 0.3"][:2] == ("met", 0.25)


def test_what_an_invalid_run_shows_is_not_met_and_what_is_undefined_neither(tmp_path):
    spoilt = run(tmp_path / "spoilt", generator=[{"stopped": "interrupted"}])
    word, value, reason = outcomes(spoilt, "latency_p99_ms < 5000")["latency_p99_ms < 5000"]
    assert (word, value) == ("not met", None) and reason.startswith("the run is not valid: ")
    fine = outcomes(run(tmp_path / "fine"), "latency_p999_ms < 5000", "share_r9 > 0", "detection_s < 9")
    assert [(word, reason) for word, _, reason in fine.values()] == [
        ("not met", "there are too few requests for it"),
        ("not met", "there is no such value"),
        ("not met", "it is undefined"),
    ]


@pytest.mark.parametrize(
    ("trial", "text", "interval", "outcome"),
    [
        # By intention to treat, as in the abstracts.
        ("ROCKET AF, NEJM 365 (2011) 883: hazard ratio 0.88, margin 1.46", "<= 1.46 x", (0.74, 1.03), "met"),
        ("RE-LY, NEJM 361 (2009) 1139, 110 mg: relative risk 0.91, margin 1.46", "<= 1.46 x", (0.74, 1.11), "met"),
        ("the same is not superior", "< 1 x", (0.74, 1.11), "cannot be said"),
        ("RE-LY, 150 mg: 0.66, superior", "< 1 x", (0.53, 0.82), "met"),
        ("van Gogh PE, NEJM 357 (2007) 1094: odds ratio 2.14, margin 2", "<= 2 x", (1.21, 3.78), "cannot be said"),
        ("the same is worse than its reference", "<= 1 x", (1.21, 3.78), "not met"),
    ],
)
def test_a_bound_on_a_ratio_is_decided_as_non_inferiority_trials_are(trial, text, interval, outcome):
    assert decide(parse(f"latency_p99_ms {text} reference"), *interval) == outcome


@pytest.mark.parametrize(
    ("text", "interval", "outcome"),
    [
        # SPORTIF V, JAMA 293 (2005) 690: +0.45 % a year [-0.13, 1.03], margin 2
        ("error_rate <= reference + 0.02", (-0.0013, 0.0103), "met"),
        ("error_rate <= reference", (-0.0013, 0.0103), "cannot be said"),
        ("served_share >= reference - 0.01", (-0.02, 0.03), "cannot be said"),
        ("served_share >= reference - 0.01", (-0.005, 0.03), "met"),
        ("served_share >= reference - 0.01", (-0.03, -0.02), "not met"),
        ("error_rate < reference + 0.01", (0.0, 0.01), "cannot be said"),
        ("error_rate <= reference + 0.01", (0.0, 0.01), "met"),
        ("error_rate <= reference + 0.01", (None, None), "cannot be said"),
        ("error_rate <= reference + 0.01", (0.02, None), "not met"),
    ],
)
def test_a_bound_on_a_difference_is_met_only_where_the_whole_interval_keeps_it(text, interval, outcome):
    assert decide(parse(text), *interval) == outcome


def sweep(folder, reference, arm):
    """Seed by seed, the reference first; latencies in seconds."""
    for seed, both in enumerate(zip(reference, arm, strict=True)):
        run(folder / str(2 * seed), both[0], seed=seed, config=NAMES)
        run(folder / str(2 * seed + 1), both[1], seed=seed)
    return folder


def test_an_arm_is_judged_over_its_seeds_and_by_the_interval_of_the_comparison(tmp_path, capsys):
    sweep(tmp_path, [0.1, 0.11, 0.12], [0.103, 0.113, 0.1237])
    asked = ["latency_p99_ms < 115", "failed_requests == 0"]
    bounds = {"1.05 x reference": "met", "1.02 x reference": "not met", "1.031 x reference": "cannot be said"}
    expected = ", ".join([*asked, *(f"latency_p99_ms <= {bound}" for bound in bounds)])
    assert main([str(tmp_path), "--expect", f"[{expected}]"]) == 4
    written = json.loads((tmp_path / "expectations.json").read_text())
    found = {(one["arm"], one["expectation"]): one for one in written}
    assert len(found) == len(written) == 2 * 2 + 3
    reference = found["policy=round_robin", "latency_p99_ms < 115"]
    assert reference["outcome"] == "met" and reference["value"] == pytest.approx(1e3 * (0.1 * 0.11 * 0.12) ** (1 / 3))
    assert reference["low"] < 100 and reference["high"] > 115 and "other runs may say otherwise" in reference["reason"]
    row = next(
        row for row in json.loads((tmp_path / "comparison.json").read_text()) if row["metric"] == "latency_p99_ms"
    )
    for bound, outcome in bounds.items():
        one = found["policy=peak_ewma", f"latency_p99_ms <= {bound}"]
        assert (one["outcome"], one["low"], one["high"]) == (outcome, row["low"], row["high"])
    printed = capsys.readouterr().out
    assert "EXPECTED: 5 of 7 met, 1 not met, 1 cannot be said." in printed
    assert main([str(tmp_path), "--expect", asked[0], "--expect", asked[1]]) == 0


def test_too_few_runs_never_pass_for_good_ones(tmp_path):
    sweep(tmp_path, [0.1], [0.05])
    assert main([str(tmp_path), "--expect", "latency_p99_ms <= 2 x reference"]) == 4
    (one,) = json.loads((tmp_path / "expectations.json").read_text())
    assert (one["outcome"], one["reason"]) == ("cannot be said", "one pair shows no spread")
    assert one["value"] == pytest.approx(0.5)


def test_one_arm_is_judged_without_a_comparison_but_has_no_reference(tmp_path):
    run(tmp_path / "0")
    assert main([str(tmp_path), "--expect", "latency_p99_ms <= 100"]) == 0
    assert not (tmp_path / "comparison.json").exists()
    assert main([str(tmp_path), "--expect", "latency_p99_ms <= 1.05 x reference"]) == 4
    (one,) = json.loads((tmp_path / "expectations.json").read_text())
    assert (one["outcome"], one["reason"]) == ("cannot be said", "there is no arm with a reference")
    assert main([str(tmp_path), "--expect", "latency_p9_ms < 1"]) == 2


def test_a_count_is_the_mean_over_the_runs_so_that_a_bound_means_the_same_for_one_and_for_many(tmp_path):
    folders = [run(tmp_path / str(seed), seed=seed, failed=failed) for seed, failed in enumerate((0, 4, 2))]
    measured = [(numbers.run, numbers.metrics) for numbers in map(in_numbers, folders)]
    (arm,) = arms_of(measured)
    found = of_arm("failed_requests", arm)
    assert found.interval.mean == 2.0 and found.interval.low < 2 < found.interval.high
    one = of_metrics("failed_requests", [measured[1][1]])
    assert (one.interval.mean, one.interval.low, one.about) == (4.0, None, "run")


SUITE = {"name", "tests", "failures", "errors"}
XSD = {
    # element: attributes it must have, those it may have, children in any order
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        SUITE,
        SUITE | {"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"},
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
    ),
    "testcase": (
        {"name"}, {"name", "time", "classname", "group"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "failure": (set(), {"type", "message"}, set()),
    "error": (set(), {"type", "message"}, set()),
    "system-out": (set(), set(), set()),
}  # fmt: skip
"""What of junit-10.xsd, the schema of Jenkins' xUnit plugin, concerns the elements written here."""


def check_schema(element):
    must, may, children = XSD[element.tag]
    assert must <= set(element.keys()) <= may
    for child in element:
        assert child.tag in children
        check_schema(child)


def as_jenkins(text):
    """Class and name of each test with how Jenkins counts it (CaseResult: an error or a failure is a failed test)."""
    top = ElementTree.fromstring(text)
    check_schema(top)
    cases = {(case.get("classname"), case.get("name")): case for case in top.iter("testcase")}
    assert len(cases) == len(list(top.iter("testcase")))  # GitLab leaves out a second one of the same name
    kinds = {key: next((c.tag for c in case if c.tag in ("failure", "error")), "passed") for key, case in cases.items()}
    for suite in [top, *top.iter("testsuite")]:
        own = [next((c.tag for c in case if c.tag in ("failure", "error")), "") for case in suite.iter("testcase")]
        counted = [int(suite.get(name)) for name in ("tests", "failures", "errors")]
        assert counted == [len(own), own.count("failure"), own.count("error")]
    for case in cases.values():
        assert all(child.text for child in case)  # GitLab shows the content, not the message
    return kinds


def test_pipelines_read_the_outcomes_as_tests(tmp_path):
    sweep(tmp_path, [0.1, 0.11, 0.12], [0.103, 0.113, 0.1237])
    expected = "[failed_requests == 0, latency_p99_ms < 115, latency_p99_ms <= 1.031 x reference]"
    assert main([str(tmp_path), "--expect", expected]) == 4
    text = (tmp_path / "junit.xml").read_text()
    assert as_jenkins(text) == {
        ("routed.policy=round_robin", "failed_requests == 0"): "passed",
        ("routed.policy=round_robin", "latency_p99_ms < 115"): "passed",
        ("routed.policy=peak_ewma", "failed_requests == 0"): "passed",
        ("routed.policy=peak_ewma", "latency_p99_ms < 115"): "passed",
        ("routed.policy=peak_ewma", "latency_p99_ms <= 1.031 x reference"): "error",
    }
    assert 'timestamp="2026-01-01T00:01:00"' in text


def test_what_xml_does_not_allow_is_not_written_and_dots_make_no_package(tmp_path):
    metrics = in_numbers(run(tmp_path, failed=1)).metrics
    found = hold_runs([parse("failed_requests == 0")], "a.b\x00<&\"", [metrics])
    assert as_jenkins(junit(found, "a.b\x00<&\"", None)) == {("a_b?<&\"", "failed_requests == 0"): "failure"}
