"""The command `aegis`: one name for every command, and nothing in the way of them."""

import os
import shutil
import subprocess
import sys

import pytest

from experiments.aegis import COMMANDS, unknown
from record import __version__
from tests.running import AT_MOST_S, ROOT

PACKAGES = ("services", "record", "experiments", "analysis")
NO_COMMANDS = {"experiments.aegis", "experiments.session", "experiments.relay"}
"""At the top of a package: the list itself, what its commands call, and a process that runs start."""


def aegis(*arguments, code=None, cwd=ROOT, env=None):
    command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "experiments.aegis", *arguments]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=AT_MOST_S, check=False, env={**os.environ, **(env or {})}
    )


def test_whatever_lies_at_the_top_of_experiments_and_analysis_is_a_command():
    files = {
        f"{package}.{path.stem}"
        for package in ("experiments", "analysis")
        for path in (ROOT / package).glob("*.py")
        if path.stem != "__init__"
    }
    folders = {
        ".".join(path.relative_to(ROOT).parts[:-1])
        for package in PACKAGES
        for path in (ROOT / package).rglob("__main__.py")
    }
    assert {command.package for command in COMMANDS.values()} == (files | folders) - NO_COMMANDS


def test_a_command_is_called_as_its_module():
    named = {name: command.package.rpartition(".")[2].replace("_", "-") for name, command in COMMANDS.items()}
    others = {"sweep": "run", "import": "import-log"}  # `import` is a word of Python's own
    assert named == {name: others.get(name, name) for name in COMMANDS}


def test_version_and_help_come_at_once_without_numpy_or_hydra():
    code = (
        "import sys; from experiments.aegis import main; sys.argv = ['aegis', {!r}]; status = main();"
        "heavy = {{'numpy', 'pandas', 'hydra', 'matplotlib', 'aiohttp'}} & set(sys.modules); sys.exit(str(heavy) if heavy else status)"
    )
    version = aegis(code=code.format("--version"))
    assert (version.returncode, version.stdout.split()) == (0, ["aegis", __version__])
    told = aegis(code=code.format("--help"))
    assert told.returncode == 0
    for word in ("aegis run +scenario=failover engine=sim", "-m (", "Exit status\n  0", "aegis keys [WORD]", *COMMANDS):
        assert word in told.stdout


def test_only_the_chosen_module_is_imported():
    code = (
        "import sys; from experiments.aegis import main; sys.argv = ['aegis', 'boards', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([name for name in sys.modules if name in ('experiments.run', 'services.router', 'analysis.compare')])"
    )
    assert aegis(code=code).stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("typed, meant", [("rnu", "run"), ("compere", "compare"), ("load_worker", "load-worker")])
def test_an_unknown_command_is_answered_with_the_nearest_in_one_line(typed, meant):
    done = aegis(typed)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"aegis {typed}: no such command; did you mean `aegis {meant}`?\n"


def test_a_command_like_no_other_is_sent_to_the_help():
    assert unknown("xyzzy") == "aegis xyzzy: no such command; see `aegis --help`"


@pytest.mark.parametrize(
    "arguments, status, said",
    [
        (["run"], 2, "no scenario"),
        (["run", "+scenario=routed", "replicas=0"], 2, "replicas=0"),
        (["sweep", "+scenario=routed", "engine=sim", "replicas=1,0"], 2, "replicas=0"),
        (["compare", "/nowhere"], 2, "/nowhere"),
    ],
)
def test_the_exit_status_of_a_command_is_that_of_its_module(arguments, status, said):
    done = aegis(*arguments)
    module = COMMANDS[arguments[0]]
    plain = subprocess.run(
        [sys.executable, "-m", module.package, *module.first, *arguments[1:]],
        cwd=ROOT, capture_output=True, text=True, timeout=AT_MOST_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (plain.returncode, plain.stderr)
    assert done.returncode == status and said in done.stderr


def test_what_an_extra_brings_is_named_where_it_is_missing(tmp_path):
    for name in ("locust", "gevent", "geventhttpclient", "mlflow", "dvc"):  # as if they were not installed
        (tmp_path / "sitecustomize.py").open("a").write(f"import sys; sys.modules[{name!r}] = None\n")
    env = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    for arguments, extra in (
        (["load-worker", "--master", "127.0.0.1:1"], "Locust: pip install 'aegis-bench[load]'"),
        (["tracking", "results"], "MLflow: pip install 'aegis-bench[tracking]'"),
        (["run", "+scenario=routed"], "Locust: pip install 'aegis-bench[load]'; engine=sim does without"),
    ):
        done = aegis(*arguments, env=env)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1 and f"needs {extra}" in done.stderr
    short = ["+scenario=routed", "engine=sim", "workload.duration_s=8", "workload.warmup_s=2"]
    quiet = aegis("run", *short, f"hydra.run.dir={tmp_path}/quiet", env=env)
    assert (quiet.returncode, quiet.stderr) == (0, "")
    asked = aegis("run", *short, "tracking.enabled=true", f"hydra.run.dir={tmp_path}/asked", env=env)
    assert asked.returncode == 0
    assert "not logged to MLflow (needs MLflow: pip install 'aegis-bench[tracking]')" in asked.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    "typed, proposed",
    [
        ("aegis comp", {"compare", "compare-urls", "compile", "completion"}),
        ("aegis run policy=least", {"policy=least_request"}),
        ("aegis sweep +scenario=mm", {"+scenario=mm1", "+scenario=mmc", "+scenario=mmck"}),
    ],
)
def test_the_tab_key_completes_commands_and_hydras_groups(typed, proposed, tmp_path):
    program = tmp_path / "aegis"
    program.write_text(f"#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m experiments.aegis \"$@\"\n")
    program.chmod(0o755)
    script = (
        f'eval "$(aegis completion bash)"; COMP_LINE={typed!r}; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=($COMP_LINE); '
        'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _aegis; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=AT_MOST_S, check=True,
        env={**os.environ, "PATH": path},
    )  # fmt: skip
    assert set(done.stdout.split()) == proposed


def test_the_help_fits_a_terminal():
    assert [line for line in aegis("--help").stdout.splitlines() if len(line) > 80] == []
