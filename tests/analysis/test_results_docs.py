import json
import re
from pathlib import Path

import pandas as pd
import pytest

from analysis.metrics.validity import LIMITS
from analysis.summary import summarise
from experiments.plan.config import ValidityConfig
from record.schema import CPU_ROLES
from tests.analysis import synthetic

DOCS = Path(__file__).resolve().parents[2] / "docs" / "results.md"
PATTERNS = {
    "<phase>": "(steady|fault|recovery)",
    "<outcome>": "(http_error|timeout|refused|reset|dropped)",
    "<role>": f"({'|'.join(CPU_ROLES)})",
    "<shard>": r"(\d+)",
    "<replica>": r"(.+)",
    "<reason>": r"(.+)",
}


def documented(section):
    """The names in backquotes of the first column of a section's tables."""
    text = re.split(r"^## ", DOCS.read_text(), flags=re.M)
    body = next(part for part in text if part.startswith(section))
    cells = [line.split("|")[1] for line in body.splitlines() if line.startswith("|")]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def as_regex(name):
    for word, expression in PATTERNS.items():
        name = name.replace(word, expression)
    return re.compile(name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = synthetic.realistic(
        tmp_path_factory.mktemp("run"), "failover", duration_s=12, faults=((5.0, "kill", "r2", 3.0),)
    )
    summarise(made)
    return made


def check(names, actual):
    expressions = {name: as_regex(name) for name in names}
    assert len(names) == len(set(names))
    for key in actual:
        assert [n for n, e in expressions.items() if e.fullmatch(key)], f"{key} is not in docs/results.md"
    for name, expression in expressions.items():
        assert any(expression.fullmatch(key) for key in actual), f"docs/results.md defines {name}, which is not there"


def test_every_metric_is_documented_and_every_documented_metric_is_there(folder):
    check(documented("metrics.json"), json.loads((folder / "metrics.json").read_text()))


def test_every_limit_of_validity_is_documented_with_its_default_and_is_a_key_of_the_configuration():
    text = (DOCS.parent / "validity.md").read_text()
    for name, default in LIMITS.items():
        assert f"`validity.{name}={default:g}`" in text
    assert vars(ValidityConfig()) == LIMITS


@pytest.mark.parametrize("name", ["requests.parquet", "schedule.parquet", "timeline.parquet"])
def test_every_column_is_documented_and_every_documented_column_is_there(folder, name):
    check(documented(name), pd.read_parquet(folder / name).columns)


def test_every_file_of_a_run_is_documented(folder):
    text = DOCS.read_text()
    for path in folder.iterdir():
        assert f"| `{path.name}` |" in text
