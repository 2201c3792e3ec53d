"""What the audit of the lock makes of the vulnerability database's answers; the database itself is not asked."""

import importlib.util

import pytest

from tests.running import ROOT

GOOD = {"name": "aiohttp", "version": "3.14", "vulns": []}
BAD = {
    "name": "jinja2",
    "version": "2.0",
    "vulns": [{"id": "CVE-1", "fix_versions": ["2.1"]}, {"id": "CVE-2", "fix_versions": []}],
}
UNKNOWN = {"name": "mine", "skip_reason": "Dependency not found"}


@pytest.fixture
def audit():
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("report", "status", "words"),
    [
        ([GOOD, UNKNOWN], 0, ["0 known", "1 packages", "1 are not known"]),
        ([GOOD, BAD], 1, ["jinja2 2.0: CVE-1, mended in 2.1", "CVE-2, not mended yet", "2 known"]),
        ([UNKNOWN], 2, ["nothing was audited"]),
        ([], 2, ["nothing was audited"]),
    ],
)
def test_findings_fail_and_a_database_that_is_away_is_told(audit, monkeypatch, capsys, report, status, words):
    monkeypatch.setattr(audit, "ask", lambda *arguments: [GOOD] if "--no-deps" in arguments else report)
    assert audit.main() == status
    said = capsys.readouterr().out
    assert all(word in said for word in words), said


def test_where_the_first_package_is_not_known_no_other_is_asked_about(audit, monkeypatch, capsys):
    asked = []

    def ask(*arguments):
        asked.append(arguments)
        return [UNKNOWN]

    monkeypatch.setattr(audit, "ask", ask)
    assert audit.main() == 2
    assert len(asked) == 1 and "--no-deps" in asked[0]
    assert capsys.readouterr().out.count("\n") == 1


def test_an_auditor_that_breaks_is_one_that_could_not_be_asked(audit, monkeypatch):
    monkeypatch.setattr(audit.sys, "executable", "/nonexistent/python")
    assert audit.ask() == []
