"""What the services say in their logs: one line an event, as text or JSON, bounded, and the access log on demand."""

import asyncio
import json
import logging
import os
import re
import subprocess
import sys
from argparse import Namespace
from datetime import datetime
from types import SimpleNamespace

import pytest
import yaml

from services import journal
from services.manager import containers
from services.router.events import KINDS
from tests.running import AT_MOST_S, ROOT
from tests.services.live import JSON, backend, client, eventually, router, until

HEAD = re.compile(r"(\S+Z) (debug|info|warning|error) (router|replica|manager) ([a-z_]+)( |$)")
PAIR = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|\{.*?\}(?= |$)|[^ "{]\S*)(?: |$)')
NASTY = ["", "two words", 'a "quote"', "two\nlines", "\x1b[31mred", "a=b", "\u2028", "\ud800", "c:\\d\\"]


def parsed(line):
    """A line of text: time, level, service, event, and its fields; all of it must be accounted for."""
    head = HEAD.match(line)
    assert head is not None, line
    rest, fields = line[head.end() :], {}
    while rest:
        pair = PAIR.match(rest)
        assert pair is not None, rest
        fields[pair[1]] = json.loads(pair[2]) if pair[2][0] in '"{' else pair[2]
        rest = rest[pair.end() :]
    return (*head.groups()[:4], fields)


def record(event, **fields):
    made = logging.LogRecord("aegis.events", logging.INFO, "", 0, event, (), None)
    made.event, made.fields = event, fields
    return made


@pytest.mark.parametrize("value", NASTY)
def test_no_value_breaks_a_line_in_two_or_passes_for_another_field(value):
    made = record("ejected", reason=value, replica="r1")
    text = journal.Text("router", {}).format(made)
    assert text.isascii() and text.isprintable()
    assert parsed(text)[3:] == ("ejected", {"reason": value, "replica": "r1"})
    line = journal.Json("router", {}).format(made)
    assert line.isascii() and line.isprintable()
    found = json.loads(line)
    assert (found["event"], found["reason"], found["replica"]) == ("ejected", value, "r1")
    assert datetime.fromisoformat(found["ts"]).utcoffset().total_seconds() == 0


def test_a_librarys_message_and_its_traceback_are_one_line_too():
    try:
        raise ValueError("of no use")
    except ValueError:
        made = logging.LogRecord("asyncio", logging.ERROR, "", 0, "task %s", ("failed",), sys.exc_info())
    line = journal.Text("manager", {}).format(made)
    _, level, _, event, fields = parsed(line)
    assert (level, event, fields["logger"], fields["text"]) == ("error", "message", "asyncio", "task failed")
    assert fields["traceback"].startswith("Traceback") and fields["traceback"].endswith("ValueError: of no use")


def strict(line):
    """JSON as RFC 8259 has it."""

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(line, parse_constant=refuse)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"slow": float("inf")}, {"slow": "inf"}),
        ([1.23456, (float("nan"), None)], [1.235, ["nan", None]]),
        ({("r", 1): True}, {"('r', 1)": True}),
        ([1 << 5000], ["a number of 5001 bits"]),
        ([[[[["deep"]]]]], [[[["..."]]]]),
    ],
)
def test_a_field_is_json_however_deep_it_is(value, shown):
    made = record("faults_set", faults=value)
    assert strict(journal.Json("replica", {}).format(made))["faults"] == shown
    assert "faults=" in journal.Text("replica", {}).format(made)


def test_no_list_or_mapping_makes_a_line_without_end():
    around: list = []
    around.append(around)
    for value in (list(range(10_000)), {f"r{n}": "x" * 300 for n in range(100)}, {"x" * 9000: 1}, ["y" * 9000] * 9, around):
        made = record("scaled", replicas=value)
        for style in (journal.Json, journal.Text):
            assert len(style("manager", {}).format(made)) < 2 * journal.MAX_TEXT_CHARACTERS
    few = strict(journal.Json("manager", {}).format(record("scaled", replicas=list(range(102)))))["replicas"]
    assert few == [*range(100), "... 2 more"]


def test_no_field_passes_for_the_lines_own():
    made = record("ejected")
    made.fields = {"event": "ready", "ts": 0, "level": "debug", "service": "x"}
    told = strict(journal.Json("router", {}).format(made))
    assert (told["event"], told["level"], told["service"]) == ("ejected", "info", "router")
    assert (told["event_"], told["ts_"], told["level_"], told["service_"]) == ("ready", 0, "debug", "x")


class Written:
    """Where a handler under test writes."""

    def __init__(self):
        self.lines = []

    def write(self, text):
        self.lines += text.splitlines()

    def flush(self):
        pass


@pytest.fixture
def bounded():
    """A handler and what it has written, and a clock to turn."""
    clock = SimpleNamespace(now=100.0)
    handler, written = journal.Bounded(lambda: clock.now), Written()
    handler.setStream(written)
    handler.setFormatter(journal.Json("router", {}))
    return handler, lambda: [json.loads(line) for line in written.lines], clock


def test_a_storm_of_one_kind_is_bounded_hides_no_other_and_says_how_much_is_missing(bounded):
    handler, lines, clock = bounded
    for number in range(100_000):  # a hundred seconds of a thousand ejections each
        clock.now += 0.001
        handler.emit(record("ejected", replica=f"r{number}"))
    handler.emit(record("scaled"))
    handler.tell_left_out()
    events = [line["event"] for line in lines()]
    assert events.count("ejected") <= journal.BURST + 100 * journal.LINES_PER_S + 1
    assert events.count("ejected") > 100
    assert events[-2:] == ["scaled", "left_out"]
    missing = lines()[-1]
    assert (missing["kind"], missing["lines"]) == ("ejected", 100_000 - events.count("ejected"))
    handler.tell_left_out()
    assert len(lines()) == len(events)  # it is said once


def test_what_invents_kinds_without_end_is_bounded_too(bounded):
    handler, lines, _ = bounded
    for number in range(10_000):
        handler.emit(record(f"kind{number}"))
    assert len(lines()) <= journal.MAX_KINDS + journal.BURST


async def test_the_number_of_missing_lines_is_told_after_a_while_where_nothing_else_happens(bounded, monkeypatch):
    handler, lines, _ = bounded
    monkeypatch.setattr(journal, "TELL_LEFT_OUT_S", 0.01)
    for _ in range(30):
        handler.emit(record("ejected"))

    async def told():
        return lines()[-1]["event"] == "left_out"

    await eventually(told, "the number is told")
    assert lines()[-1]["lines"] == 10


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--log-format", "xml"], ["--log-format=xml", "text, json"]),
        (["--log-level", "loud"], ["--log-level=loud", "debug, info, warning, error"]),
        ({"AEGIS_LOG_FORMAT": "xml"}, ["AEGIS_LOG_FORMAT=xml", "text, json"]),
        ({"AEGIS_ACCESS_LOG": "yes"}, ["AEGIS_ACCESS_LOG=yes", "0 or 1"]),
    ],
)
def test_a_format_or_level_that_there_is_not_is_refused_with_the_choices(given, words):
    arguments, env = ([], given) if isinstance(given, dict) else (given, {})
    done = subprocess.run(
        [sys.executable, "-m", "services.router", "--port", "0", "--admin-port", "0", *arguments],
        cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=AT_MOST_S, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert all(word in done.stderr for word in words)


def test_the_command_line_wins_over_the_environment_and_what_a_service_starts_gets_its_choice(monkeypatch):
    monkeypatch.setenv("AEGIS_LOG_FORMAT", "json")
    monkeypatch.setenv("AEGIS_ACCESS_LOG", "0")
    none = Namespace(log_format=None, log_level=None, access_log=None)
    assert journal.wants(none) == ("json", "info", False)
    given = Namespace(log_format="text", log_level="debug", access_log=True)
    assert journal.wants(given) == ("text", "debug", True)
    assert journal.passed_on() == {"AEGIS_LOG_FORMAT": "json", "AEGIS_ACCESS_LOG": "0"}


def test_the_documentation_lists_every_event_and_no_other():
    sources = "".join(path.read_text() for path in (ROOT / "services").rglob("*.py"))
    told = set(re.findall(r"\btell\(\s*\"([a-z_]+)\"", sources)) | set(KINDS) | {"message", "left_out", "request"}
    told |= {"scaled", "recommended", "decided", "autoscaler_on", "autoscaler_off"}  # chosen where they are told
    section = (ROOT / "docs" / "monitoring.md").read_text().split("## Logs")[1].split("\n## ")[0]
    rows = [row.split("|") for row in section.splitlines() if row.startswith("|")]
    listed = {event for row in rows if len(row) == 6 for event in re.findall(r"`([a-z_]+)`", row[2])}
    also = set(re.findall(r"`([a-z_]+)`", section))
    assert told <= also and listed <= told


@pytest.mark.parametrize("file", ["docker-compose.yml", "docker-compose.tracking.yml", "docker-stack.yml"])
def test_no_containers_log_can_fill_a_disk(file):
    content = yaml.safe_load((ROOT / file).read_text())
    assert len(content["services"]) >= 2
    for name, service in content["services"].items():
        assert service["logging"] == {"driver": "json-file", "options": containers.LOG_BOUNDS}, name
        if "services." in service.get("command", ""):
            assert set(journal.VARIABLES.values()) <= set(service["environment"]), name


@pytest.fixture(scope="module")
def hurt():
    """What a router (text, with access log) and a replica (JSON) have said of a replica that failed its checks once."""

    async def story(front, replica):
        async with client() as session:
            await until(session, front.admin, "r7", "ready")
            async with session.get(f"{front.url}/work?secret=1", headers={"X-Request-Id": "a b", "X-Aegis-Demand-Ms": "1"}):
                pass
            await session.put(f"{replica.admin}/faults", json={"error": {"rate": 1, "check_rate": 1}})
            await until(session, front.admin, "r7", "ejected")
            async with session.get(f"{front.url}/work"):
                pass
            await session.delete(f"{replica.admin}/faults")
            await until(session, front.admin, "r7", "ready")

    with router("--access-log") as front:
        with backend("--id", "r7", "--router", front.admin, "--access-log", env=JSON) as replica:
            asyncio.run(story(front, replica))
            assert replica.stop() == 0
            told = replica.told()
        assert front.stop() == 0
        yield [parsed(line) for line in front.said().splitlines()], told


def test_a_router_says_who_came_went_was_ejected_and_by_what(hurt):
    lines, _ = hurt
    events = [(event, fields.get("cause")) for _, _, _, event, fields in lines if event != "request"]
    assert events == [
        ("ready", None),
        ("registered", None),
        ("readmitted", "first_check"),
        ("ejected", "health_check"),
        ("panic", None),
        ("readmitted", "health_check"),
        ("panic_over", None),
        ("draining", None),
        ("drained", None),
        ("stopping", None),
        ("stopped", None),
    ]
    level, fields = next((level, fields) for _, level, _, event, fields in lines if event == "ejected")
    assert level == "warning" and fields["replica"] == "r7" and fields["reason"] == "status 500"
    moments = [datetime.fromisoformat(line[0]) for line in lines]
    assert moments == sorted(moments)


def test_a_replica_says_its_faults_and_its_end(hurt):
    _, told = hurt
    events = [line["event"] for line in told if line["event"] != "request"]
    assert sorted(events[:2]) == ["ready", "registered"]
    assert events[2:] == ["faults_set", "faults_cleared", "draining", "stopped"]
    assert {(line["service"], line["replica"]) for line in told} == {("replica", "r7")}
    assert next(line["faults"] for line in told if line["event"] == "faults_set")["error"]["rate"] == 1


def test_an_access_log_has_a_line_a_request_without_the_query_and_without_probes(hurt):
    lines, told = hurt
    asked = [fields for _, _, _, event, fields in lines if event == "request"]
    assert [(line["method"], line["path"], line["status"]) for line in asked] == [
        ("GET", "/work", "200"),
        ("GET", "/work", "500"),  # it fails at work, too, and there is no other
    ]
    assert asked[0]["replica"] == "r7" and asked[0]["attempts"] == "1" and asked[0]["request_id"] == "a b"
    assert "secret" not in str(lines)
    served = [(line["method"], line["path"], line["status"]) for line in told if line["event"] == "request"]
    assert ("GET", "/work", 200) in served and ("PUT", "/faults", 200) in served
    assert not [line for line in served if line[1] == "/readyz" and line[2] == 200]
