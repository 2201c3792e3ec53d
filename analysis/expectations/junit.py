"""Outcomes as JUnit XML, by which Jenkins, GitLab and others show them as tests.

Held against the schema of Jenkins' xUnit plugin (junit-10.xsd): what the system did not do is a `failure`, what could
not be told (an invalid run, an interval on both sides of the bound) an `error`. GitLab groups by `classname`, shows the
elements' content, not their `message`, and leaves out a second test of the same name: an arm is a class, an expectation
a name. Neither fails a job by itself, the exit status does.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from xml.etree import ElementTree

from analysis.expectations.judging import Outcome
from analysis.expectations.words import told

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 (section 2.2) does not allow, escaped or not."""


def junit(outcomes: Sequence[Outcome], scenario: str, ended_at: datetime | None) -> str:
    """The document; one suite an arm.

    Args:
        outcomes: in the order in which they are to be shown.
        scenario: what the class names begin with.
        ended_at: when the last run ended, in UTC; None = not known.
    """
    top = ElementTree.Element("testsuites", {"name": "aegis"} | _counts(outcomes))
    for arm in dict.fromkeys(outcome.arm for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.arm == arm]
        suite = ElementTree.SubElement(top, "testsuite", {"name": _clean(arm or scenario)} | _counts(own))
        if ended_at is not None:
            suite.set("timestamp", f"{ended_at:%Y-%m-%dT%H:%M:%S}")
        for outcome in own:
            _add(suite, outcome, scenario)
    ElementTree.indent(top)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(top, encoding="unicode") + "\n"


def _add(suite: ElementTree.Element, outcome: Outcome, scenario: str) -> None:
    # A dot would be taken for that of a package.
    parts = [scenario, *([outcome.arm] if outcome.arm not in ("", scenario) else [])]
    classname = ".".join(part.replace(".", "_") for part in parts)
    case = ElementTree.SubElement(suite, "testcase", classname=_clean(classname), name=_clean(outcome.expectation))
    text = _clean(told(outcome))
    if (kind := _kind(outcome)) is None:
        ElementTree.SubElement(case, "system-out").text = text
        return
    ElementTree.SubElement(case, kind, type=outcome.outcome, message=text).text = text


def _kind(outcome: Outcome) -> str | None:
    if outcome.is_met:
        return None
    return "error" if outcome.is_invalid or outcome.outcome == "cannot be said" else "failure"


def _counts(outcomes: Sequence[Outcome]) -> dict[str, str]:
    kinds = [_kind(outcome) for outcome in outcomes]
    return {
        "tests": str(len(kinds)),
        "failures": str(kinds.count("failure")),
        "errors": str(kinds.count("error")),
    }


def _clean(text: str) -> str:
    return NOT_XML.sub("?", text)
