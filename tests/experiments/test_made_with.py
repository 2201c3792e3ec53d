"""A pack goes on with the code, the programs and the machine that it was begun with, or says that it did not."""

import json
import shutil
import time

import pytest

from analysis.standings.versions import NAME, changed, mixed, read_versions
from experiments.plan.config import ConfigError
from experiments.plan.data_planes import arm_of
from experiments.trials.arms import parse_arms
from experiments.trials.made_with import Held, made_with
from experiments.trials.planning import Asked, planned
from experiments.trials.suites import scenarios_of
from record import provenance
from record.files import FolderError
from tests.experiments.test_evidence import SMALL, pack
from tests.running import ROOT

THEN = {"commit": "commit aaaaaaaaaa", "code": "1", "envoy": "1.40.0", "cpu": "EPYC", "packages.aiohttp": "3.14.5"}


def test_what_has_changed_is_what_a_run_depends_on():
    """Snakemake (7.8 and later, its issue 1694) takes code, parameters and software for changes, and a blank in the code
    as well; pytest-benchmark's machine differs from itself by 0.1 % of its clock (its issue 255), which is no change."""
    assert changed(THEN, THEN) == []
    assert changed(THEN, THEN | {"code": "2", "commit": "commit bbbbbbbbbb"}) == ["code"]
    assert changed(THEN, THEN | {"commit": "commit bbbbbbbbbb"}) == [], "a commit of a page alone"
    assert changed(THEN, THEN | {"envoy": "1.41.0", "packages.aiohttp": "3.15.0"}) == ["envoy", "packages.aiohttp"]
    assert changed(THEN, THEN | {"caddy": "2.11.7"}) == [], "another arm is another protocol, which is said"
    assert not any("mhz" in line for line in provenance.cpu_model().lower().split())


def test_mixed_runs_are_told_by_what_differs():
    assert mixed([THEN]) == mixed([]) == []
    other = THEN | {"code": "2", "commit": "commit bbbbbbbbbb", "envoy": "1.41.0"}
    assert mixed([THEN, other, THEN | {"envoy": "1.42.0"}]) == [
        "code: commit aaaaaaaaaa, then commit bbbbbbbbbb", "envoy: 1.40.0, then 1.41.0, then 1.42.0",
    ]  # fmt: skip


def test_the_code_is_the_same_until_a_byte_of_what_a_run_is_made_by_changes(tmp_path, monkeypatch):
    for name in ("services/a.py", "record/b.py", "experiments/c.py", "analysis/d.py", "analysis/pages/e.py", "tests/f.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    first = provenance.code_digest()
    for name in ("analysis/pages/e.py", "tests/f.py", "README.md"):
        (tmp_path / name).write_text("x = 2\n")
    (tmp_path / "services" / "__pycache__").mkdir()
    (tmp_path / "services" / "__pycache__" / "a.pyc").write_bytes(b"1")
    assert provenance.code_digest() == first
    seen = {first}
    for number, name in enumerate(("services/a.py", "record/b.py", "experiments/c.py", "analysis/d.py"), 2):
        (tmp_path / name).write_text("x = 1 \n")
        assert len(seen := seen | {provenance.code_digest()}) == number, name
    (tmp_path / "services" / "a.py").rename(tmp_path / "services" / "z.py")
    assert provenance.code_digest() not in seen


def test_the_code_is_read_in_less_time_than_it_takes_to_start_a_replica():
    began = time.process_time()
    assert len(provenance.code_digest()) == 64
    assert time.process_time() - began < 1.35  # the CPU-seconds of a replica's imports


def custom(version):
    """A live pack's cells, whose only arm is a program of one's own that says its version."""
    words = f"router=custom router.template=a.j2 router.command='sh -c true {{config}}' router.version_command='{version}'"
    arms = parse_arms([f"mine: {words}"])
    return planned(Asked(scenarios_of("gray_failure"), arms, (), None))


def test_another_version_of_a_program_is_refused_in_a_line_and_noted_where_it_may_be_mixed(tmp_path, monkeypatch):
    """Two programs that there are, each with its own word for its version."""
    (tmp_path / "a.j2").write_text("{{ port }}\n")
    program = tmp_path / "mine"
    program.write_text("#!/bin/sh\necho mine 1.40.0\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    first = custom(program)
    assert arm_of(first.jobs["gray_failure", "mine"].config.router).version() == "mine 1.40.0"
    place = tmp_path / "pack"
    place.mkdir()
    Held(place, first, may_mix=False).check()
    assert [entry["mine"] for entry in read_versions(place)] == ["mine 1.40.0"]
    program.write_text("#!/bin/sh\necho mine 1.41.0\n")
    Held(place, first, may_mix=False).check()
    assert [entry["mine"] for entry in read_versions(place)] == ["mine 1.41.0"], "nothing was measured yet"
    (place / "runs" / "x").mkdir(parents=True)
    (place / "runs" / "x" / "manifest.json").write_text("{}")
    program.write_text("#!/bin/sh\necho mine 1.42.0\n")
    with pytest.raises(ConfigError, match=r"was measured with mine mine 1.41.0, here is mine 1.42.0: bring that back") as refused:
        Held(place, first, may_mix=False).check()
    assert "--mixed" in str(refused.value) and "\n" not in str(refused.value)
    Held(place, first, may_mix=True).check()
    assert mixed(read_versions(place)) == ["mine: mine 1.41.0, then mine 1.42.0"]
    Held(place, first, may_mix=False).check()  # that has been decided
    assert {"kernel", "cpu", "python", "router"} <= made_with(first).keys()


def test_code_that_changes_while_a_pack_is_measured_ends_it(tmp_path, monkeypatch):
    for package in provenance.CODE:
        shutil.copytree(ROOT / package, tmp_path / "tree" / package, ignore=shutil.ignore_patterns("__pycache__", "binaries"))
    (tmp_path / "a.j2").write_text("{{ port }}\n")
    monkeypatch.chdir(tmp_path)
    first = custom("echo 1")
    monkeypatch.setattr(provenance, "ROOT", tmp_path / "tree")
    (tmp_path / "pack" / "runs").mkdir(parents=True)
    held = Held(tmp_path / "pack", first, may_mix=False)
    held.check()
    (tmp_path / "pack" / "runs" / "manifest.json").write_text("{}")
    held.check_again()
    with (tmp_path / "tree" / "services" / "backend" / "__main__.py").open("a") as file:
        file.write("# otherwise\n")
    with pytest.raises(ConfigError, match="which has changed since: check that out"):
        held.check_again()


def test_a_pack_of_other_code_is_not_gone_on_with_unless_it_is_said_to_be_mixed(tmp_path):
    assert pack(*SMALL, output=tmp_path).returncode == 0
    versions = json.loads((tmp_path / NAME).read_text())
    assert len(versions) == 1 and "cpu" not in versions[0], "simulated runs come out the same on any"
    (tmp_path / NAME).write_text(json.dumps([versions[0] | {"code": "other", "commit": "commit 0123456789"}]))
    more = [*SMALL, "--seeds", "3"]
    done = pack(*more, output=tmp_path)
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "commit 0123456789, which has changed since" in done.stderr and "--mixed" in done.stderr
    done = pack(*more, "--mixed", output=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    told = "The runs were not all made with the same code: commit 0123456789, then commit"
    assert told in done.stdout
    for name in ("evidence.md", "leaderboard.md", "evidence.html"):
        assert told in (tmp_path / name).read_text(), name
    (tmp_path / NAME).unlink()
    done = pack(*more, output=tmp_path)
    assert done.returncode == 2 and f"{NAME} is missing" in done.stderr
    done = pack(*more, "--mixed", output=tmp_path)
    assert done.returncode == 0 and "made with the same code: what nobody knows, then commit" in done.stdout, done.stdout
    (tmp_path / NAME).write_text("{")
    with pytest.raises(FolderError, match="is damaged"):
        read_versions(tmp_path)
