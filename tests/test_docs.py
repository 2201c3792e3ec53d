"""What README.md and docs/ name is there: every path, every module, and the floors as the linter holds them."""

import importlib.util
import re
import tomllib

import pytest

from tests.running import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MADE = (
    "services/binaries/",
    "results/",
    "analysis/metrics.json",
    "analysis/summary.png",
    "mlruns/",
    "monitoring/generated/",
)
"""What runs make."""
PATH = re.compile(r"`((?:\.ci|analysis|conf|docs|experiments|monitoring|record|services|tests)/[^\s`]*)`")
MODULE = re.compile(r"python -m ((?:analysis|experiments|services)[\w.]*\w)")


def ids(page):
    return page.name


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_path_that_is_named_exists(page):
    named = {path for path in PATH.findall(page.read_text()) if "<" not in path and not path.startswith(MADE)}
    named = {path for path in named if "/mine." not in path}  # the reader's own
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_linked_file_exists(page):
    linked = {target.split("#")[0] for target in re.findall(r"\]\(((?!https?:)[^)\s]+)\)", page.read_text())}
    assert sorted(target for target in linked if target and not (page.parent / target).exists()) == []


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_module_that_is_to_be_run_exists(page):
    for name in sorted(set(MODULE.findall(page.read_text()))):
        spec = importlib.util.find_spec(name)
        assert spec is not None, name
        if spec.submodule_search_locations is not None:
            assert importlib.util.find_spec(f"{name}.__main__") is not None, name


def test_something_is_looked_at():
    text = "".join(page.read_text() for page in PAGES)
    assert len(PATH.findall(text)) > 50 and len(set(MODULE.findall(text))) > 8


def test_the_floors_that_are_drawn_are_those_that_the_linter_holds():
    text = (ROOT / "docs" / "development.md").read_text()
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    held = {contract["containers"][0]: contract["layers"] for contract in contracts if "containers" in contract}
    assert held.keys() == {"experiments", "analysis", "services"}
    for package, layers in held.items():
        drawing = re.search(rf"^`{package}`.*?\n\n```\n(.*?)```", text, re.MULTILINE | re.DOTALL)
        assert drawing is not None, package
        assert [line.strip() for line in drawing[1].splitlines()] == [layer.strip("()") for layer in layers]


def test_every_document_that_the_code_refers_to_exists():
    files = [
        file for package in ("services", "record", "experiments", "analysis") for file in (ROOT / package).rglob("*.py")
    ]
    named = {name for file in files for name in re.findall(r"\bdocs/\w+\.md|\b[A-Z]{5,}\.md", file.read_text())}
    assert "docs/results.md" in named
    assert sorted(name for name in named if not (ROOT / name).exists()) == []
