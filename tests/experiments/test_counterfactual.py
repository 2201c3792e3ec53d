"""What the router's failure handling bought in a run: simulated without it, by the run's own schedule."""

import json
from dataclasses import replace
from typing import Any

import pytest

from analysis.metrics import timeline
from analysis.metrics.counterfactual import bought, disagreement, lines
from analysis.metrics.measured import in_numbers
from analysis.pages import run_page
from analysis.pages.html import of_run
from experiments.plan.config import Config, RouterConfig
from experiments.session import Session
from experiments.simulator.counterfactual import MOST_REQUESTS, add, handling, is_asked_for
from experiments.simulator.twin import TwinError, twin
from record.counterfactual import read as read_counterfactual
from record.files import FolderError
from record.reading import read
from services.router.settings import EjectionSettings, HealthCheckSettings, RetrySettings
from tests.running import manifest, metrics, run

DEAD = [
    "+scenario=failover", "engine=sim", "tracking.enabled=false", "summary=never", "policy=round_robin",
    "faults=[{at_s: 6, action: kill, target: r2}]", "workload.duration_s=7.9", "workload.warmup_s=1",
]  # fmt: skip
"""A replica that is killed and stays away, for less than its lease can last (2 to 3 s)."""


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Folder and output of the run."""
    folder = tmp_path_factory.mktemp("killed")
    done = run(*DEAD, f"hydra.run.dir={folder}")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done


def found_in(folder):
    return json.loads((folder / "counterfactual.json").read_text())


def test_the_run_says_what_would_have_failed_and_that_none_did(killed):
    folder, done = killed
    found, about = found_in(folder), manifest(folder)
    assert {key: about[key] for key in ("run_id", "started_at", "schedule_hash")}.items() <= found.items()
    assert found["without"] == ["retries", "health checks", "passive ejection"] and found["handled"] is None
    failed, offered = (found["unhandled"]["metrics"][key] for key in ("failed_requests", "offered_requests"))
    assert metrics(folder)["failed_requests"] == 0 and offered == metrics(folder)["offered_requests"]
    text = "simulated without retries, health checks and passive ejection: "
    assert f"{text}{failed} of {offered} requests would have failed" in done.stdout
    assert sum(found["unhandled"]["unserved_per_s"]) == failed and len(found["unhandled"]["unserved_per_s"]) == 8


@pytest.mark.parametrize("count", [2, 4, 5])
def test_without_handling_round_robin_loses_the_dead_ones_share(killed, count):
    run_of = read(killed[0])
    off = {part.key: part.value for part in handling(RouterConfig())}
    # Of two the other one has more than it can do: who is refused for that is not lost to the dead one.
    without = twin(run_of, {**off, "replicas": count, "router.limits.standing_share": 0}).run.requests
    after = without[without["phase"] == "fault"]
    failed = int((after["outcome"] != "ok").sum())
    assert len(after) > 100 and abs(failed - len(after) / count) <= 1  # a round that is begun
    assert (after["attempts"].dropna() == 1).all()


def test_what_is_typed_gives_the_same_numbers(killed, tmp_path):
    found = found_in(killed[0])
    done = run(*DEAD, *found["overrides"], "counterfactual=always", f"hydra.run.dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert metrics(tmp_path) == found["unhandled"]["metrics"]
    assert not (tmp_path / "counterfactual.json").exists()
    assert "retries, health checks and passive ejection are switched off already" in done.stderr


def test_a_twin_of_the_run_as_it_was_is_the_run(killed):
    run_of = read(killed[0])
    same = twin(run_of).run.requests
    columns = ["request_id", "scheduled_s", "completed_s", "outcome", "replica", "attempts", "phase"]
    assert same[columns].astype("object").equals(run_of.requests[columns].astype("object"))


def test_the_twin_of_a_live_run_passes_over_what_only_a_live_one_has(killed):
    run_of = read(killed[0])
    config = run_of.manifest["config"]
    config = config | {
        "engine": {"name": "local"},
        "load": config["load"] | {"fit": True, "remote_workers": 2},
        "workload": config["workload"] | {"utilisation": 0.1},  # `load.fit` had lowered the rate
    }
    live = replace(run_of, manifest=run_of.manifest | {"config": config})
    assert twin(live).metrics["offered_requests"] == metrics(killed[0])["offered_requests"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"replica.kind": "cpu"}, "replica.kind=cpu: must be sleep"),
        ({"workload.rate_rps": 10}, "another schedule"),
        ({"faults": []}, "other faults"),
    ],
)
def test_what_has_no_twin_says_so_in_one_line(killed, changes, words):
    with pytest.raises(TwinError, match=words) as told:
        twin(read(killed[0]), changes)
    assert "\n" not in str(told.value)


def test_a_run_that_cannot_be_simulated_warns_and_is_none_the_worse(tmp_path):
    done = run(
        "+scenario=baseline", *DEAD[1:4], "faults=[{at_s: 2, action: slow, target: r1}]", "workload.duration_s=6",
        "workload.warmup_s=1", "counterfactual=always", f"hydra.run.dir={tmp_path}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == (
        "warning: not simulated without the router's failure handling: "
        "router=none has no failure handling to be simulated without"
    )
    assert not (tmp_path / "counterfactual.json").exists()


OFF = RouterConfig(
    retry=RetrySettings(max_attempts=1),
    health=HealthCheckSettings(enabled=False),
    ejection=EjectionSettings(enabled=False),
)


@pytest.mark.parametrize(
    ("config", "asked", "wanted"),
    [
        ({}, {}, True),
        ({}, {"has_faults": False}, False),
        ({}, {"is_single": False}, False),
        ({}, {"requests": MOST_REQUESTS + 1}, False),
        ({"router": None}, {}, False),
        ({"router": OFF}, {}, False),
        ({"counterfactual": "never"}, {}, False),
        ({"counterfactual": "always"}, {"is_single": False, "requests": MOST_REQUESTS + 1}, True),
        ({"counterfactual": "always"}, {"has_faults": False}, False),
    ],
)
def test_who_gets_one(config, asked, wanted):
    asked = {"has_faults": True, "is_single": True, "requests": 100} | asked
    assert is_asked_for(Config(**config), **asked) is wanted


def test_the_file_of_another_run_is_passed_over_and_a_damaged_one_is_named(killed, tmp_path):
    folder, _ = killed
    path = tmp_path / "counterfactual.json"
    path.write_text(json.dumps(found_in(folder) | {"started_at": "2020-01-01T00:00:00+00:00"}))
    assert read_counterfactual(tmp_path, manifest(folder)) is None
    assert bought(tmp_path, manifest(folder), metrics(folder)) == []
    path.write_text(json.dumps(found_in(folder) | {"unhandled": None}))
    with pytest.raises(FolderError, match=r"counterfactual\.json: unhandled=None"):
        read_counterfactual(tmp_path, manifest(folder))


def test_the_page_has_its_panels_only_where_there_is_one(killed, tmp_path, monkeypatch):
    folder, _ = killed
    run_of = read(folder)
    seconds, figures = timeline.build(run_of), []
    monkeypatch.setattr(run_page, "save", lambda fig, path: figures.append(fig))
    for place in (folder, tmp_path):
        run_page.draw(replace(run_of, folder=place), seconds, metrics(folder), tmp_path / "page.png")
    with_it, without_it = ([axes.get_title("left") for axes in fig.axes] for fig in figures)
    added = [title for title in with_it if title not in without_it]
    assert added == [
        "The same run without retries, health checks and passive ejection (simulated)",
        "What the failure handling bought",
    ]


def test_the_report_says_it_too(killed):
    folder, done = killed
    told = of_run.describe(in_numbers(folder), [folder])
    (section,) = [one for one in told.sections if one.title == "What the failure handling bought"]
    assert section.paragraphs[0].removesuffix(".")[1:] in done.stdout
    assert section.sheets[0].columns == ("what", "simulated", "simulated without")


def measured(**other):
    found = {
        "valid": True, "failed_requests": 0, "offered_requests": 1000, "error_rate": 0.0, "latency_p50_ms": 50.0,
        "latency_p99_ms": 200.0, "latency_p99_beyond_ms": None, "detected_by": None, "detection_s": None,
    }  # fmt: skip
    return found | other


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({}, None),
        ({"latency_p99_ms": 240.0, "error_rate": 0.004}, None),
        ({"latency_p99_ms": 260.0}, "p99 is +30 % off"),
        ({"latency_p99_ms": 150.0}, "p99 is -25 % off"),
        ({"latency_p99_ms": None}, "p99 lies among requests that were not served in one of the two"),
        ({"error_rate": 0.02}, "failed requests are +2.0 points off"),
    ],
)
def test_a_simulator_that_is_off_is_said_to_be(other, words):
    handled = measured(**other)
    assert disagreement(handled, measured()) == words
    found: Any = {"without": ["retries"], "handled": {"metrics": handled}, "unhandled": {"metrics": measured()}}
    _, told = lines(found, measured())
    assert ("the simulator agrees" in told) is (words is None)
    assert words is None or f"does not agree ({words}): do not rely on it here" in told
    assert "cannot vouch" in lines(found, measured(valid=False))[1]


def test_figures_of_a_simulated_run_that_is_not_valid_are_told_with_the_reason():
    bad = measured(valid=False, invalid_reasons=["90.0 % of the requests were sent"])
    doubt = " (this simulated run is not valid: 90.0 % of the requests were sent)"
    found: Any = {"without": ["retries"], "handled": {"metrics": measured()}, "unhandled": {"metrics": measured()}}
    assert not any("not valid" in line for line in lines(found, measured()))
    found["unhandled"]["metrics"] = bad
    assert [doubt in line for line in lines(found, measured())] == [True, False]
    found["handled"]["metrics"] = bad
    assert [doubt in line for line in lines(found, measured())] == [True, True]
    found["handled"] = None
    assert doubt in lines(found, measured())[0]


def test_whatever_becomes_of_it_the_run_has_its_own_results(tmp_path, monkeypatch, capsys):
    def breaks(folder):
        raise ZeroDivisionError("float division\nby zero")

    monkeypatch.setattr("experiments.simulator.counterfactual.add", breaks)
    session = Session.__new__(Session)
    session.folder = tmp_path
    session._add_counterfactual()
    assert capsys.readouterr().err == (
        "warning: not simulated without the router's failure handling: ZeroDivisionError: float division\n"
    )


def test_a_run_whose_file_is_not_written_yet_gets_it(killed, tmp_path):
    assert add(killed[0])["unhandled"] == found_in(killed[0])["unhandled"]
