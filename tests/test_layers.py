"""Who may know whom: record knows nobody, the services know only themselves, and analysis only record."""

import ast

import pytest

from tests.running import ROOT

FORBIDDEN = {
    "record": {"services", "experiments", "analysis"},
    "services": {"record", "experiments", "analysis"},
    "analysis": {"experiments", "services"},
}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("package", FORBIDDEN)
def test_a_package_imports_nothing_that_it_must_not_know(package):
    files = sorted((ROOT / package).rglob("*.py"))
    assert len(files) > 5
    wrong = [(file.name, name) for file in files for name in imported(file) if name.split(".")[0] in FORBIDDEN[package]]
    assert not wrong
