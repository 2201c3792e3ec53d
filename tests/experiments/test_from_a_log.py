"""docs/from_a_log.md: its commands, typed as they stand there, say what it says."""

import re
import shlex
import subprocess
import sys

import pytest

from tests.running import AT_MOST_S, ROOT

PAGE = (ROOT / "docs" / "from_a_log.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line)[1:]
    for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.S)
    for line in block.replace("\\\n", " ").splitlines()
]


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What each command said, by its module."""
    folder = tmp_path_factory.mktemp("log")
    said = {}
    for command in COMMANDS:
        typed = [re.sub(r"results/", f"{folder}/", word) for word in command]
        done = subprocess.run([sys.executable, *typed], cwd=ROOT, capture_output=True, text=True, timeout=AT_MOST_S, check=False)
        assert done.returncode == 0, done.stderr
        said[command[1]] = done.stdout + done.stderr
    return said


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_the_commands_of_the_page_print_stands_on_it(printed):
    assert list(printed) == [f"experiments.{name}" for name in ("import_log", "fit", "what_if", "run", "export")]
    for block in re.findall(r"```\n(.*?)```", re.sub(r"```sh\n.*?```", "", PAGE, flags=re.S), flags=re.S):
        for line in block.splitlines():
            assert line in printed["experiments.import_log"] + printed["experiments.fit"]
    rows = [line for line in PAGE.splitlines() if line.startswith("| policy=")]
    assert rows and all(row in printed["experiments.what_if"] for row in rows)
    assert "least_conn;" in printed["experiments.export"]
