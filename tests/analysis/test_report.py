"""The HTML report: it says what the other outputs say, in one file in which nothing of a folder is markup."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from analysis.comparison.gathering import compare_runs, read_runs
from analysis.comparison.text import headline
from analysis.metrics.measured import in_numbers
from analysis.metrics.verdict import verdict
from analysis.pages.html import document, of_run, of_runs
from analysis.pages.html.of_runs import Reported
from analysis.pages.html.timelines import MOST, thinned
from analysis.report import main, report, reported
from tests.analysis import synthetic

pytestmark = pytest.mark.slow

EVIL = '<script>alert(1)</script>"&'
KILL = ((6.0, "kill", "r2", 3.0),)


class Read(HTMLParser):
    """Tags with their attributes, and all text but that of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.scripts, self.words, self._in = [], [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self._in = tag

    def handle_endtag(self, tag):
        self._in = ""

    def handle_data(self, data):
        if self._in == "script":
            self.scripts.append(data)
        elif self._in != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def rendered(described):
    return Read(document.render(described, "window.vegaEmbed = () => Promise.resolve();"))


def sweep(folder, names, *, pairs=3, invalid=(), expect=(), **about):
    for job in range(pairs * len(names)):
        seed, arm = divmod(job, len(names))
        stopped = "interrupted" if job in invalid else "complete"
        made = synthetic.manifest(
            seed=seed, config={"policy": {"name": names[arm]}, "expect": list(expect)}, generator=[{"stopped": stopped}], **about
        )
        latency_s = (0.1 + 0.01 * seed) / (1 + arm)
        synthetic.write(folder / str(job), synthetic.even_requests(latency_s=latency_s), about=made)
    return folder


def described(folder, unread=()):
    runs = read_runs([folder])
    (comparison,) = compare_runs(runs)
    return comparison, of_runs.describe(Reported(runs, [comparison], "", list(unread)), [folder])


def charts(page):
    return [json.loads(text) for text in page.scripts if text.lstrip().startswith("{")]


def test_a_runs_page_has_its_verdict_its_faults_its_protocol_and_the_commands(tmp_path):
    folder = synthetic.realistic(tmp_path / "failover", "failover", seed=1, duration_s=14, faults=KILL)
    measured = in_numbers(folder)
    page = rendered(of_run.describe(measured, [folder]))
    assert verdict(measured.run.manifest, measured.metrics) in page.text
    assert re.search(r"kill r2 6\.\d\d s 9\.\d\d s", page.text)
    assert "Latency counts from the moment a request was due" in page.text
    assert f"python -m experiments.replay {folder}" in page.text
    drawn = charts(page)
    assert len(drawn) >= 4 and all(chart["width"] == "container" for chart in drawn)
    spans = [value for layer in drawn[0]["layer"] for value in layer["data"]["values"] if "start" in value]
    assert {"start": 0.0, "end": measured.run.warmup_s} in spans, "no warm-up"
    assert any(span["start"] == pytest.approx(6.0, abs=0.5) for span in spans), "no fault"


def test_a_comparisons_page_says_what_the_command_line_says(tmp_path):
    comparison, told = described(sweep(tmp_path, ["round_robin", "peak_ewma"], invalid=[5]), ["7: damaged"])
    page = rendered(told)
    assert headline(comparison, comparison.pairings[0]) in page.text
    row = comparison.row("policy=peak_ewma", "latency_p99_ms")
    assert row is not None and f"x {row.ratio:.3f} [{row.low:.3f}, {row.high:.3f}]" in page.text
    assert "Left out whole: 1 pair(s)" in page.text and "Cannot be read: 7: damaged" in page.text
    assert f"Invalid: {tmp_path / '5'}" in page.text
    assert f"python -m analysis.compare {tmp_path}" in page.text


def test_of_many_arms_the_page_begins_with_the_best_and_folds_the_rest(tmp_path):
    names = ["round_robin", "random", "peak_ewma", "least_request", "other"]
    comparison, told = described(sweep(tmp_path, names, pairs=2))
    assert len(told.verdicts) == 1 and told.verdicts[0].startswith("Best: policy=other")
    page = rendered(told)
    assert page.text.count("policy=random against policy=round_robin") >= 1
    assert all(headline(comparison, pairs) in page.text for pairs in comparison.pairings)


def test_what_comes_from_a_folder_is_text_and_never_markup(tmp_path):
    folder = sweep(tmp_path / "evil", ["round_robin", EVIL], overrides=[f"policy={EVIL}"], scenario=EVIL)
    plain = rendered(described(sweep(tmp_path / "plain", ["round_robin", "peak_ewma"]))[1])
    page = rendered(described(folder)[1])
    assert page.tags == plain.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert f"policy={' '.join(EVIL.split())}" in page.text
    layers = [layer for chart in charts(page) for layer in chart["layer"]]
    names = {value.get("name") for layer in layers for value in layer.get("data", {}).get("values", [])}
    assert f"policy={EVIL}" in names


def test_a_page_loads_nothing(tmp_path):
    folder = synthetic.realistic(tmp_path / "run", "failover", seed=1, duration_s=14, faults=KILL)
    page = rendered(of_run.describe(in_numbers(folder), [folder]))
    loading = {value for name, value in page.attributes if name in ("src", "href", "action", "data", "srcset")}
    assert all(value.startswith(("#", "data:,")) for value in loading)
    (policy,) = [v for n, v in page.attributes if n == "content" and "default-src" in v]
    assert policy.startswith("default-src 'none';") and "http" not in policy


def test_every_link_within_a_page_leads_somewhere(tmp_path):
    page = rendered(described(sweep(tmp_path, ["round_robin", "peak_ewma"]))[1])
    targets = {value for name, value in page.attributes if name == "id"}
    links = {value[1:] for name, value in page.attributes if name == "href" and value.startswith("#")}
    assert links and links <= targets


def test_without_what_it_is_made_with_the_command_says_in_a_line_how_to_get_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(document, "NEEDED", ("no_such_module",))
    assert main([str(sweep(tmp_path, ["round_robin"], pairs=1))]) == 2
    assert capsys.readouterr().err == "analysis.report needs vl-convert: pip install 'aegis-bench[report]'\n"
    assert not (tmp_path / "report.html").exists()


def test_the_bundle_is_made_once_and_kept_by_version(tmp_path, monkeypatch):
    made = []

    class Fake:
        __version__ = "9.9"

        @staticmethod
        def javascript_bundle():
            made.append(1)
            return "window.vegaEmbed = 1"

    monkeypatch.setitem(__import__("sys").modules, "vl_convert", Fake)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert [document.bundle(), document.bundle()] == ["window.vegaEmbed = 1"] * 2
    assert made == [1]
    assert Path(tmp_path / "aegis" / "vega-9.9.js").exists()
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert document.bundle() == "window.vegaEmbed = 1"


def test_what_was_expected_of_arms_and_what_became_of_it_is_the_first_section(tmp_path):
    expect = ["latency_p99_ms < 80", "latency_p99_ms <= 0.9 x reference", "failed_requests == 0"]
    folder = sweep(tmp_path, ["round_robin", "peak_ewma"], expect=expect)
    runs = read_runs([folder])
    told = of_runs.describe(reported(runs, compare_runs(runs), "", []), [folder])
    page = rendered(told)
    assert told.sections[0].title == "What was expected"
    assert told.sections[0].paragraphs[0] == "EXPECTED: 4 of 5 met, 1 not met."
    rows = [row[:3] for row in told.sections[0].sheets[0].rows]
    assert ("not met", "latency_p99_ms < 80", "policy=round_robin") in rows
    assert ("met", "latency_p99_ms <= 0.9 x reference", "policy=peak_ewma") in rows
    assert "EXPECTED: 4 of 5 met" in page.text


def test_of_a_single_run_the_page_says_it_too_and_where_nothing_was_expected_it_says_nothing(tmp_path):
    about = synthetic.manifest(config={"expect": ["latency_p99_ms < 1"]})
    folder = synthetic.write(tmp_path / "run", synthetic.even_requests(latency_s=0.1), about=about)
    report([folder], tmp_path / "run.html")
    assert "EXPECTED: 0 of 1 met, 1 not met." in Read((tmp_path / "run.html").read_text()).text
    plain = synthetic.write(tmp_path / "plain", synthetic.even_requests(latency_s=0.1))
    report([plain], tmp_path / "plain.html")
    assert "EXPECTED" not in Read((tmp_path / "plain.html").read_text()).text


def test_runs_that_expect_different_things_are_not_judged_together(tmp_path):
    for number, text in enumerate(("latency_p99_ms < 80", "latency_p99_ms < 90")):
        about = synthetic.manifest(seed=number, config={"expect": [text]})
        synthetic.write(tmp_path / str(number), synthetic.even_requests(latency_s=0.1), about=about)
    told = of_runs.describe(reported(read_runs([tmp_path]), [], "one arm only", []), [tmp_path])
    assert told.sections[0].paragraphs == ["The runs do not all expect the same: see the `expectations.json` of each."]


def test_the_page_of_a_map_has_its_cells_and_what_they_come_to(tmp_path):
    config = {
        "replicas": 10,
        "replica": {"concurrency": 1, "speeds": []},
        "router": {"retry": {"max_attempts": 3}},
    }
    for number, (load, lost) in enumerate(((20, 0), (40, 40))):
        requests = synthetic.even_requests(latency_s=0.1)
        last = requests.index >= len(requests) - lost
        requests["status"] = requests["status"].mask(last, 500)
        requests["outcome"] = requests["outcome"].mask(last, "http_error")
        workload = {"rate_rps": load, "duration_s": 10, "warmup_s": 0, "demand": {"mean_ms": 100}}
        about = synthetic.manifest(seed=1, scenario="retry_storm_map", config={**config, "workload": workload})
        about["faults"] = [{"at_s": 2.0, "action": "slow", "target": "all", "for_s": 3.0, "factor": 5}]
        synthetic.write(tmp_path / str(number), requests, about=about)
    report([tmp_path], tmp_path / "report.html")
    text = Read((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "Of 2 cells the fleet comes back in 1, and not in 1" in text
    assert "is 40 requests/s; theory has the edge at 33.3." in text
    assert "load, requests/s" in text and "python -m analysis.report" in text


def test_a_map_without_a_trigger_is_refused_in_a_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(document, "NEEDED", ())
    assert main([str(sweep(tmp_path, ["a", "b"], pairs=1, scenario="retry_storm_map"))]) == 2
    assert capsys.readouterr().err.endswith("a map needs a router and a fault that ends\n")


@pytest.mark.parametrize("place", ["missing", "."])
def test_where_there_is_no_run_the_command_says_so(place, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(document, "NEEDED", ())
    assert main([str(tmp_path / place), "--output", str(tmp_path / "r.html")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_of_a_day_of_seconds_a_chart_keeps_every_peak_and_gap_in_few_points():
    day = np.ones(86_400)
    day[[7, 40_000, 86_399]], day[50_000:50_100] = (90.0, 0.0, 5.0), np.nan
    kept = thinned(day)
    assert len(kept) <= 1.1 * MOST and (np.diff(kept) > 0).all()
    assert {7, 40_000, 86_399} <= set(kept.tolist()) and np.isnan(day[kept]).any()
    assert thinned(day[:MOST]).tolist() == list(range(MOST))
