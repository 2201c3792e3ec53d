"""Aegis as a user gets it: built, installed into an environment of its own, and used in an empty folder."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from record import __version__
from tests.running import AT_MOST_S, ROOT

UV = Path(sys.executable).with_name("uv")
MOST_MB = 450
"""Of an environment with the core alone, without bytecode: what is added to it must be worth it."""
SOURCES = ("services", "record", "experiments", "analysis", "conf", "monitoring")
FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")
RUN = ["run", "+scenario=failover", "engine=sim"]


def do(*command: object, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    # Nothing of this environment: no folder of modules, no settings of ours.
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "AEGIS", "MLFLOW"))}
    return subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, timeout=AT_MOST_S, check=False,
        env={**inherited, **env},
    )  # fmt: skip


def done(*command: object, cwd: Path, **env: str) -> str:
    ended = do(*command, cwd=cwd, **env)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and with the wheel that was built from it."""
    place = tmp_path_factory.mktemp("built")
    tree = place / "tree"  # a build leaves build/ and *.egg-info behind
    tree.mkdir()
    for name in SOURCES:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "build"))
    for name in FILES:
        shutil.copy(ROOT / name, tree / name)
    done(UV, "build", "--quiet", "--out-dir", place, tree, cwd=place)
    return place


def install(place: Path, *what: object) -> Path:
    pins = [line.rstrip(" \\") for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line]
    place.with_suffix(".txt").write_text("\n".join(pins))
    done(UV, "venv", "--quiet", "--python", sys.executable, place, cwd=place.parent)
    done(
        UV, "pip", "install", "--quiet", "--python", place / "bin" / "python",
        "--constraints", place.with_suffix(".txt"), *what, cwd=place.parent,
    )  # fmt: skip
    return place / "bin"


@pytest.fixture(scope="module")
def environment(built: Path) -> Path:
    """The `bin` of an environment with the wheel and its core dependencies, in the versions of the lock."""
    return install(built / "environment", next(built.glob("*.whl")))


def test_the_wheel_holds_the_packages_their_configuration_and_boards_and_no_tests(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {
        "services", "record", "experiments", "analysis",
    }  # fmt: skip
    modules = [path.relative_to(ROOT).as_posix() for room in SOURCES[:4] for path in (ROOT / room).rglob("*.py")]
    conf = [f"experiments/conf/{p.relative_to(ROOT / 'conf').as_posix()}" for p in (ROOT / "conf").rglob("*.yaml")]
    boards = [f"analysis/dashboards/{p.name}" for p in (ROOT / "monitoring/grafana/dashboards").glob("*.json")]
    parts = [path.relative_to(ROOT).as_posix() for path in (ROOT / "analysis/pages/html").glob("page.*")]
    assert len(parts) == 3
    assert not {*modules, *conf, *boards, *parts} - names
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        assert archive.getnames()[0].partition("/")[0] == f"aegis_bench-{__version__}"


def test_a_simulated_run_works_in_an_empty_folder_and_leaves_its_results_there(
    environment: Path, tmp_path: Path
) -> None:
    said = done(environment / "aegis", *RUN, cwd=tmp_path)
    assert "VALID (simulated)" in said
    assert [path.name for path in tmp_path.iterdir()] == ["results"]  # and no mlflow.db: MLflow is not installed
    (folder,) = (tmp_path / "results" / "runs").iterdir()
    left = {path.name for path in folder.iterdir()}
    assert {"manifest.json", "schedule.parquet", "requests.parquet", "metrics.json", "summary.png"} <= left
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["aegis"] == __version__
    assert manifest["packages"]["locust"] is None
    assert done(environment / "aegis", "--version", cwd=tmp_path).split() == ["aegis", __version__]
    assert "experiment" in done(environment / "aegis", "boards", "--help", cwd=tmp_path)
    summary = folder / "summary.png"
    summary.unlink()
    done(environment / "aegis", "summary", folder, cwd=tmp_path)
    assert summary.exists()


def test_packages_of_the_working_folder_do_not_stand_in_for_aegis_own_nor_its_commit(
    environment: Path, tmp_path: Path
) -> None:
    for name in ("services", "record", "experiments", "analysis"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('a module of the user, not of Aegis')")
    done("git", "init", "--quiet", cwd=tmp_path)
    done("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--allow-empty", "-m", "theirs",
         cwd=tmp_path)  # fmt: skip
    done(environment / "aegis", *RUN, "workload.duration_s=25", "hydra.run.dir=here", cwd=tmp_path)
    assert json.loads((tmp_path / "here" / "manifest.json").read_text())["git"] == {"commit": None, "dirty": None}


def test_a_live_run_says_in_one_line_what_it_needs(environment: Path, tmp_path: Path) -> None:
    ended = do(environment / "aegis", "run", "+scenario=failover", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "engine=local: needs Locust: pip install 'aegis-bench[load]'; engine=sim does without\n"
    assert not list(tmp_path.rglob("manifest.json"))


def test_the_core_stays_small(environment: Path) -> None:
    spent = sum(path.lstat().st_blocks * 512 for path in environment.parent.rglob("*"))
    assert spent / 1e6 < MOST_MB


def test_an_editable_installation_runs_what_stands_in_the_tree(built: Path, tmp_path: Path) -> None:
    place = install(tmp_path / "editable", "--editable", built / "tree")
    code = "import experiments.plan.installed as i; print(i.__file__, i.CONF, i.IS_TREE)"
    module, conf, is_tree = done(place / "python", "-c", code, cwd=tmp_path).split()
    assert Path(module).is_relative_to(built / "tree") and Path(conf) == built / "tree" / "conf" and is_tree == "True"
    scenario = built / "tree" / "conf" / "scenario"
    (scenario / "mine.yaml").write_text((scenario / "failover.yaml").read_text())
    assert "rate_rps" in done(place / "aegis", "run", "+scenario=mine", "engine=sim", "--cfg", "job", cwd=tmp_path)
